//! A request head is refused, or every part of it lies in the input and survives being written and parsed again.

use keyferry::protocol::h1::{HeadScanner, HeadWriter, leading, parse_request};
use keyferry::protocol::http::{FieldTable, HeadLimits, Kind, RequestHead};
use keyferry::types::Reason;

pub fn run(bytes: &[u8]) {
    let limits = HeadLimits::default();
    let bytes = &bytes[leading(bytes)..];
    let mut table = FieldTable::new();
    let _ = parse_request(bytes, &limits, &mut table);
    let found = scan(bytes, bytes.len().max(1));
    for piece in [1, 2, 5] {
        assert_eq!(scan(bytes, piece), found, "in pieces of {piece}");
    }
    let Ok(Some(length)) = found else { return };
    let Ok(head) = parse_request(&bytes[..length], &limits, &mut table) else { return };
    check(&head, &bytes[..length]);
}

fn scan(bytes: &[u8], piece: usize) -> Result<Option<usize>, Reason> {
    let mut scanner = HeadScanner::default();
    for end in (1..=bytes.len()).filter(|end| end % piece == 0 || *end == bytes.len()) {
        if let Some(length) = scanner.find(&bytes[..end], HeadLimits::default().head_bytes)? {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

fn check(head: &RequestHead<'_>, input: &[u8]) {
    let inside = |part: &[u8]| {
        part.is_empty()
            || (input.as_ptr_range().start <= part.as_ptr()
                && part.as_ptr_range().end <= input.as_ptr_range().end)
    };
    assert!(
        inside(head.method_bytes) && head.host.is_none_or(inside) && head.target.query.is_none_or(inside)
    );
    assert!(head.fields.iter().all(|field| inside(field.name) && inside(field.value)));
    let wire = write(head);
    let mut table = FieldTable::new();
    let limits = HeadLimits { head_bytes: usize::MAX, headers: usize::MAX, target_bytes: usize::MAX };
    let again = parse_request(&wire, &limits, &mut table).expect("what was parsed and written parses");
    assert_eq!((again.method, again.method_bytes, again.body), (head.method, head.method_bytes, head.body));
    assert_eq!((again.target.path, again.target.query), (head.target.path, head.target.query));
    let fields = |head: &RequestHead<'_>| head.fields.iter().filter(|field| field.kind != Kind::Host).count();
    assert_eq!(fields(&again), fields(head));
    let mut others = again.fields.iter().filter(|field| field.kind != Kind::Host);
    assert!(
        head.fields.iter().filter(|field| field.kind != Kind::Host).all(|field| others.next() == Some(field))
    );
    assert_eq!(again.host, head.host.or(Some(b"host.of.version.1.0")));
}

/// The head as 1.1, in origin or asterisk form, with the host that was found.
fn write(head: &RequestHead<'_>) -> Vec<u8> {
    let mut out = vec![0; 128 * 1024];
    let mut writer = HeadWriter::new(&mut out);
    match head.target.query {
        Some(query) => writer.request_line(head.method_bytes, &[head.target.path, b"?", query]),
        None => writer.request_line(head.method_bytes, &[head.target.path]),
    }
    writer.field(b"Host", head.host.unwrap_or(b"host.of.version.1.0"));
    for field in head.fields.iter().filter(|field| field.kind != Kind::Host) {
        writer.field(field.name, field.value);
    }
    writer.end();
    let length = writer.finish().expect("there is room");
    out.truncate(length);
    out
}
