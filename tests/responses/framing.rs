//! RFC 9112 §6: the length of an answer's body is beyond doubt, or the answer is refused.

use super::table::{Case, broken, passed, refused, run};
use crate::{both_drivers, common::Framing};

both_drivers!(content_length, transfer_encoding, without_body, chunks);

fn with(lines: &[u8], body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", lines, b"\r\n", body].concat()
}

fn content_length(driver: &str) {
    let section = "RFC 9112 §6.3";
    let values: [(&str, &[u8]); 12] = [
        ("a plus sign", b"+2"),
        ("a minus sign", b"-2"),
        ("a letter behind it", b"2a"),
        ("hexadecimal", b"0x2"),
        ("a list of two different ones", b"2, 3"),
        ("two with a space", b"2 2"),
        ("a comma behind it", b"2,"),
        ("a fraction", b"2.0"),
        ("an empty one", b""),
        ("quotes", b"\"2\""),
        ("2 to the 64", b"18446744073709551616"),
        ("2 to the 64 and two", b"18446744073709551618"),
    ];
    let line = |value: &[u8]| [b"Content-Length: ", value, b"\r\n"].concat();
    let mut cases: Vec<Case> =
        values.map(|(name, value)| refused(name, section, &with(&line(value), b"ok")).closes()).into();
    cases.extend([
        refused("two that differ", section, &with(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"ok"))
            .closes(),
        refused(
            "two that differ, the longer first",
            section,
            &with(b"Content-Length: 9\r\nContent-Length: 2\r\n", b"ok"),
        )
        .closes(),
        refused(
            "a bad one behind a good one",
            section,
            &with(b"Content-Length: 2\r\nContent-Length: x\r\n", b"ok"),
        )
        .closes(),
        passed("zero", section, 200, "", &with(b"Content-Length: 0\r\n", b"")).framed(Framing::Fixed(0)),
        passed("two", section, 200, "ok", &with(b"Content-Length: 2\r\n", b"ok")).framed(Framing::Fixed(2)),
    ]);
    run(driver, &cases);
}

fn transfer_encoding(driver: &str) {
    let section = "RFC 9112 §6.1";
    let body = b"2\r\nok\r\n0\r\n\r\n";
    let values: [(&str, &[u8]); 13] = [
        ("another coding", b"gzip"),
        ("another coding before chunked", b"gzip, chunked"),
        ("another coding behind chunked", b"chunked, gzip"),
        ("identity", b"identity"),
        ("chunked twice", b"chunked, chunked"),
        ("a letter before it", b"xchunked"),
        ("a letter behind it", b"chunkedx"),
        ("quotes", b"\"chunked\""),
        ("a parameter", b"chunked;q=1"),
        ("a comma behind it", b"chunked,"),
        ("a vertical tab before it", b"\x0bchunked"),
        ("an empty one", b""),
        ("a NUL behind it", b"chunked\0"),
    ];
    let line = |value: &[u8]| [b"Transfer-Encoding: ", value, b"\r\n"].concat();
    let mut cases: Vec<Case> =
        values.map(|(name, value)| refused(name, section, &with(&line(value), body)).closes()).into();
    cases.extend([
        refused(
            "two lines",
            section,
            &with(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", body),
        )
        .closes(),
        refused(
            "a length before it",
            "RFC 9112 §6.3",
            &with(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", body),
        ),
        refused(
            "a length behind it",
            "RFC 9112 §6.3",
            &with(b"Transfer-Encoding: chunked\r\nContent-Length: 12\r\n", body),
        ),
        refused("a space before the colon", "RFC 9112 §5.1", &with(b"Transfer-Encoding : chunked\r\n", body))
            .closes(),
        refused(
            "on HTTP/1.0",
            section,
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        )
        .closes(),
        passed("chunked", section, 200, "ok", &with(b"Transfer-Encoding: chunked\r\n", body))
            .framed(Framing::Chunked),
    ]);
    run(driver, &cases);
}

fn without_body(driver: &str) {
    let section = "RFC 9112 §6.3";
    let none = Framing::None;
    run(
        driver,
        &[
            passed("204", section, 204, "", b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n")
                .framed(none)
                .has(&["X-A: b\r\n"]),
            passed(
                "204 with a length of zero",
                "RFC 9110 §8.6",
                204,
                "",
                b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            )
            .framed(none)
            .lacks(&["content-length"]),
            passed("304", section, 304, "", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
                .framed(none)
                .has(&["ETag: \"a\"\r\n"]),
            passed(
                "304 with the length of what it stands for",
                section,
                304,
                "",
                b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
            )
            .framed(none),
            passed("HEAD", section, 200, "", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
                .to("HEAD /crm/x HTTP/1.1")
                .framed(none)
                .has(&["Content-Length: 100\r\n"]),
            passed(
                "HEAD of something chunked",
                section,
                200,
                "",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
            .to("HEAD /crm/x HTTP/1.1")
            .framed(none),
            passed("HEAD of unknown length", section, 200, "", b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n")
                .to("HEAD /crm/x HTTP/1.1")
                .framed(none),
        ],
    );
}

/// RFC 9112 §7.1: what is wrong with a chunk is found out when the head may have gone.
fn chunks(driver: &str) {
    let section = "RFC 9112 §7.1";
    let long = [b"2;a=".as_slice(), &b"x".repeat(300), b"\r\nok\r\n0\r\n\r\n"].concat();
    let rows: [(&str, &[u8]); 20] = [
        ("an empty size", b"\r\nok\r\n0\r\n\r\n"),
        ("a letter that is no digit", b"g\r\nok\r\n0\r\n\r\n"),
        ("a space before the size", b" 2\r\nok\r\n0\r\n\r\n"),
        ("a space behind the size", b"2 \r\nok\r\n0\r\n\r\n"),
        ("a sign", b"+2\r\nok\r\n0\r\n\r\n"),
        ("a prefix", b"0x2\r\nok\r\n0\r\n\r\n"),
        ("seventeen digits", b"10000000000000002\r\nok\r\n0\r\n\r\n"),
        ("a bare LF behind the size", b"2\nok\r\n0\r\n\r\n"),
        ("a bare CR behind the size", b"2\rok\r\n0\r\n\r\n"),
        ("data too long", b"2\r\nokay\r\n0\r\n\r\n"),
        ("no end of line", b"2\r\nok0\r\n\r\n"),
        ("a bare LF behind the data", b"2\r\nok\n0\r\n\r\n"),
        ("an extension without name", b"2;\r\nok\r\n0\r\n\r\n"),
        ("a bare LF in an extension", b"2;a\nb\r\nok\r\n0\r\n\r\n"),
        ("an extension longer than the bound", &long),
        ("a bare LF behind the last size", b"2\r\nok\r\n0\n\r\n"),
        ("a trailer without a colon", b"2\r\nok\r\n0\r\nX-A\r\n\r\n"),
        ("a trailer with a space before the colon", b"2\r\nok\r\n0\r\nX-A : b\r\n\r\n"),
        ("a fold in the trailers", b"2\r\nok\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
        ("a NUL in the trailers", b"2\r\nok\r\n0\r\nX-A: \0\r\n\r\n"),
    ];
    let cases: Vec<Case> =
        rows.map(|(name, body)| broken(name, section, &with(b"Transfer-Encoding: chunked\r\n", body))).into();
    run(driver, &cases);
}
