//! The vocabulary that every room shares: why a request ended, secrets, the state of a key, what is counted apart.
//!
//! It imports no other room and does no work.

mod key;
mod reason;
mod secret;
mod series;

pub use key::{Digest, KeyState, Window};
pub use reason::{Fault, Reason};
pub use secret::Secret;
pub use series::{Label, SeriesId, SeriesName};
