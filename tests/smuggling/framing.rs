//! RFC 9112 §6: the length of a body is beyond doubt, or the request is refused and the connection closed.

use super::table::{Case, forwarded, refused, run};
use crate::both_drivers;

both_drivers!(content_length, transfer_encoding, both_of_them, bodies_that_look_like_requests, http_1_0);

const FRAMING: &str = "400 framing-invalid";
const CODING: &str = "400 framing-invalid|501 not-implemented";
const CODING_FIELD: &str = "400 framing-invalid|501 not-implemented|400 field-invalid";

const POSTED: &str = "POST /base/x HTTP/1.1";
const GOT: &str = "GET /base/x HTTP/1.1";

/// A GET with these field lines, each with its CRLF, and this body.
fn get(lines: &[u8], body: &[u8]) -> Vec<u8> {
    [b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}", lines, b"\r\n", body].concat()
}

/// The same for POST.
fn post(lines: &[u8], body: &[u8]) -> Vec<u8> {
    [b"POST /crm/x HTTP/1.1\r\nHost: gw\r\n{k}", lines, b"\r\n", body].concat()
}

fn content_length(driver: &str) {
    let section = "RFC 9110 §8.6";
    let values: [(&str, &[u8]); 19] = [
        ("a plus sign", b"+5"),
        ("a minus sign", b"-5"),
        ("minus zero", b"-0"),
        ("a letter behind it", b"5a"),
        ("hexadecimal", b"0x5"),
        ("two with a space", b"5 5"),
        ("a list of two equal ones", b"5, 5"),
        ("a list without space", b"5,5"),
        ("a list of two different ones", b"5, 6"),
        ("a comma behind it", b"5,"),
        ("a comma before it", b",5"),
        ("a semicolon behind it", b"5;"),
        ("a fraction", b"5.0"),
        ("an exponent", b"5e0"),
        ("an underscore", b"0_5"),
        ("an empty one", b""),
        ("quotes", b"\"5\""),
        ("2 to the 64", b"18446744073709551616"),
        ("twenty-one digits", b"100000000000000000005"),
    ];
    let line = |value: &[u8]| [b"Content-Length: ", value, b"\r\n"].concat();
    let mut cases: Vec<Case> =
        values.map(|(name, value)| refused(name, section, FRAMING, &post(&line(value), b"hello"))).into();
    let twice = "RFC 9112 §6.3";
    cases.extend([
        refused(
            "two equal ones",
            twice,
            FRAMING,
            &post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
        ),
        refused(
            "a longer one behind",
            twice,
            FRAMING,
            &post(b"Content-Length: 5\r\nContent-Length: 9\r\n", b"hello"),
        ),
        refused(
            "a shorter one behind",
            twice,
            FRAMING,
            &post(b"Content-Length: 5\r\nContent-Length: 0\r\n", b"hello"),
        ),
        refused(
            "a bad one behind",
            twice,
            FRAMING,
            &post(b"Content-Length: 5\r\nContent-Length: x\r\n", b"hello"),
        ),
        refused(
            "in other case",
            twice,
            FRAMING,
            &post(b"content-length: 5\r\nCONTENT-LENGTH: 5\r\n", b"hello"),
        ),
        refused(
            "on GET as well",
            section,
            FRAMING,
            b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}Content-Length: +0\r\n\r\n",
        ),
        forwarded("a plain one", section, POSTED, &post(b"Content-Length: 5\r\n", b"hello"))
            .has(&["Content-Length: 5\r\n", "hello"])
            .lacks(&["transfer-encoding"]),
        forwarded("zero", section, POSTED, &post(b"Content-Length: 0\r\n", b""))
            .has(&["Content-Length: 0\r\n"]),
        forwarded("leading zeros", section, POSTED, &post(b"Content-Length: 0005\r\n", b"hello"))
            .has(&["hello"]),
        forwarded(
            "on GET",
            section,
            "GET /base/x HTTP/1.1",
            b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}Content-Length: 5\r\n\r\nhello",
        )
        .has(&["Content-Length: 5\r\n", "hello"]),
    ]);
    run(driver, &cases);
}

fn transfer_encoding(driver: &str) {
    let section = "RFC 9112 §6.1";
    let body = b"5\r\nhello\r\n0\r\n\r\n";
    let values: [(&str, &str, &[u8]); 17] = [
        ("another coding", CODING, b"gzip"),
        ("another coding before chunked", CODING, b"gzip, chunked"),
        ("another coding behind chunked", CODING, b"chunked, gzip"),
        ("identity", CODING, b"identity"),
        ("identity behind chunked", CODING, b"chunked, identity"),
        ("chunked twice", CODING, b"chunked, chunked"),
        ("a letter before it", CODING, b"xchunked"),
        ("a letter behind it", CODING, b"chunkedx"),
        ("quotes", CODING, b"\"chunked\""),
        ("a parameter", CODING, b"chunked;q=1"),
        ("a comma behind it", CODING, b"chunked,"),
        ("a comma before it", CODING, b",chunked"),
        ("an empty one", CODING, b""),
        ("a vertical tab before it", CODING_FIELD, b"\x0bchunked"),
        ("a vertical tab behind it", CODING_FIELD, b"chunked\x0b"),
        ("a NUL behind it", CODING_FIELD, b"chunked\0"),
        ("a bare CR in it", CODING_FIELD, b"chun\rked"),
    ];
    let line = |value: &[u8]| [b"Transfer-Encoding: ", value, b"\r\n"].concat();
    let mut cases: Vec<Case> =
        values.map(|(name, with, value)| refused(name, section, with, &post(&line(value), body))).into();
    let lines: [(&str, &[u8]); 4] = [
        ("two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("identity in a second line", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("identity in a first line", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("an empty second line", b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n"),
    ];
    cases.extend(lines.map(|(name, lines)| refused(name, section, CODING, &post(lines, body))));
    cases.extend([
        forwarded("chunked", section, POSTED, &post(b"Transfer-Encoding: chunked\r\n", body))
            .has(&["hello", "ransfer-", "chunked\r\n"])
            .lacks(&["content-length"]),
        forwarded(
            "no space behind the colon",
            section,
            POSTED,
            &post(b"Transfer-Encoding:chunked\r\n", body),
        )
        .has(&["hello"]),
        forwarded(
            "a tab behind the colon",
            section,
            POSTED,
            &post(b"Transfer-Encoding:\tchunked\t\r\n", body),
        )
        .has(&["hello"])
        .lacks(&["chunked\t"]),
        forwarded("on GET", section, GOT, &get(b"Transfer-Encoding: chunked\r\n", body)).has(&["hello"]),
    ]);
    run(driver, &cases);
}

fn both_of_them(driver: &str) {
    let section = "RFC 9112 §6.1";
    let chunks: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
    let rows: [(&str, &str, &[u8], &[u8]); 8] = [
        ("the length first", FRAMING, b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", chunks),
        ("the coding first", FRAMING, b"Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", chunks),
        ("a length of zero", FRAMING, b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", chunks),
        (
            "a length that ends within",
            FRAMING,
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            chunks,
        ),
        ("another coding", CODING, b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", b"hello"),
        ("a hiding one", CODING_FIELD, b"Content-Length: 5\r\nTransfer-Encoding: \x0bchunked\r\n", b"hello"),
        ("a bad length", FRAMING, b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n", chunks),
        (
            "nominated by Connection",
            FRAMING,
            b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\nConnection: Content-Length\r\n",
            chunks,
        ),
    ];
    let mut cases: Vec<Case> =
        rows.map(|(name, with, lines, body)| refused(name, section, with, &post(lines, body))).into();
    let both = get(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n");
    cases.push(refused("on GET", section, FRAMING, &both));
    run(driver, &cases);
}

/// What is a body to us is a body to the API, whatever it looks like.
fn bodies_that_look_like_requests(driver: &str) {
    let section = "RFC 9112 §6.3";
    let smuggled = b"GET /base/never HTTP/1.1\r\nHost: a\r\n\r\n";
    let fixed = [b"Content-Length: ", smuggled.len().to_string().as_bytes(), b"\r\n"].concat();
    let chunk = [format!("{:x}\r\n", smuggled.len()).as_bytes(), smuggled, b"\r\n0\r\n\r\n"].concat();
    let kept = &["GET /base/never HTTP/1.1\r\n"];
    run(
        driver,
        &[
            forwarded("of fixed length", section, POSTED, &post(&fixed, smuggled)).has(kept),
            forwarded("of fixed length on GET", section, GOT, &get(&fixed, smuggled)).has(kept),
            forwarded("in a chunk", section, POSTED, &post(b"Transfer-Encoding: chunked\r\n", &chunk))
                .has(kept),
            forwarded("in a chunk on GET", section, GOT, &get(b"Transfer-Encoding: chunked\r\n", &chunk))
                .has(kept),
            forwarded(
                "behind an upgrade that is not listed",
                "RFC 9110 §7.8",
                POSTED,
                &post(&[fixed.as_slice(), b"Connection: upgrade\r\nUpgrade: h2c\r\n"].concat(), smuggled),
            )
            .has(kept)
            .lacks(&["upgrade"]),
            forwarded(
                "length nominated by Connection",
                "RFC 9110 §7.6.1",
                POSTED,
                &post(&[fixed.as_slice(), b"Connection: Content-Length\r\n"].concat(), smuggled),
            )
            .has(kept),
            forwarded(
                "coding nominated by Connection",
                "RFC 9110 §7.6.1",
                POSTED,
                &post(b"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n", &chunk),
            )
            .has(kept),
        ],
    );
}

fn http_1_0(driver: &str) {
    let section = "RFC 9112 §6.1";
    let old = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace("HTTP/1.1", "HTTP/1.0").into_bytes();
    let coded = |lines: &[u8]| {
        let lines = [lines, b"Transfer-Encoding: chunked\r\n"].concat();
        old(post(&lines, b"5\r\nhello\r\n0\r\n\r\n"))
    };
    run(
        driver,
        &[
            refused("a coding", section, CODING, &coded(b"")),
            refused("a coding, kept alive", section, CODING, &coded(b"Connection: keep-alive\r\n")),
            refused("a coding and a length", section, CODING, &coded(b"Content-Length: 15\r\n")),
            forwarded("a length", section, POSTED, &old(post(b"Content-Length: 5\r\n", b"hello")))
                .has(&["Content-Length: 5\r\n", "hello"])
                .closes(),
            forwarded("no length is no body", section, GOT, &old(get(b"", b""))).closes(),
        ],
    );
}
