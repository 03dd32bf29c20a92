//! One caller's bytes never reach another, whatever both of them do.

use std::thread;

use crate::{
    both_drivers,
    common::{Api, Config, Framing, Gateway, KEY, get, message::latin, request},
};

both_drivers!(many_callers_at_once, identities_do_not_mix);

const CALLERS: u64 = 12;
const REQUESTS: u64 = 40;

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Answers with the body of the request, in one of three forms.
fn echo() -> Api {
    Api::start(|exchange| {
        let body = exchange.body();
        match exchange.head.all("x-form").first() {
            Some(&"chunked") => {
                exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for piece in body.bytes.chunks(777) {
                    exchange.send(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
                }
                exchange.send(b"0\r\n\r\n");
                crate::common::Then::Keep
            }
            Some(&"close") => {
                exchange.send(&[b"HTTP/1.1 200 OK\r\n\r\n", body.bytes.as_slice()].concat());
                crate::common::Then::Close
            }
            _ => exchange.answer("200 OK", "", &body.bytes),
        }
    })
}

/// Callers that post bodies of their own, in pieces, and some of which leave in the middle.
fn many_callers_at_once(driver: &str) {
    let api = echo();
    let gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let gateway = &gateway;
            scope.spawn(move || one_caller(gateway, caller));
        }
    });
}

fn one_caller(gateway: &Gateway, number: u64) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (number + 1));
    let mut caller = gateway.connect();
    for n in 0..REQUESTS {
        let body = format!("<{number}:{n}>").repeat(1 + numbers.below(2000) as usize);
        let form = ["fixed", "chunked", "close"][numbers.below(3) as usize];
        let lines = format!("X-Form: {form}\r\nContent-Length: {}\r\n", body.len());
        let bytes = request("POST", &format!("/crm/{number}/{n}"), &lines, body.as_bytes());
        let at = numbers.below(bytes.len() as u64) as usize;
        match numbers.below(5) {
            // Leaves before the request is whole.
            0 => {
                caller.send(&bytes[..at]);
                caller = gateway.connect();
                continue;
            }
            // Leaves before the answer is read.
            1 => {
                caller.send(&bytes);
                caller = gateway.connect();
                continue;
            }
            2 => caller.send_slowly(&[&bytes[..at], &bytes[at..]]),
            _ => caller.send(&bytes),
        }
        let answer = caller.answer();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.whole && answer.text() == body, "caller {number} got {:.100}", answer.text());
        if answer.framing == Framing::UntilClose || answer.closes() {
            caller = gateway.connect();
        }
    }
}

/// What one request said of itself is not said of the next one on the same connections.
fn identities_do_not_mix(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for _ in 0..5 {
        caller.send(&request(
            "GET",
            "/crm/a",
            "X-Mine: 1\r\nCookie: mine\r\nTE: trailers\r\nVia: 1.0 mine\r\n",
            b"",
        ));
        assert_eq!(caller.answer().status, 200);
        caller.send(b"GET /crm/b HTTP/1.1\r\nHost: gw\r\n\r\n");
        caller.answer().refused(401, "credential-missing");
        caller.send(&get("/crm/c"));
        assert_eq!(caller.answer().status, 200);
        let requests = api.take();
        assert_eq!(requests.len(), 2);
        let text = latin(&requests[1].head.raw).to_ascii_lowercase();
        assert!(!text.contains("mine") && !text.contains(&KEY.to_ascii_lowercase()), "{text}");
    }
}
