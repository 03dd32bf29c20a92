//! How long an API may take. While one is waited for, a bystander on the same shard is served.

use std::{net::TcpStream, time::Duration};

use socket2::{Domain, Socket, Type};

use crate::{
    both_drivers,
    common::{
        Answer, Api, Config, Gateway, Then, at_once, beside_a_bystander, config::proxy_table, eventually,
        get, request, steps::steps,
    },
};

both_drivers!(
    to_connect,
    to_begin_its_answer,
    to_go_on_with_a_head,
    to_go_on_with_a_body,
    in_all,
    to_read_the_request,
    an_answer_that_goes_on_slowly,
);

fn gateway(driver: &str, api: &Api, target_timeouts: &str) -> Gateway {
    Gateway::start(driver, &Config { target_timeouts: target_timeouts.into(), ..Config::to(api) })
}

/// Answers at once, but to `/base/x` with these bytes and then nothing more.
fn stopping(bytes: &'static [u8]) -> Api {
    Api::start(move |exchange| {
        if exchange.path() != "/base/x" {
            return exchange.ok("ok");
        }
        exchange.body();
        exchange.send(bytes);
        Then::Hold
    })
}

#[track_caller]
fn ask(gateway: &Gateway) -> Answer {
    beside_a_bystander(gateway, || gateway.get("/crm/x"))
}

/// A listener whose queue is full: connecting to it takes for ever.
fn deaf() -> (Socket, Vec<TcpStream>, std::net::SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("a port is free");
    socket.listen(0).expect("it can listen");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(stream);
    }
    (socket, queue, address)
}

fn to_connect(driver: &str) {
    let (_socket, _queue, address) = deaf();
    let api = Api::plain();
    let target = format!(
        "[[target]]\nname = \"deaf\"\nurl = \"http://{address}\"\n[target.timeouts]\nconnect = \"300ms\"\n"
    );
    let proxy = proxy_table("alias = \"deaf\"", "callers").replace("\"api\"", "\"deaf\"");
    let gateway = Gateway::start(driver, &Config { more: target + &proxy, ..Config::to(&api) });
    beside_a_bystander(&gateway, || {
        let mut caller = gateway.connect();
        caller.send(&get("/deaf/x"));
        caller.answer().refused(504, "connect-timeout");
        caller.still_served();
    });
}

fn to_begin_its_answer(driver: &str) {
    let api = stopping(b"");
    let gateway = gateway(driver, &api, "first_byte = \"300ms\"");
    ask(&gateway).refused(504, "first-byte-timeout");
    let post = request("POST", "/crm/x", "Content-Length: 2\r\n", b"hi");
    beside_a_bystander(&gateway, || gateway.ask(&post)).refused(504, "first-byte-timeout");
    let times = api.take_whole().iter().filter(|seen| seen.head.line.contains("/base/x ")).count();
    assert_eq!(times, 2, "what timed out is not repeated");
}

fn to_go_on_with_a_head(driver: &str) {
    let parts: [&[u8]; 3] =
        [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"];
    at_once(&parts, |bytes| {
        let api = stopping(bytes);
        let gateway = gateway(driver, &api, "first_byte = \"300ms\"\nbody = \"300ms\"");
        let answer = ask(&gateway);
        let word = answer.word();
        assert!(
            answer.status == 504 && ["first-byte-timeout", "upstream-stalled"].contains(&word.as_str()),
            "{word}"
        );
    });
}

fn to_go_on_with_a_body(driver: &str) {
    let parts: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ];
    at_once(&parts, |bytes| {
        let api = stopping(bytes);
        let gateway = gateway(driver, &api, "body = \"300ms\"");
        let answer = ask(&gateway);
        assert!(answer.status == 200 && !answer.whole, "it must be seen to be cut: {answer:#?}");
        eventually("the outcome is counted", || gateway.outcomes("upstream-stalled") == 1);
    });
}

fn in_all(driver: &str) {
    let silent = stopping(b"");
    ask(&gateway(driver, &silent, "total = \"400ms\"")).refused(504, "total-timeout");
    let dripping = Api::start(|exchange| {
        if exchange.path() != "/base/x" {
            return exchange.ok("ok");
        }
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while exchange.wire.send(b"x").is_ok() {
            exchange.pause(Duration::from_millis(30));
        }
        Then::Close
    });
    let gateway = gateway(driver, &dripping, "total = \"400ms\"");
    let answer = ask(&gateway);
    assert!(answer.status == 200 && !answer.whole, "{answer:#?}");
    eventually("the outcome is counted", || gateway.outcomes("total-timeout") == 1);
}

/// An API that reads nothing of a long request.
fn to_read_the_request(driver: &str) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        if exchange.method() != "POST" {
            return exchange.ok("ok");
        }
        exchange.skip_body();
        stepped.wait();
        Then::Reset
    });
    if crate::common::tls::is_on() {
        return; // the socket is written to past TLS here
    }
    let gateway = gateway(driver, &api, "body = \"300ms\"");
    beside_a_bystander(&gateway, || {
        let mut caller = gateway.connect();
        caller.send(&request("POST", "/crm/x", "Content-Length: 1000000000000\r\n", b""));
        let piece = [b'x'; 0x10000];
        eventually("the caller is told", || {
            let _ = caller.wire.stream.set_write_timeout(Some(Duration::from_millis(50)));
            let _ = std::io::Write::write(&mut &caller.wire.stream, &piece);
            caller.wire.look(Duration::from_millis(1));
            !caller.wire.buffer.is_empty() || caller.wire.end.is_some()
        });
        caller.answer().refused(504, "upstream-stalled");
    });
    test.go();
}

fn an_answer_that_goes_on_slowly(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
        for _ in 0..12 {
            exchange.pause(Duration::from_millis(120));
            exchange.send(b"x");
        }
        Then::Keep
    });
    let answer = gateway(driver, &api, "body = \"1s\"").get("/crm/x");
    assert!(answer.whole && answer.body.len() == 12, "progress is what counts: {answer:#?}");
}
