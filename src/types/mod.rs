//! The vocabulary that every room shares: why a request ended, secrets, the state of a key, parts of rules, what is
//! counted apart.
//!
//! It imports no other room and does no work.

mod cidr;
mod client_name;
mod endpoint;
mod key;
mod pace;
mod pattern;
mod peers;
mod reason;
mod rule;
mod secret;
mod series;
mod trusted_header;

pub use cidr::{Cidr, CidrError};
pub use client_name::{ClientName, SubjectText};
pub use endpoint::Endpoint;
pub use key::{Digest, KeyState, Window, digest_from_hex};
pub use pace::Pace;
pub use pattern::{Case, Pattern, Shape};
pub use peers::Peers;
pub use reason::{Fault, Reason};
pub use rule::{Effect, Presence, RuleScope};
pub use secret::Secret;
pub use series::{Label, SeriesId, SeriesName};
pub use trusted_header::TrustedHeader;
