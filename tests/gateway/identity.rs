//! Who the API is told that the caller is; no caller can say it instead.

use std::collections::HashSet;

use crate::{
    both_drivers,
    common::{
        Api, Config, Gateway,
        config::{credential, key, proxy_table},
        message::latin,
        request,
    },
};

both_drivers!(
    what_the_api_is_told,
    forged_ones_are_removed,
    the_apis_own_credential_cannot_be_forged,
    request_ids_are_fresh,
    without_a_consumer,
);

fn what_the_api_is_told(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    gateway.get("/crm/x");
    let head = api.only().head;
    for (name, value) in [
        ("X-Credential-Id", "callers"),
        ("X-Consumer-Id", "payments"),
        ("X-Consumer-Legacy-Id", "kong:9c1e"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", if crate::common::tls::is_on() { "https" } else { "http" }),
        ("X-Forwarded-Host", "gw.example"),
        ("Via", "1.1 keyferry"),
    ] {
        assert_eq!(head.one(name), value, "{name}");
    }
    assert!(!head.one("x-request-id").is_empty());
}

fn forged_ones_are_removed(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for name in [
        "X-Credential-Id",
        "X-Consumer-Id",
        "X-Consumer-Legacy-Id",
        "X-Request-Id",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Forwarded",
    ] {
        let low = name.to_ascii_lowercase();
        let variants = [
            name.into(),
            low.clone(),
            name.to_ascii_uppercase(),
            name.replace('-', "_"),
            low.replace('-', "_"),
            low.replacen('-', "_", 1),
        ];
        let lines: String = variants.iter().map(|name| format!("{name}: forged\r\n")).collect();
        let answer = gateway.ask(&request("GET", "/crm/x", &(lines + "X-Stays: 1\r\n"), b""));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let head = api.only().head;
        let text = latin(&head.raw);
        assert!(!text.contains("forged"), "{name}: {text}");
        assert_eq!(head.one("x-stays"), "1");
        let expected = usize::from(name != "Forwarded");
        let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        assert_eq!(head.fields.iter().filter(|(n, _)| plain(n) == low).count(), expected, "{name}: {text}");
    }
}

/// A field that carries the target credential comes from the gateway alone.
fn the_apis_own_credential_cannot_be_forged(driver: &str) {
    let api = Api::plain();
    let more = "[[credential]]\nname = \"special\"\ntype = \"target\"\nauth = \"key\"\n\
                header = \"X-Target-Key\"\nkey = \"target-secret-3\"\n"
        .to_string()
        + &proxy_table("alias = \"special\"", "callers").replace("\"upstream\"", "\"special\"");
    let mut gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    gateway.keep_secret("target-secret-3");
    let lines = "X-Target-Key: forged\r\nx-target-key: forged\r\nX_Target_Key: forged\r\n\
                 Connection: x-target-key\r\n";
    assert_eq!(gateway.ask(&request("GET", "/special/x", lines, b"")).status, 200);
    let head = api.only().head;
    assert_eq!(head.one("x-target-key"), "target-secret-3");
    assert!(!latin(&head.raw).contains("forged"), "{head:#?}");
}

fn request_ids_are_fresh(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for _ in 0..50 {
        caller.send(&request("GET", "/crm/x", "X-Request-Id: mine\r\n", b""));
        assert_eq!(caller.answer().status, 200);
    }
    let ids: HashSet<_> = api.take().iter().map(|seen| seen.head.one("x-request-id").to_string()).collect();
    assert_eq!(ids.len(), 50);
    assert!(ids.iter().all(|id| id != "mine" && id.len() >= 16), "{ids:?}");
}

fn without_a_consumer(driver: &str) {
    let api = Api::plain();
    let more = credential("strangers", "", &[&key("s1", "stranger-key-2mVx8Lq0", "")]);
    let proxy = proxy_table("alias = \"open\"", "strangers");
    let mut gateway = Gateway::start(driver, &Config { more: more + &proxy, ..Config::to(&api) });
    gateway.keep_secret("stranger-key-2mVx8Lq0");
    let lines =
        "X-API-Key: stranger-key-2mVx8Lq0\r\nX-Consumer-Id: forged\r\nX-Consumer-Legacy-Id: forged\r\n";
    let answer = gateway.ask(format!("GET /open/x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let head = api.only().head;
    assert_eq!(head.one("x-credential-id"), "strangers");
    assert!(!head.has("x-consumer-id") && !head.has("x-consumer-legacy-id"), "{head:#?}");
}
