//! What proxies say of a caller is what a walk from the right finds, element by element, that stops at the first
//! address which is not trusted: nothing left of it is even looked at.

use std::net::IpAddr;

use keyferry::{
    protocol::{
        h1::parse_request,
        http::{
            FieldTable, Fields, HeadLimits,
            forwarded::{self, Node},
            valid_host,
        },
    },
    types::TrustedHeader,
};

/// Where the caller is, scheme and host; none if that cannot be read.
type Said = Option<(Node, Option<Vec<u8>>, Option<Vec<u8>>)>;

/// The input is lines of a head.
pub fn run(lines: &[u8]) {
    for (header, name) in
        [(TrustedHeader::XForwardedFor, "x-forwarded-for"), (TrustedHeader::Forwarded, "forwarded")]
    {
        with_fields(lines, |fields| {
            let said = said(header, fields);
            let rfc7239 = header == TrustedHeader::Forwarded;
            let mut elements: Vec<&[u8]> = Vec::new();
            fields.by_name(name.as_bytes()).for_each(|field| elements.extend(split(field.value, rfc7239)));
            let walked = walk(header, name, &elements);
            let node = |said: &Said| said.as_ref().map(|(node, ..)| *node);
            assert_eq!(node(&said), node(&walked), "where the caller is");
            assert!(!rfc7239 || said == walked, "{said:?} is of another element, {walked:?}");
            let (_, scheme, host) = said.unwrap_or_default();
            assert!(matches!(scheme.as_deref(), None | Some(b"http" | b"https")));
            assert!(host.is_none_or(|host| valid_host(&host)));
        });
    }
}

/// What is to be found, with each element read alone.
fn walk(header: TrustedHeader, name: &str, elements: &[&[u8]]) -> Said {
    let mut found = Some(Default::default());
    for element in elements.iter().rev().filter(|element| !element.trim_ascii().is_empty()) {
        let alone = with_fields(&[name.as_bytes(), b": ", element].concat(), |fields| said(header, fields));
        found = alone.expect("it stood in a head before");
        let goes_on = matches!(found, Some((Node::Address(address), ..)) if is_trusted(address));
        if !goes_on {
            break;
        }
    }
    found
}

fn said(header: TrustedHeader, fields: &Fields<'_>) -> Said {
    let said = forwarded::said(header, fields, is_trusted).ok()?;
    Some((said.node, said.scheme.map(<[u8]>::to_vec), said.host.map(<[u8]>::to_vec)))
}

fn is_trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10)
}

fn with_fields<T>(lines: &[u8], look: impl FnOnce(&Fields<'_>) -> T) -> Option<T> {
    let head = [b"GET / HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n\r\n"].concat();
    let mut table = FieldTable::new();
    let head = parse_request(&head, &HeadLimits::default(), &mut table).ok()?;
    Some(look(&head.fields))
}

/// Parts between commas, of which those in quotes are none if there are quotes; byte by byte, unlike what it checks.
fn split(value: &[u8], has_quotes: bool) -> Vec<&[u8]> {
    let (mut parts, mut begin, mut at, mut inside) = (Vec::new(), 0, 0, false);
    while at < value.len() {
        match value[at] {
            b'"' if has_quotes => inside = !inside,
            b'\\' if inside => at += 1,
            b',' if !inside => {
                parts.push(&value[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&value[begin..]);
    parts
}
