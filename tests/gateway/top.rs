//! `keyferry top` beside a running gateway.

use std::process::{Command, Output, Stdio};

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, eventually, get},
};

both_drivers!(a_table_and_json);

fn top(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    command.arg("top").args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is UTF-8")
}

fn a_table_and_json(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    let admin = gateway.admin.to_string();
    for _ in 0..3 {
        gateway.get("/crm/x");
    }
    gateway.ask(b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    gateway.ask(&get("/nobody"));
    let mut table = String::new();
    eventually("the table shows every request", || {
        let output = top(&["--admin", &admin]); // no terminal: once
        assert!(output.status.success(), "{}", text(&output.stderr));
        table = text(&output.stdout);
        ["crm callers 3", "crm (not proved) 1", "(no proxy) (not proved) 1"].iter().all(|row| {
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            table.lines().any(|line| words(line).starts_with(row))
        })
    });
    assert!(table.starts_with("keyferry ") && table.contains("generation 1   2 shards ("), "{table}");
    assert!(table.contains("PROXY") && table.contains("AUTH99"), "{table}");
    assert!(!table.contains('\x1b'), "{table:?}");
    let output = top(&["--admin", &admin, "--once", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(json["series"].as_array().map(Vec::len), Some(3), "{json}");
    assert_eq!(text(&output.stdout).lines().count(), 1, "one line");
}

#[test]
fn nobody_to_ask_is_said() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = top(&["--admin", &address, "--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("Is the gateway running"), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    let directory = std::env::temp_dir().join(format!("keyferry-test-{}-top", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("keyferry.toml");
    for (content, expected) in [
        (format!("[admin]\naddress = \"{address}\"\n"), format!("nobody answers at {address}")),
        (String::new(), "there is no [admin] with an address".to_owned()),
        // What is wrong elsewhere in a file is no reason not to look at what runs.
        (format!("nonsense = 1\n[admin]\naddress = \"{address}\"\n"), format!("nobody answers at {address}")),
    ] {
        std::fs::write(&file, content).unwrap();
        let output = top(&["-c", file.to_str().unwrap(), "--once"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(&expected), "{}", text(&output.stderr));
    }
    let _ = std::fs::remove_dir_all(&directory);
}
