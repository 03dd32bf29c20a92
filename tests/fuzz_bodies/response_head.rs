//! A response head is refused, or every part of it lies in the input and survives being written and parsed again.

use keyferry::protocol::h1::{HeadScanner, HeadWriter, parse_response};
use keyferry::protocol::http::{BodyLength, FieldTable, HeadLimits, Method, ResponseHead};

pub fn run(bytes: &[u8]) {
    let limits = HeadLimits::default();
    let mut table = FieldTable::new();
    let _ = parse_response(bytes, Method::Get, &limits, &mut table);
    let Ok(Some(length)) = HeadScanner::default().find(bytes, limits.head_bytes) else { return };
    let input = &bytes[..length];
    for request in [Method::Get, Method::Head] {
        let Ok(head) = parse_response(input, request, &limits, &mut table) else { continue };
        check(&head, request, input);
    }
}

fn check(head: &ResponseHead<'_>, request: Method, input: &[u8]) {
    let inside = |part: &[u8]| {
        part.is_empty()
            || (input.as_ptr_range().start <= part.as_ptr()
                && part.as_ptr_range().end <= input.as_ptr_range().end)
    };
    assert!(inside(head.reason) && head.fields.iter().all(|field| inside(field.name) && inside(field.value)));
    assert!((100..600).contains(&head.status));
    let bodiless = request == Method::Head || head.status < 200 || head.status == 204 || head.status == 304;
    assert_eq!(head.body == BodyLength::None, bodiless);
    assert!(!(head.keep_alive && head.body == BodyLength::UntilClose));
    let wire = write(head);
    let mut table = FieldTable::new();
    let limits = HeadLimits { head_bytes: usize::MAX, headers: usize::MAX, target_bytes: usize::MAX };
    let again =
        parse_response(&wire, request, &limits, &mut table).expect("what was parsed and written parses");
    assert_eq!((again.status, again.reason, again.body), (head.status, head.reason, head.body));
    assert!(again.fields.iter().eq(head.fields.iter()));
}

fn write(head: &ResponseHead<'_>) -> Vec<u8> {
    let mut out = vec![0; 128 * 1024];
    let mut writer = HeadWriter::new(&mut out);
    writer.status_line(head.status, head.reason);
    head.fields.iter().for_each(|field| writer.field(field.name, field.value));
    writer.end();
    let length = writer.finish().expect("there is room");
    out.truncate(length);
    out
}
