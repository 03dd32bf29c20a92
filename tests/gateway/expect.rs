//! RFC 9110 §10.1.1: an expectation goes on to the API, and whatever the API says comes back.

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, KEY, Then, get, message::latin, request},
};

both_drivers!(
    the_apis_continue_is_relayed,
    a_caller_need_not_wait,
    an_early_final_answer_ends_the_connection,
    without_a_key,
    not_from_http_1_0,
    without_a_body,
);

const LINES: &str = "Content-Length: 5\r\nExpect: 100-continue\r\n";

/// Asks for the body before it answers with it.
fn continuing() -> Api {
    Api::start(|exchange| {
        if exchange.head.has("expect") {
            exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let body = exchange.body();
        exchange.ok(&latin(&body.bytes))
    })
}

fn the_apis_continue_is_relayed(driver: &str) {
    let api = continuing();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for lines in [LINES, "Expect: 100-Continue\r\nContent-Length: 5\r\n"] {
        caller.send(&request("POST", "/crm/x", lines, b""));
        assert_eq!(caller.next().status, 100, "the body was not sent yet");
        assert_eq!(api.count(), 1, "the API decides, not the gateway");
        caller.send(b"hello");
        let answer = caller.next();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(api.only().head.lists("expect", "100-continue"));
    }
    caller.send(&request("POST", "/crm/x", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", b""));
    assert_eq!(caller.next().status, 100);
    caller.send(b"5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(caller.next().text(), "hello");
    caller.still_served();
}

fn a_caller_need_not_wait(driver: &str) {
    let api = continuing();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for _ in 0..3 {
        caller.send(&[request("POST", "/crm/x", LINES, b"hello"), get("/crm/behind")].concat());
        assert_eq!(caller.answer().text(), "hello");
        assert_eq!(caller.answer().status, 200);
        assert_eq!(api.take().len(), 2);
    }
}

/// Whether the caller sends its body after that is beyond anyone's knowledge: nothing more is read as a
/// request.
fn an_early_final_answer_ends_the_connection(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.skip_body();
        exchange.send(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno");
        exchange.wire.rest();
        Then::Close
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (lines, body) in
        [(LINES, ""), (LINES, "he"), ("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "")]
    {
        let mut caller = gateway.connect();
        caller.send(&request("POST", "/crm/x", lines, body.as_bytes()));
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text().as_str()), (417, "no"));
        assert!(answer.closes(), "{lines:?}: {:#?}", answer.head);
        caller.send(&get("/crm/never"));
        caller.closed();
        assert_eq!(api.only().head.line, "POST /base/x HTTP/1.1");
    }
    assert!(api.records().iter().all(|record| !latin(record).contains("never")));
}

fn without_a_key(driver: &str) {
    let api = continuing();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(format!("POST /crm/x HTTP/1.1\r\nHost: gw\r\n{LINES}\r\n").as_bytes());
    caller.next().refused(401, "credential-missing");
    assert_eq!(api.count(), 0);
}

/// RFC 9110 §10.1.1: from HTTP/1.0 it means nothing, and no 100 may be sent there.
fn not_from_http_1_0(driver: &str) {
    let api = continuing();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller
        .send(format!("POST /crm/x HTTP/1.0\r\nHost: gw\r\nX-API-Key: {KEY}\r\n{LINES}\r\nhello").as_bytes());
    let answer = caller.next();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert!(!api.only().head.has("expect"));
}

fn without_a_body(driver: &str) {
    let api = continuing();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(&request("GET", "/crm/x", "Expect: 100-continue\r\n", b""));
    assert_eq!(caller.answer().status, 200);
    caller.still_served();
}
