//! What a listener with TLS does before the handshake, and what of it is seen behind it.

use std::{
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    thread,
};

use crate::{
    both_drivers,
    common::{Api, Caller, Config, Gateway, PATIENCE, eventually, get, request, tls},
    listeners::v2,
};

both_drivers!(
    a_proxy_header_comes_before_the_handshake,
    what_follows_the_header_must_be_a_handshake,
    too_many_are_closed_without_words,
    addresses_are_counted_as_headers_name_them,
    the_scheme_is_that_of_the_caller,
    a_unix_socket_may_speak_tls,
);

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\n";

fn with(api: &Api, listener: &str) -> Config {
    Config { listener: format!("{listener}\n{}", tls::LISTENER), ..Config::to(api) }
}

fn introduced(api: &Api) -> Config {
    with(api, "proxy_protocol = { from = [\"127.0.0.0/8\"] }")
}

#[track_caller]
fn secure(address: SocketAddr) -> Caller {
    Caller::behind(address, b"", false).expect("a handshake")
}

/// Closed before there was a handshake, and nothing was said.
#[track_caller]
fn closed_without_words(address: SocketAddr) {
    let mut caller = Caller::to_plain(address).expect("it listens");
    caller.closed();
}

fn a_proxy_header_comes_before_the_handshake(driver: &str) {
    let api = Api::plain();
    let config = Config {
        proxy: "[[proxy.rule]]\neffect = \"deny\"\nsource = [\"198.51.100.0/24\"]".into(),
        more: "[access_log]\npath = \"access.jsonl\"".into(),
        ..introduced(&api)
    };
    let gateway = Gateway::start(driver, &config);
    let v4 = [192, 0, 2, 9, 127, 0, 0, 1, 0, 1, 0, 2];
    // As long as they come: what follows finds little room beside it.
    let long = [&v4[..], &[4, 1, 244], &[0; 500]].concat();
    for (header, address) in [
        (V1.to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 51234 443\r\n".to_vec(), "2001:db8::7"),
        (v2(0x21, 0x11, &v4), "192.0.2.9"),
        (v2(0x21, 0x11, &long), "192.0.2.9"),
        (v2(0x20, 0x00, b""), "127.0.0.1"),
    ] {
        for bytewise in [false, true] {
            let mut caller = Caller::behind(gateway.address(), &header, bytewise).expect("a handshake");
            for _ in 0..2 {
                caller.send(&get("/crm/x"));
                assert_eq!(caller.answer().status, 200);
                let head = api.only().head;
                let found = ["x-forwarded-for", "x-forwarded-proto"].map(|name| head.one(name));
                assert_eq!(found, [address, "https"], "bytewise: {bytewise}");
            }
        }
        // The header alone, and the handshake a moment later.
        let mut caller = Caller::to_plain(gateway.address()).expect("it listens");
        caller.send_slowly(&[&header]);
        caller.wire.secure(b"", false).expect("a handshake");
        caller.send(&get("/crm/x"));
        assert_eq!(caller.answer().status, 200);
        assert_eq!(api.only().head.one("x-forwarded-for"), address);
    }
    let denied = b"PROXY TCP4 198.51.100.7 192.0.2.1 51234 443\r\n";
    let mut caller = Caller::behind(gateway.address(), denied, false).expect("a handshake");
    caller.send(&get("/crm/x"));
    caller.answer().refused(403, "rule");
    eventually("the log names it", || {
        std::fs::read_to_string(gateway.file("access.jsonl"))
            .is_ok_and(|text| text.contains("\"source\":\"198.51.100.7\""))
    });
}

fn what_follows_the_header_must_be_a_handshake(driver: &str) {
    let api = Api::plain();
    let config = Config { timeouts: "head = \"500ms\"".into(), ..introduced(&api) };
    let gateway = Gateway::start(driver, &config);
    // Somebody who only looks whether it listens has asked for nothing, with a header or without.
    for words in [&b""[..], V1] {
        let mut caller = Caller::to_plain(gateway.address()).expect("it listens");
        caller.send(words);
        caller.wire.finish();
        caller.closed();
    }
    assert!(Caller::behind(gateway.address(), b"", false).is_err(), "no header");
    eventually("it is counted", || gateway.outcomes("proxy-header-invalid") == 1);
    // A request in plain text is answered in plain text.
    let mut caller = Caller::to_plain(gateway.address()).expect("it listens");
    caller.send(&[V1, &get("/crm/x")].concat());
    caller.answer().refused(400, "tls-expected");
    caller.closed();
    // A handshake that stops after its first bytes, which came with the header.
    let mut caller = Caller::to_plain(gateway.address()).expect("it listens");
    caller.send(&[V1, &[22, 3, 1, 1, 0, 1]].concat());
    caller.closed();
    eventually("they are counted", || gateway.outcomes("tls-handshake") == 1);
    assert_eq!(api.count(), 0);
}

fn too_many_are_closed_without_words(driver: &str) {
    let api = Api::plain();
    let limits = [("connections_per_address = 1", "address-crowded"), ("connections = 1", "overloaded")];
    for (limits, word) in limits {
        let gateway = Gateway::start(driver, &Config { limits: limits.into(), ..with(&api, "") });
        let mut first = secure(gateway.address());
        first.still_served();
        closed_without_words(gateway.address());
        eventually("it is counted", || gateway.outcomes(word) == 1);
        first.still_served();
        drop(first);
        let mut next = None;
        eventually("there is room again", || {
            next = Caller::behind(gateway.address(), b"", false).ok();
            next.is_some()
        });
        drop(next);
        // One whose handshake has not begun is counted as well, and no more once that has failed.
        let mut silent = None;
        eventually("there is room again", || {
            silent = Caller::to_plain(gateway.address()).ok();
            let refused = gateway.outcomes(word);
            closed_without_words(gateway.address());
            gateway.outcomes(word) == refused + 1 && silent.as_mut().is_some_and(is_open)
        });
        if let Some(silent) = &mut silent {
            silent.send(b"GET / HTTP/1.1\r\n\r\n");
            silent.wire.rest();
        }
        eventually("there is room again", || {
            Caller::behind(gateway.address(), b"", false).is_ok_and(|mut caller| {
                caller.still_served();
                true
            })
        });
    }
}

fn is_open(caller: &mut Caller) -> bool {
    caller.wire.look(std::time::Duration::from_millis(1))
}

fn addresses_are_counted_as_headers_name_them(driver: &str) {
    let api = Api::plain();
    let config = Config { limits: "connections_per_address = 1".into(), ..introduced(&api) };
    let gateway = Gateway::start(driver, &config);
    let connect = |address: &str| {
        let header = format!("PROXY TCP6 {address} ::1 1 2\r\n");
        Caller::behind(gateway.address(), header.as_bytes(), false)
    };
    let mut first = connect("2001:db8::1").expect("a handshake");
    assert!(connect("2001:db8::2").is_err(), "the same /64");
    let mut other = connect("2001:db8:0:1::1").expect("a handshake");
    eventually("it is counted", || gateway.outcomes("address-crowded") == 1);
    first.still_served();
    other.still_served();
}

fn the_scheme_is_that_of_the_caller(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &with(&api, "trusted_proxies = [\"127.0.0.0/8\"]"));
    for (lines, scheme) in [
        ("", "https"),
        ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n", "http"),
        ("Forwarded: for=192.0.2.7;proto=http\r\n", "https"),
    ] {
        let mut caller = secure(gateway.address());
        caller.send(&request("GET", "/crm/x", lines, b""));
        assert_eq!(caller.answer().status, 200);
        assert_eq!(api.only().head.one("x-forwarded-proto"), scheme, "{lines}");
    }
    // At once: each has a handshake of its own, and all are served.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| secure(gateway.address()).still_served());
        }
    });
}

fn a_unix_socket_may_speak_tls(driver: &str) {
    let api = Api::plain();
    let config = Config {
        listeners: vec!["unix:callers.sock".into()],
        ..with(&api, "proxy_protocol = { from = [\"unix\"] }")
    };
    let gateway = Gateway::start(driver, &config);
    let socket = UnixStream::connect(gateway.file("callers.sock")).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    let stream = TcpStream::from(OwnedFd::from(socket)); // a stream is a stream
    let session = tls::Tls::connect_behind(&stream, V1, false).expect("a handshake");
    session.write_all(&stream, &get("/crm/x")).expect("it is open");
    let mut piece = [0; 4096];
    let count = session.read(&stream, &mut piece).expect("an answer");
    assert!(piece[..count].starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&piece[..count]));
    let head = api.only().head;
    assert_eq!([head.one("x-forwarded-for"), head.one("x-forwarded-proto")], ["192.0.2.7", "https"]);
}
