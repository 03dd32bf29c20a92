//! RFC 9112 §4: the status line of an answer.

use super::table::{Case, passed, refused, run};
use crate::both_drivers;

both_drivers!(malformed_ones, well_formed_ones, what_is_in_front_of_it);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An answer with this status line.
fn with(line: &[u8]) -> Vec<u8> {
    [line, b"\r\nContent-Length: 2\r\n\r\nok"].concat()
}

fn malformed_ones(driver: &str) {
    let section = "RFC 9112 §4";
    let lines: [(&str, &[u8]); 25] = [
        ("two digits", b"HTTP/1.1 20 OK"),
        ("four digits", b"HTTP/1.1 2000 OK"),
        ("1000", b"HTTP/1.1 1000 OK"),
        ("letters", b"HTTP/1.1 abc OK"),
        ("a sign", b"HTTP/1.1 +20 OK"),
        ("a letter behind the digits", b"HTTP/1.1 200a OK"),
        ("below 100", b"HTTP/1.1 099 OK"),
        ("zero", b"HTTP/1.1 000 OK"),
        ("no status", b"HTTP/1.1"),
        ("no status, with a space", b"HTTP/1.1 "),
        ("two spaces before the status", b"HTTP/1.1  200 OK"),
        ("a tab before the status", b"HTTP/1.1\t200 OK"),
        ("a tab behind the status", b"HTTP/1.1 200\tOK"),
        ("lower case", b"http/1.1 200 OK"),
        ("HTTP/2.0", b"HTTP/2.0 200 OK"),
        ("HTTP/0.9", b"HTTP/0.9 200 OK"),
        ("HTTP/1.2", b"HTTP/1.2 200 OK"),
        ("two digits behind the dot", b"HTTP/1.10 200 OK"),
        ("another protocol", b"ICY 200 OK"),
        ("a request line", b"GET /x HTTP/1.1"),
        ("a NUL in the phrase", b"HTTP/1.1 200 O\0K"),
        ("a bare CR in the phrase", b"HTTP/1.1 200 O\rK"),
        ("a bare LF in the phrase", b"HTTP/1.1 200 OK\nX: y"),
        ("an escape in the phrase", b"HTTP/1.1 200 \x1b[31m"),
        ("a bare LF behind it", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ];
    let mut cases: Vec<Case> = lines.map(|(name, line)| refused(name, section, &with(line)).closes()).into();
    cases.extend([
        refused("no status line but a page", section, b"<html><body>hello</body></html>\r\n\r\n").closes(),
        refused("no status line and no line end", section, b"<html>hello").closes(),
        refused("fields alone", section, b"Content-Length: 2\r\n\r\nok").closes(),
        refused("an empty line alone", section, b"\r\n\r\n").closes(),
    ]);
    run(driver, &cases);
}

fn well_formed_ones(driver: &str) {
    let section = "RFC 9112 §4";
    run(
        driver,
        &[
            passed("200", section, 200, "ok", OK).has(&["HTTP/1.1 200 OK\r\n"]),
            passed("an empty phrase", section, 200, "ok", &with(b"HTTP/1.1 200 ")).has(&["HTTP/1.1 200 "]),
            passed("a phrase of its own", section, 404, "ok", &with(b"HTTP/1.1 404 Not here, sorry")),
            passed("a status without a name", section, 299, "ok", &with(b"HTTP/1.1 299 Odd")),
            passed("a status of the API's fault", section, 503, "ok", &with(b"HTTP/1.1 503 Busy")),
            passed("bytes above 127 in the phrase", section, 200, "ok", &with(b"HTTP/1.1 200 D\xc3\xa9")),
            passed("HTTP/1.0", "RFC 9112 §2.3", 200, "ok", &with(b"HTTP/1.0 200 OK"))
                .has(&["HTTP/1.1 200 "])
                .closes(),
        ],
    );
}

fn what_is_in_front_of_it(driver: &str) {
    let section = "RFC 9112 §2.2";
    run(
        driver,
        &[
            refused("a space", section, &[b" ".as_slice(), OK].concat()).closes(),
            refused("two empty lines", section, &[b"\r\n\r\n".as_slice(), OK].concat()).closes(),
            refused("a bare LF", section, &[b"\n".as_slice(), OK].concat()).closes(),
            refused("a NUL", section, &[b"\0".as_slice(), OK].concat()).closes(),
            refused(
                "white space before the first field",
                section,
                b"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nok",
            )
            .closes(),
        ],
    );
}
