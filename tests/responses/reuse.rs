//! RFC 9112 §9.3 and §9.3.1: which connections to an API are used again, and which requests are repeated.
//!
//! A connection that carries one byte more than its answers is never used again, and that byte reaches
//! nobody.

use std::{
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    both_drivers,
    common::{
        Api, Config, Exchange, Gateway, Then, at_once,
        config::{proxy_table, target_tls},
        eventually, get,
        message::latin,
        pause, request,
        steps::steps,
    },
};

both_drivers!(
    a_clean_one_is_used_again,
    one_that_rested_is_used_again,
    one_with_more_bytes_is_not,
    one_that_speaks_unasked_is_not,
    one_whose_end_was_announced_is_not,
    one_that_answered_early_is_not,
    one_whose_caller_left_is_not,
    a_get_on_a_stale_one_is_repeated,
    a_post_is_never_repeated,
    nothing_is_repeated_after_a_byte_of_the_answer,
    repeating_has_an_end,
    a_second_answer_reaches_nobody_on_a_busy_shard,
    a_get_behind_an_unannounced_end_is_repeated,
    a_post_behind_an_unannounced_end_goes_once,
    a_put_whose_body_came_after_its_head_is_repeated,
);

fn own_path(exchange: &mut Exchange<'_>) -> Then {
    let path = exchange.path().to_string();
    exchange.ok(&path)
}

/// A new caller gets its own answer; returns the connection to the API that served it.
#[track_caller]
fn served_on(gateway: &Gateway, api: &Api) -> usize {
    let answer = gateway.get("/crm/other");
    assert_eq!((answer.status, answer.text().as_str()), (200, "/base/other"));
    api.take().last().expect("the API saw it").connection
}

fn a_clean_one_is_used_again(driver: &str) {
    let api = Api::start(own_path);
    let gateway = Gateway::start(driver, &Config::to(&api));
    for _ in 0..20 {
        assert_eq!(served_on(&gateway, &api), 0, "RFC 9112 §9.3");
    }
    let chunked = request("POST", "/crm/x", "Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(gateway.ask(&chunked).status, 200);
    assert_eq!(api.only().connection, 0);
}

fn one_with_more_bytes_is_not(driver: &str) {
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let rows: [(&str, &str, &'static str); 7] = [
        ("GET", "/base/fixed", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "/base/empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "/base/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("GET", "/base/204", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "/base/304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n"),
        ("HEAD", "/base/head", "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"),
        ("GET", "/base/crlf", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n"),
    ];
    let answers = rows.map(|(_, path, answer)| (path, answer));
    let api = Api::start(move |exchange| {
        let Some((_, answer)) = answers.iter().find(|(path, _)| *path == exchange.path()) else {
            return own_path(exchange);
        };
        exchange.send(format!("{answer}{more}").as_bytes());
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (method, path, _) in rows {
        let mut caller = gateway.connect();
        caller.send(&request(method, &path.replace("base", "crm"), "", b""));
        let answer = caller.answer_to(method);
        assert!(!answer.text().contains("poison"), "{path}: {answer:#?}");
        let dirty = api.only().connection;
        assert_ne!(served_on(&gateway, &api), dirty, "{path}");
        if !answer.closes() {
            caller.send(&get("/crm/next"));
            let next = caller.answer();
            assert_eq!((next.status, next.text().as_str()), (200, "/base/next"), "{path}");
            assert_ne!(api.only().connection, dirty, "{path}");
        }
    }
}

fn one_that_speaks_unasked_is_not(driver: &str) {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let late = "HTTP/1.1 408 Late\r\nConnection: close\r\n\r\n";
    let (soon, later) = (Duration::ZERO, Duration::from_millis(1500));
    let rows = [(answer, soon), (late, soon), ("x", soon), (answer, later), ("x", later)];
    at_once(&rows, |&(unasked, rest)| {
        let (test, stepped) = steps();
        let api = Api::start(move |exchange| {
            if exchange.path() != "/base/first" {
                return own_path(exchange);
            }
            let then = own_path(exchange);
            stepped.wait();
            exchange.send(unasked.as_bytes());
            stepped.done();
            then
        });
        let gateway = Gateway::start(driver, &Config::to(&api));
        assert_eq!(gateway.get("/crm/first").text(), "/base/first");
        let dirty = api.only().connection;
        pause(rest);
        test.step();
        for _ in 0..3 {
            assert_ne!(served_on(&gateway, &api), dirty, "{unasked:?}");
        }
    });
}

/// Connections that rest for a while, each for another time, are as good as before.
fn one_that_rested_is_used_again(driver: &str) {
    let api = Api::start(own_path);
    let gateway = Gateway::start(driver, &Config::to(&api));
    let rests: Vec<u64> = (0..24).map(|n| 400 + n * 40).collect();
    at_once(&rests, |rest| {
        let mut caller = gateway.connect();
        for _ in 0..3 {
            caller.send(&request("POST", "/crm/x", "Content-Length: 2\r\n", b"hi"));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.text().as_str()), (200, "/base/x"), "after {rest} ms");
            pause(Duration::from_millis(*rest));
        }
    });
    assert!(api.connections() <= rests.len(), "{} connections", api.connections());
}

fn one_whose_end_was_announced_is_not(driver: &str) {
    let rows: [(&str, &'static str); 4] = [
        ("/base/close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        ("/base/list", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok"),
        ("/base/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "/base/both",
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        ),
    ];
    let api = Api::start(move |exchange| {
        let Some((_, answer)) = rows.iter().find(|(path, _)| *path == exchange.path()) else {
            return own_path(exchange);
        };
        exchange.send(answer.as_bytes());
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (path, _) in rows {
        assert_eq!(gateway.get(&path.replace("base", "crm")).text(), "ok", "{path}");
        let ended = api.only().connection;
        assert_ne!(served_on(&gateway, &api), ended, "{path}");
    }
}

/// An answer that comes before the request is whole leaves the rest of the request in doubt.
fn one_that_answered_early_is_not(driver: &str) {
    let api = Api::start(|exchange| {
        if exchange.method() != "POST" {
            return own_path(exchange);
        }
        exchange.skip_body();
        exchange.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
        exchange.wire.discard(usize::MAX);
        Then::Close
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(&request("POST", "/crm/x", "Content-Length: 1000\r\n", b"a beginning"));
    let answer = caller.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "no"));
    let early = api.only().connection;
    assert_ne!(served_on(&gateway, &api), early);
    caller.send(&get("/crm/never"));
    caller.closed();
    assert!(api.take().is_empty(), "what followed an unfinished body was taken for a request");
}

fn one_whose_caller_left_is_not(driver: &str) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        if exchange.path() != "/base/long" {
            return own_path(exchange);
        }
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n");
        stepped.wait();
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        stepped.done();
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(&get("/crm/long"));
    assert!(caller.wire.head().is_some_and(|head| head.is_ok()));
    drop(caller);
    let left = api.only().connection;
    assert_ne!(served_on(&gateway, &api), left);
    test.step();
    for _ in 0..3 {
        assert_ne!(served_on(&gateway, &api), left);
    }
}

/// An API that answers the first request of each connection, and ends the connection upon the second.
fn stale(then: Then) -> Api {
    Api::start(move |exchange| {
        if exchange.nth == 0 {
            return own_path(exchange);
        }
        exchange.body();
        then
    })
}

/// RFC 9112 §9.3.1: a request may be repeated if it is idempotent and no byte of its answer came.
fn a_get_on_a_stale_one_is_repeated(driver: &str) {
    for then in [Then::Close, Then::Reset] {
        let api = stale(then);
        let gateway = Gateway::start(driver, &Config::to(&api));
        let mut caller = gateway.connect();
        for (n, path) in ["/crm/a", "/crm/b", "/crm/c"].into_iter().enumerate() {
            caller.send(&get(path));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.text()), (200, path.replace("crm", "base")), "{then:?}");
            assert_eq!(api.take().len(), if n == 0 { 1 } else { 2 }, "{then:?}: once on each connection");
        }
    }
}

fn a_post_is_never_repeated(driver: &str) {
    for (then, lines, body) in [
        (Then::Close, "Content-Length: 2\r\n", "hi"),
        (Then::Reset, "Content-Length: 2\r\n", "hi"),
        (Then::Close, "Content-Length: 0\r\n", ""),
        (Then::Close, "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
    ] {
        let api = stale(then);
        let gateway = Gateway::start(driver, &Config::to(&api));
        assert_eq!(gateway.get("/crm/a").status, 200);
        assert_eq!(api.take().len(), 1);
        let answer = gateway.ask(&request("POST", "/crm/b", lines, body.as_bytes()));
        answer.refused(502, "upstream-closed");
        assert_eq!(served_on(&gateway, &api), 1);
        assert_eq!(api.count(), 0);
        eventually("the outcome is counted", || gateway.outcomes("upstream-closed") == 1);
    }
}

fn nothing_is_repeated_after_a_byte_of_the_answer(driver: &str) {
    for part in ["H", "HTTP/1.1 200 OK\r\nX-A: b\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let api = Api::start(move |exchange| {
            if exchange.path() == "/base/x" {
                exchange.send(part.as_bytes());
                return Then::Close;
            }
            own_path(exchange)
        });
        let gateway = Gateway::start(driver, &Config::to(&api));
        served_on(&gateway, &api);
        let answer = gateway.get("/crm/x");
        assert_eq!(answer.status, 502, "{part:?}: {answer:#?}");
        assert_eq!(api.take().len(), 1, "{part:?}");
        served_on(&gateway, &api);
    }
}

fn repeating_has_an_end(driver: &str) {
    let api = Api::start(|_| Then::Close);
    let gateway = Gateway::start(driver, &Config::to(&api));
    gateway.get("/crm/x").refused(502, "upstream-closed");
    assert!(api.take().len() <= 2);
}

/// Callers of another API keep the shard busy, so that the unasked answer and the next request come to it at once.
fn a_second_answer_reaches_nobody_on_a_busy_shard(driver: &str) {
    const ROUNDS: usize = 40;
    for delay in [10, 1, 0].map(Duration::from_millis) {
        let (test, stepped) = steps();
        let api = Api::start(move |exchange| {
            if exchange.path() != "/base/first" {
                return own_path(exchange);
            }
            own_path(exchange);
            exchange.pause(delay);
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
            stepped.done();
            Then::Keep
        });
        let other = Api::start(own_path);
        let url = other.url("/base");
        let target = format!("[[target]]\nname = \"other\"\nurl = \"{url}\"\n{}", target_tls());
        let proxy = proxy_table("alias = \"busy\"", "callers").replace("\"api\"", "\"other\"");
        let gateway = Gateway::start(driver, &Config { more: target + &proxy, ..Config::to(&api) });
        let (gateway, over) = (&gateway, AtomicBool::new(false));
        thread::scope(|scope| {
            let busy = || {
                let mut caller = gateway.connect();
                while !over.load(Ordering::Relaxed) {
                    caller.send(&get("/busy/x"));
                    assert_eq!(caller.answer().text(), "/base/x");
                }
            };
            let busy = [scope.spawn(busy), scope.spawn(busy)];
            let rounds = scope.spawn(move || {
                let mut caller = gateway.connect();
                for round in 0..ROUNDS {
                    assert_eq!(gateway.get("/crm/first").text(), "/base/first", "{delay:?}, round {round}");
                    test.done();
                    caller.send(&get("/crm/next"));
                    assert_eq!(caller.answer().text(), "/base/next", "{delay:?}, round {round}");
                    assert_eq!(gateway.get("/crm/other").text(), "/base/other", "{delay:?}, round {round}");
                }
            });
            let rounds = rounds.join();
            over.store(true, Ordering::Relaxed);
            for caller in busy {
                caller.join().expect("a busy caller failed");
            }
            rounds.expect("a round failed");
        });
    }
}

/// An API that ends each connection after one answer and does not say so. `hard`: it takes no more either.
fn one_answer_each(hard: bool) -> Api {
    Api::start(move |exchange| {
        own_path(exchange);
        if hard {
            let _ = exchange.wire.stream.shutdown(Shutdown::Both);
            return Then::Close;
        }
        // Read to the end, so that whatever was still sent is in the records.
        exchange.wire.finish();
        exchange.wire.rest();
        Then::Close
    })
}

/// RFC 9112 §9.3.1 and §9.3.2: the connection may end just when the next request of a pipeline is sent on it.
fn a_get_behind_an_unannounced_end_is_repeated(driver: &str) {
    at_once(&[false, true], |&hard| {
        let api = one_answer_each(hard);
        let gateway = Gateway::start(driver, &Config::to(&api));
        let mut caller = gateway.connect();
        for round in 0..20 {
            caller.send(&[get("/crm/a"), get("/crm/b"), get("/crm/c")].concat());
            for path in ["/base/a", "/base/b", "/base/c"] {
                let answer = caller.answer();
                assert_eq!((answer.status, answer.text().as_str()), (200, path), "round {round}");
            }
        }
    });
}

/// RFC 9112 §9.3.1: a client must not repeat what is not idempotent.
fn a_post_behind_an_unannounced_end_goes_once(driver: &str) {
    at_once(&[false, true], |&hard| {
        let api = one_answer_each(hard);
        let gateway = Gateway::start(driver, &Config::to(&api));
        for round in 0..20 {
            let path = format!("/crm/post-{round}-end");
            let post = request("POST", &path, "Content-Length: 2\r\n", b"hi");
            let mut caller = gateway.connect();
            caller.send(&[get("/crm/a"), post, get("/crm/c")].concat());
            assert_eq!(caller.answer().text(), "/base/a", "round {round}");
            let answer = caller.answer_to("POST");
            let served = answer.status == 200;
            if served {
                assert_eq!(answer.text(), path.replace("crm", "base"));
            } else {
                answer.refused(502, "upstream-closed");
            }
            if !answer.closes() {
                assert_eq!(caller.answer().text(), "/base/c", "round {round}");
            }
            let line = format!("POST /base/post-{round}-end HTTP/1.1\r\n");
            let times: usize = api.records().iter().map(|record| latin(record).matches(&line).count()).sum();
            assert!(times <= 1 && (times == 1 || !served), "round {round}: sent {times} times");
        }
    });
}

/// RFC 9112 §9.3.1: a small body that comes soon after its head is held until it is certain where it went.
fn a_put_whose_body_came_after_its_head_is_repeated(driver: &str) {
    for then in [Then::Close, Then::Reset] {
        let api = stale(then);
        let gateway = Gateway::start(driver, &Config::to(&api));
        let mut caller = gateway.connect();
        caller.send(&get("/crm/a"));
        assert_eq!(caller.answer().text(), "/base/a");
        assert_eq!(api.take().len(), 1);
        for _ in 0..3 {
            caller.send(&request("PUT", "/crm/b", "Content-Length: 9\r\n", b""));
            pause(Duration::from_millis(20));
            caller.send(b"nine byte");
            let answer = caller.answer_to("PUT");
            assert_eq!((answer.status, answer.text().as_str()), (200, "/base/b"), "{then:?}");
            assert!(!answer.closes(), "{then:?}");
            let seen = api.take();
            assert_eq!(seen.len(), 2, "{then:?}: once on each connection");
            let whole = |body: &crate::common::message::Body| body.whole && body.bytes == b"nine byte";
            assert!(seen.iter().all(|seen| seen.body.as_ref().is_some_and(whole)), "{then:?}: {seen:#?}");
        }
    }
}
