//! The access log: what a line says, where lines go, and what becomes of them when there is no room.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, KEY, Metrics, Then, eventually, get, message::latin, request},
};

both_drivers!(
    a_line_for_each_request,
    a_line_shows_no_secret,
    a_renamed_file_is_made_anew,
    a_full_ring_loses_lines_and_counts_them,
    a_full_disk_loses_lines_and_counts_them,
    without_the_table_there_is_none,
);

fn config(api: &Api, lines: &str) -> Config {
    Config { more: format!("[access_log]\npath = \"access.jsonl\"\n{lines}\n"), ..Config::to(api) }
}

fn lines(gateway: &Gateway, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(gateway.file(name)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[track_caller]
fn await_lines(gateway: &Gateway, name: &str, count: usize) -> Vec<Value> {
    eventually("the lines are written", || lines(gateway, name).len() >= count);
    let found = lines(gateway, name);
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// A request, and what its line says: method, path, status, reason, credential.
type Row<'a> = (Vec<u8>, &'a str, Option<&'a str>, u16, &'a str, Option<&'a str>);

fn a_line_for_each_request(driver: &str) {
    let api = Api::start(|exchange| match exchange.path() {
        "/base/gone" => Then::Close,
        "/base/teapot" => {
            exchange.send(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n");
            Then::Keep
        }
        _ => exchange.ok("ok"),
    });
    let mut gateway = Gateway::start(driver, &Config { shards: 2, ..config(&api, "") });
    assert_eq!(fs::metadata(gateway.file("access.jsonl")).unwrap().mode() & 0o777, 0o600);
    let long = format!("/crm/{}", "x".repeat(300));
    let rows: [Row<'_>; 9] = [
        (get("/crm/a?b=c"), "GET", Some("/crm/a"), 200, "forwarded", Some("callers")),
        (get("/crm/teapot"), "GET", Some("/crm/teapot"), 418, "forwarded", Some("callers")),
        (
            request("POST", "/crm/gone", "", b""),
            "POST",
            Some("/crm/gone"),
            502,
            "upstream-closed",
            Some("callers"),
        ),
        (
            b"PUT /crm/%41 HTTP/1.1\r\nHost: gw\r\n\r\n".into(),
            "PUT",
            Some("/crm/%41"),
            401,
            "credential-missing",
            None,
        ),
        (get("/nobody/x?"), "GET", Some("/nobody/x"), 404, "alias-unknown", None),
        (get("/crm/%00"), "GET", Some("/crm/%00"), 400, "path-invalid", Some("callers")),
        (
            b"MAKE /crm/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: no\r\n\r\n".into(),
            "OTHER",
            Some("/crm/x"),
            401,
            "key-unknown",
            None,
        ),
        (get(&long), "GET", Some(&long[..256]), 200, "forwarded", Some("callers")),
        (b"GET /crm/x HTTP/1.1\r\n\r\n".into(), "", None, 400, "host-invalid", None),
    ];
    let mut ids = Vec::new();
    for (at, (bytes, method, path, status, reason, credential)) in rows.iter().enumerate() {
        let answer = gateway.ask(bytes);
        assert_eq!(answer.status, *status, "{}", answer.text());
        let found = await_lines(&gateway, "access.jsonl", at + 1);
        // Lines of two shards may stand in another order than the requests came in.
        let line = found.iter().find(|line| !ids.contains(&line["request_id"])).expect("a new line");
        ids.push(line["request_id"].clone());
        let members: Vec<_> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        let cut = if path.is_some_and(|path| path.len() == 256) { &["path_cut"][..] } else { &[] };
        let mut expected = [
            &["auth_us", "consumer", "credential", "duration_us", "generation", "method", "path"][..],
            cut,
            &["proxy", "reason", "request_id", "shard", "source", "status", "time"],
        ]
        .concat();
        expected.sort_unstable();
        assert_eq!(members.len(), expected.len(), "{line}");
        assert!(expected.iter().all(|member| line.get(member).is_some()), "{line}");
        assert_eq!(line["method"].as_str().unwrap_or(""), *method, "{line}");
        assert_eq!(line["path"].as_str(), *path, "{line}");
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&Value::from(*status), &Value::from(*reason)),
            "{line}"
        );
        assert_eq!(line["credential"].as_str(), *credential, "{line}");
        assert_eq!(line["consumer"].as_str(), credential.map(|_| "payments"), "{line}");
        let routed = path.is_some_and(|path| path.starts_with("/crm"));
        assert_eq!(line["proxy"].as_str(), routed.then_some("crm"), "{line}");
        assert_eq!((&line["source"], &line["generation"]), (&"127.0.0.1".into(), &1.into()), "{line}");
        assert!(line["shard"].as_u64().is_some_and(|shard| shard < 2), "{line}");
        let time = line["time"].as_str().expect("a time");
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{line}");
        match line["auth_us"].as_f64() {
            Some(micros) => assert!(micros <= line["duration_us"].as_f64().unwrap() + 1.0, "{line}"),
            None => assert!(!routed, "{line}"),
        }
        if *status >= 400 && *status != 418 {
            let id = line["request_id"].as_str().expect("a text");
            assert_eq!(answer.head.one("x-request-id"), id, "the answer tells it too");
        }
    }
    // What ends with the gateway is written too.
    gateway.get("/crm/last");
    gateway.terminate();
    assert!(gateway.exit().success());
    let found = lines(&gateway, "access.jsonl");
    assert_eq!(found.len(), rows.len() + 1);
    assert!(found.iter().any(|line| line["path"] == "/crm/last"));
}

fn a_line_shows_no_secret(driver: &str) {
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &config(&api, ""));
    let fields = format!("Cookie: key={KEY}\r\nX-API-Key: {KEY}\r\nAuthorization: Bearer {KEY}\r\n");
    let requests = [
        format!("GET /crm/x?key={KEY} HTTP/1.1\r\nHost: gw\r\n{fields}\r\n"),
        format!("GET /crm/x?key={KEY} HTTP/1.1\r\nHost: gw\r\nX-API-Key: {KEY}x\r\n\r\n"),
        format!("{KEY} /crm/x HTTP/1.1\r\nHost: gw\r\n{fields}\r\n"),
        format!("GET /crm/x HTTP/1.1\r\nHost: {KEY}\r\nX: {KEY} \x01\r\n{fields}\r\n"),
        format!("{KEY}\r\n\r\n"),
    ];
    for request in &requests {
        gateway.ask(request.as_bytes());
    }
    await_lines(&gateway, "access.jsonl", requests.len());
    gateway.terminate();
    gateway.exit();
    let text = fs::read_to_string(gateway.file("access.jsonl")).unwrap();
    assert!(!text.contains(KEY), "{text}");
    assert!(!text.contains('?') && !text.contains("key="), "{text}");
}

fn a_renamed_file_is_made_anew(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &config(&api, ""));
    gateway.get("/crm/1");
    await_lines(&gateway, "access.jsonl", 1);
    fs::rename(gateway.file("access.jsonl"), gateway.file("access.1")).unwrap();
    eventually("it is made anew", || gateway.file("access.jsonl").exists());
    gateway.get("/crm/2");
    let found = await_lines(&gateway, "access.jsonl", 1);
    assert_eq!(found[0]["path"], "/crm/2");
    assert_eq!(await_lines(&gateway, "access.1", 1)[0]["path"], "/crm/1");
}

#[track_caller]
fn dropped(gateway: &Gateway) -> u64 {
    let count = gateway.status()["access_log_dropped"].as_u64().expect("the status counts them");
    let metrics = Metrics::parse(&latin(&gateway.admin("/metrics").expect("it answers").body));
    let told = metrics.value("keyferry_access_log_dropped_total", &[]).expect("it is there");
    assert!(told >= count as f64, "{told} is less than the {count} before");
    count
}

fn a_full_ring_loses_lines_and_counts_them(driver: &str) {
    const REQUESTS: usize = 400;
    let api = Api::plain();
    let gateway = Gateway::start(driver, &config(&api, "ring_entries = 16"));
    assert_eq!(dropped(&gateway), 0);
    let mut caller = gateway.connect();
    caller.send(&get("/nobody").repeat(REQUESTS));
    for _ in 0..REQUESTS {
        assert_eq!(caller.answer().status, 404);
    }
    let mut found = 0;
    eventually("each line is written or counted as lost", || {
        found = lines(&gateway, "access.jsonl").len();
        found + dropped(&gateway) as usize == REQUESTS
    });
    assert!((16..REQUESTS).contains(&found), "{found} lines were written");
}

fn a_full_disk_loses_lines_and_counts_them(driver: &str) {
    let api = Api::plain();
    let more = "[access_log]\npath = \"/dev/full\"\n".to_owned();
    let gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    for count in 1..=3 {
        assert_eq!(gateway.get("/crm/x").status, 200);
        eventually("the line is counted as lost", || dropped(&gateway) == count);
    }
    let said = gateway.log().matches("the access log cannot be written").count();
    assert_eq!(said, 1, "{}", gateway.log());
}

fn without_the_table_there_is_none(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    gateway.get("/crm/x");
    let names: Vec<_> =
        fs::read_dir(gateway.file("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let written = names.iter().filter(|name| *name != "tls"); // where tests speak TLS, its files
    assert_eq!(written.collect::<Vec<_>>(), ["keyferry.toml"]);
}

/// It is known at the start that nothing can be written, and said with the key and the path.
#[test]
fn a_path_that_cannot_be_written_ends_the_start() {
    let directory = std::env::temp_dir().join(format!("keyferry-test-{}-no-log", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let more = "[access_log]\npath = \"keyferry.toml/access.jsonl\"\n".to_owned();
    let file = directory.join("keyferry.toml");
    crate::common::tls::write_files(&directory);
    fs::write(&file, Config { more, ..Config::to_url("http://127.0.0.1:9") }.text("auto")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    let output = command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).output().unwrap();
    let _ = fs::remove_dir_all(&directory);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{log}");
    assert!(log.contains("access_log.path") && log.contains("keyferry.toml/access.jsonl"), "{log}");
    assert!(!log.contains("listening"), "it listened before: {log}");
}
