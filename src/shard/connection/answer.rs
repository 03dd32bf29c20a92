//! Answers of our own: `application/problem+json` (RFC 9457), made from a reason.

use crate::{
    protocol::{
        h1::{HeadWriter, reason_phrase},
        http::{Method, Version},
    },
    shard::{
        buffer::{Buffer, Class},
        state::{RequestId, Shard},
    },
    types::Reason,
};

/// What the word of a reason is appended to, to make the problem's `type`.
const TYPE_BASE: &str = "https://keyferry.dev/problems/";
/// Longest answer without its challenge.
const ANSWER_BYTES_MAX: usize = 1024;

/// An answer that is ready to send.
pub(in crate::shard) struct Answer {
    pub(in crate::shard) reason: Reason,
    pub(in crate::shard) buffer: Buffer,
    /// Whether the connection ends with it.
    pub(in crate::shard) close: bool,
}

/// How an answer depends on its request.
#[derive(Clone, Copy)]
pub(in crate::shard) struct Style<'a> {
    /// `WWW-Authenticate` lines.
    pub(in crate::shard) challenge: &'a [u8],
    /// Whether the connection ends with it.
    pub(in crate::shard) close: bool,
    /// Whether an HTTP/1.0 caller has to be told that it does not.
    pub(in crate::shard) old_keep_alive: bool,
    /// HEAD: the head alone.
    pub(in crate::shard) without_body: bool,
}

impl Style<'_> {
    /// The connection ends.
    pub(in crate::shard) const CLOSE: Style<'static> =
        Style { challenge: &[], close: true, old_keep_alive: false, without_body: false };
}

/// How an answer to a request that was understood looks.
pub(in crate::shard) fn answer_style(method: Method, version: Version, close: bool) -> Style<'static> {
    Style {
        challenge: &[],
        close,
        old_keep_alive: version == Version::Http10,
        without_body: method == Method::Head,
    }
}

/// The answer for a reason.
pub(in crate::shard) fn problem(
    shard: &Shard,
    reason: Reason,
    request_id: &RequestId,
    style: Style<'_>,
) -> Answer {
    let mut body = [0; ANSWER_BYTES_MAX];
    let body_length = write_body(reason, request_id, &mut body);
    let body = &body[..body_length];
    let mut head = [0; ANSWER_BYTES_MAX];
    let mut writer = HeadWriter::new(&mut head);
    writer.status_line(reason.status(), reason_phrase(reason.status()).as_bytes());
    writer.field(b"Date", &shard.date());
    writer.field(b"Content-Type", b"application/problem+json");
    writer.number(b"Content-Length", body.len() as u64);
    writer.field(b"X-Request-Id", request_id);
    writer.field(b"Cache-Control", b"no-store");
    if reason == Reason::MethodRefused {
        writer.field(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"); // RFC 9110 §15.5.6
    }
    if style.close {
        writer.field(b"Connection", b"close");
    } else if style.old_keep_alive {
        writer.field(b"Connection", b"keep-alive");
    }
    let head_length = writer.finish().unwrap_or(0);
    let challenge = if reason.status() == 401 { style.challenge } else { &[] };
    let parts = [&head[..head_length], challenge, b"\r\n", if style.without_body { &[] } else { body }];
    let whole: usize = parts.iter().map(|part| part.len()).sum();
    let mut buffer = Buffer::take(Class::holding(whole).unwrap_or(Class::Large));
    let fits = parts.iter().all(|part| buffer.append(part));
    debug_assert!(fits, "an answer fits the class that holds it");
    Answer { reason, buffer, close: style.close }
}

fn write_body(reason: Reason, request_id: &RequestId, out: &mut [u8]) -> usize {
    use std::io::Write;
    let whole = out.len();
    let mut rest = out;
    let id = std::str::from_utf8(request_id).unwrap_or_default();
    let written = writeln!(
        rest,
        "{{\"type\":\"{TYPE_BASE}{}\",\"title\":\"{}\",\"status\":{},\"request_id\":\"{id}\"}}",
        reason.word(),
        reason.title(),
        reason.status(),
    );
    debug_assert!(written.is_ok(), "words and titles are short");
    whole - rest.len()
}
