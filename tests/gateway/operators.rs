//! What operators see: the log, the admin listener, the counts.

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, KEY, TOKEN, eventually, get, request},
};

both_drivers!(
    health,
    the_status,
    every_outcome_is_counted,
    the_log_names_no_secret,
    a_plaintext_key_is_not_shown
);

fn health(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for path in ["/healthz", "/readyz", "/status"] {
        assert_eq!(gateway.admin(path).map(|answer| answer.status), Some(200), "{path}");
    }
    assert_eq!(gateway.admin("/nowhere").map(|answer| answer.status), Some(404));
    gateway.get("/healthz").refused(404, "alias-unknown");
}

fn the_status(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    let status = gateway.status();
    assert_eq!(status["generation"], 1, "{status}");
    assert_eq!(status["shards"], 2, "{status}");
    let name = status["driver"].as_str().unwrap_or_default();
    match driver {
        "epoll" => assert_eq!(name, "epoll"),
        _ => assert!(["io_uring-defer", "io_uring-coop", "epoll"].contains(&name), "{status}"),
    }
    assert!(gateway.log().contains(&format!("driver={name}")), "{}", gateway.log());
    assert!(status["outcomes"].is_object(), "{status}");
}

fn every_outcome_is_counted(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for _ in 0..3 {
        gateway.get("/crm/x");
    }
    gateway.get("/unknown");
    gateway.ask(b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    gateway.ask(b"GET /crm/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: wrong\r\n\r\n");
    gateway.ask(b"GET /crm/x HTTP/1.1\r\n\r\n");
    let expected = [
        ("forwarded", 3),
        ("alias-unknown", 1),
        ("credential-missing", 1),
        ("key-unknown", 1),
        ("host-invalid", 1),
    ];
    for (word, count) in expected {
        eventually(word, || gateway.outcomes(word) == count);
    }
    let mut leaving = gateway.connect();
    leaving.send(&request("POST", "/crm/x", "Content-Length: 100\r\n", b"a beginning"));
    drop(leaving);
    eventually("a caller that left is counted", || gateway.outcomes("caller-gone") == 1);
    let status = gateway.status();
    let outcomes = status["outcomes"].as_object().expect("an object");
    let sum: u64 = outcomes.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(sum, 8, "each request once: {status}");
}

fn the_log_names_no_secret(driver: &str) {
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &Config::to(&api));
    let near = format!("{KEY}-nearly");
    gateway.keep_secret(&near);
    gateway.keep_secret("cookie-of-a-caller");
    for bytes in [
        get("/crm/x"),
        format!(
            "GET /crm/{KEY}?k={TOKEN} HTTP/1.1\r\nHost: gw\r\nX-API-Key: {near}\r\n\
             Cookie: cookie-of-a-caller\r\n\r\n"
        )
        .into_bytes(),
        format!("GET /crm/{KEY} HTTP/1.1\r\nHost: gw\r\nX-API-Key : {KEY}\r\n\r\n").into_bytes(),
        format!("{KEY} / HTTP/1.1\r\nX-API-Key: {KEY}\r\n\r\n").into_bytes(),
    ] {
        let answer = gateway.ask(&bytes);
        let text = answer.text();
        assert!(!text.contains(KEY) && !text.contains(TOKEN), "{text}");
    }
    // The harness looks through the log and the status when the gateway ends.
}

/// A key in the file as it is gets a warning, which does not show it.
fn a_plaintext_key_is_not_shown(driver: &str) {
    let api = Api::plain();
    let secret = "plain-key-4Lk8Tz2Wq9Xv6Rn1";
    let more = format!(
        "[[credential]]\nname = \"plain\"\ntype = \"proxy\"\nauth = \"key\"\n\
         keys = [{{ id = \"p1\", key = \"{secret}\" }}]\n"
    ) + &crate::common::config::proxy_table("alias = \"plain\"", "plain");
    let mut gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    gateway.keep_secret(secret);
    let answer =
        gateway.ask(format!("GET /plain/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: {secret}\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(gateway.log().contains("WARN"), "{}", gateway.log());
}
