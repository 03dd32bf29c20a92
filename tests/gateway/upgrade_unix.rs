//! SIGUSR2 with Unix sockets: the successor gets them with their files.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, eventually, request, tls},
    listeners_unix::{ask, ask_admin, on_unix},
    upgrade::{Serving, signal},
};

both_drivers!(
    nobody_notices_a_replacement,
    a_successor_that_fails_takes_no_file,
    what_is_wanted_no_more_is_removed,
);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777)
}

fn config(api: &Api, shards: usize, mode: &str) -> Config {
    Config {
        shards,
        listener: format!("mode = \"{mode}\""),
        admin: "unix:admin.sock".into(),
        // A name may contain what separates names.
        listeners: vec!["unix:callers.sock".into(), "unix:a=b;c,d%3B.sock".into()],
        ..on_unix(api)
    }
}

fn is_served(path: &Path) -> bool {
    let answer = ask(path, &request("GET", "/crm/x", "Connection: close\r\n", b""));
    answer.starts_with("HTTP/1.1 200 ")
}

/// Twice under requests: nobody is refused and everybody is answered, and at last the files are gone.
fn nobody_notices_a_replacement(driver: &str) {
    if tls::is_on() {
        return; // these callers speak none
    }
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &config(&api, 2, "0660"));
    let paths = ["callers.sock", "a=b;c,d%3B.sock", "admin.sock"].map(|name| gateway.file(name));
    let [callers, other, admin] = &paths;
    let mut serving = Serving(gateway.pid());
    let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let more = || {
        let before = answered.load(Ordering::SeqCst);
        eventually("callers are served", || answered.load(Ordering::SeqCst) >= before + 100);
    };
    thread::scope(|scope| {
        let calling: Vec<_> = [callers, other, callers, other]
            .map(|path| {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        assert!(is_served(path), "not served");
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .into();
        for (before, (shards, mode)) in [(3, "0600"), (1, "0666")].into_iter().enumerate() {
            more();
            fs::write(gateway.file("keyferry.toml"), config(&api, shards, mode).text(driver)).unwrap();
            serving.replace(&gateway, before);
        }
        more();
        over.store(true, Ordering::SeqCst);
        let failed = calling.into_iter().filter_map(|caller| caller.join().err()).count();
        assert_eq!(failed, 0, "callers failed; each says above why\n{}", gateway.log());
    });
    assert_eq!(gateway.exit().code(), Some(0), "the first process has drained");
    eventually("the second as well", || gateway.log().matches("INFO ended").count() == 2);
    for _ in 0..8 {
        assert!(is_served(callers) && is_served(other));
    }
    eventually("files have the mode that is configured now", || mode(callers) == 0o666);
    assert_eq!(mode(admin), 0o600);
    let status = ask_admin(admin, b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(status.contains("\"shards\":1"), "the last one answers: {status}");
    signal(serving.0, "TERM");
    eventually("the files go with the last process", || paths.iter().all(|path| !path.exists()));
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

fn a_successor_that_fails_takes_no_file(driver: &str) {
    if tls::is_on() {
        return; // these callers speak none
    }
    let api = Api::plain();
    let before = config(&api, 1, "0660");
    let mut gateway = Gateway::start(driver, &before);
    let paths = ["callers.sock", "admin.sock"].map(|name| gateway.file(name));
    // It fails after it has the sockets, and after it has made a file of its own.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let mut after = config(&api, 1, "0600");
    after.listeners.extend(["unix:new.sock".into(), address]);
    after.listener.clear();
    fs::write(gateway.file("keyferry.toml"), after.text(driver)).unwrap();
    signal(gateway.pid(), "USR2");
    eventually("it says that it failed", || gateway.log().contains("the upgrade failed"));
    assert!(is_served(&paths[0]) && !gateway.file("new.sock").exists(), "{}", gateway.log());
    assert_eq!(mode(&paths[0]), 0o660);
    let healthy = ask_admin(&paths[1], b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(healthy.ends_with("ok\n"), "{healthy}");
    gateway.terminate();
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(paths.iter().all(|path| !path.exists()), "files are left");
}

fn what_is_wanted_no_more_is_removed(driver: &str) {
    if tls::is_on() {
        return; // these callers speak none
    }
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &config(&api, 1, "0660"));
    let kept = gateway.file("callers.sock");
    let gone = ["a=b;c,d%3B.sock", "admin.sock"].map(|name| gateway.file(name));
    let mut after = config(&api, 1, "0660");
    after.listeners.truncate(1);
    after.admin = "127.0.0.1:0".into();
    fs::write(gateway.file("keyferry.toml"), after.text(driver)).unwrap();
    let mut serving = Serving(gateway.pid());
    serving.replace(&gateway, 0);
    assert_eq!(gateway.exit().code(), Some(0));
    eventually("their files are gone", || gone.iter().all(|path| !path.exists()));
    assert!(is_served(&kept));
    // One that somebody else has put there meanwhile is theirs.
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, "precious").unwrap();
    signal(serving.0, "TERM");
    eventually("the successor has ended", || gateway.log().matches("INFO ended").count() == 2);
    assert_eq!(fs::read_to_string(&kept).unwrap(), "precious");
}
