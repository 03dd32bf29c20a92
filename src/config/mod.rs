//! From the operator's files to a [`Plan`]: everything that is wrong is found at once, each thing with its place.
//!
//! ```text
//! load ─ reads files, includes, secrets, lists of keys (through `Outside`)
//!   └─ raw ─ TOML with the place of every value; remembers which keys were asked for
//!        └─ validate ─ words → Plan; pure, its only way out is the `Outside` it is given
//!             └─ Plan, and Diagnostics
//! ```
//!
//! It is not where routing tables or header fields of a snapshot are made: `compile` does that, from the plan.
//! Called by `run`, by the control thread for every reload, and by `cli`.
//!
//! Invariants: no text, however wrong, makes it panic; no diagnostic shows a key, token or password; a key
//! that nobody asked for is an error, so nothing that an operator writes is silently ignored.

mod base64;
mod diagnostic;
mod diff;
mod files;
mod key_list;
mod lint;
mod load;
mod outside;
mod pem;
pub mod plan;
mod plan_edge;
mod plan_rules;
mod plan_security;
mod plan_tls;
mod raw;
mod report;
mod suggest;
#[cfg(test)]
mod tests;
mod validate;
mod value;

pub use diagnostic::{Diagnostic, Severity};
pub use diff::{Difference, difference, listed};
pub use files::Stamp;
pub use lint::lint;
pub use load::{Attempt, Loaded, Loader, admin_address, load, load_text, parse_text};
pub use plan::Plan;
pub use report::Watched;
