//! The HTTP/1.1 codec against its RFCs, one file for each topic, one test for each section.
//!
//! Every case runs whole, byte by byte and at seeded random splits (`support`). The cases of request smuggling that
//! were seen in other proxies are among them, each beside the rule that it breaks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "http1/chunked.rs"]
mod chunked;
#[path = "http1/encode.rs"]
mod encode;
#[path = "http1/fields.rs"]
mod fields;
#[path = "http1/framing.rs"]
mod framing;
#[path = "http1/path.rs"]
mod path;
#[path = "http1/request_line.rs"]
mod request_line;
#[path = "http1/response.rs"]
mod response;
#[path = "http1/support.rs"]
mod support;
#[path = "http1/target.rs"]
mod target;
