//! Credentials that are asked for together or instead of each other, and proxies that ask for none.

use std::fs;

use serde_json::{Value, json};

use crate::{
    both_drivers,
    common::{
        Answer, Api, Config, Gateway, KEY, Then,
        config::{credential, key},
        eventually,
    },
};

both_drivers!(
    keys_together_and_a_key_instead,
    the_log_says_why_a_branch_did_not_let_in,
    a_tunnel_rests_on_all_that_let_it_in,
    a_public_proxy_asks_for_nothing,
    preflights_of_browsers_pass,
);

const PARTNER: &str = "partner-9tQ4kZ7xW2mR6vB8nL3c";
const LEGACY: &str = "legacy-5Jx0pWq2LrT8vB4nM7cY";

/// Beside the usual proxy: `/both` asks for the caller's key together with that of its partner, or for a legacy key.
fn config(api: &Api, rules: &str) -> Config {
    let partner = credential(
        "partner",
        "locations = [\"header:X-Partner-Key\"]\nconsumer = \"acme\"",
        &[&key("p1", PARTNER, "")],
    );
    let legacy = credential("legacy", "", &[&key("l1", LEGACY, "")]);
    let more = format!(
        "[[consumer]]\nname = \"acme\"\nscopes = [\"orders:read\"]\n{partner}{legacy}\
         [[proxy]]\nalias = \"both\"\ntarget = \"api\"\ntarget_credential = \"upstream\"\n\
         upgrades = [\"websocket\"]\n\
         security = [{{ all = [\"callers\", \"partner\"], identity = \"partner\" }}, \"legacy\"]\n{rules}\
         [[proxy]]\nalias = \"open\"\ntarget = \"api\"\ntarget_credential = \"upstream\"\nsecurity = []\n\
         preflight = \"pass\"\n"
    );
    Config { more, server: "data_dir = \"data\"".into(), ..Config::to(api) }
}

#[track_caller]
fn ask(gateway: &Gateway, request_line: &str, lines: &str) -> Answer {
    gateway.ask(format!("{request_line} HTTP/1.1\r\nHost: gw\r\n{lines}\r\n").as_bytes())
}

fn keys_together_and_a_key_instead(driver: &str) {
    let api = Api::plain();
    let rules = "[[proxy.rule]]\neffect = \"allow\"\nscopes = [\"orders:read\"]\n\
                 [[proxy.rule]]\neffect = \"allow\"\npath = \"^/legacy\"\n";
    let config = config(&api, &format!("default_rule_effect = \"deny\"\n{rules}"));
    let gateway = Gateway::start(driver, &config);
    let (own, partner) = (format!("X-API-Key: {KEY}\r\n"), format!("X-Partner-Key: {PARTNER}\r\n"));
    let legacy = format!("Authorization: Bearer {LEGACY}\r\n");
    let both = format!("{own}{partner}");
    let answer = ask(&gateway, "GET /both/x", &both);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let head = api.only().head;
    assert_eq!([head.one("x-credential-id"), head.one("x-consumer-id")], ["partner", "acme"]);
    assert_eq!([head.all("x-api-key").len(), head.all("x-partner-key").len()], [0, 0], "neither goes on");
    for (lines, status, word) in [
        (own.as_str(), 401, "credential-incomplete"),
        (&partner, 401, "credential-incomplete"),
        (&format!("{own}X-Partner-Key: another\r\n"), 401, "key-unknown"),
        (&legacy, 403, "rule"), // it comes in, but has no scope
        ("", 401, "credential-missing"),
    ] {
        ask(&gateway, "GET /both/x", lines).refused(status, word);
    }
    // A branch that is satisfied decides, and one behind it does not help.
    let answer = ask(&gateway, "GET /both/legacy", &legacy);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(api.only().head.one("x-credential-id"), "legacy");
    let answer = ask(&gateway, "GET /both/x", &format!("{both}{legacy}"));
    assert_eq!((answer.status, api.only().head.one("x-credential-id")), (200, "partner"));
    // A part that is revoked is missing, and both are counted as used.
    let answer = gateway.post("/revoke", "{\"name\":\"callers/k1\"}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    ask(&gateway, "GET /both/x", &both).refused(401, "key-revoked");
    let answer = ask(&gateway, "GET /both/legacy", &format!("{both}{legacy}"));
    assert_eq!((answer.status, api.only().head.one("x-credential-id")), (200, "legacy"));
}

fn the_log_says_why_a_branch_did_not_let_in(driver: &str) {
    let api = Api::plain();
    let plain = config(&api, "");
    let more = format!("{}[access_log]\npath = \"access.jsonl\"\n", plain.more);
    let gateway = Gateway::start(driver, &Config { more, ..plain });
    let legacy = format!("Authorization: Bearer {LEGACY}\r\n");
    let rows = [
        (format!("X-API-Key: {KEY}\r\nX-Partner-Key: {PARTNER}\r\n"), json!(null), "partner"),
        (format!("X-API-Key: {KEY}\r\n{legacy}"), json!(["credential-incomplete"]), "legacy"),
        (format!("X-API-Key: other\r\n{legacy}"), json!(["key-unknown"]), "legacy"),
        (legacy.clone(), json!(["credential-missing"]), "legacy"),
    ];
    for (lines, _, _) in &rows {
        assert_eq!(ask(&gateway, "GET /both/x", lines).status, 200);
    }
    ask(&gateway, "GET /both/x", "").refused(401, "credential-missing");
    let read = || fs::read_to_string(gateway.file("access.jsonl")).unwrap_or_default();
    eventually("the lines are written", || read().lines().count() == rows.len() + 1);
    let text = read();
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, (_, not_by, credential)) in found.iter().zip(&rows) {
        assert_eq!((&line["not_by"], line["credential"].as_str()), (not_by, Some(*credential)), "{line}");
    }
    assert_eq!(found[rows.len()]["not_by"], json!(["credential-missing", "credential-missing"]));
}

fn a_tunnel_rests_on_all_that_let_it_in(driver: &str) {
    let api = Api::start(|exchange| {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        exchange.wire.send(answer.as_bytes()).unwrap();
        exchange.wire.look(crate::common::PATIENCE);
        Then::Close
    });
    for part in ["callers/k1", "partner/p1"] {
        let gateway = Gateway::start(driver, &config(&api, ""));
        let mut caller = gateway.connect();
        caller.send(
            format!(
                "GET /both/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: {KEY}\r\nX-Partner-Key: {PARTNER}\r\n\
                 Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            .as_bytes(),
        );
        let head = caller.wire.head().expect("an answer").expect("a head");
        assert!(head.line.starts_with("HTTP/1.1 101 "), "{}", head.line);
        let answer = gateway.post("/revoke", &format!("{{\"name\":\"{part}\"}}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        caller.closed();
    }
}

fn a_public_proxy_asks_for_nothing(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &config(&api, ""));
    for lines in ["", "X-API-Key: whatever\r\n", "X-Consumer-Id: forged\r\nX-Credential-Id: forged\r\n"] {
        let answer = ask(&gateway, "GET /open/x", lines);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let head = api.only().head;
        assert_eq!([head.all("x-consumer-id").len(), head.all("x-credential-id").len()], [0, 0]);
        assert!(head.one("authorization").starts_with("Bearer "), "the API still knows the gateway");
    }
}

fn preflights_of_browsers_pass(driver: &str) {
    let api = Api::plain();
    let mut config = config(&api, "preflight = \"pass\"\ndefault_rule_effect = \"deny\"\n");
    config.more = config.more.replace(
        "[[proxy]]\nalias = \"open\"",
        "[[proxy.rule]]\neffect = \"deny\"\npath = \"^/admin\"\n[[proxy]]\nalias = \"open\"",
    );
    let gateway = Gateway::start(driver, &config);
    let preflight = "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = ask(&gateway, "OPTIONS /both/x", preflight);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let head = api.only().head;
    assert_eq!(
        [head.all("authorization").len(), head.all("x-consumer-id").len()],
        [0, 0],
        "nobody vouches for it"
    );
    assert_eq!(head.one("access-control-request-method"), "PUT");
    ask(&gateway, "OPTIONS /both/admin", preflight).refused(403, "rule");
    ask(&gateway, "OPTIONS /both/x", "Origin: https://app.example\r\n").refused(401, "credential-missing");
    ask(&gateway, "PUT /both/x", preflight).refused(401, "credential-missing");
    ask(&gateway, "OPTIONS /crm/x", preflight).refused(401, "credential-missing");
}
