//! SIGUSR2 when something goes wrong meanwhile: nobody who calls pays for it.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, eventually, gateway::BINARY, get, tls},
    crowd::{Crowd, api},
    upgrade::{Serving, signal, successor},
};

both_drivers!(
    a_successor_that_fails_late_costs_nobody,
    the_end_comes_while_a_successor_starts,
    the_end_comes_before_a_successor_has_its_turn,
    a_successor_goes_on_alone,
    strays_are_not_kept,
);

/// A link to the program, which can come to lead to another one.
struct Program(PathBuf);

impl Program {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keyferry-program-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        symlink(BINARY, directory.join("keyferry")).unwrap();
        assert!(Command::new("mkfifo").arg(directory.join("go")).status().unwrap().success());
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.join("keyferry")
    }

    /// From here on the program waits before it becomes what it is.
    fn wait_first(&self) {
        let script = self.0.join("waits");
        let text = format!("#!/bin/sh\nread _ <'{}'\nexec '{BINARY}' \"$@\"\n", self.0.join("go").display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(script, self.path()).unwrap();
    }

    /// Lets it go on.
    fn go(&self) {
        let mut go = fs::OpenOptions::new().write(true).open(self.0.join("go")).unwrap();
        go.write_all(b"\n").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Begins to replace it; the process that is to serve next.
#[track_caller]
fn begin(gateway: &Gateway) -> Serving {
    signal(gateway.pid(), "USR2");
    eventually("a successor starts", || gateway.log().contains("a successor starts"));
    Serving(successor(gateway))
}

fn is_running(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next())
        .is_some_and(|state| state != "Z")
}

fn threads(pid: u32) -> Vec<String> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let names = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

/// Where the descriptors of a process lead.
fn descriptors(pid: u32) -> Vec<PathBuf> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    links.filter_map(|link| fs::read_link(link.ok()?.path()).ok()).collect()
}

/// Whatever a successor misses, callers on new connections are served by the process before.
fn a_successor_that_fails_late_costs_nobody(driver: &str) {
    let api = api();
    let gateway = Gateway::start(driver, &Config { shards: 2, ..Config::to(&api) });
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let to_api = || Config { shards: 2, ..Config::to(&api) };
    let wrong = [
        Config { server: "data_dir = \"keyferry.toml\"".into(), ..to_api() },
        Config { more: "[access_log]\npath = \"nowhere/access.jsonl\"".into(), ..to_api() },
        Config { admin: taken.local_addr().unwrap().to_string(), ..to_api() },
    ];
    Crowd::during(&gateway, |crowd| {
        for (failed, config) in wrong.iter().enumerate() {
            crowd.await_answers(60);
            fs::write(gateway.file("keyferry.toml"), config.text(driver)).unwrap();
            signal(gateway.pid(), "USR2");
            eventually("it says that it failed", || {
                gateway.log().matches("the upgrade failed").count() == failed + 1
            });
        }
        crowd.await_answers(200);
        crowd.end();
    });
    let log = gateway.log();
    assert_eq!(log.matches("INFO ready ").count(), 1, "no successor said that it serves\n{log}");
    for what in ["server.data_dir", "access_log.path", "admin listener"] {
        assert!(log.contains(what), "{what}\n{log}");
    }
    assert_eq!(gateway.admin("/readyz").map(|answer| answer.status), Some(200));
}

/// SIGTERM is for the service: the successor has served nobody, and never does.
fn the_end_comes_while_a_successor_starts(driver: &str) {
    let (api, program) = (Api::plain(), Program::new());
    let mut gateway = Gateway::start_as(Command::new(program.path()), driver, &Config::to(&api), &[]);
    program.wait_first();
    let successor = begin(&gateway);
    assert_eq!(gateway.get("/crm/x").status, 200);
    gateway.terminate();
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
    eventually("the successor is gone", || !is_running(successor.0));
    std::mem::forget(successor); // nobody is left to be ended
}

/// The same in the very last moment: a successor that is ready has accepted nobody until it hears that it may.
fn the_end_comes_before_a_successor_has_its_turn(driver: &str) {
    if tls::is_on() {
        return; // no handshake is done while nobody serves
    }
    let (api, next_api, program) = (Api::plain(), Api::plain(), Program::new());
    let to = |api| Config { shards: 2, ..Config::to(api) };
    let mut gateway = Gateway::start_as(Command::new(program.path()), driver, &to(&api), &[]);
    program.wait_first();
    let successor = begin(&gateway);
    signal(gateway.pid(), "STOP");
    fs::write(gateway.file("keyferry.toml"), to(&next_api).text(driver)).unwrap();
    program.go();
    eventually("the successor has started all its threads", || threads(successor.0).contains(&"free".into()));
    let mut waiting: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
    for caller in &mut waiting {
        caller.send(&get("/crm/x"));
    }
    gateway.terminate();
    signal(gateway.pid(), "CONT");
    for caller in &mut waiting {
        assert_eq!(caller.answer().status, 200);
    }
    assert_eq!((api.take().len(), next_api.take().len()), (8, 0), "served by the one that ends");
    drop(waiting);
    assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.log());
    eventually("the successor is gone", || !is_running(successor.0));
    std::mem::forget(successor);
}

/// The process before is killed: whoever calls meanwhile waits, and is served by the next.
fn a_successor_goes_on_alone(driver: &str) {
    if tls::is_on() {
        return; // no handshake is done while nobody serves
    }
    let (api, program) = (Api::plain(), Program::new());
    let config = Config { shards: 2, ..Config::to(&api) };
    let mut gateway = Gateway::start_as(Command::new(program.path()), driver, &config, &[]);
    program.wait_first();
    let _successor = begin(&gateway);
    signal(gateway.pid(), "KILL");
    assert!(!gateway.exit().success());
    let mut waiting: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
    for caller in &mut waiting {
        caller.send(&get("/crm/x"));
    }
    program.go();
    for caller in &mut waiting {
        assert_eq!(caller.answer().status, 200);
    }
    eventually("it says so", || gateway.log().contains("the process before is gone already"));
    assert_eq!(gateway.status()["shards"], 2);
}

/// A ring accepts callers without SOCK_CLOEXEC: a successor closes whatever was not passed to it. Here it is a file.
fn strays_are_not_kept(driver: &str) {
    let api = Api::plain();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9</etc/passwd && exec \"$0\" \"$@\"", BINARY]);
    let mut gateway = Gateway::start_as(shell, driver, &Config { shards: 2, ..Config::to(&api) }, &[]);
    let stray = Path::new("/etc/passwd");
    assert!(descriptors(gateway.pid()).iter().any(|path| path == stray), "it has one to pass on");
    let mut kept = gateway.connect();
    kept.still_served();
    let mut serving = Serving(gateway.pid());
    serving.replace(&gateway, 0);
    let passed = descriptors(serving.0);
    assert!(!passed.iter().any(|path| path == stray), "{passed:?}");
    drop(kept);
    assert_eq!(gateway.exit().code(), Some(0), "the one before has drained");
    assert_eq!(gateway.get("/crm/x").status, 200);
}
