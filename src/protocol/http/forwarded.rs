//! What proxies in front say of a caller: in `X-Forwarded-For` and its kin, or in `Forwarded` (RFC 7239).
//!
//! It does not know whom to trust: that is asked for each address. Only what a trusted proxy wrote is returned: lists
//! are read from the right, where the nearest proxy writes, up to the first address that is not a trusted proxy's.
//! What stands there is the caller, or nobody is: where it cannot be read, the address of the proxy does not stand in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Class, Fields, Kind, elements, head::trim, is, valid_host};
use crate::types::{Reason, TrustedHeader};

/// What trusted proxies say of a caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said<'b> {
    /// Where it is.
    pub node: Node,
    /// The scheme that it used: `http` or `https`.
    pub scheme: Option<&'static [u8]>,
    /// The host that it asked for.
    pub host: Option<&'b [u8]>,
}

/// Where a caller is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Node {
    /// They say nothing of it: their caller is themselves.
    #[default]
    Unsaid,
    /// At this address.
    Address(IpAddr),
    /// They do not tell: `unknown`, or a name that means something to them alone (RFC 7239 §6.2, §6.3).
    Hidden,
}

/// Reads what the peer, which is trusted, says in the fields that are believed.
pub fn said<'b>(
    header: TrustedHeader,
    fields: &Fields<'b>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Result<Said<'b>, Reason> {
    let said = match header {
        TrustedHeader::XForwardedFor => x_forwarded(fields, is_trusted),
        TrustedHeader::Forwarded => forwarded(fields, is_trusted),
    };
    said.ok_or(Reason::ForwardedInvalid)
}

/// The walk from the right, made from the left: what is found so far is what a walk that came here would find.
struct Walk<'b, F> {
    /// Some hop, if there is one; nothing inside if it cannot be read.
    found: Option<Option<Said<'b>>>,
    is_trusted: F,
}

impl<'b, F: Fn(IpAddr) -> bool> Walk<'b, F> {
    fn new(is_trusted: F) -> Self {
        Self { found: None, is_trusted }
    }

    fn step(&mut self, hop: Option<Said<'b>>) {
        let goes_on =
            hop.is_some_and(|hop| matches!(hop.node, Node::Address(address) if (self.is_trusted)(address)));
        if self.found.is_none() || !goes_on {
            self.found = Some(hop);
        }
    }

    /// None if what stands in the place of the caller cannot be read.
    fn end(self) -> Option<Said<'b>> {
        self.found.unwrap_or_else(|| Some(Said::default()))
    }
}

fn x_forwarded<'b>(fields: &Fields<'b>, is_trusted: impl Fn(IpAddr) -> bool) -> Option<Said<'b>> {
    let mut walk = Walk::new(is_trusted);
    for field in fields.by_name(b"x-forwarded-for") {
        for element in elements(field.value) {
            walk.step(node(element).map(|node| Said { node, ..Said::default() }));
        }
    }
    let only = |name| {
        let mut of_name = fields.by_name(name);
        of_name.next().filter(|_| of_name.next().is_none()).map(|field| field.value)
    };
    let scheme = only(&b"x-forwarded-proto"[..]).and_then(scheme);
    let host = only(&b"x-forwarded-host"[..]).filter(|host| valid_host(host));
    walk.end().map(|said| Said { scheme, host, ..said })
}

/// RFC 7239 §4.
fn forwarded<'b>(fields: &Fields<'b>, is_trusted: impl Fn(IpAddr) -> bool) -> Option<Said<'b>> {
    let mut walk = Walk::new(is_trusted);
    for field in fields.of(Kind::Forwarded) {
        for element in split(field.value, b',') {
            let element = trim(element);
            if !element.is_empty() {
                walk.step(hop(element)); // RFC 9110 §5.6.1: empty ones do not count
            }
        }
    }
    walk.end()
}

/// One `forwarded-element`; none if it is malformed. Without `for` it does not tell where the caller is.
fn hop(element: &[u8]) -> Option<Said<'_>> {
    let (mut from, mut proto, mut host) = (None, None, None);
    for pair in split(element, b';').map(trim).filter(|pair| !pair.is_empty()) {
        let at = memchr::memchr(b'=', pair)?;
        let (name, value) = (pair.get(..at)?, unquoted(pair.get(at + 1..)?)?);
        let slot = match name {
            name if name.eq_ignore_ascii_case(b"for") => &mut from,
            name if name.eq_ignore_ascii_case(b"proto") => &mut proto,
            name if name.eq_ignore_ascii_case(b"host") => &mut host,
            name if !name.is_empty() && name.iter().all(|&byte| is(byte, Class::Token)) => continue,
            _ => return None,
        };
        if slot.replace(value).is_some() {
            return None; // §4: each parameter once
        }
    }
    let node = from.map_or(Some(Node::Hidden), node)?;
    let host = host.filter(|host| valid_host(host));
    Some(Said { node, scheme: proto.and_then(scheme), host })
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

/// A node (RFC 7239 §6); none if it is malformed.
fn node(text: &[u8]) -> Option<Node> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(address) = address(text) {
        return Some(Node::Address(address));
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let hidden = name.eq_ignore_ascii_case("unknown") || is_made_up(name);
    (hidden && port.is_none_or(is_port)).then_some(Node::Hidden)
}

/// An address, which may have a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
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

/// A port, which may be a name that tells nothing.
fn is_port(text: &str) -> bool {
    is_made_up(text) || (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A name that tells nothing (RFC 7239 §6.3).
fn is_made_up(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

fn scheme(text: &[u8]) -> Option<&'static [u8]> {
    [&b"http"[..], b"https"].into_iter().find(|known| known.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Node, Said, said};
    use crate::{
        protocol::{
            h1::parse_request,
            http::{FieldTable, HeadLimits},
        },
        types::{
            Reason,
            TrustedHeader::{self, Forwarded, XForwardedFor},
        },
    };

    /// Address, scheme and host that are found where 10.0.0.0/8 is trusted.
    #[track_caller]
    fn found(header: TrustedHeader, lines: &str) -> [String; 3] {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n");
        let mut table = FieldTable::new();
        let head = parse_request(head.as_bytes(), &HeadLimits::default(), &mut table).expect("a head");
        let is_trusted = |address| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10);
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        match said(header, &head.fields, is_trusted) {
            Ok(Said { node, scheme, host }) => {
                let node = match node {
                    Node::Unsaid => "-".to_owned(),
                    Node::Address(address) => address.to_string(),
                    Node::Hidden => "hidden".to_owned(),
                };
                [node, text(scheme), text(host)]
            }
            Err(reason) => {
                assert_eq!(reason, Reason::ForwardedInvalid);
                ["invalid", "", ""].map(str::to_owned)
            }
        }
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
            ("1.1.1.1, ", "1.1.1.1"),
            ("", "-"),
            // What callers wrote in front of it is not looked at.
            ("nonsense, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
            ("unknown\r\nX-Forwarded-For: 192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(found(XForwardedFor, &format!("X-Forwarded-For: {list}"))[0], expected, "{list}");
        }
        assert_eq!(found(XForwardedFor, "X-Other: 1.1.1.1")[0], "-");
    }

    /// The address of the proxy itself would be believed instead, which rules may let in.
    #[test]
    fn nothing_stands_in_for_a_caller_that_is_hidden_or_unreadable() {
        for (list, expected) in [
            ("1.1.1.1, nonsense, 10.0.0.3, 10.0.0.1", "invalid"),
            ("1.1.1.1, unknown", "hidden"),
            ("1.1.1.1, Unknown:80, 10.0.0.1", "hidden"),
            ("_hidden", "hidden"),
            ("_a.b-c_1:_x", "hidden"),
            ("_", "invalid"),
            ("_a b", "invalid"),
            ("unknown:", "invalid"),
            ("192.0.2.1:x", "invalid"),
            ("192.0.2.1:_", "invalid"),
            ("192.0.2.256", "invalid"),
            ("unix:", "invalid"),
            ("[2001:db8::1]x", "invalid"),
            ("[2001:db8::1", "invalid"),
            ("\"192.0.2.1\"", "invalid"),
            ("192.0.2.\u{e9}", "invalid"),
        ] {
            assert_eq!(found(XForwardedFor, &format!("X-Forwarded-For: {list}"))[0], expected, "{list}");
        }
        for (list, expected) in [
            ("for=1.1.1.1, for=_hidden, for=10.0.0.1", ["hidden", "-", "-"]),
            ("for=unknown;proto=https;host=a.example", ["hidden", "https", "a.example"]),
            ("for=\"_a:_b\"", ["hidden", "-", "-"]),
            ("for=1.1.1.1, proto=https", ["hidden", "https", "-"]),
            ("for=1.1.1.1;for=2.2.2.2", ["invalid", "", ""]),
            ("for=\"1.1.1.1", ["invalid", "", ""]),
            ("for=\"1.1\\.1.1\"", ["invalid", "", ""]),
            ("for =1.1.1.1", ["invalid", "", ""]),
            ("for=1.1.1.1;=x", ["invalid", "", ""]),
            ("for=", ["invalid", "", ""]),
            ("nonsense", ["invalid", "", ""]),
            ("for=nonsense, for=10.0.0.1", ["invalid", "", ""]),
            // A quote that a caller opened takes in what the proxy wrote behind it, and is not believed.
            ("for=1.1.1.1;x=\", for=192.0.2.1", ["invalid", "", ""]),
            ("for=1.1.1.1;x=\", for=\"[2001:db8::1]\"", ["invalid", "", ""]),
            ("for=1.1.1.1;x=\", for=192.0.2.1;by=\"_x\"", ["invalid", "", ""]),
        ] {
            assert_eq!(found(Forwarded, &format!("Forwarded: {list}")), expected, "{list}");
        }
    }

    #[test]
    fn elements_are_read_with_their_quotes() {
        for (list, expected) in [
            ("for=192.0.2.1;proto=https;host=a.example", ["192.0.2.1", "https", "a.example"]),
            (
                "for=1.1.1.1;proto=http, For=\"192.0.2.1:80\";PROTO=HTTPS, for=10.0.0.1;proto=http",
                ["192.0.2.1", "https", "-"],
            ),
            ("for=\"[2001:db8::1]:4711\"", ["2001:db8::1", "-", "-"]),
            ("for=\"[2001:db8::1]:_x\";by=\"a,b;c\"", ["2001:db8::1", "-", "-"]),
            ("nonsense, for=1.1.1.1;;proto=gopher;host=\"a b\";", ["1.1.1.1", "-", "-"]),
            (" , ", ["-", "-", "-"]),
        ] {
            assert_eq!(found(Forwarded, &format!("Forwarded: {list}")), expected, "{list}");
        }
    }

    /// Most load balancers write one of them, and pass on the other as their caller wrote it.
    #[test]
    fn of_two_families_one_is_believed() {
        let lines = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
                     Forwarded: for=192.0.2.2;proto=https;host=evil.example";
        assert_eq!(found(XForwardedFor, lines), ["192.0.2.1", "http", "-"]);
        assert_eq!(found(Forwarded, lines), ["192.0.2.2", "https", "evil.example"]);
        assert_eq!(found(XForwardedFor, "Forwarded: nonsense"), ["-", "-", "-"]);
        let x = "X-Forwarded-For: nonsense\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example";
        assert_eq!(found(Forwarded, x), ["-", "-", "-"]);
    }

    #[test]
    fn scheme_and_host_are_single_and_valid() {
        for (lines, expected) in [
            ("X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: a.example:8443", ["https", "a.example:8443"]),
            ("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http", ["-", "-"]),
            ("X-Forwarded-Proto: https, http\r\nX-Forwarded-Host: a, b", ["-", "-"]),
        ] {
            let [node, scheme, host] = found(XForwardedFor, lines);
            assert_eq!([node.as_str(), &scheme, &host], ["-", expected[0], expected[1]], "{lines}");
        }
    }
}
