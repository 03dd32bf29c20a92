//! What the gateway holds in memory does not grow with bodies, and hardly with connections.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and reads the clock")]

mod common;

use std::time::{Duration, Instant};

use common::{
    Api, Caller, Config, Gateway, PATIENCE, Then, eventually, get, message::Length, pause, request,
    wire::Wire,
};

both_drivers!(
    a_large_request,
    a_large_answer,
    a_large_answer_that_nobody_reads,
    idle_connections,
    connections_that_never_spoke,
    requests_whose_answers_nobody_reads,
    descriptors_are_given_back,
);

const BODY_BYTES: usize = 64 * 1024 * 1024;
/// What a transfer may add, whatever its size.
const GROWTH_KIB_MAX: u64 = 16 * 1024;
const CONNECTIONS: u64 = 2000;
/// What an idle connection may add.
const IDLE_KIB_MAX: u64 = 4;
/// What one of a crowd that comes at once may add: the buffers that it took for a moment are kept for others.
const NEW_KIB_MAX: u64 = 7;

/// Swallows what it is sent, and answers GET with as much.
fn swallowing() -> Api {
    Api::start(|exchange| {
        if exchange.method() == "GET" && !exchange.path().ends_with("large") {
            return exchange.ok("ok");
        }
        if exchange.method() == "GET" {
            exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n").as_bytes());
            let piece = vec![b'x'; 1024 * 1024];
            let sent = (0..BODY_BYTES / piece.len()).all(|_| exchange.wire.send(&piece).is_ok());
            return if sent { Then::Keep } else { Then::Close };
        }
        exchange.skip_body();
        let count = match exchange.head.length() {
            Ok(Length::Fixed(count)) => exchange.wire.discard(count),
            _ => 0,
        };
        exchange.ok(&count.to_string())
    })
}

/// Does the usual a few times, so that what is kept anyway is there.
fn warmed(driver: &str, api: &Api) -> Gateway {
    let gateway = Gateway::start(driver, &Config::to(api));
    let mut callers: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    for caller in &mut callers {
        caller.still_served();
    }
    gateway
}

fn a_large_request(driver: &str) {
    let api = swallowing();
    let gateway = warmed(driver, &api);
    let before = gateway.resident_kib();
    let mut caller = gateway.connect();
    caller.send(&request("POST", "/crm/large", &format!("Content-Length: {BODY_BYTES}\r\n"), b""));
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..BODY_BYTES / piece.len() {
        caller.try_send(&piece).expect("it is read");
    }
    assert_eq!(caller.answer().text(), BODY_BYTES.to_string());
    let growth = gateway.peak_kib().saturating_sub(before);
    assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB");
}

fn a_large_answer(driver: &str) {
    let api = swallowing();
    let gateway = warmed(driver, &api);
    let before = gateway.resident_kib();
    let mut caller = gateway.connect();
    caller.send(&get("/crm/large"));
    let head = caller.wire.head().expect("an answer").expect("a head");
    assert_eq!(head.length(), Ok(Length::Fixed(BODY_BYTES)));
    assert_eq!(caller.wire.discard(BODY_BYTES), BODY_BYTES);
    let growth = gateway.peak_kib().saturating_sub(before);
    assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB");
    caller.still_served();
}

/// Backpressure: what a caller does not read is not read from the API either.
fn a_large_answer_that_nobody_reads(driver: &str) {
    let api = swallowing();
    let gateway = warmed(driver, &api);
    let before = gateway.resident_kib();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let mut caller = gateway.connect();
            caller.send(&get("/crm/large"));
            caller
        })
        .collect();
    api.await_requests(40);
    pause(Duration::from_millis(300));
    let growth = gateway.peak_kib().saturating_sub(before);
    assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB");
    drop(callers);
    assert_eq!(gateway.get("/crm/x").status, 200);
}

fn idle_connections(driver: &str) {
    let api = swallowing();
    let gateway = warmed(driver, &api);
    let before = gateway.resident_kib();
    let mut callers: Vec<Caller> = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut caller = gateway.connect();
        caller.still_served();
        callers.push(caller);
    }
    small_growth(&gateway, before, IDLE_KIB_MAX);
    for caller in callers.iter_mut().step_by(100) {
        caller.still_served();
    }
}

fn connections_that_never_spoke(driver: &str) {
    let api = swallowing();
    let gateway = warmed(driver, &api);
    let before = gateway.resident_kib();
    let wires: Vec<_> = (0..CONNECTIONS).map(|_| Wire::connect(gateway.address()).unwrap()).collect();
    // The last one is served, so that all were accepted.
    gateway.connect().still_served();
    small_growth(&gateway, before, NEW_KIB_MAX);
    drop(wires);
}

#[track_caller]
fn small_growth(gateway: &Gateway, before: u64, each_kib: u64) {
    let bound = CONNECTIONS * each_kib;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let growth = gateway.resident_kib().saturating_sub(before);
        if growth <= bound {
            break;
        }
        assert!(Instant::now() < deadline, "{growth} KiB for {CONNECTIONS} connections");
        pause(Duration::from_millis(20));
    }
}

/// Pipelined requests are not read without an end while their answers are not taken.
fn requests_whose_answers_nobody_reads(driver: &str) {
    let api = swallowing();
    let config = Config { timeouts: "body = \"300ms\"".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    gateway.connect().still_served();
    let before = gateway.resident_kib();
    let mut caller = gateway.connect();
    let requests = b"GET /unknown HTTP/1.1\r\nHost: gw\r\n\r\n".repeat(1000);
    eventually("the caller is cut", || caller.try_send(&requests).is_err());
    let growth = gateway.peak_kib().saturating_sub(before);
    assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB");
}

/// However exchanges end, their descriptors are closed.
fn descriptors_are_given_back(driver: &str) {
    let api = Api::start(|exchange| match exchange.path() {
        "/base/cut" => {
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
            Then::Close
        }
        "/base/early" => {
            exchange.skip_body();
            exchange.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
            Then::Close
        }
        "/base/reset" => Then::Reset,
        "/base/close" => Then::Close,
        "/base/bad" => {
            exchange.send(b"nonsense\r\n\r\n");
            Then::Close
        }
        "/base/ws" => {
            exchange.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            );
            exchange.wire.rest();
            Then::Close
        }
        _ => exchange.ok("ok"),
    });
    let config = Config {
        timeouts: "head = \"300ms\"\nbody = \"300ms\"\nidle = \"300ms\"".into(),
        target_timeouts: "idle = \"300ms\"\nfirst_byte = \"300ms\"".into(),
        proxy: "upgrades = [\"websocket\"]".into(),
        ..Config::to(&api)
    };
    let gateway = Gateway::start(driver, &config);
    let before = gateway.descriptors();
    let part = |path: &str| request("POST", path, "Content-Length: 100000\r\n", b"a beginning");
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    for _ in 0..20 {
        let mut open = Vec::new();
        for bytes in [
            get("/crm/x"),
            get("/crm/cut"),
            get("/crm/reset"),
            get("/crm/close"),
            get("/crm/bad"),
            request("GET", "/crm/ws", upgrade, b""),
            part("/crm/x"),
            part("/crm/early"),
            part("/crm/reset"),
            b"GET /crm/x HT".to_vec(),
            b"nonsense\r\n\r\n".to_vec(),
        ] {
            let mut caller = gateway.connect();
            caller.send(&bytes);
            open.push(caller);
            let mut leaving = gateway.connect();
            leaving.send(&bytes);
        }
        for caller in open {
            caller.wire.reset();
        }
    }
    eventually("every descriptor is given back", || gateway.descriptors() <= before);
}
