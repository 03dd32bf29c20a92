//! The decisions: pure functions from a snapshot and a request head to a verdict, and the edits that follow
//! from it.
//!
//! [`decide`] holds the branches: route → authenticate → authorise → `Permit`. Shards call it once for each request, when
//! the head is complete; nothing here waits, reads a clock or touches a socket.

mod authenticate;
mod authorise;
mod decide;
mod edit;
mod verdict;
mod watch;

pub use authenticate::{ClientCertificate, Grant};
pub use authorise::RuleMemory;
pub use decide::{Means, Now, PathScratch, decide, decide_as};
pub use edit::{
    CallerFacts, FieldSink, response_field_passes, trailer_passes, write_request_fields,
    write_response_fields,
};
pub use verdict::{Denial, Identity, Permit, Proof};
pub use watch::{Unwatched, Watch};
