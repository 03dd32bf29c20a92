//! Listening at Unix sockets: for callers, and for operators.

use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, PATIENCE, eventually, gateway::BINARY, get, request, tls},
};

both_drivers!(
    callers_are_served,
    files_come_and_go,
    whoever_has_connected_is_answered_in_a_drain,
    operators_are_answered,
);

pub fn on_unix(api: &Api) -> Config {
    Config {
        listeners: vec!["unix:callers.sock".into()],
        listener: "mode = \"0660\"".into(),
        shards: 2,
        ..Config::to(api)
    }
}

/// What is answered to some bytes, until the connection ends.
#[track_caller]
pub fn ask(path: &Path, bytes: &[u8]) -> String {
    exchange(path, bytes, true)
}

/// The same of the admin listener, which takes the end of what it is sent for the end of the connection.
#[track_caller]
pub fn ask_admin(path: &Path, bytes: &[u8]) -> String {
    exchange(path, bytes, false)
}

#[track_caller]
fn exchange(path: &Path, bytes: &[u8], ends: bool) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    if ends {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

fn callers_are_served(driver: &str) {
    if tls::is_on() {
        return; // these callers speak none
    }
    let api = Api::plain();
    let config = Config {
        proxy: "[[proxy.rule]]\neffect = \"deny\"\npath = \"^/denied\"\nsource = [\"192.0.2.0/24\"]".into(),
        more: "[access_log]\npath = \"access.jsonl\"".into(),
        ..on_unix(&api)
    };
    let gateway = Gateway::start(driver, &config);
    let path = gateway.file("callers.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    for _ in 0..8 {
        let text = ask(
            &path,
            &[
                get("/crm/x"),
                request("POST", "/crm/x", "Content-Length: 5\r\nConnection: close\r\n", b"hello"),
            ]
            .concat(),
        );
        assert_eq!(text.matches("HTTP/1.1 200 ").count(), 2, "{text}");
        for seen in api.take() {
            assert_eq!(seen.head.one("x-forwarded-for"), "unknown");
        }
    }
    eventually("the log says so", || {
        fs::read_to_string(gateway.file("access.jsonl"))
            .is_ok_and(|text| text.contains("\"source\":\"unix\""))
    });
    let denied = ask(&path, &request("GET", "/crm/denied", "Connection: close\r\n", b""));
    assert!(denied.starts_with("HTTP/1.1 403 "), "it could come from anywhere: {denied}");
    let trusting = Config { listener: "trusted_proxies = [\"unix\"]".into(), ..on_unix(&api) };
    let gateway = Gateway::start(driver, &trusting);
    let named = request("GET", "/crm/x", "X-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n", b"");
    assert!(ask(&gateway.file("callers.sock"), &named).starts_with("HTTP/1.1 200 "));
    assert_eq!(api.only().head.one("x-forwarded-for"), "192.0.2.7");
    let introduced = Config { listener: "proxy_protocol = { from = [\"unix\"] }".into(), ..on_unix(&api) };
    let gateway = Gateway::start(driver, &introduced);
    let named = [b"PROXY TCP4 192.0.2.8 192.0.2.1 1 2\r\n".as_slice(), &get("/crm/x")].concat();
    assert!(ask(&gateway.file("callers.sock"), &named).starts_with("HTTP/1.1 200 "));
    assert_eq!(api.only().head.one("x-forwarded-for"), "192.0.2.8");
}

fn files_come_and_go(driver: &str) {
    if tls::is_on() {
        return; // these callers speak none
    }
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &on_unix(&api));
    let path = gateway.file("callers.sock");
    gateway.restart(); // killed: its file is still there, and nobody listens at it
    let answer = ask(&path, &request("GET", "/crm/x", "Connection: close\r\n", b""));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    gateway.terminate();
    assert!(gateway.exit().success(), "{}", gateway.log());
    assert!(!path.exists(), "the file is left");
    let other = UnixListener::bind(&path).unwrap();
    assert!(gateway.start_is_refused().contains("another process listens there"), "{}", gateway.log());
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    drop(other);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert!(gateway.start_is_refused().contains("a file that is no socket"), "{}", gateway.log());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

fn whoever_has_connected_is_answered_in_a_drain(driver: &str) {
    if tls::is_on() {
        return; // these callers speak none
    }
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &on_unix(&api));
    let path = gateway.file("callers.sock");
    let answered = AtomicUsize::new(0);
    let request = request("GET", "/crm/x", "Connection: close\r\n", b"");
    let call = || {
        while let Ok(mut stream) = UnixStream::connect(&path) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&request).expect("it is open");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            answered.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(call);
        }
        eventually("they are served", || answered.load(Ordering::SeqCst) >= 200);
        gateway.terminate();
    });
    assert!(gateway.exit().success(), "{}", gateway.log());
    assert!(!path.exists(), "the file is left");
}

fn operators_are_answered(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config { admin: "unix:admin.sock".into(), ..Config::to(&api) });
    let path = gateway.file("admin.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = ask_admin(&path, b"GET /healthz HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("ok\n"), "{text}");
    let by_address = format!("unix:{}", path.display());
    for arguments in [["-c", gateway.file("keyferry.toml").to_str().unwrap()], ["--admin", &by_address]] {
        let output = Command::new(BINARY).arg("status").args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("generation"), "{output:?}");
    }
}
