//! RFC 9110 §7.6.1: which fields of a request reach the API.

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, KEY, TOKEN, api::Seen, message::latin, request},
};

both_drivers!(
    end_to_end_ones_in_order,
    one_hop_ones_never,
    nominated_ones_never,
    what_the_gateway_sets_cannot_be_nominated,
    credentials_never,
    te_is_made_anew,
    via_is_extended,
    trailers,
    framing_as_it_came,
    options_of_a_hop_are_bounded,
);

/// Names that the gateway sets.
const OURS: [&str; 10] = [
    "host",
    "authorization",
    "via",
    "x-request-id",
    "x-credential-id",
    "x-consumer-id",
    "x-consumer-legacy-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
];

/// What the API sees of a GET with these lines.
#[track_caller]
fn seen(gateway: &Gateway, api: &Api, lines: &str) -> Seen {
    let answer = gateway.ask(&request("GET", "/crm/x", lines, b""));
    assert_eq!(answer.status, 200, "{}", answer.text());
    api.only()
}

fn end_to_end_ones_in_order(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let lines = [
        "aCCept: */*",
        "Cookie: a=1",
        "X-Repeated: 1",
        "User-Agent: test/1 (x; y)",
        "x-repeated: 2",
        "Cookie: b=2",
        "If-None-Match: \"a\", \"b\"",
        "Range: bytes=0-1",
        "Content-Type: text/plain",
        "X-Repeated: 1",
        "Origin: https://a.example",
    ];
    let seen = seen(&gateway, &api, &(lines.join("\r\n") + "\r\n"));
    let text = latin(&seen.head.raw);
    let others: Vec<_> = text
        .trim_end()
        .split("\r\n")
        .skip(1)
        .filter(|line| {
            !OURS.contains(&line.split(':').next().unwrap_or_default().to_ascii_lowercase().as_str())
        })
        .collect();
    assert_eq!(others, lines);
    for name in OURS {
        seen.head.one(name);
    }
}

fn one_hop_ones_never(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for line in [
        "Connection: keep-alive",
        "Connection: x-a",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "Upgrade: websocket",
        "Proxy-Authorization: Basic eDp5",
        "TE: gzip",
        "tE: deflate;q=0.5",
        "KEEP-ALIVE: 1",
    ] {
        let seen = seen(&gateway, &api, &format!("{line}\r\n"));
        let name = line.split(':').next().unwrap_or_default();
        assert!(!seen.head.has(name), "{line} in {:#?}", seen.head);
    }
    let h2c = seen(
        &gateway,
        &api,
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    );
    for name in ["connection", "upgrade", "http2-settings"] {
        assert!(!h2c.head.has(name), "RFC 9113 §3.1: {:#?}", h2c.head);
    }
}

fn nominated_ones_never(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for lines in [
        "Connection: X-Foo\r\nX-Foo: 1\r\n",
        "X-Foo: 1\r\nConnection: x-foo\r\n",
        "X-Foo: 1\r\nConnection: keep-alive, x-FOO\r\nx-foo: 2\r\n",
        "Connection: keep-alive\r\nX-Foo: 1\r\nConnection: ,x-foo ,\r\n",
        "Connection:\tx-bar\t,\tx-foo\t\r\nX-Foo: 1\r\n",
    ] {
        let seen = seen(&gateway, &api, &format!("{lines}X-Stays: 1\r\n"));
        assert!(!seen.head.has("x-foo"), "{lines:?}: {:#?}", seen.head);
        assert_eq!(seen.head.one("x-stays"), "1");
    }
}

/// A caller must not be able to take away what the API relies on.
fn what_the_gateway_sets_cannot_be_nominated(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for name in OURS {
        let seen = seen(&gateway, &api, &format!("Connection: {name}\r\n"));
        assert!(!seen.head.one(name).is_empty(), "{name}");
    }
    let all = seen(&gateway, &api, &format!("Connection: {}\r\n", OURS.join(", ")));
    assert_eq!(all.head.one("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(all.head.one("x-consumer-id"), "payments");
}

/// What stands in a configured location is removed, verified or not.
fn credentials_never(driver: &str) {
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &Config::to(&api));
    gateway.keep_secret("another-secret");
    for lines in [
        format!("X-API-Key: {KEY}\r\n"),
        format!("Authorization: Bearer {KEY}\r\n"),
        format!("Authorization: Bearer {KEY}\r\nX-API-Key: {KEY}\r\n"),
        format!("X-API-Key: {KEY}\r\nAuthorization: Bearer another-secret\r\n"),
        format!("X-API-Key: {KEY}\r\nAuthorization: Basic another-secret\r\n"),
        format!("X-API-Key: {KEY}\r\nX-API-KEY: {KEY}\r\n"),
    ] {
        let answer = gateway.ask(format!("GET /crm/x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n").as_bytes());
        assert_eq!(answer.status, 200, "{lines:?}: {}", answer.text());
        let text = latin(&api.only().head.raw);
        assert!(!text.contains(KEY) && !text.contains("another-secret"), "{text}");
        assert!(!text.to_ascii_lowercase().contains("x-api-key"), "{text}");
        assert_eq!(text.matches(TOKEN).count(), 1, "{text}");
    }
}

fn te_is_made_anew(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for lines in
        ["Connection: TE\r\nTE: trailers\r\n", "TE: gzip, trailers\r\nConnection: te\r\n", "TE: trailers\r\n"]
    {
        let seen = seen(&gateway, &api, lines);
        let te = seen.head.all("te");
        assert!(te.is_empty() || te == ["trailers"], "RFC 9110 §10.1.4: {:#?}", seen.head);
        assert_eq!(te.is_empty(), !seen.head.lists("connection", "te"), "{:#?}", seen.head);
    }
}

fn via_is_extended(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (lines, expected) in [
        ("", "1.1 keyferry"),
        ("Via: 1.0 fred\r\n", "1.0 fred, 1.1 keyferry"),
        ("Via: 1.0 fred, 1.1 p.example (x)\r\n", "1.0 fred, 1.1 p.example (x), 1.1 keyferry"),
        ("Via: 1.0 fred\r\nvia: 1.1 jane\r\n", "1.0 fred, 1.1 jane, 1.1 keyferry"),
    ] {
        let seen = seen(&gateway, &api, lines);
        assert_eq!(seen.head.all("via").join(", "), expected, "RFC 9110 §7.6.3");
    }
}

fn trailers(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let body = "5\r\nhello\r\n0\r\nX-Sum: 5d41\r\nX-Consumer-Id: forged\r\nx_credential_id: forged\r\n\
                Forwarded: for=forged\r\nX-API-Key: forged\r\nAuthorization: forged\r\n\
                Connection: x-consumer-id\r\n\r\n";
    let answer = gateway.ask(&request(
        "POST",
        "/crm/x",
        "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
        body.as_bytes(),
    ));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = api.only();
    let body = seen.body.expect("it was read");
    assert_eq!(latin(&body.bytes), "hello");
    assert_eq!(body.trailers, [("X-Sum".to_string(), "5d41".to_string())]);
    assert_eq!(seen.head.one("x-consumer-id"), "payments");
}

/// RFC 9112 §6: what came with a length goes on with it, what came in chunks goes on in chunks.
fn framing_as_it_came(driver: &str) {
    let api = Api::echo();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let rows: [(&str, &str, &str, Option<&str>); 6] = [
        ("GET", "", "", None),
        ("POST", "", "", None),
        ("POST", "Content-Length: 0\r\n", "", Some("0")),
        ("PUT", "Content-Length: 5\r\n", "hello", Some("5")),
        ("DELETE", "Content-Length: 5\r\n", "hello", Some("5")),
        ("POST", "Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", None),
    ];
    for (method, lines, body, length) in rows {
        let answer = gateway.ask(&request(method, "/crm/x", lines, body.as_bytes()));
        let head = api.only().head;
        assert_eq!(answer.text(), if body.is_empty() { "" } else { "hello" }, "{method} {lines:?}");
        assert_eq!(head.all("content-length"), Vec::from_iter(length), "{method} {lines:?}");
        let chunked = lines.contains("chunked");
        assert_eq!(
            head.all("transfer-encoding"),
            if chunked { vec!["chunked"] } else { vec![] },
            "{method} {lines:?}"
        );
    }
}

/// RFC 9110 §7.6.1: each option has to be held against each field, so there is a bound on their number.
fn options_of_a_hop_are_bounded(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let options =
        |range: std::ops::Range<usize>| range.map(|n| format!("x-{n}")).collect::<Vec<_>>().join(", ");
    let one_line = |count| format!("Connection: {}\r\nx-0: a\r\nx-31: b\r\n", options(0..count));
    let two_lines =
        |count| format!("Connection: {}\r\nConnection: {}\r\n", options(0..16), options(16..count));
    for lines in [one_line(32), two_lines(32)] {
        let head = seen(&gateway, &api, &lines).head;
        assert!(!head.has("x-0") && !head.has("x-31") && !head.lists("connection", "x-0"), "{head:#?}");
    }
    for lines in [one_line(33), two_lines(33), one_line(1000)] {
        gateway.ask(&request("GET", "/crm/x", &lines, b"")).refused(400, "field-invalid");
    }
    assert_eq!(api.count(), 0);
}
