//! Every way in which a changed configuration is taken, and what goes on undisturbed while it is.

use std::{fs, io::Write as _, os::unix::fs::symlink, time::Duration};

use serde_json::Value;

use crate::{
    both_drivers,
    common::{
        Api, Caller, Config, Gateway, KEY, Then,
        config::{credential, key, proxy_table},
        eventually, get,
        message::latin,
        pause, request,
        steps::steps,
    },
    partners::{self, Partner, further, list, partner, start},
};

both_drivers!(
    a_file_is_renamed_over,
    a_file_is_written_in_place,
    the_configuration_is_renamed_over,
    every_shard_takes_it,
    what_was_judged_is_finished,
    a_tunnel_of_an_untouched_key_goes_on,
    old_snapshots_are_freed,
);

/// The connection was there before the change, and stays.
fn a_file_is_renamed_over(driver: &str) {
    let api = Api::plain();
    let gateway = start(driver, &api, 1, [1, 2]);
    let mut caller = gateway.connect();
    assert_eq!([1, 2, 3].map(|n| caller.partner(n)), ["ok", "ok", "key-unknown"]);
    for round in 0..5 {
        let (gone, there) = if round % 2 == 0 { (2, 3) } else { (3, 2) };
        gateway.replace("keys.d/a.sha256", &list([1, there]));
        caller.await_partner(gone, "key-unknown");
        assert_eq!(caller.partner(there), "ok", "one change is taken at once");
        assert_eq!(caller.partner(1), "ok");
    }
    caller.still_served();
}

fn a_file_is_written_in_place(driver: &str) {
    let api = Api::plain();
    let gateway = start(driver, &api, 1, [1, 2]);
    let mut caller = gateway.connect();
    assert_eq!(caller.partner(2), "ok");
    gateway.write("keys.d/a.sha256", &list([1, 3]));
    caller.await_partner(2, "key-unknown");
    caller.await_partner(3, "ok");
    let file = fs::OpenOptions::new().append(true).open(gateway.path("keys.d/a.sha256"));
    let mut file = file.expect("the file can be opened");
    writeln!(file, "{}", crate::common::digest(&partner(4))).expect("the file can be written");
    caller.await_partner(4, "ok");
    assert_eq!([1, 2, 3].map(|n| caller.partner(n)), ["ok", "key-unknown", "ok"]);
    drop(file);
    caller.still_served();
}

fn the_configuration_is_renamed_over(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    assert_eq!(caller.asks("/new/x", &partner(1)), "alias-unknown");
    gateway.configure(&Config { more: further("new", 1), ..Config::to(&api) });
    caller.await_decision("/new/x", &partner(1), "ok");
    gateway.configure(&Config::to(&api));
    caller.await_decision("/new/x", &partner(1), "alias-unknown");
    caller.still_served();
}

/// The links of a Kubernetes volume: every name leads through `..data`, which is swapped.
#[test]
fn a_link_is_swapped() {
    let api = Api::plain();
    let gateway = start("auto", &api, 1, [1, 2]);
    let volume = |version: &str, keys: &str| {
        let directory = gateway.path(version);
        fs::create_dir(&directory).expect("a directory");
        let configuration = partners::config(&api, "[\"partners.sha256\"]").text(&gateway.driver);
        fs::write(directory.join("keyferry.toml"), configuration).expect("a file");
        fs::write(directory.join("partners.sha256"), keys).expect("a file");
    };
    let link = |to: &str, name: &str| {
        let new = gateway.path("..new");
        symlink(to, &new).and_then(|()| fs::rename(&new, gateway.path(name))).expect("a link");
    };
    volume("..1", &list([1, 3]));
    link("..1", "..data");
    link("..data/partners.sha256", "partners.sha256");
    link("..data/keyferry.toml", "keyferry.toml");
    let mut caller = gateway.connect();
    caller.await_partner(3, "ok");
    for (version, before, there) in [("..2", 3, 4), ("..3", 4, 5), ("..4", 5, 6)] {
        volume(version, &list([1, there]));
        let old = fs::read_link(gateway.path("..data")).expect("a link");
        link(version, "..data");
        fs::remove_dir_all(gateway.path(&old.to_string_lossy())).expect("the old version goes");
        caller.await_partner(there, "ok");
        assert_eq!([1, before].map(|n| caller.partner(n)), ["ok", "key-unknown"]);
    }
    assert_eq!(gateway.reloaded("refused"), 0, "{}", gateway.reloads());
}

#[test]
fn files_come_and_go() {
    let api = Api::plain();
    let gateway = start("auto", &api, 1, [1]);
    let mut caller = gateway.connect();
    gateway.replace("keys.d/b.sha256", &list([2]));
    caller.await_partner(2, "ok");
    gateway.write("keys.d/c.sha256", &list([3]));
    caller.await_partner(3, "ok");
    fs::remove_file(gateway.path("keys.d/b.sha256")).expect("a file");
    caller.await_partner(2, "key-unknown");
    assert_eq!([1, 3].map(|n| caller.partner(n)), ["ok", "ok"]);
}

#[test]
fn included_files_come_and_go() {
    let api = Api::plain();
    let base = Config::to(&api);
    let gateway = Gateway::start_with_files("auto", &base, &[("conf.d/one.toml", &further("one", 1))]);
    let mut caller = gateway.connect();
    assert_eq!(caller.asks("/one/x", &partner(1)), "ok");
    gateway.write("conf.d/two.toml", &further("two", 2));
    caller.await_decision("/two/x", &partner(2), "ok");
    gateway.replace("conf.d/three.toml", &further("three", 3));
    caller.await_decision("/three/x", &partner(3), "ok");
    fs::remove_file(gateway.path("conf.d/two.toml")).expect("a file");
    caller.await_decision("/two/x", &partner(2), "alias-unknown");
    assert_eq!(caller.asks("/one/x", &partner(1)), "ok");
}

/// The directory of the files that are included by default may be made while the gateway runs.
#[test]
fn the_first_included_file_comes_with_its_directory() {
    let api = Api::plain();
    let gateway = Gateway::start("auto", &Config::to(&api));
    fs::create_dir(gateway.path("conf.d.new")).expect("a directory");
    gateway.write("conf.d.new/one.toml", &further("one", 1));
    fs::rename(gateway.path("conf.d.new"), gateway.path("conf.d")).expect("it can be renamed");
    gateway.connect().await_decision("/one/x", &partner(1), "ok");
}

#[test]
fn a_signal_a_request_and_the_command_line_do_the_same() {
    let api = Api::plain();
    let gateway = start("auto", &api, 1, [1]);
    let unchanged = gateway.reloaded("unchanged");
    gateway.hang_up();
    eventually("the signal is obeyed", || gateway.reloads()["last"]["cause"] == "signal");
    let answer = gateway.post("/reload", "{}");
    let report: Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    assert_eq!(
        (answer.status, &report["result"], &report["confirmed"]),
        (200, &"unchanged".into(), &true.into())
    );
    let output = gateway.cli(&["reload", "--json"], "");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert!(output.status.success() && report["result"] == "unchanged", "{report}");
    assert!(gateway.reloaded("unchanged") >= unchanged + 3);
    // A change and a command at once: whichever is first, the answer means that it is served.
    let mut caller = gateway.connect();
    for n in 2..6 {
        gateway.replace("keys.d/a.sha256", &list([1, n]));
        match n % 2 {
            0 => assert_eq!(gateway.post("/reload", "{}").status, 200),
            _ => assert!(gateway.cli(&["reload"], "").status.success()),
        }
        assert_eq!([1, n].map(|n| caller.partner(n)), ["ok", "ok"]);
    }
    let refused = gateway.post("/reload", r#"{"forced": true}"#);
    assert_eq!(refused.status, 400, "{}", refused.text());
}

/// When the answer to a reload is there, no shard judges by what was before.
fn every_shard_takes_it(driver: &str) {
    let api = Api::plain();
    let gateway = start(driver, &api, 3, [1, 2]);
    let mut callers: Vec<Caller> = (0..24).map(|_| gateway.connect()).collect();
    callers.iter_mut().for_each(|caller| assert_eq!(caller.partner(2), "ok"));
    for there in 3..9 {
        gateway.replace("keys.d/a.sha256", &list([1, there]));
        let answer = gateway.post("/reload", "{}");
        assert_eq!(answer.status, 200, "{}", answer.text());
        for caller in &mut callers {
            assert_eq!([there - 1, there].map(|n| caller.partner(n)), ["key-unknown", "ok"]);
        }
    }
}

/// A request is judged once, by what was current when its head was complete.
fn what_was_judged_is_finished(driver: &str) {
    let (test, stepped) = steps();
    let api = Api::start(move |exchange| {
        if exchange.path() == "/base/slow" {
            exchange.body();
            stepped.wait();
        }
        exchange.ok("ok")
    });
    let gateway = start(driver, &api, 1, [1, 2]);
    let ask = |lines: &str, body: &[u8]| {
        let bytes = request("POST", "/p/slow", lines, body);
        latin(&bytes).replace(KEY, &partner(2)).into_bytes()
    };
    let (mut waiting, mut sending) = (gateway.connect(), gateway.connect());
    waiting.send(&ask("Content-Length: 2\r\n", b"hi"));
    sending.send(&ask("Content-Length: 4\r\n", b"hi"));
    api.await_requests(2);
    // The key is gone, its proxy leads elsewhere, and the token of the target is another one.
    let changed = partners::config(&api, "[\"keys.d/*.sha256\"]");
    let nowhere = Api::plain();
    gateway.replace("keys.d/a.sha256", &list([1]));
    gateway.configure(&Config { url: nowhere.url(""), ..changed });
    gateway.connect().await_partner(2, "key-unknown");
    eventually("the new target is asked", || {
        assert_eq!(gateway.connect().partner(1), "ok");
        nowhere.count() > 0
    });
    sending.send(b", u");
    for caller in [&mut waiting, &mut sending] {
        test.go();
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text().as_str(), answer.closes()), (200, "ok", false));
    }
    for caller in [&mut waiting, &mut sending] {
        assert_eq!(caller.partner(2), "key-unknown", "on the same connection, the next request is refused");
        assert_eq!(caller.partner(1), "ok");
    }
}

fn a_tunnel_of_an_untouched_key_goes_on(driver: &str) {
    let api = Api::start(|exchange| {
        if !exchange.head.has("upgrade") {
            return exchange.ok("plain");
        }
        exchange.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        let wire = &mut exchange.wire;
        while wire.look(Duration::from_secs(60)) {
            let pings = wire.buffer.len() / 4;
            wire.buffer.drain(..pings * 4);
            let _ = wire.send(&b"pong".repeat(pings));
        }
        Then::Close
    });
    let upgrades = "upgrades = [\"websocket\"]".to_owned();
    let config = Config { proxy: upgrades, ..partners::config(&api, "[\"keys.d/*.sha256\"]") };
    let gateway = Gateway::start_with_files(driver, &config, &[("keys.d/a.sha256", &list([1, 2]))]);
    let mut tunnel = gateway.connect();
    tunnel.send(&request(
        "GET",
        "/crm/ws",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"",
    ));
    assert_eq!(tunnel.next().status, 101);
    for there in 3..8 {
        gateway.replace("keys.d/a.sha256", &list([1, there]));
        assert_eq!(gateway.post("/reload", "{}").status, 200);
        tunnel.send(b"ping");
        assert_eq!(tunnel.wire.take(4), b"pong");
    }
    let more = config.more.clone() + &further("beside", 9);
    gateway.configure(&Config { more, ..config });
    gateway.connect().await_decision("/beside/x", &partner(9), "ok");
    tunnel.send(b"ping");
    assert_eq!(tunnel.wire.take(4), b"pong");
}

/// Nobody asks anything meanwhile: an idle shard must let go of the old ones all the same.
fn old_snapshots_are_freed(driver: &str) {
    const KEYS: usize = 20_000;
    let swaps = if driver == "epoll" { 40 } else { 100 };
    /// What two lists, two tables and the allocator's fringes may take; one table is 2 MiB.
    const GROWTH_KIB_MAX: u64 = 24 * 1024;
    let api = Api::plain();
    let lists = [list(0..KEYS), list(KEYS / 2..KEYS + KEYS / 2)];
    let config = partners::config(&api, "[\"keys.sha256\"]");
    let config = Config { shards: 2, server: "shrink_limit = 100".into(), ..config };
    let gateway = Gateway::start_with_files(driver, &config, &[("keys.sha256", &lists[0])]);
    let swap = |n: usize| {
        gateway.replace("keys.sha256", &lists[n % 2]);
        assert_eq!(gateway.post("/reload", "{}").status, 200);
    };
    (1..=10).for_each(swap);
    let before = gateway.resident_kib();
    (11..=swaps).for_each(swap);
    let after = gateway.resident_kib();
    assert!(after < before + GROWTH_KIB_MAX, "{before} KiB before, {after} KiB after");
    let mut caller = gateway.connect();
    assert_eq!([0, KEYS - 1, KEYS].map(|n| caller.partner(n)), ["ok", "ok", "key-unknown"]);
}

/// What a reload read and changed is told, by the names of objects.
#[test]
fn the_log_and_the_status_tell_what_changed() {
    let api = Api::plain();
    let files = [1, 2, 3, 4].map(|n| (format!("keys.d/{n}.sha256"), list([n])));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let config = partners::config(&api, "[\"keys.d/*.sha256\"]");
    let mut gateway = Gateway::start_with_files("auto", &config, &files);
    for n in 1..10 {
        gateway.keep_secret(&partner(n));
        gateway.keep_secret(&crate::common::digest(&partner(n)));
    }
    // A file that was read within a moment of its last change is read once more, to be sure of it.
    pause(Duration::from_millis(200));
    assert_eq!(gateway.post("/reload", "{}").status, 200);
    gateway.replace("keys.d/2.sha256", &list([2, 5]));
    gateway.connect().await_partner(5, "ok");
    let line = applied(&gateway, 2);
    assert!(line.contains("key_files_read=1 "), "one of four files has changed: {line}");
    assert!(line.contains("keys of partners: 1 added") && line.contains("cause=\"file\""), "{line}");

    let more = config.more.clone() + &further("beside", 6);
    gateway.configure(&Config { proxy: "active = false".into(), more, ..config.clone() });
    gateway.connect().await_decision("/beside/x", &partner(6), "ok");
    let line = applied(&gateway, 3);
    assert!(line.contains("credential added beside"), "{line}");
    assert!(line.contains("proxy added beside, changed crm"), "{line}");
    let status = gateway.status();
    assert_eq!((&status["generation"], &status["reloads"]["last"]["generation"]), (&3.into(), &3.into()));
    assert_eq!(status["reloads"]["last"]["result"], "applied", "{status}");

    gateway.configure(&Config { server: "data_dir = \"data\"".into(), shards: 2, ..config });
    eventually("it is taken", || gateway.status()["generation"] == 4);
    let restart = &gateway.reloads()["last"]["restart"];
    assert_eq!(restart, &Value::from(["server.shards", "server.data_dir"].to_vec()), "what needs a restart");
    assert!(gateway.log().contains("these count only from the next start on"), "{}", gateway.log());
    let output = gateway.cli(&["status", "--json"], "");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((output.status.code(), &shown["generation"]), (Some(0), &4.into()), "{shown}");
}

/// The line of the log that says that this generation is served.
fn applied(gateway: &Gateway, generation: u64) -> String {
    let words = ["configuration applied", &format!("generation={generation} ")];
    let mut found = None;
    eventually("it is in the log", || {
        let log = gateway.log();
        found = log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned);
        found.is_some()
    });
    found.unwrap_or_default()
}

/// Only the proxies that need what is missing are out of service.
#[test]
fn a_dangling_reference_stops_one_proxy() {
    let api = Api::plain();
    let mut config = partners::config(&api, "[\"keys.d/*.sha256\"]");
    let gateway = Gateway::start_with_files("auto", &config, &[("keys.d/a.sha256", &list([1]))]);
    let mut caller = gateway.connect();
    assert_eq!(caller.partner(1), "ok");
    let dangling = proxy_table("alias = \"lost\"", "partners").replace("\"api\"", "\"nowhere\"");
    config.more += &(credential("other", "", &[&key("o1", &partner(7), "")]) + &dangling);
    gateway.configure(&config);
    caller.await_decision("/lost/x", &partner(1), "proxy-broken");
    assert_eq!(caller.partner(1), "ok");
    caller.send(&get("/crm/x"));
    assert_eq!(caller.answer().status, 200);
    let findings = gateway.reloads()["last"]["findings"].to_string();
    assert!(findings.contains("nowhere") && findings.contains("keyferry.toml:"), "{findings}");
    config.more = config.more.replace("\"nowhere\"", "\"api\"");
    gateway.configure(&config);
    caller.await_decision("/lost/x", &partner(1), "ok");
}
