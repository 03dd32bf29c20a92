//! RFC 9457: what a refusal looks like, and whether the connection goes on after it (RFC 9112 §9.3).

use std::collections::HashSet;

use crate::{
    both_drivers,
    common::{Api, Config, Framing, Gateway, KEY, get},
};

both_drivers!(
    problems,
    a_head_request_gets_no_body,
    kept_when_there_is_no_body,
    kept_when_the_body_was_read,
    nothing_of_an_unread_body_is_a_request,
    closed_after_a_protocol_error,
    to_http_1_0,
);

/// A request without a key.
fn anonymous(method: &str, lines: &str, body: &str) -> Vec<u8> {
    format!("{method} /crm/x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n{body}").into_bytes()
}

fn problems(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut ids = HashSet::new();
    for (bytes, status, word, phrase) in [
        (get("/unknown"), 404, "alias-unknown", "Not Found"),
        (anonymous("GET", "", ""), 401, "credential-missing", "Unauthorized"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400, "host-invalid", "Bad Request"),
        (b"TRACE / HTTP/1.1\r\nHost: gw\r\n\r\n".to_vec(), 405, "method-refused", "Method Not Allowed"),
        (
            b"GET / HTTP/3.0\r\nHost: gw\r\n\r\n".to_vec(),
            505,
            "version-unsupported",
            "HTTP Version Not Supported",
        ),
    ] {
        let answer = gateway.ask(&bytes);
        answer.refused(status, word);
        assert_eq!(answer.head.line, format!("HTTP/1.1 {status} {phrase}"));
        assert_eq!(answer.framing, Framing::Fixed(answer.body.len()));
        assert!(answer.head.has("date"), "RFC 9110 §6.6.1: {:#?}", answer.head);
        let text = answer.text();
        assert!(text.contains("\"title\"") && text.contains("\"request_id\""), "{text}");
        assert!(ids.insert(answer.head.one("x-request-id").to_string()), "an id of its own");
        if status == 405 {
            assert!(answer.head.has("allow"), "RFC 9110 §15.5.6: {:#?}", answer.head);
        }
    }
}

fn a_head_request_gets_no_body(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(&anonymous("HEAD", "", ""));
    let answer = caller.answer_to("HEAD");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.head.one("content-type"), "application/problem+json");
    caller.still_served();
}

fn kept_when_there_is_no_body(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for _ in 0..3 {
        caller.send(&anonymous("GET", "", ""));
        let answer = caller.answer();
        answer.refused(401, "credential-missing");
        assert!(!answer.closes());
        caller.send(&anonymous("POST", "Content-Length: 0\r\n", ""));
        caller.answer().refused(401, "credential-missing");
        caller.still_served();
    }
}

/// A small body that is there with the head is read, so that what follows it is a request again.
fn kept_when_the_body_was_read(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (lines, body) in [
        ("Content-Length: 5\r\n", "hello"),
        ("Content-Length: 38\r\n", "GET /crm/never HTTP/1.1\r\nHost: gw\r\n\r\n\0"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\n",
            "26\r\nGET /crm/never HTTP/1.1\r\nHost: gw\r\n\r\n\0\r\n0\r\nX-A: b\r\n\r\n",
        ),
    ] {
        let mut caller = gateway.connect();
        caller.send(&[anonymous("POST", lines, body), get("/crm/behind")].concat());
        let answer = caller.answer();
        answer.refused(401, "credential-missing");
        if answer.closes() && lines.contains("chunked") {
            // The end of a chunked body is known only once it is read, which a refusal need not do.
            caller.closed_in_order();
            assert_eq!(api.count(), 0);
            continue;
        }
        assert_eq!(caller.answer().status, 200, "{lines:?}");
        assert_eq!(api.only().head.line, "GET /base/behind HTTP/1.1");
    }
}

/// RFC 9112 §9.3: without having read the body, a server must not take what follows for a request.
fn nothing_of_an_unread_body_is_a_request(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let late = format!("GET /crm/never HTTP/1.1\r\nHost: gw\r\nX-API-Key: {KEY}\r\n\r\n");
    for (lines, part) in [
        ("Content-Length: 1000000\r\n", ""),
        ("Content-Length: 1000000\r\n", "a beginning"),
        ("Content-Length: 100\r\nExpect: 100-continue\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
        ("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", ""),
    ] {
        let mut caller = gateway.connect();
        caller.send(&anonymous("POST", lines, part));
        let answer = caller.answer();
        answer.refused(401, "credential-missing");
        assert!(answer.closes(), "{lines:?}: {:#?}", answer.head);
        caller.send(late.as_bytes());
        caller.closed_in_order();
        assert_eq!(api.count(), 0, "{lines:?}");
    }
}

fn closed_after_a_protocol_error(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(
        &[get("/crm/a"), b"GET /crm/b HTTP/1.1\r\nBad Name: x\r\n\r\n".to_vec(), get("/crm/never")].concat(),
    );
    assert_eq!(caller.answer().status, 200, "what came before is answered first");
    let answer = caller.answer();
    answer.refused(400, "field-invalid");
    assert!(answer.closes());
    caller.closed_in_order();
    assert_eq!(api.only().head.line, "GET /base/a HTTP/1.1");
}

fn to_http_1_0(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(b"GET /crm/x HTTP/1.0\r\nHost: gw\r\n\r\n");
    caller.answer().refused(401, "credential-missing");
    caller.closed_in_order();
}
