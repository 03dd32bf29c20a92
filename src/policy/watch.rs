//! How a decision came about, for those who want to know: a stopwatch on a shard, an explanation for an operator.

/// Is told of the steps of a decision while it is made. What it does costs each request.
pub trait Watch {
    /// The caller's credentials are about to be looked for.
    fn authenticating(&mut self) {}
    /// It is known who calls, or that nobody known does.
    fn authenticated(&mut self) {}
}

/// Nobody wants to know.
pub struct Unwatched;

impl Watch for Unwatched {}
