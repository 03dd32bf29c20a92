//! The answer of a listener that only redirects: 308 (RFC 9110 §15.4.9), so that method and body stay what they are.

use super::answer::{Answer, Style};
use crate::{
    protocol::{
        h1::{HeadWriter, reason_phrase},
        http::{Form, RequestHead},
    },
    shard::{
        buffer::{Buffer, Class},
        state::{RequestId, Shard},
    },
    snapshot::RedirectTo,
    types::Reason,
};

/// Longest head without its `Location`.
const HEAD_BYTES_MAX: usize = 512;

/// Sends a request elsewhere; none if it does not say which host it asks for. What of it is repeated was parsed: a
/// valid authority, and a target of visible ASCII.
pub(super) fn redirect(
    shard: &Shard,
    to: &RedirectTo,
    head: &RequestHead<'_>,
    request_id: &RequestId,
    style: Style<'_>,
) -> Option<Answer> {
    let host = head.host?;
    let origin = match to {
        RedirectTo::SameHost => [&b"https://"[..], without_port(host)],
        RedirectTo::Origin(origin) => [origin.as_bytes(), b""],
    };
    let path = if head.target.form == Form::Asterisk { &b"/"[..] } else { head.target.path };
    let (mark, query): (&[u8], &[u8]) = head.target.query.map_or((b"", b""), |query| (b"?", query));
    let mut fields = [0; HEAD_BYTES_MAX];
    let mut writer = HeadWriter::new(&mut fields);
    let status = Reason::Redirected.status();
    writer.status_line(status, reason_phrase(status).as_bytes());
    writer.field(b"Date", &shard.date());
    writer.number(b"Content-Length", 0);
    writer.field(b"X-Request-Id", request_id);
    if style.close {
        writer.field(b"Connection", b"close");
    } else if style.old_keep_alive {
        writer.field(b"Connection", b"keep-alive");
    }
    let length = writer.finish().ok()?;
    let [scheme, authority] = origin;
    let parts = [&fields[..length], b"Location: ", scheme, authority, path, mark, query, b"\r\n\r\n"];
    let whole: usize = parts.iter().map(|part| part.len()).sum();
    let mut buffer = Buffer::take(Class::holding(whole).unwrap_or(Class::Large));
    let fits = parts.iter().all(|part| buffer.append(part));
    fits.then_some(Answer { reason: Reason::Redirected, buffer, close: style.close })
}

/// A valid authority without its port.
fn without_port(host: &[u8]) -> &[u8] {
    let from = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = host.iter().skip(from).position(|&byte| byte == b':');
    colon.map_or(host, |at| &host[..from + at])
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn ports_are_taken_off() {
        for (host, name) in
            [("a", "a"), ("a.example:80", "a.example"), ("[::1]:8080", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }
}
