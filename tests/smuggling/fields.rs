//! RFC 9112 §5 and RFC 9110 §5: field lines. A malformed one is refused, never repaired.

use super::table::{Case, forwarded, refused, run};
use crate::both_drivers;

both_drivers!(names, values, line_ends, folds, well_formed_ones, hidden_framing, expectations);

const FIELD: &str = "400 field-invalid";
const LINE: &str = "GET /base/x HTTP/1.1";

/// A GET with this line among its fields.
fn with(line: &[u8]) -> Vec<u8> {
    [b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n", line, b"\r\n{k}\r\n"].concat()
}

fn table(section: &'static str, with_: &'static str, rows: &[(&'static str, &[u8])]) -> Vec<Case> {
    rows.iter().map(|(name, line)| refused(name, section, with_, &with(line))).collect()
}

fn names(driver: &str) {
    let mut cases = table(
        "RFC 9112 §5.1",
        FIELD,
        &[
            ("a space before the colon", b"X-A : b"),
            ("a tab before the colon", b"X-A\t: b"),
            ("no colon", b"X-A"),
            ("no colon, with a space", b"X-A b"),
            ("an empty name", b": b"),
            ("a space in the name", b"X A: b"),
            ("a control character in the name", b"X\x01A: b"),
            ("a NUL in the name", b"X\0A: b"),
            ("a parenthesis in the name", b"X(A: b"),
            ("a quote in the name", b"\"X-A\": b"),
            ("an at sign in the name", b"X@A: b"),
            ("a slash in the name", b"X/A: b"),
            ("a bracket in the name", b"X[A]: b"),
            ("an equals sign in the name", b"X=A: b"),
            ("a high byte in the name", b"X\xe9A: b"),
            ("UTF-8 in the name", b"X\xc3\xa9: b"),
            ("an empty line that is none", b" "),
        ],
    );
    let long = [b"X".repeat(257).as_slice(), b": b"].concat();
    cases.push(refused(
        "a name of 257 bytes",
        "RFC 9110 §5.4",
        "400 field-invalid|431 head-too-large",
        &with(&long),
    ));
    run(driver, &cases);
}

fn values(driver: &str) {
    run(
        driver,
        &table(
            "RFC 9110 §5.5",
            FIELD,
            &[
                ("a NUL", b"X-A: a\0b"),
                ("a NUL at the end", b"X-A: a\0"),
                ("a bare CR", b"X-A: a\rb"),
                ("a bare CR before a field", b"X-A: a\rX-Forged: 1"),
                ("a bare LF before a field", b"X-A: a\nX-Forged: 1"),
                ("a bell", b"X-A: a\x07b"),
                ("a vertical tab", b"X-A: \x0bb"),
                ("a form feed", b"X-A: b\x0c"),
                ("an escape", b"X-A: \x1b[31m"),
                ("DEL", b"X-A: a\x7fb"),
            ],
        ),
    );
}

fn line_ends(driver: &str) {
    let section = "RFC 9112 §2.2";
    run(
        driver,
        &[
            refused(
                "a bare LF behind a field",
                section,
                FIELD,
                b"GET /crm/x HTTP/1.1\r\nHost: gw\nX-A: b\r\n{k}\r\n",
            ),
            refused(
                "a bare LF behind the last field",
                section,
                FIELD,
                b"GET /crm/x HTTP/1.1\r\n{k}Host: gw\n\r\n",
            ),
            refused(
                "a bare LF for the empty line",
                section,
                FIELD,
                b"GET /crm/x HTTP/1.1\r\n{k}Host: gw\r\n\nX: y\r\n\r\n",
            ),
            refused(
                "CR CR LF behind a field",
                section,
                FIELD,
                b"GET /crm/x HTTP/1.1\r\nHost: gw\r\r\n{k}\r\n",
            ),
            refused(
                "CR CR LF for the empty line",
                section,
                FIELD,
                b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\r\r\n\r\n",
            ),
            refused(
                "LF CR for the empty line",
                section,
                FIELD,
                b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n{k}\n\r\r\n\r\n",
            ),
        ],
    );
}

fn folds(driver: &str) {
    let mut cases = table(
        "RFC 9112 §5.2",
        FIELD,
        &[
            ("by a space", b"X-A: a\r\n b"),
            ("by a tab", b"X-A: a\r\n\tb"),
            ("an empty one", b"X-A: a\r\n "),
            ("of an empty value", b"X-A:\r\n b"),
            ("that hides a field", b"X-A: a\r\n X-Forged: 1"),
        ],
    );
    cases.push(refused(
        "white space before the first field",
        "RFC 9112 §2.2",
        FIELD,
        b"GET /crm/x HTTP/1.1\r\n X-A: b\r\nHost: gw\r\n{k}\r\n",
    ));
    cases.push(refused(
        "Host in a fold of the request line",
        "RFC 9112 §2.2",
        FIELD,
        b"GET /crm/x HTTP/1.1\r\n Host: other\r\nHost: gw\r\n{k}\r\n",
    ));
    run(driver, &cases);
}

fn well_formed_ones(driver: &str) {
    let section = "RFC 9110 §5";
    run(
        driver,
        &[
            forwarded("an empty value", section, LINE, &with(b"X-A:")).has(&["\r\nX-A:"]),
            forwarded("no space behind the colon", section, LINE, &with(b"X-A:b")).has(&["X-A: b\r\n"]),
            forwarded("white space around the value", section, LINE, &with(b"X-A: \t b\t \t"))
                .has(&["X-A: b\r\n"]),
            forwarded("white space in the value", section, LINE, &with(b"X-A: b \t c"))
                .has(&["X-A: b \t c\r\n"]),
            forwarded("colons in the value", section, LINE, &with(b"X-A: a: b:c")).has(&["X-A: a: b:c\r\n"]),
            forwarded("bytes above 127 in the value", section, LINE, &with(b"X-A: caf\xc3\xa9 \xff"))
                .has(&["X-A: caf\u{c3}\u{a9} \u{ff}\r\n"]),
            forwarded("a name of odd token characters", section, LINE, &with(b"!#$%&'*+-.^_`|~9: b"))
                .has(&["!#$%&'*+-.^_`|~9: b\r\n"]),
            forwarded("a percent sign means nothing", section, LINE, &with(b"X-A: %0d%0aX-Forged: 1"))
                .has(&["X-A: %0d%0aX-Forged: 1\r\n"])
                .lacks(&["\r\nx-forged"]),
        ],
    );
}

/// Fields that only some parsers read as a length of the body.
fn hidden_framing(driver: &str) {
    let with_ = "400 field-invalid|400 framing-invalid";
    let body = b"5\r\nhello\r\n0\r\n\r\n";
    let rows: [(&'static str, &'static str, &[u8]); 12] = [
        ("content_length", "RFC 9112 §6", b"Content_Length: 5"),
        ("transfer_encoding", "RFC 9112 §6", b"Transfer_Encoding: chunked"),
        ("content_length beside the real one", "RFC 9112 §6", b"Content-Length: 15\r\nCONTENT_LENGTH: 0"),
        (
            "transfer_encoding beside a length",
            "RFC 9112 §6",
            b"Content-Length: 15\r\ntransfer_encoding: chunked",
        ),
        ("a length with a space before the colon", "RFC 9112 §5.1", b"Content-Length : 15"),
        ("a coding with a space before the colon", "RFC 9112 §5.1", b"Transfer-Encoding : chunked"),
        ("a coding with a NUL in its name", "RFC 9112 §5.1", b"Transfer-Encoding\0: chunked"),
        ("a coding behind a bare CR", "RFC 9112 §2.2", b"X-A: b\rTransfer-Encoding: chunked"),
        ("a coding behind a bare LF", "RFC 9112 §2.2", b"X-A: b\nTransfer-Encoding: chunked"),
        ("a coding in a fold", "RFC 9112 §5.2", b"X-A: b\r\n Transfer-Encoding: chunked"),
        ("a length in a fold", "RFC 9112 §5.2", b"Content-Length:\r\n 15"),
        ("a coding whose name is quoted", "RFC 9112 §5.1", b"\"Transfer-Encoding\": chunked"),
    ];
    let post = |line: &[u8]| {
        [b"POST /crm/x HTTP/1.1\r\nHost: gw\r\n{k}".as_slice(), line, b"\r\n\r\n", body].concat()
    };
    let cases: Vec<_> =
        rows.iter().map(|(name, section, line)| refused(name, section, with_, &post(line))).collect();
    run(driver, &cases);
}

fn expectations(driver: &str) {
    let section = "RFC 9110 §10.1.1";
    run(
        driver,
        &[
            refused("one that is not known", section, "417 expectation-unknown", &with(b"Expect: 200-ok")),
            refused(
                "one beside the known one",
                section,
                "417 expectation-unknown",
                &with(b"Expect: 100-continue, other"),
            ),
            refused("100-continue in a fold", "RFC 9112 §5.2", FIELD, &with(b"Expect:\r\n 100-continue")),
        ],
    );
}
