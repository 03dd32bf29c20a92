//! RFC 9112 §7.1: chunks, their extensions, and what follows the last one.

use super::table::{Case, cut, forwarded, run};
use crate::both_drivers;

both_drivers!(sizes, ends_of_chunks, extensions, last_chunks_and_trailers, well_formed_ones);

type Texts = &'static [&'static str];

const CHUNK: &str = "400 chunk-invalid";
const LINE: &str = "POST /base/x HTTP/1.1";

/// A POST with this chunked body.
fn post(body: &[u8]) -> Vec<u8> {
    [b"POST /crm/x HTTP/1.1\r\nHost: gw\r\n{k}Transfer-Encoding: chunked\r\n\r\n", body].concat()
}

fn table(section: &'static str, rows: &[(&'static str, &[u8])]) -> Vec<Case> {
    rows.iter().map(|(name, body)| cut(name, section, CHUNK, &post(body))).collect()
}

fn sizes(driver: &str) {
    run(
        driver,
        &table(
            "RFC 9112 §7.1",
            &[
                ("an empty line", b"\r\nhello\r\n0\r\n\r\n"),
                ("an empty line that ends the body elsewhere", b"\r\n\r\n"),
                ("a letter that is no digit", b"g\r\nhello\r\n0\r\n\r\n"),
                ("a space before it", b" 5\r\nhello\r\n0\r\n\r\n"),
                ("a space behind it", b"5 \r\nhello\r\n0\r\n\r\n"),
                ("a tab behind it", b"5\t\r\nhello\r\n0\r\n\r\n"),
                ("a plus sign", b"+5\r\nhello\r\n0\r\n\r\n"),
                ("a minus sign", b"-5\r\nhello\r\n0\r\n\r\n"),
                ("a prefix", b"0x5\r\nhello\r\n0\r\n\r\n"),
                ("an underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
                ("two with a space", b"5 5\r\nhello\r\n0\r\n\r\n"),
                ("a comma", b"5,5\r\nhello\r\n0\r\n\r\n"),
                ("an extension without semicolon", b"5 a=b\r\nhello\r\n0\r\n\r\n"),
                ("seventeen digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
                ("2 to the 64", b"10000000000000000\r\nhello\r\n0\r\n\r\n"),
                ("2 to the 64 and five", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
                ("a NUL behind it", b"5\0\r\nhello\r\n0\r\n\r\n"),
                ("a high byte", b"5\xb5\r\nhello\r\n0\r\n\r\n"),
                ("a bare LF behind it", b"5\nhello\r\n0\r\n\r\n"),
                ("a bare CR behind it", b"5\rhello\r\n0\r\n\r\n"),
                ("CR CR LF behind it", b"5\r\r\nhello\r\n0\r\n\r\n"),
                ("a bad one behind a good one", b"5\r\nhello\r\nx\r\n0\r\n\r\n"),
            ],
        ),
    );
}

/// Data longer or shorter than its size spills into what one parser reads as framing.
fn ends_of_chunks(driver: &str) {
    run(
        driver,
        &table(
            "RFC 9112 §7.1",
            &[
                ("two bytes too many", b"5\r\nhello!!\r\n0\r\n\r\n"),
                ("no end of line", b"5\r\nhello0\r\n\r\n"),
                ("a bare LF", b"5\r\nhello\n0\r\n\r\n"),
                ("a bare CR", b"5\r\nhello\r0\r\n\r\n"),
                ("LF CR", b"5\r\nhello\n\r0\r\n\r\n"),
                ("a space before the end of line", b"5\r\nhello \r\n0\r\n\r\n"),
                ("two bytes for the end of line", b"5\r\nhelloXX0\r\n\r\n"),
                ("two bytes that begin the next size", b"5\r\nhello\r20\r\n\r\n"),
                (
                    "a request behind the spill",
                    b"2\r\nxx45\r\n0\r\n\r\nGET /crm/never HTTP/1.1\r\nHost: gw\r\n\r\n",
                ),
            ],
        ),
    );
}

fn extensions(driver: &str) {
    let section = "RFC 9112 §7.1.1";
    let long = [b"5;a=".as_slice(), &b"x".repeat(300), b"\r\nhello\r\n0\r\n\r\n"].concat();
    let mut cases = table(
        section,
        &[
            ("no name", b"5;\r\nhello\r\n0\r\n\r\n"),
            ("a value without a name", b"5;=b\r\nhello\r\n0\r\n\r\n"),
            ("no value", b"5;a=\r\nhello\r\n0\r\n\r\n"),
            ("a space before the semicolon", b"5 ;a\r\nhello\r\n0\r\n\r\n"),
            ("a space behind the semicolon", b"5; a=b\r\nhello\r\n0\r\n\r\n"),
            ("a space before the equals sign", b"5;a =b\r\nhello\r\n0\r\n\r\n"),
            ("a space behind the equals sign", b"5;a= b\r\nhello\r\n0\r\n\r\n"),
            ("a space behind the value", b"5;a=b \r\nhello\r\n0\r\n\r\n"),
            ("an open quote", b"5;a=\"b\r\nhello\r\n0\r\n\r\n"),
            ("text behind the quote", b"5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"),
            ("a NUL", b"5;a=b\0\r\nhello\r\n0\r\n\r\n"),
            ("a control character", b"5;a=\x01\r\nhello\r\n0\r\n\r\n"),
            ("a bare LF behind the name", b"5;a\nhello\r\n0\r\n\r\n"),
            ("a bare LF behind the semicolon", b"5;\nxx\r\nhello\r\n0\r\n\r\n"),
            (
                "a bare LF that one parser skips",
                b"2;\nxx\r\n4c\r\n0\r\n\r\nGET /crm/never HTTP/1.1\r\nHost: gw\r\n\r\n",
            ),
            ("a bare CR", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
            ("a bare CR in quotes", b"5;a=\"\rb\"\r\nhello\r\n0\r\n\r\n"),
            ("a bare LF in quotes", b"5;a=\"\nb\"\r\nhello\r\n0\r\n\r\n"),
            ("a line end in quotes", b"5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\n0\r\n\r\n"),
            ("on the last chunk, a bare LF", b"5\r\nhello\r\n0;a\n\r\n\r\n"),
        ],
    );
    cases.push(cut("longer than the bound", section, CHUNK, &post(&long)));
    run(driver, &cases);
}

fn last_chunks_and_trailers(driver: &str) {
    let section = "RFC 9112 §7.1.2";
    let long = [b"0\r\nX-A: ".as_slice(), &b"x".repeat(9 * 1024), b"\r\n\r\n"].concat();
    let many = [b"0\r\n".as_slice(), &b"X-A: b\r\n".repeat(33), b"\r\n"].concat();
    let mut cases = table(
        section,
        &[
            ("a bare LF behind the last size", b"5\r\nhello\r\n0\n\r\n"),
            ("a bare LF behind the last chunk", b"5\r\nhello\r\n0\r\n\nx\r\n\r\n"),
            ("text behind the last size", b"5\r\nhello\r\n0x\r\n\r\n"),
            ("a field without a colon", b"0\r\nX-A\r\n\r\n"),
            ("a field with a space before the colon", b"0\r\nX-A : b\r\n\r\n"),
            ("a field without a name", b"0\r\n: b\r\n\r\n"),
            ("a fold", b"0\r\nX-A: b\r\n c\r\n\r\n"),
            ("white space before the first field", b"0\r\n X-A: b\r\n\r\n"),
            ("a NUL", b"0\r\nX-A: \0\r\n\r\n"),
            ("a bare LF", b"0\r\nX-A: b\nX-B: c\r\n\r\n"),
            ("a bare CR", b"0\r\nX-A: b\rX-B: c\r\n\r\n"),
            ("a request in the trailer section", b"0\r\nGET /crm/never HTTP/1.1\r\nHost: gw\r\n\r\n"),
        ],
    );
    let too_much = "400 chunk-invalid|431 head-too-large";
    cases.push(cut("more bytes than the bound", section, too_much, &post(&long)));
    cases.push(cut("more fields than the bound", section, too_much, &post(&many)));
    run(driver, &cases);
}

fn well_formed_ones(driver: &str) {
    let section = "RFC 9112 §7.1";
    let ones = [b"1\r\nx\r\n".repeat(50).as_slice(), b"0\r\n\r\n"].concat();
    let rows: [(&str, &[u8], Texts, Texts); 8] = [
        ("an extension with a value", b"5;a=b\r\nhello\r\n0\r\n\r\n", &["hello"], &["a=b"]),
        ("an extension without a value", b"5;abc\r\nhello\r\n0\r\n\r\n", &["hello"], &["abc"]),
        ("two extensions", b"5;a=b;c\r\nhello\r\n0;d\r\n\r\n", &["hello"], &[";"]),
        ("both cases", b"A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", &["0123456789abcdefghij"], &[]),
        ("leading zeros", b"0005\r\nhello\r\n0000\r\n\r\n", &["hello"], &[]),
        ("an empty body", b"0\r\n\r\n", &["ransfer-"], &["content-length"]),
        ("many chunks", &ones, &["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"], &[]),
        ("a line end in the data", b"7\r\n0\r\n\r\nab\r\n0\r\n\r\n", &["0\r\n\r\nab"], &[]),
    ];
    let mut cases: Vec<Case> = rows
        .map(|(name, body, has, lacks)| forwarded(name, section, LINE, &post(body)).has(has).lacks(lacks))
        .into();
    let repeating = b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\n\
                      Host: other\r\nAuthorization: x\r\n\r\n";
    cases.push(
        forwarded("a trailer that repeats framing", "RFC 9110 §6.5.1", LINE, &post(repeating))
            .has(&["hello"])
            .lacks(&["content-length", "gzip", "other", "(\"authorization\""]),
    );
    run(driver, &cases);
}
