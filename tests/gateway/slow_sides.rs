//! Each side of an exchange has its own time: one that is slow is not cut for the patience that the other needs.

use std::time::Duration;

use crate::{
    both_drivers,
    common::{
        Answer, Api, Config, Framing, Gateway, KEY, Then, at_once, eventually, get, message::latin, pause,
        request, steps::steps,
    },
};

both_drivers!(
    a_reader_that_pauses_is_not_the_apis_lateness,
    an_api_that_stalls_behind_a_pause_is_cut,
    an_api_that_pauses_is_not_the_callers_lateness,
    an_api_that_pauses_behind_an_interim_answer,
    an_expected_body_that_lasts_longer_than_any_patience,
    a_caller_that_resets_ends_the_wait,
    a_caller_that_half_closes_is_answered,
    a_small_body_that_comes_after_its_head,
);

/// Longer than the shorter patience of every gateway here.
const PAUSE: Duration = Duration::from_millis(1500);
/// More than the system holds between the gateway and a caller.
const LARGE: usize = 12 * 1024 * 1024;

fn gateway(driver: &str, api: &Api, timeouts: &str, target_timeouts: &str) -> Gateway {
    let (timeouts, target_timeouts) = (timeouts.into(), target_timeouts.into());
    Gateway::start(driver, &Config { timeouts, target_timeouts, ..Config::to(api) })
}

/// So many bytes, in blocks of which each has its number.
fn numbered(bytes: usize) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(bytes);
    for n in 0..bytes / 4096 {
        blocks.extend_from_slice(format!("{n:-<4096}").as_bytes());
    }
    blocks
}

/// Answers with `body`, which ends where the connection does, and then does as told.
fn until_close(body: Vec<u8>, then: Then) -> Api {
    Api::start(move |exchange| {
        exchange.body();
        exchange.send(&[b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat());
        then
    })
}

/// Asks, reads nothing for a while, and then reads on.
#[track_caller]
fn ask_and_pause(gateway: &Gateway, version: &str) -> Answer {
    let mut caller = gateway.connect();
    caller.send(format!("GET /crm/x HTTP/{version}\r\nHost: gw\r\nX-API-Key: {KEY}\r\n\r\n").as_bytes());
    pause(PAUSE);
    caller.answer()
}

/// While the caller takes its time, nothing can be read from the API: that is not the API's doing.
fn a_reader_that_pauses_is_not_the_apis_lateness(driver: &str) {
    let forms = [("1.1", Framing::Chunked), ("1.0", Framing::UntilClose)];
    at_once(&forms, |&(version, framing)| {
        let api = until_close(numbered(LARGE), Then::Close);
        let gateway = gateway(driver, &api, "body = \"10s\"", "body = \"500ms\"");
        let answer = ask_and_pause(&gateway, version);
        assert_eq!((answer.status, answer.framing, answer.body.len()), (200, framing, LARGE), "{version}");
        assert!(answer.whole, "{version}: cut");
        assert!(answer.body == numbered(LARGE), "{version}: changed on the way");
    });
}

/// RFC 9112 §8: without a last chunk, or by a reset where only the close would tell the end.
fn an_api_that_stalls_behind_a_pause_is_cut(driver: &str) {
    let forms = [("1.1", 0x8000), ("1.1", LARGE), ("1.0", 0x8000), ("1.0", LARGE)];
    at_once(&forms, |&(version, bytes)| {
        let api = until_close(numbered(bytes), Then::Hold);
        let gateway = gateway(driver, &api, "body = \"10s\"", "body = \"500ms\"");
        let answer = ask_and_pause(&gateway, version);
        assert!(answer.status == 200 && !answer.whole, "{version}, {bytes}: {:?}", answer.head);
        eventually("the outcome is counted", || gateway.outcomes("upstream-stalled") == 1);
    });
}

/// As an API does that sends events (`text/event-stream`): the caller has nothing to do meanwhile.
fn an_api_that_pauses_is_not_the_callers_lateness(driver: &str) {
    let forms: [(&str, &[u8], &[u8]); 3] = [
        ("Transfer-Encoding: chunked\r\n", b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"),
        ("Content-Length: 6\r\n", b"one", b"two"),
        ("Connection: close\r\n", b"one", b"two"),
    ];
    let requests = [get("/crm/x"), request("POST", "/crm/x", "Content-Length: 2\r\n", b"hi")];
    let rows: Vec<_> =
        forms.iter().flat_map(|form| requests.iter().map(move |bytes| (form, bytes))).collect();
    at_once(&rows, |&(&(lines, first, second), bytes)| {
        let api = Api::start(move |exchange| {
            exchange.body();
            exchange.send(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes());
            exchange.send(first);
            exchange.pause(Duration::from_millis(1200));
            exchange.send(second);
            if lines.starts_with("Connection") { Then::Close } else { Then::Keep }
        });
        let gateway = gateway(driver, &api, "body = \"500ms\"", "body = \"10s\"\nfirst_byte = \"10s\"");
        let mut caller = gateway.connect();
        // Over a new connection to the API, then over a kept one where there is one.
        for _ in 0..2 {
            caller.send(bytes);
            let answer = caller.answer();
            assert_eq!((answer.status, answer.text().as_str()), (200, "onetwo"), "{lines:?}");
            assert!(answer.whole, "{lines:?}");
        }
    });
}

/// RFC 9110 §15.2: the answer is still to come, and its time is the API's.
fn an_api_that_pauses_behind_an_interim_answer(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.body();
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        exchange.pause(Duration::from_millis(1200));
        exchange.ok("ok")
    });
    let gateway = gateway(driver, &api, "body = \"500ms\"", "body = \"10s\"\nfirst_byte = \"10s\"");
    let requests = [get("/crm/x"), request("POST", "/crm/x", "Content-Length: 2\r\n", b"hi")];
    at_once(&requests, |bytes| {
        let mut caller = gateway.connect();
        for _ in 0..2 {
            caller.send(bytes);
            assert_eq!(caller.next().status, 103);
            let answer = caller.next();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        }
    });
}

/// RFC 9110 §10.1.1: progress is what counts after a 100 (Continue) as well.
fn an_expected_body_that_lasts_longer_than_any_patience(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        let body = exchange.body();
        exchange.ok(&latin(&body.bytes))
    });
    let gateway = gateway(driver, &api, "body = \"500ms\"", "body = \"500ms\"");
    let rows: [(&str, &[u8], &[u8]); 2] = [
        ("Content-Length: 15\r\n", b"x", b""),
        ("Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n", b"0\r\n\r\n"),
    ];
    at_once(&rows, |(lines, piece, end)| {
        let mut caller = gateway.connect();
        caller.send(&request("POST", "/crm/x", &format!("{lines}Expect: 100-continue\r\n"), b""));
        assert_eq!(caller.next().status, 100, "{lines:?}");
        for _ in 0..15 {
            pause(Duration::from_millis(100));
            caller.send(piece);
        }
        caller.send(end);
        let answer = caller.next();
        assert_eq!((answer.status, answer.text()), (200, "x".repeat(15)), "{lines:?}");
        assert!(!answer.closes(), "{lines:?}");
    });
}

/// Long before the API is late, its connection is ended: nobody waits for the answer.
fn a_caller_that_resets_ends_the_wait(driver: &str) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        if exchange.path() != "/base/slow" {
            return exchange.ok("ok");
        }
        exchange.body();
        exchange.wire.rest();
        stepped.done();
        Then::Close
    });
    let gateway = gateway(driver, &api, "", "first_byte = \"20s\"");
    let rows = [
        get("/crm/slow"),
        request("POST", "/crm/slow", "Content-Length: 2\r\n", b"hi"),
        request("POST", "/crm/slow", "Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n0\r\n\r\n"),
    ];
    for (bytes, count) in rows.iter().zip(1..) {
        // Over a new connection to the API, then over a kept one.
        for kept in [false, true] {
            if kept {
                assert_eq!(gateway.get("/crm/before").status, 200);
            }
            let mut caller = gateway.connect();
            caller.send(bytes);
            eventually("the API is at work", || {
                api.take_whole().iter().any(|seen| seen.head.line.contains("/base/slow"))
            });
            caller.wire.reset();
            test.done();
        }
        eventually("it is counted", || gateway.outcomes("caller-gone") == 2 * count);
    }
}

/// RFC 9112 §9.6: a caller may end its own side and still await the answer.
fn a_caller_that_half_closes_is_answered(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.body();
        exchange.pause(PAUSE);
        exchange.ok("ok")
    });
    let gateway = gateway(driver, &api, "", "first_byte = \"20s\"");
    let rows = [get("/crm/x"), request("POST", "/crm/x", "Content-Length: 2\r\n", b"hi")];
    at_once(&rows, |bytes| {
        let mut caller = gateway.connect();
        caller.send(bytes);
        caller.wire.finish();
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        caller.closed_in_order();
    });
}

/// Many callers send a head and a small body in two pieces.
fn a_small_body_that_comes_after_its_head(driver: &str) {
    let api = Api::echo();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for _ in 0..3 {
        caller.send(&request("POST", "/crm/x", "Content-Length: 9\r\n", b""));
        pause(Duration::from_millis(50));
        caller.send(b"nine byte");
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "nine byte"));
        assert!(!answer.closes());
        let seen = api.only();
        assert!(seen.body.is_some_and(|body| body.whole && body.bytes == b"nine byte"));
        assert_eq!(seen.connection, 0, "the connection to the API is kept as well");
    }
    caller.still_served();
}
