//! RFC 9112 §3.2 and RFC 9110 §7.2: exactly one valid Host.

use super::table::{Case, forwarded, refused, run};
use crate::both_drivers;

both_drivers!(exactly_one, its_value);

const HOST: &str = "400 host-invalid";

fn with(lines: &[u8]) -> Vec<u8> {
    [b"GET /crm/x HTTP/1.1\r\n", lines, b"{k}\r\n"].concat()
}

fn exactly_one(driver: &str) {
    let section = "RFC 9112 §3.2";
    run(
        driver,
        &[
            refused("none", section, HOST, &with(b"")),
            refused("two that differ", section, HOST, &with(b"Host: gw\r\nHost: other\r\n")),
            refused("two that are equal", section, HOST, &with(b"Host: gw\r\nHost: gw\r\n")),
            refused("two in different case", section, HOST, &with(b"host: gw\r\nHOST: gw\r\n")),
            refused(
                "two with fields in between",
                section,
                HOST,
                &with(b"Host: gw\r\nX-A: b\r\nHost: gw\r\n"),
            ),
            refused(
                "two on HTTP/1.0",
                section,
                HOST,
                b"GET /crm/x HTTP/1.0\r\nHost: gw\r\nHost: gw\r\n{k}\r\n",
            ),
            refused(
                "a space before the colon",
                "RFC 9112 §5.1",
                "400 field-invalid",
                &with(b"Host : gw\r\n"),
            ),
        ],
    );
}

fn its_value(driver: &str) {
    let section = "RFC 9110 §7.2";
    let invalid: [(&str, &[u8]); 20] = [
        ("an empty one", b""),
        ("two in a list", b"gw, other"),
        ("two with a space", b"gw other"),
        ("user information", b"user@gw"),
        ("a path", b"gw/crm"),
        ("a scheme", b"http://gw"),
        ("a query", b"gw?q"),
        ("a fragment", b"gw#x"),
        ("a backslash", b"gw\\x"),
        ("a port of letters", b"gw:http"),
        ("a signed port", b"gw:+80"),
        ("a port above 65535", b"gw:65536"),
        ("two ports", b"gw:80:80"),
        ("a port alone", b":80"),
        ("a bracket alone", b"[::1"),
        ("a name in brackets", b"[gw]"),
        ("an address without brackets", b"::1"),
        ("text behind the bracket", b"[::1]x"),
        ("a high byte", b"gw\xe9"),
        ("a bad escape", b"gw%zz"),
    ];
    let mut cases: Vec<Case> = invalid
        .map(|(name, value)| refused(name, section, HOST, &with(&[b"Host: ", value, b"\r\n"].concat())))
        .into();
    let valid: [(&str, &[u8], &'static [&'static str]); 5] = [
        ("a name", b"gw.example", &["X-Forwarded-Host: gw.example\r\n"]),
        ("a name with a port", b"gw.example:8080", &["X-Forwarded-Host: gw.example:8080\r\n"]),
        ("an IPv4 address", b"127.0.0.1:80", &["X-Forwarded-Host: 127.0.0.1:80\r\n"]),
        ("an IPv6 address", b"[::1]", &["X-Forwarded-Host: [::1]\r\n"]),
        ("an IPv6 address with a port", b"[::1]:80", &["X-Forwarded-Host: [::1]:80\r\n"]),
    ];
    cases.extend(valid.map(|(name, value, has)| {
        forwarded(name, section, "GET /base/x HTTP/1.1", &with(&[b"Host: ", value, b"\r\n"].concat()))
            .has(has)
    }));
    run(driver, &cases);
}
