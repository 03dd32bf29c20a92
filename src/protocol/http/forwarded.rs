//! What proxies in front say of a caller: `Forwarded` (RFC 7239), or `X-Forwarded-For` and its kin.
//!
//! It does not know whom to trust: that is asked for each address. Only what a trusted proxy wrote is returned: lists
//! are read from the right, where the nearest proxy writes, up to the first address that is not a trusted proxy's. What
//! cannot be read ends that walk at the last good address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Fields, Kind, elements, head::trim, valid_host};

/// What trusted proxies say of a caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said<'b> {
    /// Where it is.
    pub address: Option<IpAddr>,
    /// The scheme that it used: `http` or `https`.
    pub scheme: Option<&'static [u8]>,
    /// The host that it asked for.
    pub host: Option<&'b [u8]>,
}

/// Reads what the peer, which is trusted, says.
pub fn said<'b>(fields: &Fields<'b>, is_trusted: impl Fn(IpAddr) -> bool) -> Said<'b> {
    if fields.count(Kind::Forwarded) > 0 {
        return forwarded(fields, is_trusted);
    }
    let mut walk = Walk { found: None, is_trusted };
    for field in fields.by_name(b"x-forwarded-for") {
        for element in elements(field.value) {
            walk.step(address(element), Said::default());
        }
    }
    let only = |name| {
        let mut of_name = fields.by_name(name);
        of_name.next().filter(|_| of_name.next().is_none()).map(|field| field.value)
    };
    Said {
        address: walk.found.and_then(|found| found.address),
        scheme: only(&b"x-forwarded-proto"[..]).and_then(scheme),
        host: only(&b"x-forwarded-host"[..]).filter(|host| valid_host(host)),
    }
}

/// The walk from the right, made from the left: what is found so far is what a walk that came here would find.
struct Walk<'b, F> {
    found: Option<Said<'b>>,
    is_trusted: F,
}

impl<'b, F: Fn(IpAddr) -> bool> Walk<'b, F> {
    fn step(&mut self, address: Option<IpAddr>, said: Said<'b>) {
        match address {
            None => self.found = None,
            Some(address) if self.found.is_none() || !(self.is_trusted)(address) => {
                self.found = Some(Said { address: Some(address), ..said });
            }
            Some(_) => {}
        }
    }
}

/// RFC 7239 §4.
fn forwarded<'b>(fields: &Fields<'b>, is_trusted: impl Fn(IpAddr) -> bool) -> Said<'b> {
    let mut walk = Walk { found: None, is_trusted };
    for field in fields.of(Kind::Forwarded) {
        for element in split(field.value, b',') {
            let element = trim(element);
            if element.is_empty() {
                continue; // RFC 9110 §5.6.1
            }
            let hop = hop(element).unwrap_or_default();
            walk.step(hop.address, hop);
        }
    }
    walk.found.unwrap_or_default()
}

/// One `forwarded-element`; none if it is malformed.
fn hop(element: &[u8]) -> Option<Said<'_>> {
    let mut hop = Said::default();
    let (mut node, mut proto, mut host) = (None, None, None);
    for pair in split(element, b';') {
        let pair = trim(pair);
        let at = memchr::memchr(b'=', pair)?;
        let (name, value) = (pair.get(..at)?, unquoted(pair.get(at + 1..)?)?);
        let slot = match name {
            name if name.eq_ignore_ascii_case(b"for") => &mut node,
            name if name.eq_ignore_ascii_case(b"proto") => &mut proto,
            name if name.eq_ignore_ascii_case(b"host") => &mut host,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return None; // §4: each parameter once
        }
    }
    hop.address = node.and_then(address);
    hop.scheme = proto.and_then(scheme);
    hop.host = host.filter(|host| valid_host(host));
    Some(hop)
}

/// The value of a token or a quoted string. One with escapes has none: nothing that is meant here needs them.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inside @ .., b'"'] => (!inside.contains(&b'\\') && !inside.contains(&b'"')).then_some(inside),
        _ => (!value.is_empty() && !value.contains(&b'"')).then_some(value),
    }
}

/// The parts between separators that stand in no quoted string (RFC 9110 §5.6.4).
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        escaped = quoted && byte == b'\\';
        quoted ^= byte == b'"';
        byte == separator && !quoted
    })
}

/// An address, which may have a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(inside) = text.strip_prefix('[') {
        let (address, port) = inside.split_once(']')?;
        let fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| fine).map(IpAddr::V6);
    }
    if let Some((address, port)) = text.split_once(':')
        && is_port(port)
        && let Ok(address) = address.parse::<Ipv4Addr>()
    {
        return Some(IpAddr::V4(address));
    }
    text.parse().ok()
}

/// A port, which RFC 7239 §6 allows to be a name that tells nothing.
fn is_port(text: &str) -> bool {
    let hidden = text.starts_with('_') && text.len() > 1;
    hidden || (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn scheme(text: &[u8]) -> Option<&'static [u8]> {
    [&b"http"[..], b"https"].into_iter().find(|known| known.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Said, said};
    use crate::protocol::{
        h1::parse_request,
        http::{FieldTable, HeadLimits},
    };

    /// Address, scheme and host that are found where 10.0.0.0/8 is trusted.
    #[track_caller]
    fn found(lines: &str) -> (String, String, String) {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n");
        let mut table = FieldTable::new();
        let head = parse_request(head.as_bytes(), &HeadLimits::default(), &mut table).expect("a head");
        let Said { address, scheme, host } =
            said(&head.fields, |address| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10));
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        (address.map_or("-".into(), |address| address.to_string()), text(scheme), text(host))
    }

    #[test]
    fn addresses_are_those_behind_the_trusted() {
        for (list, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1, 10.0.0.1, 10.0.0.2", "192.0.2.1"),
            ("1.1.1.1,192.0.2.1\r\nX-Forwarded-For: 10.0.0.1", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.1", "10.0.0.3"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("1.1.1.1, nonsense, 10.0.0.3, 10.0.0.1", "10.0.0.3"),
            ("1.1.1.1, unknown", "-"),
            ("1.1.1.1, ", "1.1.1.1"),
            ("192.0.2.1:x", "-"),
            ("[2001:db8::1]x", "-"),
            ("\"192.0.2.1\"", "-"),
        ] {
            assert_eq!(found(&format!("X-Forwarded-For: {list}")).0, expected, "{list}");
        }
        assert_eq!(found("X-Other: 1.1.1.1").0, "-");
    }

    #[test]
    fn forwarded_goes_before_and_its_quotes_are_read() {
        for (list, expected) in [
            ("for=192.0.2.1;proto=https;host=a.example", ("192.0.2.1", "https", "a.example")),
            (
                "for=1.1.1.1;proto=http, For=\"192.0.2.1:80\";PROTO=HTTPS, for=10.0.0.1;proto=http",
                ("192.0.2.1", "https", "-"),
            ),
            ("for=\"[2001:db8::1]:4711\"", ("2001:db8::1", "-", "-")),
            ("for=\"[2001:db8::1]:_x\";by=\"a,b;c\"", ("2001:db8::1", "-", "-")),
            ("for=1.1.1.1, for=_hidden, for=10.0.0.1", ("10.0.0.1", "-", "-")),
            ("for=1.1.1.1, proto=https", ("-", "-", "-")),
            ("for=1.1.1.1;for=2.2.2.2", ("-", "-", "-")),
            ("for=1.1.1.1;proto=gopher;host=\"a b\"", ("1.1.1.1", "-", "-")),
            ("for=\"1.1.1.1", ("-", "-", "-")),
            ("for=\"1.1\\.1.1\"", ("-", "-", "-")),
            ("nonsense", ("-", "-", "-")),
        ] {
            let (a, s, h) =
                found(&format!("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nForwarded: {list}"));
            assert_eq!((a.as_str(), s.as_str(), h.as_str()), expected, "{list}");
        }
    }

    #[test]
    fn scheme_and_host_are_single_and_valid() {
        assert_eq!(found("X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: a.example:8443").1, "https");
        assert_eq!(found("X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example:8443").2, "a.example:8443");
        assert_eq!(found("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http").1, "-");
        assert_eq!(
            found("X-Forwarded-Proto: https, http\r\nX-Forwarded-Host: a, b"),
            ("-".into(), "-".into(), "-".into())
        );
    }
}
