//! What a listener does before requests are judged: PROXY headers, trusted proxies, connections by address, redirects.

use crate::{
    both_drivers,
    common::{Api, Caller, Config, Gateway, api::Seen, eventually, get, request, tls},
};

both_drivers!(
    a_proxy_header_names_the_caller,
    a_proxy_header_is_required,
    nobody_else_may_send_one,
    trusted_proxies_name_the_caller,
    the_header_that_is_named_is_believed,
    untrusted_ones_are_not_believed,
    nothing_stands_in_for_a_caller_that_is_not_told,
    connections_of_an_address,
    connections_behind_a_proxy_header,
    connections_of_proxies,
    redirects,
    redirects_behind_a_proxy,
);

const FROM_HERE: &str = "proxy_protocol = { from = [\"127.0.0.0/8\"] }";

fn with(api: &Api, listener: &str) -> Config {
    Config { listener: listener.into(), ..Config::to(api) }
}

fn seen(gateway: &Gateway, api: &Api, bytes: &[u8]) -> Seen {
    let answer = gateway.ask(bytes);
    assert_eq!(answer.status, 200, "{}", answer.text());
    api.only()
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

pub fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, content].concat()
}

fn a_proxy_header_names_the_caller(driver: &str) {
    if tls::is_on() {
        return; // it comes before TLS: see `listeners_tls`
    }
    let api = Api::plain();
    let config = Config {
        proxy: "[[proxy.rule]]\neffect = \"deny\"\nsource = [\"198.51.100.0/24\"]".into(),
        more: "[access_log]\npath = \"access.jsonl\"".into(),
        ..with(&api, FROM_HERE)
    };
    let gateway = Gateway::start(driver, &config);
    let v4 = [&[192, 0, 2, 9, 127, 0, 0, 1, 0, 1, 0, 2][..], &[4, 0, 1, 0]].concat();
    for (header, address) in [
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 51234 443\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, 0x11, &v4), "192.0.2.9"),
        (v2(0x20, 0x00, b""), "127.0.0.1"),
    ] {
        let whole = [&header[..], &get("/crm/x")].concat();
        assert_eq!(seen(&gateway, &api, &whole).head.one("x-forwarded-for"), address);
        // In pieces, and with a second request behind.
        let mut caller = gateway.connect();
        caller.send_bytewise(&header);
        for _ in 0..2 {
            caller.send(&get("/crm/x"));
            assert_eq!(caller.answer().status, 200);
            assert_eq!(api.only().head.one("x-forwarded-for"), address);
        }
    }
    let denied = [b"PROXY TCP4 198.51.100.7 192.0.2.1 51234 443\r\n".as_slice(), &get("/crm/x")].concat();
    gateway.ask(&denied).refused(403, "rule");
    eventually("the log names it", || {
        std::fs::read_to_string(gateway.file("access.jsonl"))
            .is_ok_and(|text| text.contains("\"source\":\"198.51.100.7\""))
    });
}

fn a_proxy_header_is_required(driver: &str) {
    if tls::is_on() {
        return; // it comes before TLS: see `listeners_tls`
    }
    let api = Api::plain();
    let config = Config { timeouts: "head = \"500ms\"".into(), ..with(&api, FROM_HERE) };
    let gateway = Gateway::start(driver, &config);
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    let large = v2(0x21, 0x11, &[0; 4000]);
    let wrong = [get("/crm/x"), b"\x16\x03\x01".to_vec(), long, large];
    for (count, bytes) in wrong.iter().enumerate() {
        let mut caller = gateway.connect();
        caller.send(bytes);
        caller.closed();
        eventually("it is counted", || gateway.outcomes("proxy-header-invalid") == count as u64 + 1);
    }
    let mut slow = gateway.connect();
    slow.send(b"PROXY TCP4 ");
    slow.closed_in_order();
    eventually("it is counted", || gateway.outcomes("proxy-header-timeout") == 1);
    let mut cut = gateway.connect();
    cut.send(b"PROXY TCP4 ");
    cut.wire.finish();
    cut.closed_in_order();
    eventually("it is counted", || gateway.outcomes("proxy-header-invalid") == 5);
    assert_eq!(api.count(), 0);
}

fn nobody_else_may_send_one(driver: &str) {
    if tls::is_on() {
        return; // it comes before TLS: see `listeners_tls`
    }
    let api = Api::plain();
    let gateway = Gateway::start(driver, &with(&api, "proxy_protocol = { from = [\"192.0.2.0/24\"] }"));
    let mut caller = gateway.connect();
    caller.send(&[b"PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\n".as_slice(), &get("/crm/x")].concat());
    caller.closed();
    eventually("it is counted", || gateway.outcomes("proxy-sender-unknown") == 1);
    assert_eq!(api.count(), 0);
    // Where no header is expected, it is no request.
    let gateway = Gateway::start(driver, &Config::to(&api));
    let answer = gateway.ask(&[b"PROXY UNKNOWN\r\n".as_slice(), &get("/crm/x")].concat());
    assert_eq!(answer.status, 400);
}

fn trusted_proxies_name_the_caller(driver: &str) {
    let api = Api::plain();
    let config = Config {
        proxy: "[[proxy.rule]]\neffect = \"deny\"\nsource = [\"198.51.100.0/24\"]".into(),
        ..with(&api, "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]")
    };
    let gateway = Gateway::start(driver, &config);
    let own = if tls::is_on() { "https" } else { "http" };
    for (lines, expected) in [
        ("", ["127.0.0.1", own, "gw.example"]),
        ("X-Forwarded-For: 9.9.9.9, 192.0.2.7, 10.0.0.1\r\n", ["192.0.2.7", own, "gw.example"]),
        (
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n",
            ["192.0.2.7", "https", "a.example"],
        ),
        (
            "X-Forwarded-For: nonsense, 192.0.2.7\r\nX-Forwarded-Proto: x\r\n",
            ["192.0.2.7", own, "gw.example"],
        ),
        // Load balancers pass it on as their caller wrote it.
        (
            "Forwarded: for=10.9.9.9;proto=https;host=evil.example\r\nX-Forwarded-For: 192.0.2.7\r\n",
            ["192.0.2.7", own, "gw.example"],
        ),
        ("Forwarded: for=192.0.2.8;proto=https\r\n", ["127.0.0.1", own, "gw.example"]),
    ] {
        told(&gateway, &api, lines, expected);
    }
    let denied = request("GET", "/crm/x", "X-Forwarded-For: 198.51.100.9, 10.1.1.1\r\n", b"");
    gateway.ask(&denied).refused(403, "rule");
}

/// The API gets to know what these lines say of the caller, in one field each.
#[track_caller]
fn told(gateway: &Gateway, api: &Api, lines: &str, expected: [&str; 3]) {
    let head = seen(gateway, api, &request("GET", "/crm/x", lines, b"")).head;
    let found = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| head.one(name));
    assert_eq!(found, expected, "{lines}");
    assert!(!head.has("forwarded"), "{head:#?}");
}

fn the_header_that_is_named_is_believed(driver: &str) {
    let api = Api::plain();
    let listener = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\ntrusted_header = \"forwarded\"";
    let gateway = Gateway::start(driver, &with(&api, listener));
    let own = if tls::is_on() { "https" } else { "http" };
    let x = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n";
    for (list, expected) in [
        (
            "Forwarded: for=9.9.9.9, for=192.0.2.8;proto=https;host=b.example, for=10.0.0.1\r\n",
            ["192.0.2.8", "https", "b.example"],
        ),
        ("Forwarded: for=\"[2001:db8::7]:1\"\r\n", ["2001:db8::7", own, "gw.example"]),
        ("", ["127.0.0.1", own, "gw.example"]),
    ] {
        told(&gateway, &api, &format!("{x}{list}"), expected);
    }
}

fn nothing_stands_in_for_a_caller_that_is_not_told(driver: &str) {
    let api = Api::plain();
    let rules = "default_rule_effect = \"deny\"\n\
                 [[proxy.rule]]\neffect = \"allow\"\npath = \"^/x\"\n\
                 [[proxy.rule]]\neffect = \"allow\"\npath = \"^/inside\"\nsource = [\"127.0.0.0/8\"]\n\
                 [[proxy.rule]]\neffect = \"deny\"\npath = \"^/x/denied\"\nsource = [\"198.51.100.0/24\"]";
    for (header, hidden, unreadable) in [
        ("x-forwarded-for", "X-Forwarded-For: 1.1.1.1, unknown\r\n", "X-Forwarded-For: 1.1.1.1, unix:\r\n"),
        (
            "forwarded",
            "Forwarded: for=1.1.1.1, for=_hidden\r\n",
            "Forwarded: for=1.1.1.1;x=\", for=9.9.9.9\r\n",
        ),
    ] {
        let listener = format!("trusted_proxies = [\"127.0.0.0/8\"]\ntrusted_header = \"{header}\"");
        let config = Config {
            proxy: rules.into(),
            more: "[access_log]\npath = \"access.jsonl\"".into(),
            ..with(&api, &listener)
        };
        let gateway = Gateway::start(driver, &config);
        let mut caller = gateway.connect();
        let mut ask = |path: &str, lines: &str| {
            caller.send(&request("POST", path, &format!("{lines}Content-Length: 2\r\n"), b"ab"));
            caller.answer()
        };
        assert_eq!(ask("/crm/x", hidden).status, 200);
        assert_eq!(api.only().head.one("x-forwarded-for"), "unknown");
        assert_eq!(ask("/crm/inside", "").status, 200, "the proxy itself");
        assert_eq!(api.only().head.one("x-forwarded-for"), "127.0.0.1");
        ask("/crm/inside", hidden).refused(403, "rule");
        ask("/crm/x/denied", hidden).refused(403, "rule");
        let refused = ask("/crm/x", unreadable);
        refused.refused(400, "forwarded-invalid");
        assert!(!refused.closes(), "the proxy's connection is not its caller's to close");
        assert_eq!(api.count(), 0);
        eventually("the log says so", || {
            std::fs::read_to_string(gateway.file("access.jsonl")).is_ok_and(|text| {
                text.contains("\"source\":\"unknown\"") && text.contains("\"reason\":\"forwarded-invalid\"")
            })
        });
    }
}

fn untrusted_ones_are_not_believed(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &with(&api, "trusted_proxies = [\"10.0.0.0/8\", \"unix\"]"));
    let lines = "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7;proto=https\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n";
    let head = seen(&gateway, &api, &request("GET", "/crm/x", lines, b"")).head;
    let found = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| head.one(name));
    let own = if tls::is_on() { "https" } else { "http" };
    assert_eq!(found, ["127.0.0.1", own, "gw.example"]);
    assert!(!head.has("forwarded"), "{head:#?}");
}

fn connections_of_an_address(driver: &str) {
    if tls::is_on() {
        return; // nothing is said then: see `listeners_tls`
    }
    let api = Api::plain();
    let config = Config { limits: "connections_per_address = 3".into(), shards: 2, ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    let mut callers: Vec<Caller> = (0..3).map(|_| gateway.connect()).collect();
    callers.iter_mut().for_each(Caller::still_served);
    let mut more = gateway.connect();
    more.send(&get("/crm/x"));
    more.answer().refused(503, "address-crowded");
    more.closed();
    drop(callers.pop());
    eventually("there is room again", || {
        let mut caller = gateway.connect();
        caller.send(&get("/crm/x"));
        caller.answer().status == 200
    });
}

fn connections_behind_a_proxy_header(driver: &str) {
    if tls::is_on() {
        return; // it comes before TLS: see `listeners_tls`
    }
    let api = Api::plain();
    let config = Config { limits: "connections_per_address = 1".into(), ..with(&api, FROM_HERE) };
    let gateway = Gateway::start(driver, &config);
    let ask = |address: &str| {
        let mut caller = gateway.connect();
        let header = format!("PROXY TCP6 {address} ::1 1 2\r\n");
        caller.send(&[header.as_bytes(), &get("/crm/x")].concat());
        let status = caller.answer().status;
        (caller, status)
    };
    let (_first, status) = ask("2001:db8::1");
    assert_eq!(status, 200);
    assert_eq!(ask("2001:db8::2").1, 503, "the same /64");
    assert_eq!(ask("2001:db8:0:1::1").1, 200);
    eventually("it is counted", || gateway.outcomes("address-crowded") == 1);
}

fn connections_of_proxies(driver: &str) {
    if tls::is_on() {
        return; // nothing is said then: see `listeners_tls`
    }
    let api = Api::plain();
    let bound = |listener: &str| Config {
        limits: "connections_per_address = 1".into(),
        shards: 2,
        ..with(&api, listener)
    };
    // A proxy that is trusted.
    let gateway = Gateway::start(driver, &bound("trusted_proxies = [\"127.0.0.0/8\"]"));
    let mut callers: Vec<Caller> = (0..4).map(|_| gateway.connect()).collect();
    callers.iter_mut().for_each(Caller::still_served);
    // One that sends a header which names nobody, or another proxy that is trusted.
    let introduced = format!("{FROM_HERE}\ntrusted_proxies = [\"192.0.2.0/24\"]");
    let gateway = Gateway::start(driver, &bound(&introduced));
    let mut callers = Vec::new();
    let named = b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n".to_vec();
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0x00, b""), v2(0x21, 0x31, &[b'/'; 216]), named] {
        for _ in 0..2 {
            let mut caller = gateway.connect();
            caller.send(&[&header[..], &get("/crm/x")].concat());
            assert_eq!(caller.answer().status, 200);
            callers.push(caller);
        }
    }
    let stranger = [b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".as_slice(), &get("/crm/x")].concat();
    let mut first = gateway.connect();
    first.send(&stranger);
    assert_eq!(first.answer().status, 200, "none of those before counts here");
    gateway.ask(&stranger).refused(503, "address-crowded");
}

fn redirects_behind_a_proxy(driver: &str) {
    if tls::is_on() {
        return; // there is nothing to redirect from
    }
    let api = Api::plain();
    let trusting = |redirect: &str| {
        with(&api, &format!("trusted_proxies = [\"127.0.0.0/8\"]\nredirect = \"{redirect}\""))
    };
    let gateway = Gateway::start(driver, &trusting("https"));
    let mut caller = gateway.connect();
    let mut ask = |proto: &str, host: &str| {
        let lines =
            format!("X-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: {host}\r\nContent-Length: 2\r\n");
        caller.send(&request("POST", "/crm/x", &lines, b"ab"));
        caller.answer()
    };
    assert_eq!(ask("http", "a.example:8080").head.one("location"), "https://a.example/crm/x");
    let looping = ask("https", "a.example");
    looping.refused(421, "redirect-loop");
    assert!(!looping.closes());
    assert_eq!(ask("http", "a.example").status, 308, "it is served on");
    gateway.ask(&request("GET", "/", "X-Forwarded-For: x\r\n", b"")).refused(400, "forwarded-invalid");
    let gateway = Gateway::start(driver, &trusting("https://api.example"));
    let ask = |proto: &str, host: &str| {
        let lines = format!("X-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: {host}\r\n");
        gateway.ask(&request("GET", "/crm/x", &lines, b""))
    };
    assert_eq!(ask("https", "old.example").head.one("location"), "https://api.example/crm/x");
    assert_eq!(ask("http", "api.example").head.one("location"), "https://api.example/crm/x");
    ask("https", "API.example:443").refused(421, "redirect-loop");
    // Whom nobody trusts cannot say so.
    let gateway = Gateway::start(driver, &with(&api, "redirect = \"https\""));
    let answer =
        gateway.ask(&request("GET", "/", "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n", b""));
    assert_eq!((answer.status, answer.head.one("location")), (308, "https://gw.example/"));
    assert_eq!(api.count(), 0);
}

fn redirects(driver: &str) {
    if tls::is_on() {
        return; // there is nothing to redirect from
    }
    let api = Api::plain();
    let gateway = Gateway::start(driver, &with(&api, "redirect = \"https\""));
    let mut caller = gateway.connect();
    for (host, target, location) in [
        ("a.example", "/crm/x?y=%0d%0a", "https://a.example/crm/x?y=%0d%0a"),
        ("a.example:8080", "/", "https://a.example/"),
        ("[::1]:80", "/../x", "https://[::1]/../x"),
        ("a.example", "http://a.example/z", "https://a.example/z"),
    ] {
        caller.send(
            format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nab").as_bytes(),
        );
        let answer = caller.answer();
        assert_eq!((answer.status, answer.head.one("location")), (308, location));
        assert!(!answer.closes());
    }
    let long = format!("/{}", "x".repeat(8000));
    caller.send(&get(&long));
    assert_eq!(caller.answer().head.one("location"), format!("https://gw.example{long}"));
    assert_eq!(gateway.outcomes("redirected"), 5);
    gateway.ask(b"GET / HTTP/1.0\r\n\r\n").refused(400, "host-invalid");
    gateway.ask(b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n").refused(400, "field-invalid");
    assert_eq!(api.count(), 0);
    let gateway = Gateway::start(driver, &with(&api, "redirect = \"https://api.example:8443\""));
    let answer = gateway.ask(&get("/crm/x"));
    assert_eq!((answer.status, answer.head.one("location")), (308, "https://api.example:8443/crm/x"));
    assert_eq!(api.count(), 0);
}
