//! Request heads (RFC 9112 §3 and §5): from bytes to `RequestHead`, or the reason why not.
//!
//! What it lets through has one reading. It does not normalise the path, nor look anything up. The shards call
//! it with what `HeadScanner` found, and it holds for any other bytes as well.

use super::fields::{Seen, parse_fields};
use crate::limits::{HEAD_BYTES_MAX, METHOD_BYTES_MAX};
use crate::protocol::http::{
    BodyLength, Class, FieldTable, Fields, HeadLimits, Method, RequestHead, Side, Target, Version,
};
use crate::protocol::http::{body_length, span, valid_host};
use crate::types::Reason;

/// Parses a request head with its empty line.
#[inline]
pub fn parse_request<'b>(
    head: &'b [u8],
    limits: &HeadLimits,
    table: &'b mut FieldTable,
) -> Result<RequestHead<'b>, Reason> {
    if head.len() > limits.head_bytes.min(HEAD_BYTES_MAX) {
        return Err(Reason::HeadTooLarge);
    }
    let line = RequestLine::parse(head, limits.target_bytes)?;
    match line.method {
        Method::Connect => return Err(Reason::NotImplemented), // RFC 9110 §9.3.6
        Method::Trace => return Err(Reason::MethodRefused),    // RFC 9110 §9.3.8
        _ => {}
    }
    let target = Target::parse(line.target, line.method)?;
    let seen = parse_fields(head, line.bytes, limits, table)?;
    let host = host(&seen, line.version, target.authority)?;
    let body = body_length(Side::Request, line.version, &seen.framing)?;
    let expects_continue = expectation(&seen, line.version)? && has_body(body);
    Ok(RequestHead {
        method: line.method,
        method_bytes: line.method_bytes,
        target,
        version: line.version,
        fields: Fields::new(head, table.filled()),
        host,
        body,
        connection: seen.connection,
        expects_continue,
        upgrade: seen.upgrade(line.version),
        keep_alive: seen.connection.persists(line.version),
    })
}

struct RequestLine<'b> {
    method: Method,
    method_bytes: &'b [u8],
    target: &'b [u8],
    version: Version,
    /// Length of the line with its CRLF.
    bytes: usize,
}

impl<'b> RequestLine<'b> {
    /// `method SP request-target SP HTTP-version CRLF`, byte for byte (RFC 9112 §3).
    #[inline]
    fn parse(head: &'b [u8], target_bytes_max: usize) -> Result<Self, Reason> {
        let (method_bytes, rest) =
            head.split_at_checked(span(head, Class::Token)).ok_or(Reason::RequestLineInvalid)?;
        let rest = rest.strip_prefix(b" ").ok_or(Reason::RequestLineInvalid)?;
        let method = Method::parse(method_bytes).ok_or_else(|| unknown_method(method_bytes))?;
        let (target, rest) =
            rest.split_at_checked(span(rest, Class::Target)).ok_or(Reason::RequestLineInvalid)?;
        if target.len() > target_bytes_max {
            return Err(Reason::TargetTooLong);
        }
        let (version, rest) = match rest {
            [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b'\r', b'\n', rest @ ..] => {
                (Version::Http11, rest)
            }
            [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b'\r', b'\n', rest @ ..] => {
                (Version::Http10, rest)
            }
            _ => return Err(why_invalid(target, rest)),
        };
        if target.is_empty() {
            return Err(Reason::RequestLineInvalid);
        }
        Ok(Self { method, method_bytes, target, version, bytes: head.len() - rest.len() })
    }
}

/// RFC 9112 §3: a method longer than any known one is answered with 501.
#[cold]
fn unknown_method(method: &[u8]) -> Reason {
    if method.len() > METHOD_BYTES_MAX { Reason::NotImplemented } else { Reason::RequestLineInvalid }
}

/// Names what is wrong after the bytes that can stand in a target.
#[cold]
fn why_invalid(target: &[u8], rest: &[u8]) -> Reason {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap_or(rest.len());
    let tail = rest.get(..end).unwrap_or_default();
    match tail {
        // HTTP/0.9 has no version at all, and a target of no bytes is no target.
        [] => Reason::RequestLineInvalid,
        [b' ', ..] if target.is_empty() => Reason::RequestLineInvalid,
        [b' ', version @ ..] if is_version(version) => Reason::VersionUnsupported, // RFC 9112 §2.3
        [b' ', more @ ..] if ends_with_version(more) => Reason::TargetInvalid,     // a space in it
        [b' ', ..] => Reason::RequestLineInvalid,
        _ => Reason::TargetInvalid,
    }
}

/// `HTTP/` DIGIT `.` DIGIT (RFC 9112 §2.3).
fn is_version(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

fn ends_with_version(bytes: &[u8]) -> bool {
    matches!(bytes.split_last_chunk::<9>(), Some((_, [b' ', version @ ..])) if is_version(version))
}

/// RFC 9112 §3.2: one valid `Host`, which 1.0 may leave out; §3.2.2: an absolute form says the same as `Host`.
#[inline]
fn host<'b>(
    seen: &Seen<'b>,
    version: Version,
    authority: Option<&'b [u8]>,
) -> Result<Option<&'b [u8]>, Reason> {
    let host = match seen.host.once() {
        Ok(Some(host)) if valid_host(host) => Some(host),
        Ok(None) if version == Version::Http10 => None,
        _ => return Err(Reason::HostInvalid),
    };
    match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => Err(Reason::HostInvalid),
        (Some(authority), _) => Ok(Some(authority)),
        (None, host) => Ok(host),
    }
}

const fn has_body(body: BodyLength) -> bool {
    !matches!(body, BodyLength::None | BodyLength::Fixed(0))
}

/// RFC 9110 §10.1.1: `100-continue` is the only expectation; 1.0 cannot mean it.
#[inline]
fn expectation(seen: &Seen<'_>, version: Version) -> Result<bool, Reason> {
    match seen.expect.once() {
        Ok(None) => Ok(false),
        Ok(Some(value)) if value.eq_ignore_ascii_case(b"100-continue") => Ok(version == Version::Http11),
        _ => Err(Reason::ExpectationUnknown),
    }
}
