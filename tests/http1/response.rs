//! RFC 9112 §4, §6.3 and §9.3: response heads. Whatever is wrong with one is one reason.

use keyferry::protocol::http::{BodyLength, Method, Version};
use keyferry::types::Reason;

use super::support::{Failure, answer, invalid, response, response_to};

fn invalid_fields(lines: &[&str]) {
    for line in lines {
        invalid(&[&answer("200 OK", line)]);
    }
}

#[test]
fn rfc_9112_4_status_lines() {
    let head = response(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert_eq!((head.version, head.status, head.reason.as_str()), (Version::Http11, 200, "OK"));
    assert_eq!(response(b"HTTP/1.0 404 Not  Found\there\r\n\r\n").unwrap().reason, "Not  Found\there");
    assert_eq!(response(b"HTTP/1.1 599 \r\n\r\n").unwrap().reason, "");
    assert_eq!(response("HTTP/1.1 200 Schön\r\n\r\n".as_bytes()).unwrap().status, 200);
}

#[test]
fn rfc_9112_4_status_lines_that_are_refused() {
    invalid(&[
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 1000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 200\tOK\r\n\r\n",
        b"HTTP/1.1\t200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\n\r\n",
        b"HTTP/1.1 200 O\x7fK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b" HTTP/1.1 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"<html>\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\r\n\r\n",
    ]);
}

#[test]
fn rfc_9112_5_response_fields() {
    invalid_fields(&[
        "X : y\r\n",
        ": y\r\n",
        "X: a\r\n b\r\n",
        "X\r\n",
        "X: \u{1}\r\n",
        "X: \u{7f}\r\n",
        "X: a\nY: b\r\n",
        "X: a\rb\r\n",
        "content_length: 5\r\n",
        "Connection: a b\r\n",
    ]);
    assert!(response(&answer("200 OK", "X: \u{e4}\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n")).is_ok());
}

#[test]
fn rfc_9112_6_3_response_bodies() {
    let body = |lines: &str| response(&answer("200 OK", lines)).unwrap().body;
    assert_eq!(body(""), BodyLength::UntilClose);
    assert_eq!(body("Content-Length: 5\r\n"), BodyLength::Fixed(5));
    assert_eq!(body("Transfer-Encoding: Chunked\r\n"), BodyLength::Chunked);
}

#[test]
fn rfc_9112_6_3_responses_without_body() {
    for lines in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = response_to(Method::Head, &answer("200 OK", lines)).unwrap();
        assert_eq!((head.body, head.keep_alive), (BodyLength::None, true), "{lines:?}");
        assert_eq!(response(&answer("304 Not Modified", lines)).unwrap().body, BodyLength::None, "{lines:?}");
        assert_eq!(response(&answer("204 No Content", lines)).unwrap().body, BodyLength::None, "{lines:?}");
    }
}

#[test]
fn rfc_9110_15_3_5_a_204_that_announces_a_body_ends_its_connection() {
    let keeps = |lines: &str| response(&answer("204 No Content", lines)).unwrap().keep_alive;
    assert!(keeps("") && keeps("Content-Length: 0\r\n"));
    assert!(!keeps("Content-Length: 5\r\n") && !keeps("Transfer-Encoding: chunked\r\n"));
}

#[test]
fn rfc_9112_6_3_framing_that_is_in_doubt() {
    invalid_fields(&[
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ]);
    invalid(&[
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ]);
    let to_head = response_to(Method::Head, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
    assert_eq!(to_head, Err(Failure::Refused(Reason::ResponseInvalid)));
}

#[test]
fn rfc_9110_15_2_interim_responses() {
    let interim = |status: &str| response(&answer(status, "")).unwrap().interim;
    assert!(interim("100 Continue") && interim("102 x") && interim("103 Early Hints") && interim("199 "));
    assert!(!interim("101 Switching Protocols") && !interim("200 OK"));
    assert_eq!(response(&answer("100 Continue", "Content-Length: 0\r\n")).unwrap().body, BodyLength::None);
    invalid(&[
        &answer("100 Continue", "Content-Length: 5\r\n"),
        &answer("103 x", "Transfer-Encoding: chunked\r\n"),
        &answer("101 x", "Content-Length: 5\r\n"),
    ]);
    let next = response(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n").unwrap();
    assert_eq!((next.status, next.rest), (100, 17));
}

#[test]
fn rfc_9110_7_8_switching_protocols() {
    let head = response(&answer("101 Switching Protocols", "Connection: upgrade\r\nUpgrade: websocket\r\n"))
        .unwrap();
    assert_eq!(
        (head.upgrade.as_deref(), head.body, head.interim),
        (Some("websocket"), BodyLength::None, false)
    );
    assert_eq!(
        response(b"HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap().upgrade,
        None
    );
}

#[test]
fn rfc_9112_9_3_persistence() {
    let keeps = |version: &str, lines: &str| {
        response(format!("HTTP/{version} 200 OK\r\n{lines}\r\n").as_bytes()).unwrap().keep_alive
    };
    assert!(
        keeps("1.1", "Content-Length: 5\r\n")
            && keeps("1.0", "Content-Length: 5\r\nConnection: Keep-Alive\r\n")
    );
    assert!(
        !keeps("1.1", "")
            && !keeps("1.1", "Content-Length: 5\r\nConnection: close\r\n")
            && !keeps("1.0", "Content-Length: 5\r\n")
    );
    assert!(!keeps("1.0", "Connection: keep-alive\r\n"));
}
