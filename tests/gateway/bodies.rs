//! Bodies of every size arrive as they were sent, and no part of one waits for the next.

use std::sync::OnceLock;

use crate::{
    both_drivers,
    common::{
        Api, Config, Framing, Gateway, PATIENCE, Then, get,
        message::{Length, latin},
        request,
        steps::steps,
    },
};

both_drivers!(
    of_every_size,
    answers_of_every_size,
    heads_of_every_size,
    heads_of_answers_of_every_size,
    requests_stream,
    answers_stream,
    events_stream
);

/// Around the sizes of the buffers, where heads and ends of chunks no longer fit.
const SIZES: [usize; 16] = [
    1, 1000, 3000, 4000, 4095, 4096, 4097, 15_000, 16_384, 16_385, 65_536, 131_071, 131_072, 131_073,
    300_000, 1_500_000,
];

/// Bytes in which every shift shows.
fn pattern(count: usize) -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    &PATTERN.get_or_init(|| (0..1_500_000).map(|n| (n ^ (n >> 8) ^ (n >> 15)) as u8).collect())[..count]
}

/// The same in chunks of different sizes.
fn chunks(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut size) = (Vec::new(), bytes, 1);
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(size.min(rest.len()));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        (rest, size) = (more, size * 3 + 1);
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn of_every_size(driver: &str) {
    let api = Api::start(|exchange| {
        let body = exchange.body();
        exchange.answer("200 OK", "", &body.bytes)
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for size in SIZES {
        let body = pattern(size);
        let fixed = request("POST", "/crm/x", &format!("Content-Length: {size}\r\n"), body);
        let chunked = request("POST", "/crm/x", "Transfer-Encoding: chunked\r\n", &chunks(body));
        for bytes in [fixed, chunked] {
            // Both directions at once: the API answers while nothing is read here yet.
            let mut sender = caller.wire.share();
            let answer = std::thread::scope(|scope| {
                scope.spawn(move || sender.send(&bytes).expect("it is read"));
                caller.answer()
            });
            assert_eq!(answer.status, 200, "{size}");
            assert!(answer.body == body, "changed on the way: {size}");
        }
    }
}

fn answers_of_every_size(driver: &str) {
    let api = Api::start(|exchange| {
        let path = exchange.path().to_string();
        let (form, size) = path.rsplit_once('/').expect("a size");
        let body = pattern(size.parse().expect("a number"));
        match form {
            "/base/chunked" => {
                exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                exchange.send(&chunks(body));
                Then::Keep
            }
            "/base/close" => {
                exchange.send(&[b"HTTP/1.1 200 OK\r\n\r\n", body].concat());
                Then::Close
            }
            _ => exchange.answer("200 OK", "", body),
        }
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for size in SIZES {
        for (form, framing) in
            [("fixed", Framing::Fixed(size)), ("chunked", Framing::Chunked), ("close", Framing::Chunked)]
        {
            caller.send(&get(&format!("/crm/{form}/{size}")));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.framing), (200, framing), "{form} {size}");
            assert!(answer.whole && answer.body == pattern(size), "changed on the way: {form} {size}");
        }
    }
}

/// Heads that fill a buffer to its edge, with a body behind them.
fn heads_of_every_size(driver: &str) {
    let api = Api::start(|exchange| {
        let body = exchange.body();
        let filler = exchange.head.one("x-filler").to_string();
        exchange.answer("200 OK", &format!("X-Filler: {filler}\r\n"), &body.bytes)
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    let sizes = [1, 2500, 3000, 3500, 3900, 4000, 4100, 8000, 15_000, 16_200, 16_400, 30_000];
    for size in sizes.into_iter().chain((2700..4100).step_by(50)) {
        let filler = "f".repeat(size);
        let lines = format!("X-Filler: {filler}\r\nContent-Length: 600\r\n");
        caller.send(&request("POST", "/crm/x", &lines, pattern(600)));
        let answer = caller.answer();
        assert_eq!(answer.status, 200, "{size}: {}", answer.text());
        assert!(
            answer.body == pattern(600) && answer.head.one("x-filler") == filler,
            "changed on the way: {size}"
        );
    }
}

/// The same for answers, whose heads may be larger.
fn heads_of_answers_of_every_size(driver: &str) {
    let api = Api::start(|exchange| {
        let path = exchange.path().to_string();
        let size = path.rsplit('/').next().and_then(|size| size.parse().ok()).expect("a size");
        exchange.answer("200 OK", &format!("X-Filler: {}\r\n", "f".repeat(size)), pattern(20_000))
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    let sizes = [1, 2900, 3900, 4000, 4090, 8000, 15_000, 16_000, 16_300, 16_384, 30_000, 50_000, 60_000];
    for size in sizes.into_iter().chain((15_000..16_500).step_by(100)) {
        caller.send(&get(&format!("/crm/{size}")));
        let answer = caller.answer();
        assert_eq!((answer.status, answer.head.one("x-filler").len()), (200, size));
        assert!(answer.body == pattern(20_000), "changed on the way: {size}");
    }
}

fn requests_stream(driver: &str) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        exchange.skip_body();
        while !latin(&exchange.wire.buffer).contains("first") {
            assert!(exchange.wire.look(PATIENCE), "ended");
        }
        stepped.done();
        while !latin(&exchange.wire.buffer).contains("second") {
            assert!(exchange.wire.look(PATIENCE), "ended");
        }
        exchange.answer("200 OK", "Connection: close\r\n", b"read");
        Then::Close
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (lines, first, second) in [
        ("Content-Length: 11\r\n", "first", "second"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n", "6\r\nsecond\r\n0\r\n\r\n"),
    ] {
        let mut caller = gateway.connect();
        caller.send(&request("POST", "/crm/x", lines, first.as_bytes()));
        test.done();
        caller.send(second.as_bytes());
        assert_eq!(caller.answer().text(), "read", "{lines:?}");
    }
}

fn answers_stream(driver: &str) {
    for (head, first, second) in [
        ("Content-Length: 11\r\n", "first", "second"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n", "6\r\nsecond\r\n0\r\n\r\n"),
        ("Connection: close\r\n", "first", "second"),
    ] {
        let (test, stepped) = steps();
        let api = Api::start(move |exchange| {
            exchange.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n{first}").as_bytes());
            stepped.wait();
            exchange.send(second.as_bytes());
            Then::Close
        });
        let gateway = Gateway::start(driver, &Config::to(&api));
        let mut caller = gateway.connect();
        caller.send(&get("/crm/x"));
        let head = caller.wire.head().expect("an answer").expect("a head");
        let fixed = matches!(head.length(), Ok(Length::Fixed(_)));
        let part = caller.wire.take(if fixed { 5 } else { 10 });
        assert!(latin(&part).contains("first"), "{}", latin(&part));
        test.go();
        let part = caller.wire.take(if fixed { 6 } else { 11 });
        assert!(latin(&part).contains("second"), "{}", latin(&part));
    }
}

/// One event after the other, each as soon as it is there.
fn events_stream(driver: &str) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for n in 0..20 {
            stepped.wait();
            exchange.send(format!("9\r\ndata: {n:02}\n\r\n").as_bytes());
        }
        exchange.send(b"0\r\n\r\n");
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(&get("/crm/x"));
    assert!(caller.wire.head().is_some_and(|head| head.is_ok()));
    for n in 0..20 {
        test.go();
        let expected = format!("data: {n:02}\n");
        crate::common::eventually("the event comes", || {
            caller.wire.look(std::time::Duration::from_millis(100));
            latin(&caller.wire.buffer).contains(&expected)
        });
    }
}
