//! The vocabulary that every room shares: why a request ended, secrets, the state of a key.
//!
//! It imports no other room and does no work.

mod key;
mod reason;
mod secret;

pub use key::{Digest, KeyState, Window, digest_from_hex};
pub use reason::{Fault, Reason};
pub use secret::Secret;
