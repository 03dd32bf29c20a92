//! How long a caller may take. While one is waited for, a bystander on the same shard is served.

use std::time::Duration;

use crate::{
    both_drivers,
    common::{
        Api, Config, Gateway, KEY, Then, at_once, beside_a_bystander, eventually, get, message::latin, pause,
        request, steps::steps,
    },
};

both_drivers!(
    a_head_that_stops,
    a_head_that_drips,
    nothing_at_all,
    an_idle_connection,
    a_body_that_stops,
    a_body_that_goes_on_slowly,
    a_reader_that_stops,
    a_caller_that_left,
    a_reader_that_stops_and_goes,
    hundreds_of_slow_heads,
    the_time_of_a_head_ends_with_it,
    waiting_for_the_api_is_not_the_callers_doing,
    waiting_for_the_caller_is_not_the_apis_doing,
);

fn gateway(driver: &str, api: &Api, timeouts: &str) -> Gateway {
    Gateway::start(driver, &Config { timeouts: timeouts.into(), ..Config::to(api) })
}

fn a_head_that_stops(driver: &str) {
    let api = Api::plain();
    let gateway = gateway(driver, &api, "head = \"300ms\"");
    let beginnings = ["G", "GET /crm/x HTTP/1.1\r\n", "GET /crm/x HTTP/1.1\r\nHost: gw\r\nX-A: b\r\n"];
    beside_a_bystander(&gateway, || {
        at_once(&beginnings, |beginning| {
            let mut caller = gateway.connect();
            caller.send(beginning.as_bytes());
            let answer = caller.answer();
            answer.refused(408, "head-timeout");
            assert!(answer.closes(), "RFC 9110 §15.5.9");
            caller.closed_in_order();
        });
    });
    let mut second = gateway.connect();
    second.still_served();
    second.send(b"GET /crm/y HTTP/1.1\r\n");
    second.answer().refused(408, "head-timeout");
    second.closed();
    // An empty line begins no request (RFC 9112 §2.2), so there is none to answer.
    let mut third = gateway.connect();
    third.send(b"\r\n");
    third.closed_in_order();
}

/// Progress does not help: the head as a whole has a time.
fn a_head_that_drips(driver: &str) {
    let api = Api::plain();
    let gateway = gateway(driver, &api, "head = \"300ms\"");
    beside_a_bystander(&gateway, || {
        let mut caller = gateway.connect();
        caller.send(b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n");
        eventually("the head is cut", || {
            caller.send(b"X-A: b\r\n");
            caller.wire.look(Duration::from_millis(20));
            !caller.wire.buffer.is_empty() || caller.wire.end.is_some()
        });
        caller.answer().refused(408, "head-timeout");
    });
}

fn nothing_at_all(driver: &str) {
    let api = Api::plain();
    let gateway = gateway(driver, &api, "head = \"300ms\"\nidle = \"300ms\"");
    beside_a_bystander(&gateway, || {
        let mut caller = gateway.connect();
        let rest = latin(&caller.wire.rest());
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408 "), "{rest}");
    });
}

/// RFC 9112 §9.5: closed without a word, since no request was begun.
fn an_idle_connection(driver: &str) {
    let api = Api::plain();
    let gateway = gateway(driver, &api, "idle = \"300ms\"\nhead = \"30s\"");
    let mut caller = gateway.connect();
    caller.still_served();
    caller.still_served();
    caller.closed_in_order();
}

fn a_body_that_stops(driver: &str) {
    let api = Api::echo();
    let gateway = gateway(driver, &api, "body = \"300ms\"");
    let rows = [
        ("Content-Length: 100\r\n", ""),
        ("Content-Length: 100\r\n", "a beginning"),
        ("Transfer-Encoding: chunked\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\n"),
    ];
    beside_a_bystander(&gateway, || {
        at_once(&rows, |(lines, part)| {
            let mut caller = gateway.connect();
            caller.send(&request("POST", "/crm/x", lines, part.as_bytes()));
            let answer = caller.answer();
            answer.refused(408, "body-timeout");
            assert!(answer.closes());
            caller.closed_in_order();
        });
    });
    eventually("the API sees every one cut", || api.all_ended());
    let whole = api.take_whole();
    assert!(whole.iter().all(|seen| seen.head.line.contains("bystander")), "none may look whole: {whole:#?}");
}

fn a_body_that_goes_on_slowly(driver: &str) {
    let api = Api::echo();
    let gateway = gateway(driver, &api, "body = \"1s\"");
    let mut caller = gateway.connect();
    caller.send(&request("POST", "/crm/x", "Content-Length: 12\r\n", b""));
    for _ in 0..12 {
        pause(Duration::from_millis(120));
        caller.send(b"x");
    }
    let answer = caller.answer();
    assert_eq!((answer.status, answer.body.len()), (200, 12), "progress is what counts: {}", answer.text());
}

/// Sends without an end to `/base/endless`, and says when that failed.
fn endless(lines: &'static str) -> (Api, crate::common::steps::Steps) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        if exchange.path() != "/base/endless" {
            return exchange.ok("ok");
        }
        exchange.send(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes());
        let piece = [b"8000\r\n".as_slice(), &[b'x'; 0x8000], b"\r\n"].concat();
        while exchange.wire.send(&piece).is_ok() {}
        stepped.done();
        Then::Close
    });
    (api, test)
}

fn a_reader_that_stops(driver: &str) {
    let forms = [
        ("1.1", "Transfer-Encoding: chunked\r\n"),
        ("1.1", "Content-Length: 1000000000000\r\n"),
        ("1.1", ""),
        ("1.0", "Transfer-Encoding: chunked\r\n"),
    ];
    at_once(&forms, |(version, lines)| {
        let (api, test) = endless(lines);
        let gateway = gateway(driver, &api, "body = \"300ms\"");
        let mut caller = gateway.connect();
        beside_a_bystander(&gateway, || {
            let head = format!("GET /crm/endless HTTP/{version}\r\nHost: gw\r\nX-API-Key: {KEY}\r\n\r\n");
            caller.send(head.as_bytes());
            test.done();
        });
        eventually("the outcome is counted", || gateway.outcomes("caller-stalled") == 1);
        let answer = caller.answer();
        assert!(answer.status == 200 && !answer.whole, "what is cut must not look whole: {:?}", answer.head);
    });
}

/// The API is not kept at work for somebody who has left.
fn a_caller_that_left(driver: &str) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        if exchange.path() == "/base/slow" {
            exchange.body();
            exchange.wire.rest();
            stepped.done();
            return Then::Close;
        }
        exchange.ok("ok")
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let post = request("POST", "/crm/slow", "Content-Length: 2\r\n", b"hi");
    for (bytes, count) in [(get("/crm/slow"), 1), (post, 2)] {
        beside_a_bystander(&gateway, || {
            let mut caller = gateway.connect();
            caller.send(&bytes);
            eventually("the API is at work", || {
                api.take_whole().iter().any(|seen| seen.head.line.contains("/base/slow"))
            });
            caller.wire.reset();
            test.done();
        });
        eventually("it is counted", || gateway.outcomes("caller-gone") == count);
    }
}

/// A slow reader is served as long as it reads: what it did not take was not lost.
fn a_reader_that_stops_and_goes(driver: &str) {
    const BLOCKS: usize = 3000;
    let blocks = || (0..BLOCKS).flat_map(|n| [format!("{n:08}").into_bytes(), vec![b'.'; 4088]].concat());
    let api = Api::start(move |exchange| {
        let body: Vec<u8> = blocks().collect();
        exchange.answer("200 OK", "", &body)
    });
    let gateway = gateway(driver, &api, "body = \"5s\"");
    let mut caller = gateway.connect();
    caller.send(&get("/crm/x"));
    assert!(caller.wire.head().is_some_and(|head| head.is_ok()));
    let mut body = Vec::new();
    for _ in 0..3 {
        pause(Duration::from_millis(150));
        body.extend(caller.wire.take(BLOCKS * 4096 / 3));
    }
    assert_eq!(body.len(), BLOCKS * 4096, "cut");
    assert!(body.iter().copied().eq(blocks()), "changed on the way");
}

/// However long a body takes, and however long the API takes to answer.
fn the_time_of_a_head_ends_with_it(driver: &str) {
    let api = Api::echo();
    let gateway = gateway(driver, &api, "head = \"300ms\"\nbody = \"5s\"");
    let rows: [(&str, &[u8], &[u8]); 2] = [
        ("Content-Length: 8\r\n", b"x", b""),
        ("Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n", b"0\r\n\r\n"),
    ];
    at_once(&rows, |(lines, piece, end)| {
        let mut caller = gateway.connect();
        // Over a new connection to the API, then over a kept one.
        for _ in 0..2 {
            caller.send(&request("POST", "/crm/x", lines, b""));
            for _ in 0..8 {
                pause(Duration::from_millis(80));
                caller.send(piece);
            }
            caller.send(end);
            let answer = caller.answer();
            assert_eq!((answer.status, answer.text().as_str()), (200, "xxxxxxxx"), "{lines:?}");
        }
        caller.still_served();
    });
}

/// None of the caller's times runs while the API is at work.
fn waiting_for_the_api_is_not_the_callers_doing(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.body();
        if exchange.path() == "/base/slow" {
            exchange.pause(Duration::from_millis(600));
        }
        exchange.ok("ok")
    });
    let gateway = gateway(driver, &api, "head = \"300ms\"\nbody = \"300ms\"\nidle = \"300ms\"");
    let rows = [
        (get("/crm/slow"), "GET /crm/begun"),
        (request("POST", "/crm/slow", "Content-Length: 2\r\n", b"hi"), "GET /crm/begun"),
        ([get("/crm/slow"), b"GET /crm/beg".to_vec()].concat(), "un"),
    ];
    at_once(&rows, |(bytes, rest)| {
        let mut caller = gateway.connect();
        // Over a new connection to the API, then over a kept one.
        for _ in 0..2 {
            caller.send(bytes);
            let answer = caller.answer();
            assert_eq!((answer.status, answer.closes()), (200, false), "{}", answer.text());
            caller.send(format!("{rest} HTTP/1.1\r\nHost: gw\r\n\r\n").as_bytes());
            caller.answer().refused(401, "credential-missing");
        }
    });
}

/// None of the API's times runs while the caller sends.
fn waiting_for_the_caller_is_not_the_apis_doing(driver: &str) {
    let api = Api::echo();
    let config = Config {
        target_timeouts: "first_byte = \"300ms\"\nbody = \"300ms\"\nidle = \"300ms\"".into(),
        ..Config::to(&api)
    };
    let gateway = Gateway::start(driver, &config);
    let mut caller = gateway.connect();
    caller.send(&request("POST", "/crm/x", "Content-Length: 8\r\n", b""));
    for piece in [b"xx", b"xx", b"xx", b"xx"] {
        pause(Duration::from_millis(500));
        caller.send(piece);
    }
    let answer = caller.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "xxxxxxxx"));
}

fn hundreds_of_slow_heads(driver: &str) {
    if crate::common::tls::is_on() {
        return; // hundreds of handshakes, made without optimisation, take longer than the times of this test
    }
    let api = Api::plain();
    let gateway = gateway(driver, &api, "head = \"500ms\"");
    beside_a_bystander(&gateway, || {
        let mut callers: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
        for caller in &mut callers {
            caller.send(format!("GET /crm/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: {KEY}\r\n").as_bytes());
        }
        for caller in &mut callers {
            caller.answer().refused(408, "head-timeout");
        }
    });
    eventually("every one is counted", || gateway.outcomes("head-timeout") == 300);
}
