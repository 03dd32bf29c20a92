//! Answers of an API: malformed ones become 502 or are seen to be cut, and never reach another caller.
//!
//! Every case is a row: its name, the section that it is about, the bytes that the API sends, and what the
//! caller sees. Each row is sent in one piece and byte by byte. After each, another caller must get its own
//! answer over whatever connections to the API are kept.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and reads the clock")]

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod fields;
mod framing;
mod interim;
mod reuse;
mod status_line;
mod table;
