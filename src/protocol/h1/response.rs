//! Response heads (RFC 9112 §4 and §5): from bytes to `ResponseHead`. Whatever is wrong is `ResponseInvalid`.
//!
//! As strict with the API as with the caller: an answer that two readers can take differently is not passed on.
//! The shards call it with what `HeadScanner` found.

use super::fields::{Seen, parse_fields, value_span};
use crate::limits::HEAD_BYTES_MAX;
use crate::protocol::http::{
    BodyLength, FieldTable, Fields, HeadLimits, Method, ResponseHead, Side, Version, body_length,
};
use crate::types::Reason;

/// Parses a response head with its empty line; `request` is the method that it answers.
#[inline]
pub fn parse_response<'b>(
    head: &'b [u8],
    request: Method,
    limits: &HeadLimits,
    table: &'b mut FieldTable,
) -> Result<ResponseHead<'b>, Reason> {
    parse(head, request, limits, table).ok_or(Reason::ResponseInvalid)
}

#[inline]
fn parse<'b>(
    head: &'b [u8],
    request: Method,
    limits: &HeadLimits,
    table: &'b mut FieldTable,
) -> Option<ResponseHead<'b>> {
    if head.len() > limits.head_bytes.min(HEAD_BYTES_MAX) {
        return None;
    }
    let line = StatusLine::parse(head)?;
    let seen = parse_fields(head, line.bytes, limits, table).ok()?;
    let body =
        body_length(Side::Response { request, status: line.status }, line.version, &seen.framing).ok()?;
    Some(ResponseHead {
        version: line.version,
        status: line.status,
        reason: line.reason,
        fields: Fields::new(head, table.filled()),
        body,
        connection: seen.connection,
        keep_alive: keeps_alive(&line, &seen, body),
        upgrade: seen.upgrade(line.version),
    })
}

/// RFC 9112 §9.3, and never after a body that only the end of the connection ends.
#[inline]
fn keeps_alive(line: &StatusLine<'_>, seen: &Seen<'_>, body: BodyLength) -> bool {
    let delimited = body != BodyLength::UntilClose && !seen.framing.contradicts_no_content(line.status);
    delimited && seen.connection.persists(line.version)
}

struct StatusLine<'b> {
    version: Version,
    status: u16,
    reason: &'b [u8],
    /// Length of the line with its CRLF.
    bytes: usize,
}

impl<'b> StatusLine<'b> {
    /// `HTTP-version SP status-code SP [ reason-phrase ] CRLF` (RFC 9112 §4): the second space is required even
    /// where the phrase is left out, and a status is 100 to 599 (RFC 9110 §15).
    #[inline]
    fn parse(head: &'b [u8]) -> Option<Self> {
        let ([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', hundreds, tens, units, b' '], rest) =
            head.split_first_chunk::<13>()?
        else {
            return None;
        };
        let version = match minor {
            b'1' => Version::Http11,
            b'0' => Version::Http10,
            _ => return None,
        };
        if !matches!((hundreds, tens, units), (b'1'..=b'5', b'0'..=b'9', b'0'..=b'9')) {
            return None;
        }
        let digit = |byte: &u8| u16::from(byte - b'0');
        let status = digit(hundreds) * 100 + digit(tens) * 10 + digit(units);
        let (reason, rest) = rest.split_at_checked(value_span(rest))?;
        let rest = rest.strip_prefix(b"\r\n")?;
        Some(Self { version, status, reason, bytes: head.len() - rest.len() })
    }
}
