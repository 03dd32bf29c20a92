//! What the data plane counts: cells that one shard writes and the control thread adds up.

mod cells;

pub use cells::{ShardCells, Totals};
