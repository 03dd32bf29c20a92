//! Which proxy a request belongs to, and where it leads.

use crate::{
    both_drivers,
    common::{
        Api, Config, Gateway, KEY, TOKEN,
        config::{proxy_table, target_tls},
        get,
    },
};

both_drivers!(
    by_path,
    to_a_target_without_a_path,
    by_host,
    by_id,
    the_host_is_the_targets_or_the_callers,
    out_of_service,
    unknown,
    a_query_is_one,
    an_empty_segment_in_front,
);

fn target(api: &Api, name: &str, path: &str, more: &str) -> String {
    format!("[[target]]\nname = \"{name}\"\nurl = \"{}\"\n{}{more}\n", api.url(path), target_tls())
}

fn with_host(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY}\r\n\r\n").into()
}

/// Asserts that this request reaches the API as this target.
#[track_caller]
fn leads(gateway: &Gateway, api: &Api, host: &str, path: &str, to: &str) {
    let answer = gateway.ask(&with_host(host, path));
    assert_eq!(answer.status, 200, "{host} {path}: {}", answer.text());
    assert_eq!(api.only().head.line, format!("GET {to} HTTP/1.1"), "{host} {path}");
}

fn by_path(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (path, to) in [
        ("/crm/v2/x?q=1", "/base/v2/x?q=1"),
        ("/crm/v2/x", "/base/v2/x"),
        ("/crm/", "/base/"),
        ("/crm", "/base"),
        ("/crm?q=1", "/base?q=1"),
        ("/crm/?q=1", "/base/?q=1"),
        ("/crm/crm", "/base/crm"),
        ("/crm/a//b/", "/base/a//b/"),
    ] {
        leads(&gateway, &api, "gw", path, to);
    }
}

fn to_a_target_without_a_path(driver: &str) {
    let api = Api::plain();
    for url in [api.url(""), api.url("/")] {
        let gateway = Gateway::start(driver, &Config::to_url(&url));
        for (path, to) in [("/crm", "/"), ("/crm/", "/"), ("/crm/x", "/x"), ("/crm?q=1", "/?q=1")] {
            leads(&gateway, &api, "gw", path, to);
        }
    }
}

fn by_host(driver: &str) {
    let api = Api::plain();
    let config = Config { proxy: "hosts = [\"crm.example\"]".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    for (host, path, to) in [
        ("crm.example", "/v2/x?q=1", "/base/v2/x?q=1"),
        ("CRM.Example", "/v2/x", "/base/v2/x"),
        ("crm.example:8080", "/v2/x", "/base/v2/x"),
        ("crm.example", "/", "/base/"),
        ("crm.example", "/a/../b/%7Ec", "/base/b/~c"),
        ("gw", "/crm/x", "/base/x"),
    ] {
        leads(&gateway, &api, host, path, to);
    }
    let above = gateway.ask(&with_host("crm.example", "/../x"));
    above.refused(400, "path-invalid");
    for host in ["other.example", "x.crm.example", "crm.example.other"] {
        let answer =
            gateway.ask(format!("GET /v2/x HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY}\r\n\r\n").as_bytes());
        answer.refused(404, "alias-unknown");
    }
}

fn by_id(driver: &str) {
    let api = Api::plain();
    let config = Config { proxy: "id = \"p-7f3a\"".into(), ..Config::to(&api) };
    let gateway = Gateway::start(driver, &config);
    leads(&gateway, &api, "gw", "/p-7f3a/x", "/base/x");
    leads(&gateway, &api, "gw", "/crm/x", "/base/x");
    gateway.get("/p-7f3b/x").refused(404, "alias-unknown");
}

fn the_host_is_the_targets_or_the_callers(driver: &str) {
    let api = Api::plain();
    let keeps = target(&api, "keeps", "", "preserve_host = true");
    let proxy = proxy_table("alias = \"keeps\"", "callers").replace("\"api\"", "\"keeps\"");
    let gateway = Gateway::start(driver, &Config { more: keeps + &proxy, ..Config::to(&api) });
    gateway.get("/crm/x");
    assert_eq!(api.only().head.one("host"), api.address.to_string());
    gateway.get("/keeps/x");
    let seen = api.only();
    assert_eq!((seen.head.one("host"), seen.head.line.as_str()), ("gw.example", "GET /x HTTP/1.1"));
    // RFC 9112 §3.2: HTTP/1.0 may leave it out; what stands for it then is not the caller's word.
    let lines = "X-API-Key: KEY\r\nX-Forwarded-Host: forged\r\n".replace("KEY", KEY);
    for path in ["/crm/x", "/keeps/x"] {
        let answer = gateway.ask(format!("GET {path} HTTP/1.0\r\n{lines}\r\n").as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let head = api.only().head;
        assert_eq!(head.one("host"), api.address.to_string());
        assert!(!head.has("x-forwarded-host"), "{head:#?}");
    }
}

fn out_of_service(driver: &str) {
    let api = Api::plain();
    let off = proxy_table("alias = \"off\"\nactive = false", "callers");
    let dangling = proxy_table("alias = \"dangling\"", "callers").replace("\"api\"", "\"nowhere\"");
    let gateway = Gateway::start(driver, &Config { more: off + &dangling, ..Config::to(&api) });
    let mut caller = gateway.connect();
    caller.send(&get("/off/x"));
    caller.answer().refused(503, "proxy-inactive");
    caller.still_served();
    let answer = gateway.get("/dangling/x");
    answer.refused(503, "proxy-broken");
    assert!(!answer.text().contains("nowhere"), "the configuration is none of a caller's business");
    assert!(
        gateway.log().contains("nowhere"),
        "the operator is told which reference dangles:\n{}",
        gateway.log()
    );
}

fn unknown(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for path in ["/", "/crmx", "/cr", "/CRM/x", "/x/crm", "/.well-known/x"] {
        caller.send(&get(path));
        let answer = caller.answer();
        answer.refused(404, "alias-unknown");
        assert!(!answer.closes(), "{path}");
    }
    caller.send(b"GET /unknown HTTP/1.1\r\nHost: gw\r\n\r\n");
    caller.answer().refused(404, "alias-unknown");
    caller.still_served();
    assert_eq!(api.only().head.one("authorization"), format!("Bearer {TOKEN}"));
}

/// RFC 3986 §3.4: what is no query to every reader is none.
fn a_query_is_one(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for query in ["%zz", "a=%zz", "a=%", "a=%4", "<", "a=<b>"] {
        gateway.get(&format!("/crm/x?{query}")).refused(400, "target-invalid");
    }
    assert_eq!(api.count(), 0);
    for query in ["a=%7A", "a=b&c=/?:@", ""] {
        leads(&gateway, &api, "gw", &format!("/crm/x?{query}"), &format!("/base/x?{query}"));
    }
}

/// RFC 3986 §3.3 and §4.2: a path that begins with two slashes would name another host.
fn an_empty_segment_in_front(driver: &str) {
    let api = Api::plain();
    for url in [api.url(""), api.url("/")] {
        let gateway = Gateway::start(driver, &Config::to_url(&url));
        for path in ["/crm//x", "/crm//", "/crm//a.example/x"] {
            gateway.get(path).refused(400, "path-invalid");
        }
        assert_eq!(api.count(), 0);
        leads(&gateway, &api, "gw", "/crm/a//x", "/a//x");
    }
    let gateway = Gateway::start(driver, &Config::to(&api));
    leads(&gateway, &api, "gw", "/crm//x", "/base//x");
}
