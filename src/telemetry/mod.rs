//! What the data plane counts: cells that one shard writes and the control thread adds up.
//!
//! ```text
//!  shard 0: record ─▶ its own cells ─┐
//!  shard N: record ─▶ its own cells ─┴─▶ Telemetry::merge, once a second ─▶ who asks
//! ```
//!
//! shard N: record ─▶ its own ring ──▶ LogWriter, every 50 ms ─▶ access log
//!
//! A shard never waits here, never locks, and takes memory only for what it counts for the first time.

mod cells;
mod histogram;
mod last_used;
mod line;
mod log_file;
mod log_writer;
mod merge;
mod openmetrics;
mod quantiles;
mod request_log;
mod series;

pub use cells::{ShardCells, Totals};
pub use histogram::Counts;
pub use log_file::{LogFile, Sink};
pub use log_writer::LogWriter;
pub use merge::{LogCounts, Merged, Names, SeriesState, Telemetry};
pub use openmetrics::{Exposition, Kind};
pub use quantiles::{Quantiles, Reader};
pub use request_log::{Entry, Ring};
pub use series::{Ending, STATUS_CLASSES, SeriesTotals};
