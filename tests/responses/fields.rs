//! RFC 9112 §5: the fields of an answer, those that belong to one hop, and `Date`.

use super::table::{Case, passed, refused, run};
use crate::{
    both_drivers,
    common::{Api, Config, Gateway, Then},
};

both_drivers!(malformed_ones, one_hop_only, what_stays, too_much, a_missing_date_is_added);

/// An answer with this line among its fields.
fn with(line: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", line, b"\r\n\r\nok"].concat()
}

fn malformed_ones(driver: &str) {
    let section = "RFC 9112 §5";
    let lines: [(&str, &[u8]); 15] = [
        ("no colon", b"X-A"),
        ("an empty name", b": b"),
        ("a space before the colon", b"X-A : b"),
        ("a tab before the colon", b"X-A\t: b"),
        ("a space in the name", b"X A: b"),
        ("a control character in the name", b"X\x01A: b"),
        ("a high byte in the name", b"X\xe9A: b"),
        ("a fold", b"X-A: b\r\n c"),
        ("a fold that hides a length", b"X-A: b\r\n Content-Length: 5"),
        ("a NUL in the value", b"X-A: a\0b"),
        ("a bare CR in the value", b"X-A: a\rb"),
        ("a bare CR before a field", b"X-A: a\rSet-Cookie: x=y"),
        ("a bare LF before a field", b"X-A: a\nSet-Cookie: x=y"),
        ("a control character in the value", b"X-A: a\x08b"),
        ("DEL in the value", b"X-A: a\x7fb"),
    ];
    let mut cases: Vec<Case> = lines.map(|(name, line)| refused(name, section, &with(line)).closes()).into();
    cases.push(
        refused(
            "a bare LF for the empty line",
            "RFC 9112 §2.2",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok\r\n\r\n",
        )
        .closes(),
    );
    run(driver, &cases);
}

fn one_hop_only(driver: &str) {
    let section = "RFC 9110 §7.6.1";
    run(
        driver,
        &[
            passed(
                "Keep-Alive and Proxy-Connection",
                section,
                200,
                "ok",
                &with(b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive"),
            )
            .lacks(&["keep-alive:", "proxy-connection", "timeout=5"]),
            passed(
                "nominated by Connection",
                section,
                200,
                "ok",
                &with(b"Connection: X-Hop, x-other\r\nX-Hop: 1\r\nX-OTHER: 2\r\nX-Stays: 3"),
            )
            .has(&["X-Stays: 3\r\n"])
            .lacks(&["x-hop", "x-other"]),
            passed(
                "nominated in front of the field",
                section,
                200,
                "ok",
                &with(b"X-Hop: 1\r\nConnection: x-hop"),
            )
            .lacks(&["x-hop"]),
            passed(
                "an upgrade that is offered",
                "RFC 9110 §7.8",
                200,
                "ok",
                &with(b"Upgrade: h2c\r\nConnection: upgrade"),
            )
            .lacks(&["upgrade"]),
            passed("the length nominated", section, 200, "ok", &with(b"Connection: content-length")),
        ],
    );
}

fn what_stays(driver: &str) {
    let section = "RFC 9110 §5.3";
    run(
        driver,
        &[
            passed(
                "cookies in their order",
                "RFC 6265 §3",
                200,
                "ok",
                &with(b"Set-Cookie: a=1; Path=/\r\nX-A: b\r\nSet-Cookie: c=2, d\r\nset-cookie: e=3"),
            )
            .has(&["Set-Cookie: a=1; Path=/\r\nX-A: b\r\nSet-Cookie: c=2, d\r\nset-cookie: e=3\r\n"]),
            passed("case and bytes", section, 200, "ok", &with(b"x-MiXeD: caf\xc3\xa9 \xff"))
                .has(&["x-MiXeD: caf\u{c3}\u{a9} \u{ff}\r\n"]),
            passed(
                "Server and Date",
                section,
                200,
                "ok",
                &with(b"Server: api/1\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT"),
            )
            .has(&["Server: api/1\r\n", "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"]),
            passed(
                "a challenge",
                "RFC 9110 §11.6.1",
                401,
                "no",
                b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a, b\"\r\nContent-Length: 2\r\n\r\nno",
            )
            .has(&["WWW-Authenticate: Basic realm=\"a, b\"\r\n"]),
            passed(
                "a redirection",
                "RFC 9110 §15.4",
                302,
                "",
                b"HTTP/1.1 302 Found\r\nLocation: /base/y\r\nContent-Length: 0\r\n\r\n",
            )
            .has(&["Location: /base/y\r\n"]),
        ],
    );
}

fn too_much(driver: &str) {
    let long = [b"X-A: ".as_slice(), &b"x".repeat(70 * 1024)].concat();
    let many = b"X-A: b\r\n".repeat(300);
    run(
        driver,
        &[
            refused("a head of 70 KiB", "RFC 9110 §5.4", &with(&long)).closes(),
            refused("300 fields", "RFC 9110 §5.4", &with(many.trim_ascii_end())).closes(),
        ],
    );
}

/// RFC 9110 §6.6.1: a recipient that forwards an answer without `Date` adds it; it never sends two.
fn a_missing_date_is_added(driver: &str) {
    let api = Api::start(|exchange| {
        let date = exchange.path().ends_with("dated");
        let date: &[u8] = if date { b"date: Tue, 15 Nov 1994 08:12:31 GMT" } else { b"X-A: b" };
        exchange.send(&with(date));
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    assert_eq!(gateway.get("/crm/dated").head.one("date"), "Tue, 15 Nov 1994 08:12:31 GMT");
    let added = gateway.get("/crm/plain");
    let date = added.head.one("date");
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(shape.ends_with("00:00:00 GMT") && date.len() == 29 && &date[3..5] == ", ", "{date:?}");
}
