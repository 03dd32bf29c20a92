//! SIGTERM: what was begun is finished, nothing new is begun, and the process ends well.

use std::time::Duration;

use crate::{
    both_drivers,
    common::{Api, Caller, Config, Gateway, Then, eventually, get, message::latin, request, steps::steps},
    crowd::{Crowd, api},
};

both_drivers!(
    with_nothing_to_do,
    what_was_begun_is_finished,
    a_crowd_is_served_to_the_end,
    callers_are_sent_elsewhere_first,
    a_kept_connection_may_ask_once_more,
    a_body_on_its_way_arrives,
    no_longer_than_its_time
);

/// An API that waits before it answers `/base/slow`.
fn waiting() -> (Api, crate::common::steps::Steps) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        if exchange.path() == "/base/slow" {
            stepped.wait();
        }
        exchange.ok("ok")
    });
    (api, test)
}

fn with_nothing_to_do(driver: &str) {
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    assert_eq!(gateway.get("/crm/x").status, 200);
    gateway.terminate();
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
}

fn what_was_begun_is_finished(driver: &str) {
    let (api, test) = waiting();
    let mut gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    let mut idle: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    for caller in &mut idle[..10] {
        caller.still_served();
    }
    let mut busy = gateway.connect();
    busy.send(&get("/crm/slow"));
    eventually("the API sees it", || api.take().iter().any(|seen| seen.head.line.contains("slow")));
    assert_eq!(gateway.admin("/readyz").map(|answer| answer.status), Some(200));

    gateway.terminate();
    for caller in &mut idle {
        caller.closed();
    }
    eventually("it says that it is not ready", || {
        gateway.admin("/readyz").is_some_and(|answer| answer.status == 503)
    });
    assert_eq!(gateway.admin("/healthz").map(|answer| answer.status), Some(200));
    eventually("new connections are refused", || Caller::to(gateway.address()).is_err());

    test.go();
    let answer = busy.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(answer.closes(), "RFC 9112 §9.6: {:#?}", answer.head);
    busy.closed_in_order();
    drop(busy);
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
}

fn a_body_on_its_way_arrives(driver: &str) {
    let api = Api::echo();
    let mut gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(&request("POST", "/crm/x", "Content-Length: 10\r\n", b"hello"));
    api.await_requests(1);
    gateway.terminate();
    eventually("new connections are refused", || Caller::to(gateway.address()).is_err());
    caller.send(b", you");
    let answer = caller.answer();
    assert_eq!((answer.status, answer.text().as_str(), answer.closes()), (200, "hello, you", true));
    drop(caller);
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
}

fn no_longer_than_its_time(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
        Then::Hold
    });
    let config = Config { server: "drain_timeout = \"500ms\"".into(), ..Config::to(&api) };
    let mut gateway = Gateway::start(driver, &config);
    let mut caller = gateway.connect();
    caller.send(&get("/crm/x"));
    assert!(caller.wire.head().is_some_and(|head| head.is_ok()));
    gateway.terminate();
    let rest = latin(&caller.wire.rest());
    assert_eq!(rest, "hello", "what had come, and then the end");
    gateway.exit();
}

/// Kept and new connections from many threads, some with a slow API behind them: nothing that was sent in whole
/// before its connection was seen closed goes without an answer.
fn a_crowd_is_served_to_the_end(driver: &str) {
    let api = api();
    let mut gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    Crowd::during(&gateway, |crowd| {
        crowd.await_answers(200);
        crowd.may_end();
        gateway.terminate();
    });
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
    assert!(!gateway.log().contains("the time to drain is over"), "{}", gateway.log());
}

fn callers_are_sent_elsewhere_first(driver: &str) {
    let api = Api::plain();
    let config = Config { server: "drain_delay = \"700ms\"".into(), ..Config::to(&api) };
    let mut gateway = Gateway::start(driver, &config);
    gateway.terminate();
    eventually("it says that it is not ready", || {
        gateway.admin("/readyz").is_some_and(|answer| answer.status == 503)
    });
    assert!(!gateway.get("/crm/x").closes() || Caller::to(gateway.address()).is_err(), "nothing ends yet");
    eventually("new connections are refused", || Caller::to(gateway.address()).is_err());
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
}

fn a_kept_connection_may_ask_once_more(driver: &str) {
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &Config::to(&api));
    let mut rested = gateway.connect();
    rested.still_served();
    crate::common::pause(Duration::from_millis(900)); // it has given its buffer back
    let mut fresh = gateway.connect();
    fresh.still_served();
    gateway.terminate();
    eventually("new connections are refused", || Caller::to(gateway.address()).is_err());
    for caller in [&mut rested, &mut fresh] {
        caller.send(&get("/crm/last"));
        let answer = caller.answer();
        assert_eq!((answer.status, answer.closes()), (200, true));
        caller.closed_in_order();
    }
    drop((rested, fresh));
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
}
