//! The answer of a listener that only redirects: 308 (RFC 9110 §15.4.9), so that method and body stay what they are.

use super::{
    answer::{Answer, Style},
    caller::Caller,
};
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

/// Sends a request elsewhere, unless it does not say which host it asks for, or would be sent where it was sent
/// already. What of it is repeated was parsed: a valid authority, and a target of visible ASCII.
pub(super) fn redirect(
    shard: &Shard,
    to: &RedirectTo,
    head: &RequestHead<'_>,
    caller: &Caller<'_>,
    request_id: &RequestId,
    style: Style<'_>,
) -> Result<Answer, Reason> {
    let host = caller.host.ok_or(Reason::HostInvalid)?;
    let (origin, comes_back) = match to {
        RedirectTo::SameHost => ([&b"https://"[..], without_port(host)], true),
        RedirectTo::Origin(origin) => ([origin.as_bytes(), b""], is_origin_of(host, origin)),
    };
    if comes_back && caller.scheme == b"https" {
        return Err(Reason::RedirectLoop);
    }
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
    let length = writer.finish().map_err(|_| Reason::HeadTooLarge)?;
    let [scheme, authority] = origin;
    let parts = [&fields[..length], b"Location: ", scheme, authority, path, mark, query, b"\r\n\r\n"];
    let whole: usize = parts.iter().map(|part| part.len()).sum();
    let mut buffer = Buffer::take(Class::holding(whole).unwrap_or(Class::Large));
    let fits = parts.iter().all(|part| buffer.append(part));
    let answer = Answer { reason: Reason::Redirected, buffer, close: style.close };
    fits.then_some(answer).ok_or(Reason::HeadTooLarge)
}

/// Whether an authority that was asked for by https is that of an origin.
fn is_origin_of(host: &[u8], origin: &str) -> bool {
    let own = origin.strip_prefix("https://").unwrap_or(origin);
    without_usual_port(own.as_bytes()).eq_ignore_ascii_case(without_usual_port(host))
}

fn without_usual_port(authority: &[u8]) -> &[u8] {
    authority.strip_suffix(b":443").unwrap_or(authority)
}

/// A valid authority without its port.
fn without_port(host: &[u8]) -> &[u8] {
    let from = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = host.iter().skip(from).position(|&byte| byte == b':');
    colon.map_or(host, |at| &host[..from + at])
}

#[cfg(test)]
mod tests {
    use super::{is_origin_of, without_port};

    #[test]
    fn ports_are_taken_off() {
        for (host, name) in
            [("a", "a"), ("a.example:80", "a.example"), ("[::1]:8080", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }

    #[test]
    fn an_origin_is_known_with_its_usual_port_or_without() {
        for (host, origin, same) in [
            ("A.example", "https://a.example", true),
            ("a.example:443", "https://a.example", true),
            ("[::1]", "https://[::1]:443", true),
            ("a.example", "https://a.example:8443", false),
            ("a.example:8443", "https://a.example:8443", true),
            ("b.example", "https://a.example", false),
        ] {
            assert_eq!(is_origin_of(host.as_bytes(), origin), same, "{host} {origin}");
        }
    }
}
