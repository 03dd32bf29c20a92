//! The decisions: pure functions from a snapshot and a request head to a verdict, and the edits that follow
//! from it.
//!
//! [`decide`] holds the branches: route → authenticate → `Permit`. Shards call it once for each request, when
//! the head is complete; nothing here waits, reads a clock or touches a socket.

mod authenticate;
mod decide;
mod edit;
mod verdict;

pub use decide::{Now, PathScratch, decide};
pub use edit::{
    CallerFacts, FieldSink, response_field_passes, trailer_passes, write_request_fields,
    write_response_fields,
};
pub use verdict::{Denial, Identity, Permit};
