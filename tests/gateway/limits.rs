//! Bounds on what a caller may send, and that whoever stays within them is served.

use std::sync::Barrier;

use crate::{
    both_drivers,
    common::{
        Answer, Api, Caller, Config, Gateway, Then, beside_a_bystander, eventually, get, message::latin,
        request,
    },
};

both_drivers!(
    of_a_head,
    of_a_target,
    of_the_number_of_fields,
    of_a_declared_body,
    of_a_chunked_body,
    of_what_surrounds_chunks,
    of_connections,
    of_connections_in_a_crowd,
    of_open_files,
    of_open_files_with_unused_connections,
    without_an_end,
);

/// A refusal that ends the connection.
#[track_caller]
fn refused(gateway: &Gateway, bytes: &[u8], status: u16, word: &str) {
    let mut caller = gateway.connect();
    caller.send(bytes);
    let answer = caller.answer();
    answer.refused(status, word);
    assert!(answer.closes(), "{:#?}", answer.head);
    caller.closed_in_order();
}

#[track_caller]
fn served(gateway: &Gateway, bytes: &[u8]) -> Answer {
    let answer = gateway.ask(bytes);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// A GET whose head has exactly this many bytes.
fn head_of(bytes: usize) -> Vec<u8> {
    let bare = request("GET", "/crm/x", "X-A: \r\n", b"").len();
    request("GET", "/crm/x", &format!("X-A: {}\r\n", "x".repeat(bytes - bare)), b"")
}

fn of_a_head(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    served(&gateway, &head_of(32 * 1024));
    refused(&gateway, &head_of(32 * 1024 + 1), 431, "head-too-large");
    refused(&gateway, &head_of(1024 * 1024), 431, "head-too-large");
    assert_eq!(api.count(), 1);
    let small = Config { limits: "head_bytes = 1024".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &small);
    served(&gateway, &head_of(1024));
    refused(&gateway, &head_of(1025), 431, "head-too-large");
}

fn of_a_target(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let target = |bytes: usize| get(&format!("/crm/{}", "x".repeat(bytes - 5)));
    served(&gateway, &target(8 * 1024));
    refused(&gateway, &target(8 * 1024 + 1), 414, "target-too-long");
    refused(&gateway, &target(20 * 1024), 414, "target-too-long");
    refused(&gateway, &target(64 * 1024), 414, "target-too-long"); // RFC 9112 §3, before 431
    assert_eq!(api.count(), 1);
}

fn of_the_number_of_fields(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    // Host and the key are two.
    served(&gateway, &request("GET", "/crm/x", &"X-A: b\r\n".repeat(98), b""));
    refused(&gateway, &request("GET", "/crm/x", &"X-A: b\r\n".repeat(99), b""), 431, "head-too-large");
    refused(&gateway, &request("GET", "/crm/x", &"a:\r\n".repeat(5000), b""), 431, "head-too-large");
    assert_eq!(api.count(), 1);
}

fn of_a_declared_body(driver: &str) {
    let api = Api::echo();
    let config = Config { limits: "body_bytes = 1000".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    let post = |bytes: usize| {
        request("POST", "/crm/x", &format!("Content-Length: {bytes}\r\n"), "x".repeat(bytes).as_bytes())
    };
    assert_eq!(served(&gateway, &post(1000)).body.len(), 1000);
    assert_eq!(api.take().len(), 1);
    refused(&gateway, &post(1001), 413, "body-too-large");
    let unsent = request("POST", "/crm/x", "Content-Length: 18446744073709551615\r\n", b"");
    refused(&gateway, &unsent, 413, "body-too-large");
    let expecting = request("POST", "/crm/x", "Content-Length: 1001\r\nExpect: 100-continue\r\n", b"");
    refused(&gateway, &expecting, 413, "body-too-large");
    assert_eq!(api.count(), 0, "known before anything is forwarded");
}

fn of_a_chunked_body(driver: &str) {
    let api = Api::echo();
    let config = Config { limits: "body_bytes = 1000".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    let post = |chunks: usize| {
        let body =
            ["64\r\n".to_string(), "x".repeat(100), "\r\n".into()].concat().repeat(chunks) + "0\r\n\r\n";
        request("POST", "/crm/x", "Transfer-Encoding: chunked\r\n", body.as_bytes())
    };
    assert_eq!(served(&gateway, &post(10)).body.len(), 1000);
    api.take();
    for chunks in [11, 200] {
        refused(&gateway, &post(chunks), 413, "body-too-large");
    }
    let endless = ["ffffffffffffffff\r\n", &"x".repeat(5000)].concat();
    let endless = request("POST", "/crm/x", "Transfer-Encoding: chunked\r\n", endless.as_bytes());
    refused(&gateway, &endless, 413, "body-too-large");
    eventually("the API sees every one cut", || api.all_ended());
    assert!(api.take_whole().is_empty(), "none may look whole to the API");
}

/// Small chunks are what many callers and APIs send; extensions without data are an attack.
fn of_what_surrounds_chunks(driver: &str) {
    let api = Api::start(|exchange| {
        let body = exchange.body();
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.send(&b"1\r\nx\r\n".repeat(body.bytes.len()));
        exchange.send(b"0\r\n\r\n");
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let post = |chunk: &str, count: usize| {
        let body = chunk.repeat(count) + "0\r\n\r\n";
        request("POST", "/crm/x", "Transfer-Encoding: chunked\r\n", body.as_bytes())
    };
    assert_eq!(served(&gateway, &post("1\r\nx\r\n", 20_000)).body.len(), 20_000);
    let extension = "e".repeat(200);
    refused(&gateway, &post(&format!("1;{extension}\r\nx\r\n"), 1000), 400, "chunk-invalid");
}

fn of_connections(driver: &str) {
    if crate::common::tls::is_on() {
        return; // nobody is told anything before a handshake
    }
    let api = Api::plain();
    let config = Config { limits: "connections = 10".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    let mut callers: Vec<_> = (0..10).map(|_| gateway.connect()).collect();
    for caller in &mut callers {
        caller.still_served();
    }
    for _ in 0..3 {
        let mut late = gateway.connect();
        late.send(&get("/crm/never"));
        let answer = late.answer();
        answer.refused(503, "overloaded");
        assert!(answer.closes());
        late.closed();
    }
    for caller in &mut callers {
        caller.still_served();
    }
    assert_eq!(api.take().len(), 20);
    callers.pop();
    eventually("a place is free again", || {
        let Ok(mut caller) = Caller::to(gateway.address()) else { return false };
        caller.send(&get("/crm/x"));
        caller.answer().status == 200
    });
}

/// However many come at once, each is told or closed, and none is left waiting.
fn of_connections_in_a_crowd(driver: &str) {
    if crate::common::tls::is_on() {
        return; // nobody is told anything before a handshake
    }
    let api = Api::plain();
    let config = Config { limits: "connections = 10".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    let mut callers: Vec<_> = (0..10).map(|_| gateway.connect()).collect();
    for caller in &mut callers {
        caller.still_served();
    }
    let mut crowd: Vec<_> = (0..200).map(|_| gateway.connect()).collect();
    for late in &mut crowd {
        late.send(&get("/crm/never"));
    }
    let mut told = 0;
    for late in &mut crowd {
        match late.wire.head() {
            Some(Ok(head)) => {
                assert!(head.line.starts_with("HTTP/1.1 503 "), "{head:#?}");
                told += 1;
            }
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
        late.wire.rest();
    }
    assert!(told > 0, "nobody was told");
    for caller in &mut callers {
        caller.still_served();
    }
    assert_eq!(api.take().len(), 20);
    drop((crowd, callers));
    eventually("there is room again", || {
        let Ok(mut caller) = Caller::to(gateway.address()) else { return false };
        caller.send(&get("/crm/x"));
        matches!(caller.wire.head(), Some(Ok(head)) if head.line.starts_with("HTTP/1.1 200 "))
    });
}

/// More callers than the process may open files for: some are refused, and the others are served.
fn of_open_files(driver: &str) {
    if crate::common::tls::is_on() {
        return; // nobody is told anything before a handshake
    }
    let api = Api::plain();
    let gateway = Gateway::start_with_open_files(driver, &Config::to(&api), 512);
    let mut first = gateway.connect();
    first.still_served();
    let crowd: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
    first.still_served();
    drop(crowd);
    eventually("there is room again", || {
        let Ok(mut caller) = Caller::to(gateway.address()) else { return false };
        caller.send(&get("/crm/x"));
        matches!(caller.wire.head(), Some(Ok(head)) if head.line.starts_with("HTTP/1.1 200 "))
    });
    first.still_served();
}

/// What is kept open to targets for the next requests leaves descriptors for callers.
fn of_open_files_with_unused_connections(driver: &str) {
    const CALLERS: usize = 40;
    let all = Barrier::new(CALLERS);
    let api = Api::start(move |exchange| {
        all.wait();
        exchange.ok("ok")
    });
    let others = ["a", "b"].map(|name| {
        format!(
            "[[target]]\nname = \"{name}\"\nurl = \"{}\"\n{}\
             [[proxy]]\nalias = \"{name}\"\ntarget = \"{name}\"\nproxy_credentials = [\"callers\"]\n",
            api.url(""),
            crate::common::config::target_tls(),
        )
    });
    let config = Config { shards: 1, more: others.concat(), ..Config::to(&api) };
    let gateway = Gateway::start_with_open_files(driver, &config, 512);
    let mut callers: Vec<_> = (0..CALLERS).map(|_| gateway.connect()).collect();
    for alias in ["crm", "a", "b"] {
        callers.iter_mut().for_each(|caller| caller.send(&get(&format!("/{alias}/x"))));
        for caller in &mut callers {
            let answer = caller.answer();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    let open = gateway.descriptors();
    // 77 may be kept: a quarter of 512 without those of the process (128) and of its shard (74).
    assert!((CALLERS + 77..CALLERS + 77 + 40).contains(&open), "{open} are open");
}

/// Callers that send without an end are cut, and a bystander is served.
fn without_an_end(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let rows: [(&[u8], &[u8], &[u16]); 4] = [
        (b"GET /crm/x HTTP/1.1\r\nX-A: ", b"x", &[431]),
        (b"GET /crm/", b"x", &[414]),
        (b"GET /crm/x HTTP/1.1\r\n", b"a:\r\n", &[431]),
        (b"", b"A", &[400, 414, 431, 501]),
    ];
    for (beginning, more, statuses) in rows {
        beside_a_bystander(&gateway, || {
            let mut caller = gateway.connect();
            caller.send(beginning);
            caller.send(&more.repeat(256 * 1024 / more.len()));
            let status = caller.answer().status;
            assert!(statuses.contains(&status), "{status} for {}", latin(beginning));
            let piece = more.repeat(16 * 1024);
            eventually("it is cut", || caller.try_send(&piece).is_err());
        });
    }
}
