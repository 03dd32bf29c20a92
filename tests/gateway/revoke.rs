//! Revocation: refused at once, on every shard, and for good, whatever files say before or after.

use std::{fs, io::Write as _};

use serde_json::{Value, json};

use crate::{
    both_drivers,
    common::{
        Answer, Api, Caller, Config, Gateway, KEY,
        config::{credential, digest, key, proxy_table},
        eventually, get,
    },
    partners::{self, Partner, list, partner},
};

both_drivers!(
    every_shard_refuses_it_once_it_is_answered,
    whatever_it_is_called,
    what_was_refused_stays_refused
);

const DATA: &str = "data_dir = \"data\"";
const KEPT: &str = "data/revocations.jsonl";

fn durable(config: Config) -> Config {
    Config { server: format!("{DATA}\nshrink_limit = 100"), ..config }
}

/// A credential `other` with keys `k1` and `k2`, and its proxy: `k1` is also the id of the usual caller's key.
fn other() -> String {
    let keys = [key("k1", &partner(11), ""), key("k2", &partner(12), "")];
    credential("other", "", &[&keys[0], &keys[1]]) + &proxy_table("alias = \"other\"", "other")
}

#[track_caller]
fn revoke(gateway: &Gateway, member: &str, what: &str) -> (Answer, Value) {
    let answer = gateway.post("/revoke", &json!({ member: what }).to_string());
    let report = serde_json::from_slice(&answer.body).expect("it is JSON");
    (answer, report)
}

#[track_caller]
fn revoked(gateway: &Gateway, member: &str, what: &str) -> Value {
    let (answer, report) = revoke(gateway, member, what);
    assert_eq!((answer.status, &report["confirmed"]), (200, &json!(true)), "{report}");
    report
}

fn every_shard_refuses_it_once_it_is_answered(driver: &str) {
    let api = Api::plain();
    let config = durable(partners::config(&api, "[\"keys.sha256\"]"));
    let config = Config { shards: 3, ..config };
    let gateway = Gateway::start_with_files(driver, &config, &[("keys.sha256", &list(0..10))]);
    let mut callers: Vec<Caller> = (0..24).map(|_| gateway.connect()).collect();
    for n in 1..10 {
        callers.iter_mut().for_each(|caller| assert_eq!(caller.partner(n), "ok"));
        revoked(&gateway, "sha256", &digest(&partner(n)));
        for caller in &mut callers {
            assert_eq!([n, 0].map(|n| caller.partner(n)), ["key-revoked", "ok"], "on kept connections");
        }
    }
    let reloads = gateway.reloads();
    assert_eq!((&reloads["revoked_keys"], &reloads["revoked_credentials"]), (&json!(9), &json!(0)));
}

fn whatever_it_is_called(driver: &str) {
    let api = Api::plain();
    let config = partners::config(&api, "[\"keys.sha256\"]");
    let config = durable(Config { more: config.more.clone() + &other(), ..config });
    let gateway = Gateway::start_with_files(driver, &config, &[("keys.sha256", &list(0..4))]);
    let mut caller = gateway.connect();

    let (answer, problem) = revoke(&gateway, "name", "k1");
    assert_eq!(answer.status, 409, "{problem}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("key callers/k1, or key other/k1") && detail.contains("CREDENTIAL/KEY-ID"),
        "{detail}"
    );
    assert_eq!(caller.asks("/other/x", &partner(11)), "ok", "what is ambiguous is not revoked");

    let report = revoked(&gateway, "name", "other/k1");
    assert_eq!((&report["revoked"], &report["known"]), (&json!(["key other/k1"]), &json!(true)));
    assert_eq!(caller.asks("/other/x", &partner(11)), "key-revoked");
    assert_eq!(caller.asks("/other/x", &partner(12)), "ok");
    caller.still_served();

    let report = revoked(&gateway, "name", "k2");
    assert_eq!((&report["revoked"], &report["already"]), (&json!(["key other/k2"]), &json!(false)));
    assert_eq!(caller.asks("/other/x", &partner(12)), "key-revoked");
    assert_eq!(revoked(&gateway, "name", "k2")["already"], true);

    let report = revoked(&gateway, "sha256", &digest(&partner(1)));
    assert_eq!(report["revoked"], json!(["a key of partners that has no id"]));
    assert_eq!([1, 2].map(|n| caller.partner(n)), ["key-revoked", "ok"]);

    // One that no file has yet: it is refused when one does.
    let report = revoked(&gateway, "sha256", &digest(&partner(5)));
    assert_eq!(report["known"], false);
    gateway.replace("keys.sha256", &list(0..7));
    caller.await_partner(6, "ok");
    assert_eq!(caller.partner(5), "key-revoked");

    let output = gateway.cli(&["revoke", "-"], &format!("{}\n", partner(2)));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !shown.contains(&partner(2)), "{shown}");
    assert_eq!([2, 3].map(|n| caller.partner(n)), ["key-revoked", "ok"]);
    assert!(gateway.cli(&["revoke", &format!("sha256:{}", digest(&partner(3)))], "").status.success());
    assert_eq!(caller.partner(3), "key-revoked");

    let report = revoked(&gateway, "name", "partners");
    assert_eq!(report["revoked"], json!(["credential partners with all its keys"]));
    assert_eq!([0, 6].map(|n| caller.partner(n)), ["key-revoked", "key-revoked"]);
    caller.still_served();
}

#[test]
fn what_is_not_known_is_not_repeated() {
    let api = Api::plain();
    let mut gateway = Gateway::start("auto", &durable(Config::to(&api)));
    let typed = "a-key-that-was-typed-as-a-name-77";
    gateway.keep_secret(typed);
    let (answer, problem) = revoke(&gateway, "name", typed);
    assert_eq!((answer.status, &problem["title"]), (404, &json!("unknown")));
    assert!(!answer.text().contains(typed), "{}", answer.text());
    let output = gateway.cli(&["revoke", typed], "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !told.contains(typed) && told.contains("standard input"), "{told}");
    for body in ["", "{}", r#"{"name": 1}"#, r#"{"sha256": "12"}"#, r#"{"name": "k1", "sha256": "12"}"#] {
        assert_eq!(gateway.post("/revoke", body).status, 400, "{body}");
    }
    assert_eq!(gateway.get("/crm/x").status, 200);
    assert!(fs::read_to_string(gateway.path(KEPT)).expect("a file").is_empty());
}

/// A reload, the key in another file, an older file, another credential, a restart: none of them brings it back.
fn what_was_refused_stays_refused(driver: &str) {
    let api = Api::plain();
    let config = durable(partners::config(&api, "[\"keys.d/*.sha256\", \"keys.d/*.jsonl\"]"));
    let config = Config { more: config.more.clone() + &other(), ..config };
    let record = |state: &str| {
        let digest = digest(&partner(3));
        format!(
            "{{\"v\":1,\"key_id\":\"three\",\"state\":\"{state}\",\"verifier\":\
             {{\"scheme\":\"sha256\",\"enc\":\"hex\",\"digest\":\"{digest}\"}}}}\n"
        )
    };
    let files = [("keys.d/a.sha256", &*list([1, 2])), ("keys.d/b.jsonl", &*record("active"))];
    let mut gateway = Gateway::start_with_files(driver, &config, &files);
    let mut caller = gateway.connect();
    assert_eq!([1, 2, 3].map(|n| caller.partner(n)), ["ok", "ok", "ok"]);
    revoked(&gateway, "sha256", &digest(&partner(1)));
    revoked(&gateway, "name", "other");
    // The file calls the third one revoked for a moment, and takes it back.
    gateway.replace("keys.d/b.jsonl", &record("revoked"));
    caller.await_partner(3, "key-revoked");
    let still_refused = |gateway: &Gateway, caller: &mut Caller, when: &str| {
        let decisions = [1, 2, 3].map(|n| caller.partner(n));
        assert_eq!(decisions, ["key-revoked", "ok", "key-revoked"], "{when}");
        assert_eq!(caller.asks("/other/x", &partner(11)), "key-revoked", "{when}");
        let reloads = gateway.reloads();
        let counts = (&reloads["revoked_keys"], &reloads["revoked_credentials"]);
        assert_eq!(counts, (&json!(2), &json!(1)), "{when}");
    };
    gateway.replace("keys.d/b.jsonl", &record("active"));
    assert_eq!(gateway.post("/reload", "{}").status, 200);
    still_refused(&gateway, &mut caller, "when the file says active again");
    gateway.replace("keys.d/a.sha256", &list([2]));
    caller.await_partner(2, "ok");
    eventually("it is gone", || gateway.post("/reload", "{}").status == 200);
    gateway.replace("keys.d/c.sha256", &list([1, 4]));
    caller.await_partner(4, "ok");
    still_refused(&gateway, &mut caller, "when it is added again");
    gateway.restart();
    let mut caller = gateway.connect();
    still_refused(&gateway, &mut caller, "after a restart");
    for (name, text) in files {
        gateway.replace(name, text);
    }
    fs::remove_file(gateway.path("keys.d/c.sha256")).expect("a file");
    assert_eq!(gateway.post("/reload", r#"{"force": true}"#).status, 200);
    still_refused(&gateway, &mut caller, "after a rollback of all files");
    gateway.restart();
    let mut caller = gateway.connect();
    still_refused(&gateway, &mut caller, "after a restart with the old files");
    // The same key under another credential is the same key; the same name is the same credential.
    let again = credential("another", "", &[&key("a1", &partner(1), ""), &key("a4", &partner(4), "")]);
    let more = config.more.clone() + &again + &proxy_table("alias = \"another\"", "another");
    gateway.configure(&Config { more, ..config });
    caller.await_decision("/another/x", &partner(4), "ok");
    assert_eq!(caller.asks("/another/x", &partner(1)), "key-revoked");
}

/// A file calls a key revoked from the first start on.
#[test]
fn what_a_file_called_revoked_at_the_start_stays_so() {
    let api = Api::plain();
    let with = |state: &str| {
        let entry = key("b1", &partner(1), &format!(", state = \"{state}\""));
        let keys = [entry, key("b2", &partner(2), "")];
        let more = credential("files", "", &[&keys[0], &keys[1]]) + &proxy_table("alias = \"f\"", "files");
        durable(Config { more, ..Config::to(&api) })
    };
    let mut gateway = Gateway::start("auto", &with("revoked"));
    assert_eq!(gateway.connect().asks("/f/x", &partner(1)), "key-revoked");
    assert_eq!(gateway.reloads()["revoked_keys"], 1);
    gateway.configure(&with("active"));
    assert_eq!(gateway.post("/reload", "{}").status, 200);
    assert_eq!(gateway.connect().asks("/f/x", &partner(1)), "key-revoked");
    gateway.restart();
    let mut caller = gateway.connect();
    assert_eq!([1, 2].map(|n| caller.asks("/f/x", &partner(n))), ["key-revoked", "ok"]);
}

#[track_caller]
fn not_kept(gateway: &Gateway, words: &[&str]) {
    let (answer, problem) = revoke(gateway, "name", "k1");
    assert_eq!((answer.status, &problem["title"]), (507, &json!("not-kept")), "{problem}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    for word in ["nothing was revoked"].iter().chain(words) {
        assert!(detail.contains(word), "{detail}");
    }
    assert_eq!(gateway.get("/crm/x").status, 200, "nothing was revoked");
    let output = gateway.cli(&["revoke", "k1"], "");
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("nothing was revoked")
    );
    assert_eq!(gateway.reloads()["revoked_keys"], 0);
    assert_eq!(gateway.get("/crm/x").status, 200);
}

#[test]
fn without_a_place_to_keep_it_nothing_is_revoked() {
    let api = Api::plain();
    not_kept(&Gateway::start("auto", &Config::to(&api)), &["server.data_dir is not set", "restart"]);
}

/// The limit on the size of files stands for a disk that is full.
#[test]
fn on_a_full_disk_nothing_is_revoked() {
    let api = Api::plain();
    let gateway = Gateway::start_with_file_blocks("auto", &durable(Config::to(&api)), 0);
    not_kept(&gateway, &[KEPT]);
    assert!(fs::read(gateway.path(KEPT)).expect("a file").is_empty());
}

/// Somebody restored or removed the directory: what is written to the old file would be lost with the next start.
#[test]
fn in_a_file_that_was_replaced_nothing_is_revoked() {
    let api = Api::plain();
    let mut gateway = Gateway::start("auto", &durable(Config::to(&api)));
    fs::remove_file(gateway.path(KEPT)).expect("a file");
    not_kept(&gateway, &[KEPT]);
    fs::create_dir(gateway.path(KEPT)).expect("a directory");
    not_kept(&gateway, &[KEPT]);
    let told = gateway.start_is_refused();
    assert!(told.contains("revocations.jsonl"), "{told}");
    fs::remove_dir(gateway.path(KEPT)).expect("a directory");
    gateway.restart();
    revoked(&gateway, "name", "k1");
    gateway.get("/crm/x").refused(401, "key-revoked");
}

#[test]
fn a_torn_end_is_cut_off_and_a_wrong_line_stops_the_start() {
    let api = Api::plain();
    let config = durable(partners::config(&api, "[\"keys.sha256\"]"));
    let mut gateway = Gateway::start_with_files("auto", &config, &[("keys.sha256", &list([1, 2]))]);
    revoked(&gateway, "sha256", &digest(&partner(1)));
    gateway.stop();
    let mut file = fs::OpenOptions::new().append(true).open(gateway.path(KEPT)).expect("a file");
    file.write_all(b"{\"revoked\":\"key\",\"sha256\":\"7074").expect("written");
    gateway.restart();
    let mut caller = gateway.connect();
    assert_eq!([1, 2].map(|n| caller.partner(n)), ["key-revoked", "ok"]);
    revoked(&gateway, "sha256", &digest(&partner(2)));
    gateway.restart();
    let mut caller = gateway.connect();
    assert_eq!([1, 2].map(|n| caller.partner(n)), ["key-revoked", "key-revoked"]);
    let kept = fs::read_to_string(gateway.path(KEPT)).expect("a file");
    gateway.write(KEPT, &kept.replacen("\"key\"", "\"kez\"", 2).replacen("\"kez\"", "\"key\"", 1));
    let told = gateway.start_is_refused();
    assert!(told.contains("revocations.jsonl:2: not a revocation"), "{told}");
    gateway.write(KEPT, &kept);
    gateway.restart();
    let mut caller = gateway.connect();
    assert_eq!([1, 2].map(|n| caller.partner(n)), ["key-revoked", "key-revoked"]);
}

/// Many at once, beside reloads and beside each other.
#[test]
fn many_at_once_are_all_kept() {
    let api = Api::plain();
    let mut gateway = start_durable(&api);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for n in (worker..80).step_by(8) {
                    revoked(gateway, "sha256", &digest(&partner(n)));
                    assert_eq!(gateway.connect().partner(n), "key-revoked");
                }
            });
        }
        for n in 0..10 {
            gateway.replace("keys.d/a.sha256", &list((0..100).chain([200 + n])));
            assert_eq!(gateway.post("/reload", "{}").status, 200);
        }
    });
    gateway.restart();
    let mut caller = gateway.connect();
    (0..80).for_each(|n| assert_eq!(caller.partner(n), "key-revoked"));
    (80..100).for_each(|n| assert_eq!(caller.partner(n), "ok"));
}

fn start_durable(api: &Api) -> Gateway {
    let config = durable(partners::config(api, "[\"keys.d/*.sha256\"]"));
    Gateway::start_with_files("auto", &config, &[("keys.d/a.sha256", &list(0..100))])
}

/// Names, never keys or digests, in what is said about it.
#[test]
fn the_log_names_what_was_revoked() {
    let api = Api::plain();
    let mut gateway = Gateway::start("auto", &durable(Config::to(&api)));
    gateway.keep_secret(&digest(KEY));
    revoked(&gateway, "sha256", &digest(KEY));
    assert!(gateway.log().contains("revoked key callers/k1"), "{}", gateway.log());
    let mut caller = gateway.connect();
    caller.send(&get("/crm/x"));
    caller.answer().refused(401, "key-revoked");
}
