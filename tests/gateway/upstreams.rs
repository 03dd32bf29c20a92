//! Where an API may be: addresses of both families, names, and places where nobody listens.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    thread,
};

use crate::{
    both_drivers,
    common::{Api, Caller, Config, Gateway, Then, config::proxy_table, eventually, get, request},
};

both_drivers!(
    over_ipv6,
    over_both_families,
    by_name,
    nobody_listens,
    a_name_without_address,
    goes_away_and_comes_back,
    with_several_shards
);

fn over_ipv6(driver: &str) {
    let api = Api::at("[::1]:0", |exchange| exchange.ok("ok"));
    let config = Config { listeners: vec!["[::1]:0".into(), "127.0.0.1:0".into()], ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    assert_eq!(gateway.addresses.len(), 2);
    let mut caller = gateway.connect();
    caller.still_served();
    let head = api.only().head;
    assert_eq!(head.one("x-forwarded-for"), "::1");
    assert_eq!(head.one("host"), format!("[::1]:{}", api.address.port()));
    let mut other = Caller::to(gateway.addresses[1]).expect("the second listener listens");
    other.still_served();
    assert_eq!(api.only().head.one("x-forwarded-for"), "127.0.0.1");
}

/// A listener of both families names a caller of IPv4 as such.
fn over_both_families(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config { listeners: vec!["[::]:0".into()], ..Config::to(&api) });
    for host in ["127.0.0.1", "[::1]"] {
        let address = format!("{host}:{}", gateway.address().port()).parse().expect("an address");
        let mut caller = Caller::to(address).expect("it listens on both");
        caller.still_served();
        assert_eq!(api.only().head.one("x-forwarded-for"), host.trim_matches(['[', ']']));
    }
}

/// A name may have several addresses: one that refuses is not the end.
fn by_name(driver: &str) {
    let api = Api::plain();
    let resolves = ("localhost", api.address.port()).to_socket_addrs();
    assert!(
        resolves.is_ok_and(|mut all| all.any(|address| address == api.address)),
        "localhost is 127.0.0.1 here"
    );
    let url = api.url("/base").replace("127.0.0.1", "localhost");
    let gateway = Gateway::start(driver, &Config::to_url(&url));
    let mut caller = gateway.connect();
    caller.still_served();
    assert_eq!(api.only().head.one("host"), format!("localhost:{}", api.address.port()));
    for _ in 0..10 {
        caller.still_served();
    }
}

/// A port at which nobody listens.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound")
}

fn nobody_listens(driver: &str) {
    let gateway = Gateway::start(driver, &Config::to_url(&format!("http://{}", closed_port())));
    let mut caller = gateway.connect();
    for _ in 0..3 {
        caller.send(&get("/crm/x"));
        let answer = caller.answer();
        answer.refused(502, "upstream-unreachable");
        assert!(!answer.closes());
    }
    caller.send(&request("POST", "/crm/x", "Content-Length: 5\r\n", b"hello"));
    caller.answer().refused(502, "upstream-unreachable");
}

fn a_name_without_address(driver: &str) {
    let api = Api::plain();
    let target = "[[target]]\nname = \"lost\"\nurl = \"http://nowhere.invalid\"\n";
    let proxy = proxy_table("alias = \"lost\"", "callers").replace("\"api\"", "\"lost\"");
    let gateway = Gateway::start(driver, &Config { more: target.to_string() + &proxy, ..Config::to(&api) });
    gateway.get("/lost/x").refused(502, "upstream-unresolved");
    assert_eq!(gateway.get("/crm/x").status, 200);
}

fn goes_away_and_comes_back(driver: &str) {
    let address = closed_port();
    let gateway = Gateway::start(driver, &Config::to_url(&crate::common::api::url(address, "/base")));
    for _ in 0..2 {
        gateway.get("/crm/x").refused(502, "upstream-unreachable");
        let api = Api::at(&address.to_string(), |exchange| {
            exchange.answer("200 OK", "", b"ok");
            Then::Close
        });
        assert_eq!(gateway.get("/crm/x").text(), "ok");
        drop(api);
        eventually("it is gone", || gateway.get("/crm/x").status == 502);
    }
}

/// Every shard listens, forwards and counts.
fn with_several_shards(driver: &str) {
    let api = Api::echo();
    let gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    assert_eq!(gateway.status()["shards"], 2, "{}", gateway.status());
    thread::scope(|scope| {
        for n in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for m in 0..10 {
                    let body = format!("{n}-{m}");
                    let lines = format!("Content-Length: {}\r\n", body.len());
                    assert_eq!(gateway.ask(&request("POST", "/crm/x", &lines, body.as_bytes())).text(), body);
                }
            });
        }
    });
    eventually("all are counted", || gateway.outcomes("forwarded") == 80);
}
