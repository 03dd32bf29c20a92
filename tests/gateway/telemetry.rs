//! What is counted: by proxy, credential and outcome, with times, and how that is told.

use serde_json::Value;

use crate::{
    both_drivers,
    common::{
        Answer, Api, Config, Gateway, KEY, Metrics, Then,
        config::{credential, key, proxy_table},
        eventually, get, request,
    },
};

both_drivers!(
    each_request_is_counted_once_where_it_belongs,
    authenticating_takes_a_part_of_the_time,
    metrics_are_well_formed,
    a_tunnel_is_counted_and_its_length_is_not,
    nothing_tells_a_key,
);

const PARTNER: &str = "partner-key-8Wq3Zr5Tn7Lx1Vb6";

/// Two proxies, of which `crm` lets two credentials in, on two shards.
fn config(api: &Api) -> Config {
    let more = credential("partners", "", &[&key("p1", PARTNER, "")])
        + &proxy_table("alias = \"both\"", "callers\", \"partners");
    Config { shards: 2, more, ..Config::to(api) }
}

fn by_key(path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\n\r\n").into_bytes()
}

impl Gateway {
    #[track_caller]
    fn metrics(&self) -> Metrics {
        let answer = self.admin("/metrics").expect("the admin listener answers");
        let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.head.one("content-type"), expected);
        Metrics::parse(std::str::from_utf8(&answer.body).expect("it is UTF-8"))
    }

    #[track_caller]
    fn telemetry(&self) -> Value {
        let answer = self.admin("/telemetry").expect("the admin listener answers");
        serde_json::from_slice(&answer.body).expect("it is JSON")
    }

    /// Waits until this many requests are in `/telemetry`.
    #[track_caller]
    fn await_requests(&self, count: u64) -> Value {
        let mut found = Value::Null;
        eventually("all requests are counted", || {
            found = self.telemetry();
            sum(&found) >= count
        });
        assert_eq!(sum(&found), count, "{found}");
        found
    }
}

fn sum(telemetry: &Value) -> u64 {
    let series = telemetry["series"].as_array().expect("a list");
    series.iter().map(|one| one["total"]["requests"].as_u64().expect("a number")).sum()
}

fn series<'v>(telemetry: &'v Value, proxy: Option<&str>, credential: Option<&str>) -> &'v Value {
    let all = telemetry["series"].as_array().expect("a list");
    let found =
        all.iter().find(|one| one["proxy"].as_str() == proxy && one["credential"].as_str() == credential);
    found.unwrap_or_else(|| panic!("no series of {proxy:?} and {credential:?} in {telemetry}"))
}

#[track_caller]
fn ask(gateway: &Gateway, count: usize, bytes: &[u8], status: u16) {
    // Each on a connection of its own, so that both shards get some.
    for _ in 0..count {
        let answer: Answer = gateway.ask(bytes);
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

fn each_request_is_counted_once_where_it_belongs(driver: &str) {
    let api = Api::start(|exchange| match exchange.path() {
        "/base/gone" => Then::Close,
        "/base/teapot" => {
            exchange.send(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n");
            Then::Keep
        }
        _ => exchange.ok("ok"),
    });
    let gateway = Gateway::start(driver, &config(&api));
    ask(&gateway, 7, &get("/crm/x"), 200);
    ask(&gateway, 3, &by_key("/both/x", KEY), 200);
    ask(&gateway, 5, &by_key("/both/x", PARTNER), 200);
    ask(&gateway, 2, &by_key("/both/teapot", PARTNER), 418);
    ask(&gateway, 2, &request("POST", "/crm/gone", "", b""), 502);
    ask(&gateway, 4, &by_key("/crm/x", PARTNER), 401);
    ask(&gateway, 6, b"GET /both/x HTTP/1.1\r\nHost: gw\r\n\r\n", 401);
    ask(&gateway, 3, &by_key("/nowhere", KEY), 404);
    ask(&gateway, 2, b"GET /crm/x HTTP/1.1\r\n\r\n", 400);
    let found = gateway.await_requests(34);
    let rows = [
        (Some("crm"), Some("callers"), "sha256", &[("forwarded", 7), ("upstream-closed", 2)][..]),
        (Some("crm"), None, "none", &[("key-unknown", 4)]),
        (Some("both"), Some("callers"), "sha256", &[("forwarded", 3)]),
        (Some("both"), Some("partners"), "sha256", &[("forwarded", 7)]),
        (Some("both"), None, "none", &[("credential-missing", 6)]),
        (None, None, "none", &[("alias-unknown", 3), ("host-invalid", 2)]),
    ];
    assert_eq!(found["series"].as_array().map(Vec::len), Some(rows.len()), "{found}");
    let metrics = gateway.metrics();
    let mut samples = 0;
    for (proxy, credential, scheme, outcomes) in rows {
        let one = series(&found, proxy, credential);
        let expected: Value = outcomes.iter().map(|(word, count)| (word.to_string(), *count)).collect();
        assert_eq!(one["total"]["outcomes"], expected, "{one}");
        assert_eq!(one["scheme"], scheme);
        for (outcome, count) in outcomes {
            let (proxy, credential) = (proxy.unwrap_or(""), credential.unwrap_or(""));
            let labels =
                [("proxy", proxy), ("credential", credential), ("scheme", scheme), ("outcome", outcome)];
            let value = metrics.value("keyferry_requests_total", &labels);
            assert_eq!(value, Some(f64::from(*count)), "{labels:?}");
            samples += 1;
        }
    }
    assert_eq!(metrics.all("keyferry_requests_total").len(), samples);
    let partners = series(&found, Some("both"), Some("partners"));
    assert_eq!(partners["total"]["classes"], serde_json::json!({ "2xx": 5, "4xx": 2 }));
    assert_eq!(series(&found, Some("crm"), Some("callers"))["consumer"], "payments");
    assert_eq!(partners["consumer"], Value::Null);
}

fn authenticating_takes_a_part_of_the_time(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &config(&api));
    ask(&gateway, 20, &get("/crm/x"), 200);
    let found = gateway.await_requests(20);
    let one = &series(&found, Some("crm"), Some("callers"))["total"];
    for quantile in ["p50", "p90", "p99", "max"] {
        let part = one["authentication_us"][quantile].as_f64().expect("a number");
        let whole = one["latency_us"][quantile].as_f64().expect("a number");
        assert!(0.0 < part && part < whole, "{quantile}: {one}");
    }
    let metrics = gateway.metrics();
    let proxy = [("proxy", "crm")];
    assert_eq!(metrics.value("keyferry_request_duration_seconds_count", &proxy), Some(20.0));
    let whole = metrics.value("keyferry_request_duration_seconds_sum", &proxy).expect("it is there");
    let scheme = [("scheme", "sha256")];
    assert_eq!(metrics.value("keyferry_authentication_seconds_count", &scheme), Some(20.0));
    let part = metrics.value("keyferry_authentication_seconds_sum", &scheme).expect("it is there");
    assert!(0.0 < part && part < whole, "{part} of {whole}");
}

fn metrics_are_well_formed(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &config(&api));
    let before = gateway.metrics();
    assert_eq!(before.value("keyferry_shards", &[]), Some(2.0));
    assert_eq!(before.value("keyferry_generation", &[]), Some(1.0));
    assert_eq!(before.value("keyferry_ready", &[]), Some(1.0));
    assert_eq!(before.value("keyferry_connections", &[]), Some(0.0));
    assert_eq!(before.value("keyferry_access_log_dropped_total", &[]), Some(0.0));
    let build = before.all("keyferry_build_info");
    assert_eq!(build.len(), 1);
    assert_eq!(build[0].0["version"], env!("CARGO_PKG_VERSION"));
    let caller = gateway.connect();
    eventually("the caller is counted", || gateway.metrics().value("keyferry_connections", &[]) == Some(1.0));
    drop(caller);
    ask(&gateway, 1, &get("/crm/x"), 200);
    gateway.await_requests(1);
    let after = gateway.metrics();
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    for (name, kind) in &after.families {
        assert!(name.starts_with("keyferry_"), "{name}");
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(documented.contains(&format!("| `{name}{suffix}` | {kind} |")), "{name} is not documented");
    }
}

fn a_tunnel_is_counted_and_its_length_is_not(driver: &str) {
    let api = Api::start(|exchange| {
        let accept = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        exchange.send(accept.as_bytes());
        Then::Close
    });
    let config = Config { proxy: "upgrades = [\"websocket\"]".into(), ..config(&api) };
    let gateway = Gateway::start(driver, &config);
    let mut caller = gateway.connect();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    caller.send(format!("GET /crm/ws HTTP/1.1\r\nHost: gw\r\nX-API-Key: {KEY}\r\n{upgrade}\r\n").as_bytes());
    assert_eq!(caller.next().status, 101);
    drop(caller);
    let found = gateway.await_requests(1);
    let one = &series(&found, Some("crm"), Some("callers"))["total"];
    assert_eq!(one["outcomes"], serde_json::json!({ "tunnelled": 1 }), "{one}");
    assert_eq!(one["classes"], serde_json::json!({ "1xx": 1 }));
    assert_eq!(one["latency_us"], Value::Null);
    assert!(one["authentication_us"]["p50"].is_number(), "{one}");
}

fn nothing_tells_a_key(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &config(&api));
    let fields = format!("Cookie: key={KEY}\r\nX-API-Key: {KEY}\r\n");
    let bytes = format!("GET /crm/x?key={KEY} HTTP/1.1\r\nHost: gw\r\n{fields}\r\n");
    ask(&gateway, 2, bytes.as_bytes(), 200);
    ask(&gateway, 1, format!("GET /crm/x?k={KEY} HTTP/1.1\r\nHost: gw\r\n\r\n").as_bytes(), 401);
    gateway.await_requests(3);
    for path in ["/metrics", "/telemetry", "/status"] {
        let answer = gateway.admin(path).expect("the admin listener answers");
        assert!(!answer.text().contains(KEY), "{path}: {}", answer.text());
    }
}
