//! Files that cannot be used: what was there before serves on, the status says why, and the next good file is taken
//! without a restart.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    common::{Api, Caller, Config, Gateway, config::proxy_table, eventually, pause},
    partners::{self, Partner, further, list, partner, start},
};

/// A gateway whose files are all named, none by a pattern.
fn named(api: &Api) -> Gateway {
    let server = "include = [\"extra.toml\"]".to_owned();
    let config = Config { server, ..partners::config(api, "[\"keys.sha256\"]") };
    let files = [("extra.toml", &*further("extra", 9)), ("keys.sha256", &*list([1, 2]))];
    Gateway::start_with_files("auto", &config, &files)
}

#[track_caller]
fn serves_as_before(gateway: &Gateway, caller: &mut Caller) {
    assert_eq!([1, 2, 3].map(|n| caller.partner(n)), ["ok", "ok", "key-unknown"]);
    assert_eq!(caller.asks("/extra/x", &partner(9)), "ok");
    caller.still_served();
    assert_eq!(gateway.status()["generation"], 1);
}

/// Breaks a file in one way after the other; each time its old content comes back, and is taken.
#[track_caller]
fn broken(name: &str, ways: &[(&str, &[&str])]) {
    let api = Api::plain();
    let gateway = named(&api);
    let good = fs::read_to_string(gateway.path(name)).expect("a file");
    let mut caller = gateway.connect();
    for (what, words) in ways {
        let path = gateway.path(name);
        match *what {
            "removed" => fs::remove_file(&path).expect("a file"),
            "a directory" => {
                fs::remove_file(&path).and_then(|()| fs::create_dir(&path)).expect("a directory");
            }
            "unreadable" => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("it is ours");
                if File::open(&path).is_ok() {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
                    continue; // this user may read everything
                }
            }
            text => gateway.replace(name, text),
        }
        let words: Vec<&str> = [&[name], *words].concat();
        let found = gateway.await_refusal(&words);
        assert!(found.contains(": error: ") || found.contains("keys.sha256"), "{found}");
        serves_as_before(&gateway, &mut caller);
        let output = gateway.cli(&["status"], "");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && shown.contains(&found), "{shown}");
        if path.is_dir() {
            fs::remove_dir(&path).expect("a directory");
        }
        gateway.replace(name, &good);
        gateway.await_good_files();
        serves_as_before(&gateway, &mut caller);
    }
    gateway.replace("keys.sha256", &list([1, 3]));
    caller.await_partner(3, "ok");
    assert_eq!(caller.partner(2), "key-unknown");
}

#[test]
fn the_main_file() {
    broken(
        "keyferry.toml",
        &[
            ("[[proxy]\nalias = 1\n", &["keyferry.toml:1:"]),
            ("[server]\nshard = 1\n", &["keyferry.toml:2:1: ", "shards"]),
            ("", &["it is empty now, and was not before"]),
            ("removed", &["there is no such file"]),
            ("a directory", &["it is a directory"]),
            ("unreadable", &["it may not be read by this user"]),
        ],
    );
}

#[test]
fn an_included_file() {
    broken(
        "extra.toml",
        &[
            ("[[proxy]\nalias = 1\n", &["extra.toml:1:"]),
            ("\n\n[[credentials]]\n", &["extra.toml:3:"]),
            ("", &["it is empty now, and was not before"]),
            ("removed", &["there is no such file"]),
            ("a directory", &["it is a directory"]),
            ("unreadable", &["it may not be read by this user"]),
        ],
    );
}

#[test]
fn a_file_of_keys() {
    broken(
        "keys.sha256",
        &[
            ("# nothing\n\nno digest\n", &["keys.sha256:3: ", "not a SHA-256 digest"]),
            ("", &["it is empty now, and was not before"]),
            ("removed", &["there is no such file"]),
            ("a directory", &["it is a directory"]),
            ("unreadable", &["it may not be read by this user"]),
        ],
    );
}

/// Who asks all the time, with keys that are in the old file and in the new one, is never refused.
#[track_caller]
fn never_refused(gateway: &Gateway, keys: &[usize], change: impl FnOnce()) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut caller = gateway.connect();
            while !over.load(Ordering::Relaxed) {
                keys.iter().for_each(|&n| assert_eq!(caller.partner(n), "ok", "key {n}"));
            }
        });
        change();
        over.store(true, Ordering::Relaxed);
        asking.join().expect("a caller was refused");
    });
}

/// Writes a file in place, in two halves a second apart.
fn in_halves(gateway: &Gateway, name: &str, text: &str, cut: usize, is_closed_between: bool) {
    let mut file = File::create(gateway.path(name)).expect("a file");
    let (first, second) = text.as_bytes().split_at(cut);
    file.write_all(first).expect("written");
    if is_closed_between {
        drop(file);
        pause(Duration::from_secs(1));
        file = File::options().append(true).open(gateway.path(name)).expect("a file");
    } else {
        pause(Duration::from_secs(1));
    }
    file.write_all(second).expect("written");
}

fn half_written_keys(is_closed_between: bool) {
    let api = Api::plain();
    let gateway = start("auto", &api, 1, 0..60);
    let new = list((0..60).filter(|n| *n != 7).chain([60]));
    for cut in [new.len() / 2, new[..new.len() / 2].rfind('\n').expect("a line") + 1] {
        gateway.replace("keys.d/a.sha256", &list(0..60));
        eventually("the old list is served", || gateway.connect().partner(7) == "ok");
        let settled = gateway.reloaded("applied");
        never_refused(&gateway, &[0, 30, 59], || {
            in_halves(&gateway, "keys.d/a.sha256", &new, cut, is_closed_between);
            gateway.connect().await_partner(60, "ok");
        });
        assert_eq!(gateway.connect().partner(7), "key-unknown");
        assert_eq!(gateway.reloaded("applied"), settled + 1, "in one piece");
    }
}

#[test]
fn half_a_list_of_keys_is_waited_for() {
    half_written_keys(false);
}

#[test]
fn half_a_list_of_keys_that_is_closed_is_waited_for() {
    half_written_keys(true);
}

#[test]
fn half_a_configuration_is_not_taken() {
    let api = Api::plain();
    let gateway = start("auto", &api, 1, [1, 2]);
    for (n, is_closed_between) in [(3, false), (4, true)] {
        let more = further("beside", n) + &partners::tables("[\"keys.d/*.sha256\"]");
        let text = Config { more, ..Config::to(&api) }.text(&gateway.driver);
        let cut = text[..text.len() / 2].rfind("\n[[").expect("a table") + 1;
        never_refused(&gateway, &[1, 2], || {
            in_halves(&gateway, "keyferry.toml", &text, cut, is_closed_between);
            gateway.connect().await_decision("/beside/x", &partner(n), "ok");
        });
    }
    assert_eq!(gateway.reloaded("applied"), 2, "{}", gateway.reloads());
}

#[test]
fn many_keys_gone_at_once_are_refused() {
    let api = Api::plain();
    let gateway = start("auto", &api, 1, 0..300);
    let mut caller = gateway.connect();
    gateway.replace("keys.d/a.sha256", &list(200..300));
    let found = gateway.await_refusal(&["200 of 301 keys would be gone (partners: 200)"]);
    assert!(found.contains("server.shrink_limit = 20 percent") && found.contains("--force"), "{found}");
    assert_eq!([0, 199, 200].map(|n| caller.partner(n)), ["ok", "ok", "ok"]);
    let answer = gateway.post("/reload", "{}");
    let report: Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    assert_eq!((answer.status, &report["result"]), (422, &"refused".into()), "{report}");
    assert!(!gateway.cli(&["reload"], "").status.success());
    let output = gateway.cli(&["reload", "--force"], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!([0, 199, 200].map(|n| caller.partner(n)), ["key-unknown", "key-unknown", "ok"]);
    assert!(gateway.reloads()["refusal"].is_null());
    // Below a hundred nothing is guarded.
    gateway.replace("keys.d/a.sha256", &list(299..300));
    caller.await_partner(298, "key-unknown");
    assert_eq!(caller.partner(299), "ok");
}

#[test]
fn a_list_that_is_gone_from_a_pattern_is_guarded_too() {
    let api = Api::plain();
    let gateway = start("auto", &api, 1, 0..10);
    gateway.replace("keys.d/b.sha256", &list(100..300));
    gateway.connect().await_partner(299, "ok");
    fs::remove_file(gateway.path("keys.d/b.sha256")).expect("a file");
    gateway.await_refusal(&["200 of 211 keys would be gone (partners: 200)"]);
    assert_eq!(gateway.connect().partner(299), "ok");
    assert_eq!(gateway.post("/reload", r#"{"force": true}"#).status, 200);
    assert_eq!(gateway.connect().partner(299), "key-unknown");
}

#[test]
fn many_proxies_gone_at_once_are_refused() {
    let api = Api::plain();
    let proxies = |count: usize| -> String {
        (0..count).map(|n| proxy_table(&format!("alias = \"p{n:02}\""), "callers")).collect()
    };
    let config = |count: usize| Config { more: proxies(count), ..Config::to(&api) };
    let gateway = Gateway::start("auto", &config(20));
    gateway.configure(&config(9));
    let found = gateway.await_refusal(&["11 of 21 proxies would be gone (p09 p10 p11"]);
    assert!(found.contains("and 1 more"), "{found}");
    assert_eq!(gateway.get("/p19/x").status, 200);
    assert_eq!(gateway.post("/reload", r#"{"force": true}"#).status, 200);
    gateway.get("/p19/x").refused(404, "alias-unknown");
    gateway.configure(&config(0));
    eventually("nine may go", || gateway.get("/p08/x").status == 404);
    assert_eq!(gateway.get("/crm/x").status, 200);
}

/// What was forced once is not forced for ever.
#[test]
fn force_lasts_for_one_reload() {
    let api = Api::plain();
    let gateway = named(&api);
    fs::remove_file(gateway.path("keys.sha256")).expect("a file");
    gateway.await_refusal(&["keys.sha256", "there is no such file"]);
    assert_eq!(gateway.post("/reload", r#"{"force": true}"#).status, 200);
    let mut caller = gateway.connect();
    assert_eq!(caller.partner(1), "proxy-broken", "a list that is named and missing");
    caller.still_served();
    gateway.replace("keys.sha256", &list([1, 2]));
    caller.await_partner(1, "ok");
    fs::remove_file(gateway.path("keys.sha256")).expect("a file");
    gateway.await_refusal(&["keys.sha256", "there is no such file"]);
    assert_eq!(caller.partner(1), "ok");
}
