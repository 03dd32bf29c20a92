//! Tests of `body.rs`.

use super::{Body, Cut};
use crate::{
    protocol::http::BodyLength,
    shard::buffer::{Buffer, Class},
    types::Reason,
};

fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::take(Class::Small);
    assert!(buffer.append(bytes));
    buffer
}

#[test]
fn a_fixed_body_ends_where_it_says() {
    let mut body = Body::new(BodyLength::Fixed(5), false, u64::MAX);
    let mut first = buffer(b"hel");
    assert!(body.pass(&mut first).expect("in bounds").is_none());
    assert!(!body.is_done());
    let mut second = buffer(b"loGET /");
    let beyond = body.pass(&mut second).expect("in bounds").expect("something follows");
    assert_eq!((second.filled(), beyond.filled()), (&b"lo"[..], &b"GET /"[..]));
    assert!(body.is_done());
}

#[test]
fn chunks_are_taken_apart_and_put_together_anew() {
    let mut body = Body::new(BodyLength::Chunked, true, u64::MAX);
    let mut piece = buffer(b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\nNEXT");
    let beyond = body.pass(&mut piece).expect("well-formed").expect("something follows");
    assert_eq!(piece.filled(), b"5\r\nabcde\r\n0\r\n\r\n");
    assert_eq!(beyond.filled(), b"NEXT");
    assert!(body.is_done());
}

#[test]
fn the_end_of_chunks_never_runs_into_what_follows() {
    // All of the message but its last byte came before: what ends it is longer than what is taken here.
    let mut body = Body::new(BodyLength::Chunked, true, u64::MAX);
    body.pass(&mut buffer(b"1\r\nx\r\n0\r\n\r")).expect("well-formed");
    let mut last = buffer(b"\nGET / HTTP/1.1\r\n");
    let beyond = body.pass(&mut last).expect("well-formed").expect("something follows");
    assert_eq!(last.filled(), b"0\r\n\r\n");
    assert_eq!(beyond.filled(), b"GET / HTTP/1.1\r\n");
}

#[test]
fn trailers_go_on_without_those_that_may_not() {
    let mut body = Body::new(BodyLength::Chunked, true, u64::MAX);
    let mut piece = buffer(b"0\r\nDigest: x\r\nAuthorization: y\r\nHost: z\r\n\r\n");
    body.pass(&mut piece).expect("well-formed");
    assert_eq!(piece.filled(), b"0\r\nDigest: x\r\n\r\n");
}

#[test]
fn a_body_that_ends_with_its_connection_becomes_chunks() {
    let mut body = Body::new(BodyLength::UntilClose, true, u64::MAX);
    let mut piece = buffer(b"abc");
    body.pass(&mut piece).expect("in bounds");
    assert_eq!(piece.filled(), b"3\r\nabc\r\n");
    assert_eq!(body.sender_ended(), Ok(()));
    let mut end = Buffer::take(Class::Small);
    body.put_end(&mut end);
    assert_eq!(end.filled(), b"0\r\n\r\n");
    assert!(body.is_done());
}

#[test]
fn an_end_in_the_middle_is_a_cut() {
    assert_eq!(Body::new(BodyLength::Fixed(1), false, u64::MAX).sender_ended(), Err(Cut));
    assert_eq!(Body::new(BodyLength::Chunked, true, u64::MAX).sender_ended(), Err(Cut));
}

#[test]
fn a_chunked_body_is_held_to_its_bound() {
    let mut body = Body::new(BodyLength::Chunked, true, 4);
    assert!(matches!(body.pass(&mut buffer(b"5\r\nabcde\r\n")), Err(Reason::BodyTooLarge)));
}
