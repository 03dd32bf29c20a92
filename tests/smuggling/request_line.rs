//! RFC 9112 §2.2 and §3: the request line, what may stand in front of it, methods and versions.

use super::table::{Case, answered, forwarded, refused, run};
use crate::both_drivers;

both_drivers!(versions, separators, methods, in_front_of_the_line);

const LINE: &str = "400 request-line-invalid";
const VERSION: &str = "505 version-unsupported";
const EITHER: &str = "400 request-line-invalid|505 version-unsupported";

/// `GET /crm/x` with this behind it.
fn with(tail: &[u8]) -> Vec<u8> {
    [b"GET /crm/x".as_slice(), tail, b"\r\nHost: gw\r\n{k}\r\n"].concat()
}

fn versions(driver: &str) {
    let section = "RFC 9112 §2.3";
    let mut cases: Vec<Case> = vec![
        refused("HTTP/2.0", section, VERSION, &with(b" HTTP/2.0")),
        refused("HTTP/9.9", section, VERSION, &with(b" HTTP/9.9")),
        refused("HTTP/1.2", section, VERSION, &with(b" HTTP/1.2")),
        refused("HTTP/0.9 by name", section, VERSION, &with(b" HTTP/0.9")),
        refused("HTTP/0.9 by form", section, EITHER, b"GET /crm/x\r\n\r\n"),
        refused("no version, with fields", section, EITHER, &with(b"")),
        refused("no version, with a space", section, EITHER, &with(b" ")),
        refused("preface of HTTP/2", "RFC 9113 §3.4", EITHER, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ];
    let malformed: [(&str, &[u8]); 13] = [
        ("two digits behind the dot", b" HTTP/1.10"),
        ("two digits before the dot", b" HTTP/01.1"),
        ("no dot", b" HTTP/1"),
        ("no minor digit", b" HTTP/1."),
        ("no major digit", b" HTTP/.1"),
        ("lower case", b" http/1.1"),
        ("another protocol", b" HTTQ/1.1"),
        ("no slash", b" HTTP 1.1"),
        ("a comma", b" HTTP/1,1"),
        ("a sign", b" HTTP/+1.1"),
        ("a NUL behind it", b" HTTP/1.1\0"),
        ("a space behind it", b" HTTP/1.1 "),
        ("a tab behind it", b" HTTP/1.1\t"),
    ];
    cases.extend(malformed.map(|(name, tail)| refused(name, section, EITHER, &with(tail))));
    run(driver, &cases);
}

fn separators(driver: &str) {
    let section = "RFC 9112 §3";
    let target = "400 request-line-invalid|400 target-invalid";
    run(
        driver,
        &[
            refused(
                "two spaces before the target",
                section,
                target,
                b"GET  /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused("two spaces behind the target", section, target, &with(b"  HTTP/1.1")),
            refused("a tab before the target", section, LINE, b"GET\t/crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("a tab behind the target", section, target, &with(b"\tHTTP/1.1")),
            refused("a form feed behind the target", section, target, &with(b"\x0cHTTP/1.1")),
            refused("a vertical tab behind the target", section, target, &with(b"\x0bHTTP/1.1")),
            refused("a bare CR behind the target", section, target, &with(b"\rHTTP/1.1")),
            refused("a space in the target", section, target, &with(b" y HTTP/1.1")),
            refused("no target", section, target, b"GET HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("an empty target", section, target, b"GET  HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("the method alone", section, LINE, b"GET\r\nHost: gw\r\n{k}\r\n"),
            refused("a NUL in the line", section, target, &with(b"\0 HTTP/1.1")),
            refused(
                "a bare LF behind the line",
                "RFC 9112 §2.2",
                LINE,
                b"GET /crm/x HTTP/1.1\nHost: gw\r\n{k}\r\n",
            ),
            refused(
                "bare LF in all lines",
                "RFC 9112 §2.2",
                LINE,
                b"GET /crm/x HTTP/1.1\nHost: gw\n\nX: y\r\n\r\n",
            ),
            refused(
                "a bare CR behind the line",
                "RFC 9112 §2.2",
                LINE,
                b"GET /crm/x HTTP/1.1\rHost: gw\r\n{k}\r\n",
            ),
            refused(
                "CR CR LF behind the line",
                "RFC 9112 §2.2",
                LINE,
                b"GET /crm/x HTTP/1.1\r\r\nHost: gw\r\n{k}\r\n",
            ),
        ],
    );
}

fn methods(driver: &str) {
    let section = "RFC 9110 §9.1";
    let long = [b"A".repeat(33).as_slice(), b" /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"].concat();
    let too_long = "400 request-line-invalid|501 not-implemented";
    let tunnel = "RFC 9110 §9.3.6";
    run(
        driver,
        &[
            forwarded(
                "methods are case-sensitive",
                section,
                "get /base/x HTTP/1.1",
                b"get /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            forwarded(
                "an extension method",
                section,
                "QUERY /base/x HTTP/1.1",
                b"QUERY /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            forwarded(
                "a method of odd token characters",
                section,
                "!#$%&'*+-.^_`|~ /base/x HTTP/1.1",
                b"!#$%&'*+-.^_`|~ /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused(
                "a parenthesis in the method",
                section,
                LINE,
                b"GE(T /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused("a colon in the method", section, LINE, b"GET: /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused(
                "a quote in the method",
                section,
                LINE,
                b"\"GET\" /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused("a NUL in the method", section, LINE, b"GE\0T /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused(
                "a high byte in the method",
                section,
                LINE,
                b"G\xc9T /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused("a method of 33 bytes", "RFC 9112 §3.1", too_long, &long),
            answered(
                "TRACE",
                "RFC 9110 §9.3.8",
                "405 method-refused",
                b"TRACE /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused(
                "CONNECT to an authority",
                tunnel,
                "501 not-implemented",
                b"CONNECT gw:443 HTTP/1.1\r\nHost: gw:443\r\n{k}\r\n",
            ),
            refused(
                "CONNECT with a path",
                tunnel,
                "501 not-implemented|400 target-invalid",
                b"CONNECT /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            answered(
                "OPTIONS of the server",
                "RFC 9110 §9.3.7",
                "404 alias-unknown",
                b"OPTIONS * HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            forwarded(
                "OPTIONS of a resource",
                "RFC 9110 §9.3.7",
                "OPTIONS /base/x HTTP/1.1",
                b"OPTIONS /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused(
                "asterisk with another method",
                "RFC 9112 §3.2.4",
                "400 target-invalid",
                b"GET * HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
        ],
    );
}

fn in_front_of_the_line(driver: &str) {
    let section = "RFC 9112 §2.2";
    let line = "GET /base/x HTTP/1.1";
    run(
        driver,
        &[
            forwarded("one empty line", section, line, b"\r\nGET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("two empty lines", section, LINE, b"\r\n\r\nGET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("a bare LF", section, LINE, b"\nGET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("a bare CR", section, LINE, b"\rGET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("a space", section, LINE, b" GET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused("a NUL", section, LINE, b"\0GET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n"),
            refused(
                "a byte order mark",
                section,
                LINE,
                b"\xef\xbb\xbfGET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\n",
            ),
            refused(
                "a TLS handshake",
                section,
                LINE,
                b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
            ),
            refused(
                "a status line",
                section,
                "400 request-line-invalid|505 version-unsupported|400 target-invalid",
                b"HTTP/1.1 200 OK\r\nHost: gw\r\n{k}\r\n",
            ),
        ],
    );
}
