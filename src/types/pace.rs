//! How work in bulk makes room for requests.

/// What long work off the shards tells of itself, so that whoever runs it can slow it down.
pub trait Pace: Send + Sync {
    /// From here on there is much to do: a load of many keys.
    fn bulky(&self);

    /// Some of it is done: a piece of a millisecond or a few. Says whether to go on; if not, the work is to be left.
    fn breathe(&self) -> bool;
}
