//! Requests that two parsers could read differently: each is refused with its reason, or forwarded in one
//! form.
//!
//! Every case is a row: its name, the section that it is about, the bytes, and what becomes of them. Each
//! row is sent in three shapes: alone, with a well-formed request behind it, and byte by byte. After each,
//! another caller must get its own answer over the same connections to the API.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and reads the clock")]

#[path = "../common/mod.rs"]
mod common;

mod chunked;
mod fields;
mod framing;
mod host;
mod mutations;
mod path;
mod request_line;
mod table;
mod target;
