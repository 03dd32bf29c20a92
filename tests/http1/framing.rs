//! RFC 9112 §6: the length of a request body, and everything that leaves it in doubt.

use keyferry::protocol::http::BodyLength;
use keyferry::types::Reason;

use super::support::{refused, request, with_fields};

fn body(lines: &str) -> BodyLength {
    request(&with_fields(lines)).unwrap_or_else(|failure| panic!("{lines:?}: {failure:?}")).body
}

fn refuses(reason: Reason, lines: &[&str]) {
    for line in lines {
        refused(reason, &[&with_fields(line)]);
    }
}

#[test]
fn rfc_9112_6_3_lengths() {
    assert_eq!(body(""), BodyLength::None);
    assert_eq!(body("Content-Length: 0\r\n"), BodyLength::Fixed(0));
    assert_eq!(body("Content-Length: 5\r\n"), BodyLength::Fixed(5));
    assert_eq!(body("content-length:\t005 \r\n"), BodyLength::Fixed(5));
    assert_eq!(body("Content-Length: 18446744073709551615\r\n"), BodyLength::Fixed(u64::MAX));
    assert_eq!(body("Transfer-Encoding: chunked\r\n"), BodyLength::Chunked);
    assert_eq!(body("transfer-encoding:  CHUNKED\t\r\n"), BodyLength::Chunked);
    assert_eq!(body("TE: trailers\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n"), BodyLength::Chunked);
}

#[test]
fn rfc_9110_8_6_content_length_is_digits_once() {
    refuses(
        Reason::FramingInvalid,
        &[
            "Content-Length:\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 5,6\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5.0\r\n",
            "Content-Length: 5;x\r\n",
            "Content-Length: \"5\"\r\n",
            "Content-Length: 1e3\r\n",
            "Content-Length: 1_000\r\n",
            "Content-Length: five\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Content-Length: \u{661}\r\n",
            "Content-Length: ,5\r\n",
        ],
    );
    refuses(
        Reason::FramingInvalid,
        &[
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\ncontent-length: x\r\n",
            "Content-Length: x\r\ncontent-length: 5\r\n",
            "Content-Length: 0\r\nContent-Length: 44\r\n",
        ],
    );
}

#[test]
fn rfc_9112_6_1_transfer_encoding_beside_content_length() {
    refuses(
        Reason::FramingInvalid,
        &[
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: \r\nContent-Length: 5\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: xchunked\r\n",
        ],
    );
}

#[test]
fn rfc_9112_6_1_transfer_encoding_that_leaves_doubt() {
    refuses(
        Reason::FramingInvalid,
        &[
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: 'chunked' x\r\n",
            "Transfer-Encoding: chunked,\r\n",
            "Transfer-Encoding: ,chunked\r\n",
            "Transfer-Encoding: chun ked\r\n",
            "Transfer-Encoding: chunked foo\r\n",
            "Transfer-Encoding: chunked\u{a0}\r\n",
            "Transfer-Encoding: gzip, chunked;x\r\n",
            "Transfer-Encoding: (c) chunked\r\n",
        ],
    );
}

#[test]
fn rfc_9112_6_1_codings_that_are_not_implemented() {
    refuses(
        Reason::NotImplemented,
        &[
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunkedx\r\n",
            "Transfer-Encoding: gzip;q=1, chunked\r\n",
            "Transfer-Encoding: deflate\r\n",
        ],
    );
}

#[test]
fn rfc_9112_6_1_version_1_0_has_no_transfer_encoding() {
    refused(
        Reason::FramingInvalid,
        &[
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"POST / HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    );
    let old = request(b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    assert_eq!((old.body, old.rest), (BodyLength::Fixed(3), 3));
}
