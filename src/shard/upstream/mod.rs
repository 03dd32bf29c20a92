//! Connections to targets: made on demand, kept by each shard, given to one exchange at a time.

mod connect;
mod pool;

pub(super) use connect::connect;
pub(super) use pool::{Pools, UpstreamConnection};
