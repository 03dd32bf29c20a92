//! Rules: the examples of `config/examples` as callers meet them, and what a refusal tells (nothing).

use crate::{
    both_drivers,
    common::{
        Answer, Api, Config, Gateway, KEY, TOKEN,
        caller::request,
        config::{credential, digest, key, proxy_table, target_tls},
    },
};

both_drivers!(
    one_key_one_job,
    a_field_beside_the_key,
    a_second_key_in_a_field,
    a_refusal_tells_nothing_and_keeps_the_connection,
    every_place_can_deny,
    what_else_a_rule_can_ask_for,
);

const ONE_KEY_ONE_JOB: &str = include_str!("../../config/examples/one-key-one-job.toml");
const SECOND_FACTOR: &str = include_str!("../../config/examples/second-factor.toml");
/// Digests in the examples.
const FIRST: &str = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8";
const SECOND: &str = "4c2b6ee9e5a3b1ed0b7dd8c6e0a9a3f5b7f0c5e1d2a4968778695a4b3c2d1e0f";

/// A gateway with an example beside the usual, leading to this API; both of its keys are `KEY`.
fn start(driver: &str, api: &Api, example: &str) -> Gateway {
    let more = example.replace(FIRST, &digest(KEY)).replace(SECOND, &digest(KEY));
    let more =
        more.replace("url = \"http://127.0.0.1:3000", &format!("{}url = \"{}", target_tls(), api.url("")));
    Gateway::start(driver, &Config { more, ..Config::to(api) })
}

fn ask(gateway: &Gateway, method: &str, path: &str, lines: &str) -> Answer {
    let mut caller = gateway.connect();
    caller.send(&request(method, path, lines, b""));
    caller.answer_to(method)
}

fn one_key_one_job(driver: &str) {
    let api = Api::plain();
    let gateway = start(driver, &api, ONE_KEY_ONE_JOB);
    for (path, seen) in [
        ("/shopify-inventory/v2/inventory/7", "/admin/api/v2/inventory/7"),
        ("/shopify-inventory/v2/inventory/", "/admin/api/v2/inventory/"),
        ("/shopify-inventory/v2/%69nventory/7?x=%2e", "/admin/api/v2/inventory/7?x=%2e"),
        ("/shopify-inventory/v1/../v2/inventory/7", "/admin/api/v2/inventory/7"),
    ] {
        assert_eq!(ask(&gateway, "GET", path, "").status, 200, "{path}");
        assert_eq!(api.only().head.line.split(' ').nth(1), Some(seen));
    }
    for (method, path) in [
        ("POST", "/shopify-inventory/v2/inventory/7"),
        ("DELETE", "/shopify-inventory/v2/inventory/7"),
        ("HEAD", "/shopify-inventory/v2/inventory/7"),
        ("GET", "/shopify-inventory/v2/inventory"),
        ("GET", "/shopify-inventory/v2/orders"),
        ("GET", "/shopify-inventory/v2/inventory/../orders"),
        ("GET", "/shopify-inventory/V2/inventory/7"),
        ("GET", "/shopify-inventory//v2/inventory/7"),
        ("GET", "/shopify-inventory/"),
        ("GET", "/shopify-inventory"),
    ] {
        let answer = ask(&gateway, method, path, "");
        assert_eq!(answer.status, 403, "{method} {path}");
        if method != "HEAD" {
            answer.refused(403, "rule");
        }
    }
    let nobody = gateway.ask(b"GET /shopify-inventory/v2/orders HTTP/1.1\r\nHost: gw\r\n\r\n");
    nobody.refused(401, "credential-missing");
    assert_eq!(api.count(), 0, "no refused request got there");
}

fn a_field_beside_the_key(driver: &str) {
    let api = Api::plain();
    let gateway = start(driver, &api, SECOND_FACTOR);
    for lines in ["X-User-Auth: a.b.c\r\n", "x-user-auth: \r\n", "X-USER-AUTH: a\r\nX-User-Auth: b\r\n"] {
        assert_eq!(ask(&gateway, "POST", "/mobile/v1/user/7", lines).status, 200, "{lines}");
        assert!(api.only().head.has("x-user-auth"), "the API sees it too");
    }
    for (method, path, lines) in [
        ("GET", "/mobile/v1/user/7", ""),
        ("GET", "/mobile/v1/user/7", "X_User_Auth: a\r\n"),
        ("GET", "/mobile/v1/user/7", "X-User-Auths: a\r\n"),
        ("PUT", "/mobile/v1/user/7", "X-User-Auth: a\r\n"),
        ("GET", "/mobile/v1/users", "X-User-Auth: a\r\n"),
    ] {
        ask(&gateway, method, path, lines).refused(403, "rule");
    }
    assert_eq!(api.count(), 0);
    drop(gateway);
    // An allow rule takes nothing away where everything is allowed.
    let (tables, _) = SECOND_FACTOR.split_once("[[assert]]").expect("the example asserts something");
    let open = tables.replace("default_rule_effect = \"deny\"", "");
    let gateway = start(driver, &api, &open);
    // The rules do not match, nor does the proxy say anything by default: nothing stands in the way.
    assert_eq!(ask(&gateway, "DELETE", "/mobile/v1/user/7", "").status, 200);
}

fn a_second_key_in_a_field(driver: &str) {
    let api = Api::plain();
    let mut gateway = start(driver, &api, SECOND_FACTOR);
    gateway.keep_secret("partner_key_x");
    let right = "X-Partner-Key: partner_key_xxxxxxxxxxxx\r\n";
    assert_eq!(ask(&gateway, "GET", "/partners/v1/orders", right).status, 200);
    assert!(api.only().head.line.starts_with("GET /v1/orders "));
    for lines in [
        "",
        "X-Partner-Key: partner_key_xxxxxxxxxxxxx\r\n",
        "X-Partner-Key: PARTNER_KEY_XXXXXXXXXXXX\r\n",
        "X-Partner-Key: partner_key_xxxxxxxxxxxx, b\r\n",
        "X-Partner: partner_key_xxxxxxxxxxxx\r\n",
    ] {
        ask(&gateway, "GET", "/partners/v1/orders", lines).refused(403, "rule");
    }
    ask(&gateway, "DELETE", "/partners/v1/orders", right).refused(403, "rule");
    assert_eq!(api.count(), 0);
}

fn a_refusal_tells_nothing_and_keeps_the_connection(driver: &str) {
    let api = Api::plain();
    let gateway = start(driver, &api, SECOND_FACTOR);
    let mut caller = gateway.connect();
    for (path, lines, body) in
        [("/mobile/v1/user/7", "", &b""[..]), ("/partners/v1/orders", "Content-Length: 6\r\n", b"a body")]
    {
        caller.send(&request("POST", path, lines, body));
        let answer = caller.answer();
        answer.refused(403, "rule");
        assert!(!answer.closes());
        let text = answer.text();
        for told in
            ["User-scoped", "static partner key", "Partner-Key", "v1/user/", "partner_key", "deny", TOKEN]
        {
            assert!(!text.contains(told), "{text}");
        }
        assert!(!answer.head.has("www-authenticate"), "another credential would not help: {text}");
    }
    caller.send(&request("GET", "/mobile/v1/user/7", "X-User-Auth: a\r\n", b""));
    assert_eq!(caller.answer().status, 200);
    assert_eq!(gateway.outcomes("rule"), 2);
}

/// A deny in any place denies, whatever is allowed elsewhere.
fn every_place_can_deny(driver: &str) {
    let api = Api::plain();
    let rule = |place: &str, effect: &str, path: &str| {
        format!("[[{place}.rule]]\neffect = \"{effect}\"\npath = \"{path}\"\n")
    };
    let more = format!(
        "[[target]]\nname = \"second\"\nurl = \"{}\"\n{}{}",
        api.url(""),
        target_tls(),
        rule("target", "deny", "^/by-target$")
    ) + &credential("limited", "", &[&key("l1", KEY, "")])
        + &rule("credential", "deny", "^/by-caller$")
        + "[[credential]]\nname = \"open\"\ntype = \"target\"\nauth = \"none\"\n"
        + &rule("credential", "deny", "^/by-target-credential$")
        + &proxy_table("alias = \"four\"", "limited")
            .replace("\"upstream\"", "\"open\"")
            .replace("target = \"api\"", "target = \"second\"")
        + &rule("proxy", "deny", "^/by-proxy$")
        + &rule("proxy", "allow", ".*");
    let gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    for path in ["/by-target", "/by-caller", "/by-target-credential", "/by-proxy"] {
        gateway.get(&format!("/four{path}")).refused(403, "rule");
        assert_eq!(gateway.get(&format!("/four{path}s")).status, 200, "{path}");
        assert_eq!(gateway.get(&format!("/crm{path}")).status, 200, "another proxy's rules: {path}");
    }
}

fn what_else_a_rule_can_ask_for(driver: &str) {
    let api = Api::plain();
    let proxy = r#"default_rule_effect = "deny"
[[proxy.rule]]
effect = "allow"
path = "^/here$"
source = ["127.0.0.0/8"]
[[proxy.rule]]
effect = "allow"
path = "^/elsewhere$"
source = ["10.0.0.0/8", "::/0"]
[[proxy.rule]]
effect = "allow"
path = "^/query$"
query = [{ name = "^debug$", value = "^a b$" }, { name = "^admin$", presence = "must_absent" }]
[[proxy.rule]]
effect = "allow"
path = { pattern = "^/", presence = "must_absent" }
[[proxy.rule]]
effect = "allow"
path = "^/$"
"#;
    let gateway = Gateway::start(driver, &Config { proxy: proxy.into(), ..Config::to(&api) });
    for path in ["/here", "/query?debug=a+b", "/query?x&%64ebug=a%20b", "", "/"] {
        assert_eq!(gateway.get(&format!("/crm{path}")).status, 200, "{path}");
    }
    for path in [
        "/elsewhere",
        "/query",
        "/query?debug=a",
        "/query?debug=a+b&%61dmin",
        "/query?debug=a&debug2=a+b",
        "/other",
    ] {
        gateway.get(&format!("/crm{path}")).refused(403, "rule");
    }
}
