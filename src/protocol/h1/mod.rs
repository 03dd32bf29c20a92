//! HTTP/1.1 on the wire (RFC 9112): finding, parsing and writing heads, chunked bodies.
//!
//! Sans-io: bytes in, values out. The shards call it; it never waits and keeps no state but that of
//! `HeadScanner` and `Decoder`.

mod chunked;
mod encode;
mod fields;
mod request;
mod response;
mod scan;
mod trailer_writer;
mod trailers;

pub use chunked::{CHUNK_HEADER_MAX, Decoded, Decoder, LAST_CHUNK, write_chunk_header};
pub use encode::{HeadWriter, Overflow, reason_phrase};
pub use request::parse_request;
pub use response::parse_response;
pub use scan::{HeadScanner, leading};
pub use trailers::parse_trailers;
