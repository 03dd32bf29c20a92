//! Writing heads: exact bytes, small buffers, and back through the parsers.

use keyferry::protocol::h1::{HeadWriter, Overflow, reason_phrase};
use keyferry::protocol::http::BodyLength;

use super::support::{request, response};

fn written(size: usize, write: impl Fn(&mut HeadWriter<'_>)) -> Result<Vec<u8>, Overflow> {
    let mut out = vec![0; size];
    let mut writer = HeadWriter::new(&mut out);
    write(&mut writer);
    let length = writer.finish()?;
    out.truncate(length);
    Ok(out)
}

fn write_request(writer: &mut HeadWriter<'_>) {
    writer.request_line(b"PATCH", &[b"/base", b"/a", b"?", b"q=1"]);
    writer.field(b"Host", b"a:80");
    writer.field_parts(b"Authorization", &[b"Bearer ", b"k"]);
    writer.number(b"Content-Length", 1_234_567_890_123);
    writer.raw(b"Via: 1.1 keyferry\r\n");
    writer.end();
}

const REQUEST: &[u8] = b"PATCH /base/a?q=1 HTTP/1.1\r\nHost: a:80\r\nAuthorization: Bearer k\r\nContent-Length: 1234567890123\r\nVia: 1.1 keyferry\r\n\r\n";

#[test]
fn rfc_9112_3_a_written_request_parses() {
    assert_eq!(written(512, write_request).unwrap(), REQUEST);
    let head = request(REQUEST).unwrap();
    assert_eq!(
        (head.path.as_str(), head.body, head.rest),
        ("/base/a", BodyLength::Fixed(1_234_567_890_123), 0)
    );
}

#[test]
fn rfc_9112_4_a_written_response_parses() {
    let head = written(99, |writer| {
        writer.status_line(404, reason_phrase(404).as_bytes());
        writer.number(b"Content-Length", 0);
        writer.end();
    });
    assert_eq!(head.unwrap(), b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let bare = written(99, |writer| {
        writer.status_line(299, reason_phrase(299).as_bytes());
        writer.end();
    });
    assert_eq!(response(&bare.unwrap()).unwrap().status, 299);
}

#[test]
fn numbers_are_decimal() {
    for number in [0, 9, 10, 99, 100, u64::MAX] {
        let line = written(64, |writer| writer.number(b"N", number)).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), format!("N: {number}\r\n"));
    }
}

#[test]
fn a_buffer_that_is_too_small_is_an_overflow() {
    for size in 0..REQUEST.len() {
        assert_eq!(written(size, write_request), Err(Overflow), "{size}");
    }
    assert!(written(REQUEST.len(), write_request).is_ok());
}

#[test]
fn after_an_overflow_nothing_more_is_written() {
    let mut out = [0; 4];
    let mut writer = HeadWriter::new(&mut out);
    writer.raw(b"12345");
    writer.raw(b"ab");
    assert_eq!((writer.written(), writer.finish()), (0, Err(Overflow)));
    assert_eq!(out, [0; 4]);
}
