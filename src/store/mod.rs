//! What must outlive the process and stands in no file of the operator's: what was revoked.

mod revocations;

pub use revocations::{Revocation, Revocations, StoreError};
