//! RFC 9110 §7.8 and RFC 6455: an upgrade that is listed becomes a tunnel; any other is a plain request.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and reads the clock")]

mod common;

use std::{sync::Arc, thread, time::Duration};

use common::{
    Api, Caller, Config, Exchange, Gateway, KEY, TOKEN, Then, beside_a_bystander, eventually, get,
    message::latin, pause, request, wire::End,
};

both_drivers!(
    frames_go_both_ways,
    bytes_behind_either_head_are_not_lost,
    each_side_ends_in_its_own_time,
    a_reset_ends_both_sides,
    many_bytes_both_ways_at_once,
    refused_by_the_api,
    what_is_not_listed_is_a_plain_request,
    a_plain_answer_leaves_no_tunnel,
    an_answer_that_nobody_asked_for,
    without_a_key_nothing_is_tunnelled,
    idle_ones_survive,
    idle_ones_end_in_time,
    none_lasts_longer_than_its_time,
    a_drain_ends_them,
);

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// "Hello", masked (RFC 6455 §5.7).
const MASKED: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// "Hello", unmasked (RFC 6455 §5.7).
const UNMASKED: &[u8] = b"\x81\x05Hello";

fn listed(api: &Api) -> Config {
    Config { proxy: "upgrades = [\"websocket\"]".into(), ..Config::to(api) }
}

/// Switches when it is asked to, and goes on with `tunnel`; answers anything else plainly.
fn switching(tunnel: impl Fn(&mut Exchange<'_>) -> Then + Send + Sync + 'static) -> Api {
    Api::start(move |exchange| {
        if !exchange.head.has("upgrade") {
            return exchange.ok("plain");
        }
        exchange.send(SWITCHING);
        tunnel(exchange)
    })
}

/// Sends back what it gets, until the caller has ended its side.
fn echo(exchange: &mut Exchange<'_>) -> Then {
    let wire = &mut exchange.wire;
    loop {
        let bytes = std::mem::take(&mut wire.buffer);
        if !bytes.is_empty() && wire.send(&bytes).is_err() {
            return Then::Close;
        }
        let open = wire.look(Duration::from_secs(30));
        if !open && wire.buffer.is_empty() {
            return Then::Close;
        }
    }
}

/// A caller whose connection is a tunnel.
#[track_caller]
fn tunnel(gateway: &Gateway) -> Caller {
    let mut caller = gateway.connect();
    caller.send(&request("GET", "/crm/ws", UPGRADE, b""));
    switched(&mut caller);
    caller
}

#[track_caller]
fn switched(caller: &mut Caller) {
    let answer = caller.next();
    assert_eq!(answer.status, 101, "{}", answer.text());
}

#[track_caller]
fn echoes(caller: &mut Caller, bytes: &[u8]) {
    caller.send(bytes);
    assert_eq!(latin(&caller.wire.take(bytes.len())), latin(bytes));
}

fn frames_go_both_ways(driver: &str) {
    let api = switching(|exchange| {
        while exchange.wire.take(MASKED.len()) == MASKED {
            exchange.send(UNMASKED);
        }
        Then::Close
    });
    let gateway = Gateway::start(driver, &listed(&api));
    let mut caller = gateway.connect();
    caller.send(&request("GET", "/crm/ws?room=1", UPGRADE, b""));
    let answer = caller.next();
    assert_eq!(answer.head.line, "HTTP/1.1 101 Switching Protocols");
    assert!(answer.head.lists("connection", "upgrade"), "RFC 9110 §7.8: {:#?}", answer.head);
    assert_eq!(answer.head.one("upgrade"), "websocket");
    assert_eq!(answer.head.one("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for _ in 0..10 {
        caller.send(MASKED);
        assert_eq!(caller.wire.take(UNMASKED.len()), UNMASKED);
    }
    let head = api.only().head;
    assert_eq!(head.line, "GET /base/ws?room=1 HTTP/1.1");
    assert!(head.lists("connection", "upgrade") && head.all("connection").len() == 1, "{head:#?}");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat"),
        ("x-consumer-id", "payments"),
        ("authorization", &format!("Bearer {TOKEN}")),
    ] {
        assert_eq!(head.one(name), value);
    }
    assert!(!latin(&head.raw).contains(KEY));
    caller.wire.finish();
    caller.closed();
    eventually("the tunnel is counted", || gateway.outcomes("tunnelled") == 1);
}

fn bytes_behind_either_head_are_not_lost(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.send(&[SWITCHING, b"early from the API "].concat());
        echo(exchange)
    });
    let gateway = Gateway::start(driver, &listed(&api));
    for bytewise in [false, true] {
        let mut caller = gateway.connect();
        let bytes = request("GET", "/crm/ws", UPGRADE, b"early from the caller ");
        match bytewise {
            true => caller.send_bytewise(&bytes),
            false => caller.send(&bytes),
        }
        switched(&mut caller);
        caller.send(b"and later");
        caller.wire.finish();
        assert_eq!(latin(&caller.wire.rest()), "early from the API early from the caller and later");
    }
}

fn each_side_ends_in_its_own_time(driver: &str) {
    let api = switching(|exchange| {
        let heard = exchange.wire.rest();
        exchange.send(&[b"heard ", heard.as_slice()].concat());
        Then::Close
    });
    let gateway = Gateway::start(driver, &listed(&api));
    let mut caller = tunnel(&gateway);
    caller.send(b"all of it");
    caller.wire.finish();
    assert_eq!(latin(&caller.wire.rest()), "heard all of it");
    assert_eq!(caller.wire.end, Some(End::Closed));

    let (test, stepped) = common::steps::steps();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let api = switching(move |exchange| {
        exchange.send(b"all of it");
        exchange.wire.finish();
        *hears.lock().unwrap() = exchange.wire.rest();
        stepped.done();
        Then::Close
    });
    let gateway = Gateway::start(driver, &listed(&api));
    let mut caller = tunnel(&gateway);
    assert_eq!(latin(&caller.wire.rest()), "all of it");
    caller.send(b"still speaking");
    caller.wire.finish();
    test.done();
    assert_eq!(latin(&heard.lock().unwrap()), "still speaking");
}

fn a_reset_ends_both_sides(driver: &str) {
    let (test, stepped) = common::steps::steps();
    let api = switching(move |exchange| {
        if exchange.path() == "/base/ws" {
            exchange.wire.rest();
            stepped.done();
            return Then::Close;
        }
        exchange.wire.take(1);
        Then::Reset
    });
    let gateway = Gateway::start(driver, &listed(&api));
    let caller = tunnel(&gateway);
    caller.wire.reset();
    test.done();
    let mut other = gateway.connect();
    other.send(&request("GET", "/crm/reset", UPGRADE, b""));
    switched(&mut other);
    other.send(b"x");
    other.closed();
}

fn many_bytes_both_ways_at_once(driver: &str) {
    const BYTES: usize = 6 * 1024 * 1024;
    let api = switching(echo);
    let gateway = Gateway::start(driver, &listed(&api));
    let mut caller = tunnel(&gateway);
    let bytes: Vec<u8> = (0..BYTES).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    let mut sender = caller.wire.share();
    let back = thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(&bytes).unwrap();
            sender.finish();
        });
        caller.wire.rest()
    });
    assert!(back == bytes, "{} of {BYTES} bytes, or changed ones", back.len());
}

fn refused_by_the_api(driver: &str) {
    let api = Api::start(|exchange| match exchange.path() {
        "/base/ws" => exchange.answer("403 Forbidden", "", b"not you"),
        _ => exchange.ok("ok"),
    });
    let gateway = Gateway::start(driver, &listed(&api));
    let mut caller = gateway.connect();
    caller.send(&request("GET", "/crm/ws", UPGRADE, b""));
    let answer = caller.next();
    assert_eq!((answer.status, answer.text().as_str()), (403, "not you"));
    if !answer.closes() {
        caller.still_served();
    }
}

fn what_is_not_listed_is_a_plain_request(driver: &str) {
    let api = switching(echo);
    let gateway = Gateway::start(driver, &Config::to(&api));
    let lists = Gateway::start(driver, &listed(&api));
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let rows = [
        (&gateway, "HTTP/1.1", UPGRADE),
        (&gateway, "HTTP/1.1", h2c),
        (&lists, "HTTP/1.1", h2c),
        (&lists, "HTTP/1.1", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
        (&lists, "HTTP/1.1", "Upgrade: websocket\r\n"),
        (&lists, "HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocketx\r\n"),
        (&lists, "HTTP/1.0", UPGRADE),
    ];
    for (gateway, version, lines) in rows {
        let head = format!("GET /crm/x {version}\r\nHost: gw\r\nX-API-Key: {KEY}\r\n{lines}\r\n");
        let answer = gateway.ask(head.as_bytes());
        assert_eq!((answer.status, answer.text().as_str()), (200, "plain"), "{version} {lines:?}");
        let head = api.only().head;
        assert!(
            !head.has("upgrade") && !head.lists("connection", "upgrade"),
            "{version} {lines:?}: {head:#?}"
        );
        assert!(!head.has("http2-settings"), "RFC 9113 §3.1: {head:#?}");
    }
}

/// What follows an upgrade that the API did not follow is a request again, and is judged.
fn a_plain_answer_leaves_no_tunnel(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &listed(&api));
    let mut caller = gateway.connect();
    let unjudged = b"GET /base/never HTTP/1.1\r\nHost: a\r\n\r\n";
    caller.send(&[request("GET", "/crm/ws", UPGRADE, b"").as_slice(), unjudged, unjudged].concat());
    let answer = caller.next();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    if answer.closes() {
        caller.closed();
    } else {
        caller.next().refused(404, "alias-unknown");
        caller.next().refused(404, "alias-unknown");
    }
    assert_eq!(api.only().head.line, "GET /base/ws HTTP/1.1");
}

fn an_answer_that_nobody_asked_for(driver: &str) {
    for answer in [
        SWITCHING,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let api = Api::start(move |exchange| {
            exchange.send(answer);
            exchange.wire.rest();
            Then::Close
        });
        let gateway = Gateway::start(driver, &listed(&api));
        let asked = if answer == SWITCHING { get("/crm/x") } else { request("GET", "/crm/x", UPGRADE, b"") };
        gateway.ask(&asked).refused(502, "response-invalid");
    }
}

fn without_a_key_nothing_is_tunnelled(driver: &str) {
    let api = switching(echo);
    let gateway = Gateway::start(driver, &listed(&api));
    let mut caller = gateway.connect();
    caller.send(format!("GET /crm/ws HTTP/1.1\r\nHost: gw\r\n{UPGRADE}\r\n").as_bytes());
    caller.next().refused(401, "credential-missing");
    assert_eq!(api.connections(), 0);
}

/// The timeouts of requests are not those of tunnels.
fn idle_ones_survive(driver: &str) {
    let api = switching(echo);
    let config = Config {
        timeouts: "head = \"300ms\"\nbody = \"300ms\"\nidle = \"300ms\"".into(),
        target_timeouts: "first_byte = \"300ms\"\nbody = \"300ms\"\nidle = \"300ms\"\ntotal = \"600ms\""
            .into(),
        ..listed(&api)
    };
    let gateway = Gateway::start(driver, &config);
    let mut callers: Vec<_> = (0..200).map(|_| tunnel(&gateway)).collect();
    let mut idle = gateway.connect();
    idle.still_served();
    idle.closed();
    pause(Duration::from_millis(900));
    beside_a_bystander(&gateway, || {
        for caller in &mut callers {
            echoes(caller, MASKED);
        }
    });
}

fn idle_ones_end_in_time(driver: &str) {
    let api = switching(echo);
    let config = Config { target_timeouts: "tunnel_idle = \"400ms\"".into(), ..listed(&api) };
    let gateway = Gateway::start(driver, &config);
    let mut caller = tunnel(&gateway);
    echoes(&mut caller, b"hello");
    caller.closed();
}

fn none_lasts_longer_than_its_time(driver: &str) {
    let api = switching(echo);
    let config = Config { target_timeouts: "tunnel = \"500ms\"".into(), ..listed(&api) };
    let gateway = Gateway::start(driver, &config);
    let mut caller = tunnel(&gateway);
    eventually("a busy tunnel ends", || {
        caller.send(b"x");
        !caller.wire.look(Duration::from_millis(20))
    });
}

fn a_drain_ends_them(driver: &str) {
    let api = switching(echo);
    let config = Config { server: "drain_timeout = \"500ms\"".into(), ..listed(&api) };
    let mut gateway = Gateway::start(driver, &config);
    let mut caller = tunnel(&gateway);
    echoes(&mut caller, b"hello");
    gateway.terminate();
    caller.closed();
    gateway.exit();
}
