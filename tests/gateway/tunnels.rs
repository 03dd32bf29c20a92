//! A tunnel lives no longer than the key that it was opened with.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    both_drivers,
    common::{
        Api, Caller, Config, Gateway, KEY, Then, at_once,
        config::{credential, digest, key, proxy_table},
        request,
    },
    partners::partner,
};

both_drivers!(
    a_revocation_cuts_it,
    a_reload_cuts_it,
    its_end_cuts_it,
    both_sides_are_cut,
    every_shard_cuts_its_own
);

/// A tunnel is cut within this time.
const LIMIT: Duration = Duration::from_secs(2);

/// Echoes in a tunnel, until the caller's side has ended.
fn echo() -> Api {
    Api::start(|exchange| {
        if !exchange.head.has("upgrade") {
            return exchange.ok("plain");
        }
        exchange.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        let wire = &mut exchange.wire;
        while wire.look(Duration::from_secs(60)) {
            let pings = wire.buffer.len() / 4;
            wire.buffer.drain(..pings * 4);
            let _ = wire.send(&b"pong".repeat(pings));
        }
        Then::Close
    })
}

/// `t` takes the first two keys, `u` the third, `open` that of another credential.
fn config(api: &Api, more_of_first: &str) -> Config {
    let upgrades = "upgrades = [\"websocket\"]\n";
    let keys = [key("t0", &partner(0), more_of_first), key("t1", &partner(1), "")];
    let more = [
        credential("ts", "", &[&keys[0], &keys[1]]),
        proxy_table("alias = \"t\"", "ts") + upgrades,
        credential("us", "", &[&key("u2", &partner(2), "")]),
        proxy_table("alias = \"u\"", "us") + upgrades,
        proxy_table("alias = \"open\"", "callers") + upgrades,
    ];
    let server = "data_dir = \"data\"".to_owned();
    Config { server, more: more.concat(), ..Config::to(api) }
}

#[track_caller]
fn open(gateway: &Gateway, alias: &str, key: &str) -> Caller {
    let mut caller = gateway.connect();
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let bytes = request("GET", &format!("/{alias}/ws"), lines, b"");
    let text = crate::common::message::latin(&bytes).replace(KEY, key);
    caller.send(text.as_bytes());
    assert_eq!(caller.next().status, 101);
    works(&mut caller);
    caller
}

#[track_caller]
fn works(caller: &mut Caller) {
    caller.send(b"ping");
    assert_eq!(caller.wire.take(4), b"pong");
}

/// The end of the connection, and nothing before it.
#[track_caller]
fn is_cut_since(caller: &mut Caller, since: Instant) {
    caller.closed();
    let took = since.elapsed();
    assert!(took <= LIMIT, "cut after {took:?}");
}

fn a_revocation_cuts_it(driver: &str) {
    let api = echo();
    let gateway = Gateway::start(driver, &config(&api, ""));
    let mut first = open(&gateway, "t", &partner(0));
    let mut second = open(&gateway, "t", &partner(1));
    let mut third = open(&gateway, "u", &partner(2));
    let mut other = open(&gateway, "open", KEY);

    let body = json!({ "sha256": digest(&partner(0)) }).to_string();
    assert_eq!(gateway.post("/revoke", &body).status, 200);
    is_cut_since(&mut first, Instant::now());
    [&mut second, &mut third, &mut other].into_iter().for_each(works);

    assert_eq!(gateway.post("/revoke", r#"{"name": "us"}"#).status, 200);
    is_cut_since(&mut third, Instant::now());
    [&mut second, &mut other].into_iter().for_each(works);
    assert_eq!(gateway.connect().asks("/t/x", &partner(0)), "key-revoked");
}

fn a_reload_cuts_it(driver: &str) {
    let api = echo();
    let good = config(&api, "");
    let without_key = Config {
        more: good.more.replacen(&key("t0", &partner(0), ""), "", 1).replacen("[, ", "[", 1),
        ..good.clone()
    };
    let changes = [without_key, config(&api, ", state = \"retired\""), config(&api, ", state = \"revoked\"")];
    at_once(&changes, |changed| {
        let gateway = Gateway::start(driver, &good);
        let mut first = open(&gateway, "t", &partner(0));
        let mut second = open(&gateway, "t", &partner(1));
        let mut other = open(&gateway, "open", KEY);
        gateway.configure(changed);
        assert_eq!(gateway.post("/reload", "{}").status, 200);
        is_cut_since(&mut first, Instant::now());
        [&mut second, &mut other].into_iter().for_each(works);
    });
}

fn its_end_cuts_it(driver: &str) {
    let api = echo();
    let millis =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() + 2_500;
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).expect("it fits"));
    let text = OffsetDateTime::from(end).format(&Rfc3339).expect("it can be written");
    let gateway = Gateway::start(driver, &config(&api, &format!(", expires = {text}")));
    let mut first = open(&gateway, "t", &partner(0));
    let mut second = open(&gateway, "t", &partner(1));
    first.closed();
    let now = SystemTime::now();
    assert!(now >= end, "cut before its end");
    assert!(now <= end + LIMIT, "cut {:?} after its end", now.duration_since(end));
    works(&mut second);
}

/// The API learns of it as well, even of a tunnel that carries nothing.
fn both_sides_are_cut(driver: &str) {
    let (told, ended) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let api = Api::start(move |exchange| {
        exchange.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\npong",
        );
        let _ = exchange.wire.rest();
        let _ = told.lock().unwrap().send(());
        Then::Close
    });
    let gateway = Gateway::start(driver, &config(&api, ""));
    let mut caller = open_silently(&gateway);
    assert_eq!(gateway.post("/revoke", r#"{"name": "ts"}"#).status, 200);
    is_cut_since(&mut caller, Instant::now());
    ended.recv_timeout(crate::common::PATIENCE).expect("the API sees the end");
}

#[track_caller]
fn open_silently(gateway: &Gateway) -> Caller {
    let mut caller = gateway.connect();
    caller.send(
        format!(
            "GET /t/ws HTTP/1.1\r\nHost: gw\r\nX-API-Key: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            partner(0)
        )
        .as_bytes(),
    );
    assert_eq!(caller.next().status, 101);
    assert_eq!(caller.wire.take(4), b"pong");
    caller
}

/// Many tunnels of one key, on all shards, and as many of another key.
fn every_shard_cuts_its_own(driver: &str) {
    let api = echo();
    let gateway = Gateway::start(driver, &Config { shards: 3, ..config(&api, "") });
    let mut cut: Vec<Caller> = (0..24).map(|_| open(&gateway, "t", &partner(0))).collect();
    let mut kept: Vec<Caller> = (0..24).map(|_| open(&gateway, "t", &partner(1))).collect();
    assert_eq!(gateway.post("/revoke", r#"{"name": "ts/t0"}"#).status, 200);
    let since = Instant::now();
    cut.iter_mut().for_each(|caller| is_cut_since(caller, since));
    kept.iter_mut().for_each(works);
}
