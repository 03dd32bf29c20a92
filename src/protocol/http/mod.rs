//! The vocabulary common to all versions of HTTP: methods, fields, heads, framing, hosts and paths.
//!
//! Nothing here reads or writes a wire format; `h1` does that. `policy` and the shards use these types.

mod chars;
mod dots;
mod field;
pub mod forwarded;
mod framing;
mod head;
mod host;
mod kind;
mod method;
pub mod path;
mod target;

pub(crate) use chars::{Class, is, span};
pub use field::{Field, FieldRef, FieldTable, Fields};
pub use framing::{BodyLength, Framing, Side, body_length};
pub use head::{Connection, HeadLimits, RequestHead, ResponseHead, Version, elements};
pub use host::valid_host;
pub use kind::Kind;
pub(crate) use kind::is_disguised;
pub use method::Method;
pub use target::{Form, Target};
