//! The configuration as operators meet it: files on disk → a plan, or sentences that say what to write.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use keyferry::{
    config::{
        self, Diagnostic, Loaded, Severity,
        plan::{Branch, Driver, Location},
    },
    types::KeyState,
};

const DIGEST: &str = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8";
const SECRET: &str = "hunter2-hunter2";

/// A file that is right, for cases that add something to it.
const BASE: &str = r#"
[[target]]
name = "api"
url = "http://api.example"
[[credential]]
name = "callers"
type = "proxy"
auth = "key"
keys = [{ sha256 = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8" }]
[[proxy]]
alias = "crm"
target = "api"
proxy_credentials = ["callers"]
"#;

/// Two consumers with a credential each, and the beginning of a proxy.
const OTHERS: &str = r#"
[[consumer]]
name = "a"
[[consumer]]
name = "b"
[[credential]]
name = "a"
type = "proxy"
auth = "key"
consumer = "a"
keys = [{ sha256 = "1111111111111111111111111111111111111111111111111111111111111111" }]
[[credential]]
name = "b"
type = "proxy"
auth = "key"
consumer = "b"
keys = [{ sha256 = "2222222222222222222222222222222222222222222222222222222222222222" }]
[[proxy]]
alias = "x"
target = "api"
"#;

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("keyferry-config-{}-{number}", std::process::id()));
        for (name, content) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        Self(path)
    }

    fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        config::load(&self.0.join("keyferry.toml"), &|name| (name == "TOKEN").then(|| SECRET.to_owned()))
    }

    /// Diagnostics as they are printed, with file names relative to the directory.
    fn sentences(&self) -> Vec<String> {
        let found = self.load().map_or_else(|errors| errors, |loaded| loaded.diagnostics);
        let base = format!("{}/", self.0.display());
        found.iter().map(|diagnostic| diagnostic.to_string().replace(&base, "")).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    config::load_text(text, "k.toml", Path::new("/nonexistent"), &|name| {
        (name == "TOKEN").then(|| SECRET.to_owned())
    })
}

fn sentences(input: &str) -> Vec<String> {
    let found = text(input).map_or_else(|errors| errors, |loaded| loaded.diagnostics);
    found.iter().map(Diagnostic::to_string).collect()
}

fn usable(input: &str) -> Loaded {
    text(input).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

#[test]
fn a_small_file_has_the_documented_defaults() {
    let Loaded { plan, diagnostics, .. } = usable(BASE);
    assert_eq!(diagnostics, []);
    assert_eq!(plan.server.shards, None);
    assert_eq!(plan.server.driver, Driver::Auto);
    assert_eq!(plan.server.drain_delay, Duration::ZERO);
    assert_eq!(plan.server.drain_timeout, Duration::from_secs(30));
    assert_eq!(plan.server.limits.head_bytes, 32 * 1024);
    assert_eq!(plan.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(plan.admin, None);
    assert_eq!(plan.targets[0].timeouts.idle, Duration::from_secs(55));
    let header = |name: &str| Location::Header(name.to_owned());
    assert_eq!(plan.proxy_credentials[0].locations, [header("x-api-key"), header("authorization")]);
    let proxy = &plan.proxies[0];
    assert_eq!((proxy.label.as_str(), proxy.active, proxy.websocket), ("crm", true, false));
    assert_eq!(proxy.route.as_ref().map(|route| route.security.credentials()), Ok(vec![0]));
}

#[test]
fn the_documentation_loads_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/keyferry.toml");
    let documented = config::load(&path, &|_| None).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let messages: Vec<_> = documented.diagnostics.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(messages, ["the credential has no keys: nobody can use it"]);
    let empty = usable("[[target]]\nname = \"orders\"\nurl = \"http://127.0.0.1:3000\"");
    assert_eq!(documented.plan.server, empty.plan.server);
    assert_eq!(documented.plan.listeners, empty.plan.listeners);
    assert_eq!(documented.plan.targets, empty.plan.targets);
}

#[test]
fn the_example_of_the_design_loads() {
    let directory = Directory::new(&[
        (
            "keyferry.toml",
            r#"
[server]
shards = "auto"
[[listener]]
address = "0.0.0.0:8443"
[admin]
address = "127.0.0.1:9440"
[[target]]
name = "hubspot"
url = "http://api.hubapi.example/base"
[[consumer]]
name = "payments"
legacy_id = "kong:9c1e"
[[credential]]
name = "hubspot-key-v2"
type = "target"
auth = "bearer"
token = { env = "TOKEN" }
[[credential]]
name = "payments-service"
type = "proxy"
auth = "key"
consumer = "payments"
locations = ["header:x-api-key"]
keys = [{ id = "k1", sha256 = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8", expires = 2027-01-01T00:00:00Z }]
[[credential]]
name = "all-partners"
type = "proxy"
auth = "key"
key_files = ["keys.d/*.jsonl", "keys.d/*.sha256"]
[[proxy]]
alias = "crm"
target = "hubspot"
target_credential = "hubspot-key-v2"
proxy_credentials = ["payments-service", "all-partners"]
"#,
        ),
        (
            "keys.d/a.jsonl",
            r#"{"v":1,"id":"p1","verifier":{"scheme":"sha256","enc":"base64","digest":"cHQvglGOL0xEooJB6F6smkhw2Ma4sRrANKbWa7B0q/g="},"state":"retired"}"#,
        ),
        (
            "keys.d/b.sha256",
            &format!(
                "# partners\n\n{DIGEST}\r\n{}  # one\n{}",
                DIGEST.replace('7', "8"),
                DIGEST.replace('7', "8")
            ),
        ),
    ]);
    let Loaded { plan, diagnostics, watched } =
        directory.load().unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(diagnostics, []);
    let key = plan.proxy_credentials[0].keys().next().expect("the credential has a key");
    assert_eq!((key.id(), key.digest[0], key.window().expires), (Some("k1"), 0x70, 1_798_761_600_000));
    // The list's second digest stands there twice and counts once.
    let keys = &plan.proxy_credentials[1].keys;
    assert_eq!(keys.iter().map(|list| list.len()).collect::<Vec<_>>(), [1, 2]);
    let found = keys.iter().filter_map(|list| list.find(key.digest));
    assert_eq!(found.map(|key| key.state()).collect::<Vec<_>>(), [KeyState::Retired, KeyState::Active]);
    let (name, value) = &plan.target_credentials[0].fields[0];
    assert_eq!((name.as_str(), value.expose()), ("authorization", format!("Bearer {SECRET}").as_bytes()));
    assert_eq!(plan.targets[0].base_path, "/base");
    assert_eq!(watched.files.len(), 3);
}

#[test]
fn target_credentials_become_header_fields() {
    let fields = |table: &str| {
        let file = format!("{BASE}[[credential]]\nname = \"t\"\ntype = \"target\"\n{table}");
        let mut plan = usable(&file).plan;
        let fields = plan.target_credentials.remove(0).fields;
        fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.expose())))
            .collect::<Vec<_>>()
    };
    assert_eq!(fields("auth = \"key\"\nkey = \"k\""), ["x-api-key: k"]);
    assert_eq!(
        fields("auth = \"apiKey\"\nkey = \"k\"\nheader = \"Authorization\"\nprefix = \"ApiKey\""),
        ["authorization: ApiKey k"]
    );
    assert_eq!(fields("auth = \"bearer\"\ntoken = \"t\"\nprefix = \"\""), ["authorization: t"]);
    // RFC 7617 §2.
    let basic = "auth = \"basicAuth\"\nuser = \"Aladdin\"\npassword = \"open sesame\"";
    assert_eq!(fields(basic), ["authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]);
    assert_eq!(
        fields("auth = \"custom\"\nheaders = { \"X-A\" = \"1\", x-b = { env = \"TOKEN\" } }"),
        ["x-a: 1", "x-b: hunter2-hunter2"]
    );
    assert_eq!(fields("auth = \"none\""), [""; 0]);
}

/// One wrong thing each, and what is said about it.
#[test]
fn every_mistake_has_its_place_and_its_remedy() {
    let target = "[[target]]\nname = \"t\"\nurl = \"http://t.example\"\n";
    let credential = "[[credential]]\nname = \"c\"\ntype = \"proxy\"\nauth = \"key\"\n";
    let cases = [
        (
            format!("{target}timeouts.connect = \"5 sec\""),
            r#"k.toml:17:20: error: target[1].timeouts.connect = "5 sec": not a duration; write a number and a unit such as "5s", "250ms" or "1m""#,
        ),
        (
            format!("{target}timeouts.connect = \"0s\""),
            r#"k.toml:17:20: error: target[1].timeouts.connect = "0s": out of range; write a duration from "100ms" to "365d""#,
        ),
        (
            format!("{target}timeouts.total = 5"),
            r#"k.toml:17:18: error: target[1].timeouts.total = 5: it is of type integer where a string is needed"#,
        ),
        (
            format!("{target}timeouts.resolve = \"500ms\""),
            r#"k.toml:17:20: error: target[1].timeouts.resolve = "500ms": out of range; write a duration from "1s" to "365d""#,
        ),
        (
            format!("{target}idle_connections = -1"),
            r#"k.toml:17:20: error: target[1].idle_connections = -1: not a number; write a number from 0 to 65536"#,
        ),
        (
            format!("{target}preserve-host = true"),
            r#"k.toml:17:1: error: target[1].preserve-host: unknown key; did you mean preserve_host?"#,
        ),
        (
            target.replace("t.example", "u:hunter2@t"),
            r#"k.toml:16:7: error: target[1].url = …: a user or password may not stand in a URL; use a target credential"#,
        ),
        (
            target.replace("t.example", "t/?key=hunter2"),
            r#"k.toml:16:7: error: target[1].url = …: a target has no query and no fragment; write "https://host", "http://host:port" or "http://host/base""#,
        ),
        (
            target.replace("t.example", "t/a/../b"),
            r#"k.toml:16:7: error: target[1].url = "http://t/a/../b": the path of the URL has empty segments or dot segments; write a plain path such as "/base" or "/api/v2""#,
        ),
        (
            target.replace("\"t\"", "\"api\""),
            r#"k.toml:15:8: error: target[1].name = "api": the name is already taken at k.toml:3:8; give each its own name"#,
        ),
        (
            "[[target]]\nurl = \"http://t\"".to_owned(),
            r#"k.toml:14:1: error: target[1]: name is missing; write name = "…""#,
        ),
        (
            "[server]\nshards = 0".to_owned(),
            r#"k.toml:15:10: error: server.shards = 0: out of range; write a number from 1 to 256"#,
        ),
        (
            "[server]\nshard = 1".to_owned(),
            r#"k.toml:15:1: error: server.shard: unknown key; did you mean shards?"#,
        ),
        (
            "[server]\ntelemetry = \"x\"".to_owned(),
            r#"k.toml:15:1: error: server.telemetry: unknown key; the keys here are include, data_dir, shrink_limit, shards, driver, drain_delay, drain_timeout, timeouts, limits"#,
        ),
        (
            "[server]\ndriver = \"uring\"".to_owned(),
            r#"k.toml:15:10: error: server.driver = "uring": not one of the words; write one of "auto", "io_uring-defer", "io_uring-coop", "epoll""#,
        ),
        (
            "[server.limits]\nhead_bytes = \"1MiB\"".to_owned(),
            r#"k.toml:15:14: error: server.limits.head_bytes = "1MiB": out of range; write a number from 1024 to 61440"#,
        ),
        (
            "[server.limits]\nhead_bytes = \"32kb\"".to_owned(),
            r#"k.toml:15:14: error: server.limits.head_bytes = "32kb": not a size; write a number of bytes, or one with a unit such as "8KiB" or "1MiB""#,
        ),
        (
            "[server.limits]\nhead_bytes = 1024\ntarget_bytes = 2048".to_owned(),
            r#"k.toml:16:16: error: server.limits.target_bytes = 2048: out of range; write a number from 64 to 1024"#,
        ),
        (
            "[server.limits]\nbody_bytes = \"much\"".to_owned(),
            r#"k.toml:15:14: error: server.limits.body_bytes = "much": not a size; write a number of bytes, or one with a unit such as "8KiB" or "1MiB", or "none""#,
        ),
        (
            "[[listener]]\naddress = \"localhost:80\"".to_owned(),
            r#"k.toml:15:11: error: listener.address = "localhost:80": not an address with a port; write an address and a port, such as "0.0.0.0:8080" or "[::]:8080", or "unix:/run/keyferry/callers.sock""#,
        ),
        (
            "[listener]\naddress = \"[::]:80\"".to_owned(),
            r#"k.toml:14:1: error: listener = {…}: it is a list of tables; write [[listener]], with two brackets"#,
        ),
        (
            "[[listener]]\naddress = \"[::]:80\"\n[admin]\naddress = \"[::]:80\"".to_owned(),
            r#"k.toml:17:11: error: admin.address = "[::]:80": the address is already taken at k.toml:15:11; give each listener its own address or port"#,
        ),
        (
            format!("{credential}keys = []\nlocations = [\"query:key\"]"),
            r#"k.toml:19:14: error: credential[1].locations = "query:key": not a location; write "header:NAME""#,
        ),
        (
            format!("{credential}locations = []"),
            r#"k.toml:18:13: error: credential[1].locations = […]: it has too few or too many members; write 1 to 8, such as ["header:x-api-key"], or leave it out"#,
        ),
        (
            format!("{credential}locations = [\"header:Host\"]"),
            r#"k.toml:18:14: error: credential[1].locations = "header:Host": this field belongs to the connection and is written by keyferry itself; choose another field"#,
        ),
        (
            format!("{credential}keys = [{{ sha256 = \"hunter2\" }}]"),
            r#"k.toml:18:20: error: credential[1].keys.sha256 = …: not a SHA-256 digest; write the 64 hexadecimal digits that `keyferry hash` prints"#,
        ),
        (
            format!("{credential}keys = [{{ id = \"a\" }}]"),
            "k.toml:18:9: error: credential[1].keys: a key has either sha256 or key; write sha256 = \"64 hexadecimal digits\" (made by `keyferry hash`), or key = { env = \"NAME\" }",
        ),
        (
            format!(
                "{credential}keys = [{{ sha256 = \"{DIGEST}\" }},\n{{ sha256 = \"{}\" }}]",
                DIGEST.to_uppercase()
            ),
            r#"k.toml:19:1: error: credential[1].keys[1]: the same key is already at k.toml:18:9; remove one of the two"#,
        ),
        (
            format!("{credential}keys = [{{ sha256 = \"{DIGEST}\", expires = 2027-01-01T00:00:00 }}]"),
            r#"k.toml:18:98: error: credential[1].keys.expires = 2027-01-01T00:00:00: a time without an offset is another moment in each place; write date, time and offset, such as 2027-01-01T00:00:00Z"#,
        ),
        (
            format!(
                "{credential}keys = [{{ sha256 = \"{DIGEST}\", not_before = \"2027-01-01T00:00:00Z\", expires = \"2027-01-01T00:00:00Z\" }}]"
            ),
            r#"k.toml:18:135: error: credential[1].keys.expires = "2027-01-01T00:00:00Z": the key expires before it becomes valid; write an end that is later than not_before"#,
        ),
        (
            format!("{credential}keys = [{{ sha256 = \"{DIGEST}\", state = \"off\" }}]"),
            r#"k.toml:18:96: error: credential[1].keys.state = "off": not a state; write "pending", "active", "deprecated", "retired" or "revoked""#,
        ),
        (
            credential.replace("\"key\"", "\"jwtVerify\""),
            r#"k.toml:17:8: error: credential[1].auth = "jwtVerify": not one of the words; write one of "key", "apiKey", "mtls""#,
        ),
        (
            credential.replace("proxy", "both"),
            r#"k.toml:16:8: error: credential[1].type = "both": not a type of credential; write type = "proxy" for what callers present, or "target" for what the API receives"#,
        ),
        (
            "[[proxy]]\nalias = \"crm\"\ntarget = \"api\"\nproxy_credentials = [\"callers\"]".to_owned(),
            r#"k.toml:15:9: error: proxy[1].alias = "crm": it already leads to the proxy at k.toml:11:9; give each proxy its own"#,
        ),
        (
            "[[proxy]]\nid = \"crm\"\ntarget = \"api\"\nproxy_credentials = [\"callers\"]".to_owned(),
            r#"k.toml:15:6: error: proxy[1].id = "crm": it already leads to the proxy at k.toml:11:9; give each proxy its own"#,
        ),
        (
            "[[proxy]]\nalias = \"a/b\"\ntarget = \"api\"\nproxy_credentials = [\"callers\"]".to_owned(),
            r#"k.toml:15:9: error: proxy[1].alias = "a/b": not one path segment; write 1 to 128 letters, digits or any of - . _ ~, without slashes"#,
        ),
        (
            "[[proxy]]\nhost = \"a.example:80\"\ntarget = \"api\"\nproxy_credentials = [\"callers\"]"
                .to_owned(),
            r#"k.toml:15:8: error: proxy[1].host = "a.example:80": not a host name; write a name such as "api.example", without scheme, port or path"#,
        ),
        (
            "[[proxy]]\ntarget = \"api\"\nproxy_credentials = [\"callers\"]".to_owned(),
            r#"k.toml:14:1: error: proxy[1]: the proxy cannot be reached; write alias, host or id"#,
        ),
        (
            "[[proxy]]\nalias = \"x\"\ntarget = \"api\"\nproxy_credentials = []".to_owned(),
            r#"k.toml:17:21: error: proxy[1].proxy_credentials = […]: the list is empty; write proxy_credentials = ["…"], or security = [["…", "…"], "…"]; security = [] lets everybody in"#,
        ),
        (
            "[[proxy]]\nalias = \"x\"\ntarget = \"api\"".to_owned(),
            r#"k.toml:14:1: error: proxy[1]: it says nothing about who is let in; write proxy_credentials = ["…"], or security = [["…", "…"], "…"]; security = [] lets everybody in"#,
        ),
        (
            "security = []".to_owned(),
            r#"k.toml:14:12: error: proxy.security = […]: proxy_credentials is written too; write one of the two"#,
        ),
        (
            "[[proxy]]\nalias = \"x\"\ntarget = \"api\"\nsecurity = [[]]".to_owned(),
            r#"k.toml:17:13: error: proxy[1].security = […]: it has too few or too many members; write 1 to 4 names of credentials"#,
        ),
        (
            "[[proxy]]\nalias = \"x\"\ntarget = \"api\"\nsecurity = [[\"callers\", \"callers\"]]".to_owned(),
            r#"k.toml:17:25: error: proxy[1].security[1] = "callers": the credential is written twice"#,
        ),
        (
            "[[proxy]]\nalias = \"x\"\ntarget = \"api\"\nsecurity = [\"callers\", [\"callers\"]]".to_owned(),
            r#"k.toml:17:24: error: proxy[1].security[1] = […]: it is written twice"#,
        ),
        (
            format!("{OTHERS}security = [[\"callers\", \"a\", \"b\"]]"),
            r#"k.toml:34:13: error: proxy[1].security = […]: credentials that are asked for together belong to different consumers; write { all = ["…", "…"], identity = "…" }: the consumer of that one is who calls"#,
        ),
        (
            format!("{OTHERS}security = [{{ all = [\"a\", \"b\"], identity = \"callers\" }}]"),
            r#"k.toml:34:44: error: proxy[1].security.identity = "callers": it is not among them; name one of all"#,
        ),
        (
            "filter = 1".to_owned(),
            r#"k.toml:14:1: error: proxy.filter: unknown key; the keys here are alias, host, hosts, id, target, target_credential, proxy_credentials, security, active, upgrades, preflight, encoded_slash, default_rule_effect, rule"#,
        ),
        (
            "[[targets]]\nname = \"x\"".to_owned(),
            r#"k.toml:14:3: error: targets: unknown key; did you mean target?"#,
        ),
        (
            "[access_log]".to_owned(),
            r#"k.toml:14:1: error: access_log: path is missing; write a path such as "access.jsonl", or "-" for standard output"#,
        ),
        (
            "[access_log]\npath = \"logs/\"".to_owned(),
            r#"k.toml:15:8: error: access_log.path = "logs/": not a path of a file; write a path such as "access.jsonl", or "-" for standard output"#,
        ),
        (
            "[access_log]\npath = \"-\"\nring_entries = 8".to_owned(),
            r#"k.toml:16:16: error: access_log.ring_entries = 8: out of range; write a number from 16 to 1048576"#,
        ),
    ];
    for (added, expected) in cases {
        let found = sentences(&format!("{BASE}{added}"));
        let errors: Vec<_> = found.iter().filter(|line| line.contains(": error: ")).collect();
        assert_eq!(errors, [expected], "{added}");
    }
}

#[test]
fn a_dangling_reference_takes_only_its_own_proxy_out() {
    let file = format!(
        "{BASE}[[proxy]]\nalias = \"a\"\ntarget = \"apu\"\nproxy_credentials = [\"caller\"]\n\
         [[credential]]\nname = \"lost\"\ntype = \"proxy\"\nauth = \"key\"\nconsumer = \"nobody\"\n\
         keys = [{{ sha256 = \"{DIGEST}\" }}]\n\
         [[proxy]]\nalias = \"b\"\ntarget = \"api\"\nproxy_credentials = [\"callers\", \"lost\"]\n\
         [[credential]]\nname = \"unset\"\ntype = \"target\"\nauth = \"bearer\"\ntoken = {{ env = \"UNSET\" }}\n\
         [[proxy]]\nalias = \"c\"\ntarget = \"api\"\ntarget_credential = \"unset\"\nproxy_credentials = [\"callers\"]\n\
         [[proxy]]\nalias = \"d\"\ntarget = \"api\"\ntarget_credential = \"callers\"\nproxy_credentials = [\"callers\"]\n"
    );
    let routes: Vec<_> = usable(&file).plan.proxies.into_iter().map(|proxy| proxy.route.err()).collect();
    assert_eq!(
        routes,
        [
            None,
            Some(r#"target "apu" does not exist"#.to_owned()),
            Some(r#"proxy credential "lost" cannot be used: consumer "nobody" does not exist"#.to_owned()),
            Some(
                r#"target credential "unset" cannot be used: environment variable UNSET is not set"#
                    .to_owned()
            ),
            Some(r#""callers" is no target credential"#.to_owned()),
        ]
    );
    assert_eq!(
        sentences(&file),
        [
            r#"k.toml:16:10: broken: proxy[1].target = "apu": there is no such target; did you mean "api"?"#,
            r#"k.toml:17:22: broken: proxy[1].proxy_credentials = "caller": there is no such proxy credential; did you mean "callers"?"#,
            r#"k.toml:22:12: broken: credential[1].consumer = "nobody": there is no such consumer; write a [[consumer]] with this name"#,
            r#"k.toml:27:33: broken: proxy[2].proxy_credentials[1] = "lost": the credential cannot be used: consumer "nobody" does not exist"#,
            r#"k.toml:32:17: broken: credential[2].token.env = "UNSET": the environment variable is not set, or not UTF-8; set it, or name another"#,
            r#"k.toml:36:21: broken: proxy[3].target_credential = "unset": the credential cannot be used: environment variable UNSET is not set"#,
            r#"k.toml:41:21: broken: proxy[4].target_credential = "callers": this is no target credential; name a [[credential]] of type = "target""#,
        ]
    );
}

#[test]
fn syntax_and_meaning_are_wrong_at_once() {
    let file = "[server]\nshards = 0\ndriver = \n[[target]]\nname = \"t\"\nurl = nonsense\n[[proxy]]\nalias = \"..\"\nname = 1\n";
    let found = sentences(file);
    for start in [
        "k.toml:2:10: error: server.shards = 0: out of range",
        "k.toml:3:",
        "k.toml:6:",
        "k.toml:8:9: error: proxy.alias = \"..\": not one path segment",
        "k.toml:9:1: error: proxy.name: unknown key",
    ] {
        assert!(found.iter().any(|line| line.starts_with(start)), "{start} in {found:#?}");
    }
}

#[test]
fn what_works_but_is_unwise_is_a_warning() {
    let file = format!(
        "{BASE}[admin]\naddress = \"0.0.0.0:9440\"\n[[credential]]\nname = \"old\"\ntype = \"proxy\"\nauth = \"key\"\n\
         keys = [{{ key = \"{SECRET}\" }}, {{ sha256 = \"{DIGEST}\", expires = 2020-01-01T00:00:00Z }}]"
    );
    assert_eq!(
        sentences(&file),
        [
            r#"k.toml:15:11: warning: admin.address = "0.0.0.0:9440": the admin listener has no access control and is not on a loopback address; write "127.0.0.1:9440" unless a firewall guards it"#,
            r#"k.toml:17:8: warning: credential.name = "old": no proxy uses this credential"#,
            "k.toml:20:17: warning: credential[1].keys[0].key = …: a key stands in the file in plain text; write sha256 = \"…\" instead; `keyferry hash` makes it",
            "k.toml:20:17: warning: credential[1].keys[0].key = …: the key could be guessed: it holds less than 128 bits of chance; replace it by one that `keyferry key new` makes",
            r#"k.toml:20:127: warning: credential[1].keys[1].expires = 2020-01-01T00:00:00Z: the key has expired; remove it, or write a later time"#,
        ]
    );
    assert_eq!(
        sentences(""),
        ["k.toml: warning: no proxy is defined: every request is answered with 404; write a [[proxy]]"]
    );
}

/// Wherever a secret may stand, rightly or by mistake, no finding shows it.
#[test]
fn no_diagnostic_shows_a_secret() {
    let credentials = [
        "type = \"proxy\"\nauth = \"key\"\nkeys = [{ key = \"S\", key = \"S\" }]",
        "type = \"proxy\"\nauth = \"key\"\nkeys = { key = \"S\" }",
        "type = \"proxy\"\nauth = \"key\"\nkeys = \"S\"",
        "type = \"proxy\"\nauth = \"key\"\nkeys = [\"S\"]",
        "type = \"proxy\"\nauth = \"key\"\nkeys = [{ sha256 = \"S\" }]",
        "type = \"proxy\"\nauth = \"key\"\nkeys = [{ keyy = \"S\" }]",
        "type = \"proxy\"\nauth = \"key\"\nkeys = [{ key = \"S\\n\" }]",
        "type = \"proxy\"\nauth = \"key\"\nkeys = [{ key = { env = \"S\" } }]",
        "type = \"proxy\"\nauth = \"key\"\nkeys = [{ key = [\"S\"] }]",
        "type = \"target\"\nauth = \"bearer\"\ntokn = \"S\"",
        "type = \"target\"\nauth = \"bearer\"\ntoken = \"S\\u0000\"",
        "type = \"target\"\nauth = \"bearer\"\ntoken = { value = \"S\" }",
        "type = \"target\"\nauth = \"bearer\"\ntoken = \"S\nprefix = \"x\"",
        "type = \"target\"\nauth = \"bearer\"\ntoken = \"a\nS\n\"",
        "type = \"target\"\nauth = \"bearer\"\ntoken = \"\"\"a\"\nS\nS = 1",
        "type = \"target\"\nauth = \"bearer\"\ntoken = S",
        "type = \"target\"\nauth = \"bearer\"\ntoken = \"x\"\nprefix = \"Bearer S\"",
        "type = \"target\"\nauth = \"key\"\nkey = \"x\"\nheader = \"X-Key: S\"",
        "type = \"target\"\nauth = \"basic\"\nuser = \"S:\"\npassword = \"S\"",
        "type = \"target\"\nauth = \"basic\"\nuser = \"x\"\npassword = [\"S\"]",
        "type = \"target\"\nauth = \"custom\"\nheaders = { Host = \"S\" }",
        "type = \"target\"\nauth = \"custom\"\nheaders = { X-A = \" S\" }",
        "type = \"target\"\nauth = \"custom\"\nheaders = \"S\"",
    ];
    for table in credentials {
        let file = format!("{BASE}[[credential]]\nname = \"x\"\n{}", table.replace('S', SECRET));
        let found = sentences(&file);
        assert!(!found.is_empty() && !found.iter().any(|line| line.contains(SECRET)), "{table}: {found:#?}");
        assert!(!format!("{:?}", text(&file)).contains(SECRET), "{table}");
    }
}

#[test]
fn included_files_hold_every_table_but_two() {
    let files = [
        (
            "keyferry.toml",
            "[[proxy]]\nalias = \"crm\"\ntarget = \"api\"\nproxy_credentials = [\"callers\"]\n",
        ),
        ("conf.d/a.toml", &BASE[..BASE.find("[[proxy]]").unwrap()]),
        (
            "conf.d/b.toml",
            "[server]\nshards = 1\n[admin]\naddress = \"127.0.0.1:1\"\n[[target]]\nname = \"api\"\nurl = \"http://x\"\n",
        ),
        ("conf.d/c.txt", "not read"),
    ];
    let directory = Directory::new(&files);
    assert_eq!(
        directory.sentences(),
        [
            "conf.d/b.toml:1:1: error: server = {…}: an included file may not have it; move [server] to the file that includes this one",
            "conf.d/b.toml:3:1: error: admin = {…}: an included file may not have it; move [admin] to the file that includes this one",
            r#"conf.d/b.toml:6:8: error: target[1].name = "api": the name is already taken at conf.d/a.toml:3:8; give each its own name"#,
        ]
        .map(|line| line.replace("target[1]", "target"))
    );
    fs::remove_file(directory.0.join("conf.d/b.toml")).unwrap();
    let loaded = directory.load().unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(loaded.plan.proxies[0].route.as_ref().map(|route| route.target), Ok(0));
    assert_eq!(loaded.watched.files.len(), 2);
}

#[test]
fn include_can_be_spelled_out() {
    let files = [
        (
            "keyferry.toml",
            "[server]\ninclude = [\"*.toml\", \"more/?.toml\", \"none/*.toml\", \"missing.toml\", 5]\n",
        ),
        ("more/a.toml", BASE),
        ("conf.d/b.toml", "this is not read"),
    ];
    assert_eq!(
        Directory::new(&files).sentences(),
        [
            r#"keyferry.toml:2:37: warning: server.include[2] = "none/*.toml": it names no file"#,
            r#"keyferry.toml:2:68: error: server.include[4] = 5: it is of type integer where a string is needed"#,
            r#"missing.toml: error: there is no such file"#,
        ]
    );
}

#[test]
fn wrong_lines_of_key_files_are_named_and_not_shown() {
    let files = [
        (
            "keyferry.toml",
            format!(
                "{BASE}[[credential]]\nname = \"k\"\ntype = \"proxy\"\nauth = \"key\"\nkeys = [{{ id = \"one\", sha256 = \"{DIGEST}\" }}]\nkey_files = [\"k/*.jsonl\", \"k/*.sha256\", \"gone.sha256\", \"k/x.txt\", \"empty/*.jsonl\"]\n[[proxy]]\nalias = \"p\"\ntarget = \"api\"\nproxy_credentials = [\"k\"]"
            ),
        ),
        ("k/a.sha256", format!("{DIGEST}\n{SECRET}\n{DIGEST}0\n")),
        (
            "k/b.jsonl",
            format!(
                "\n{{\"v\":1,\"verifier\":{{\"scheme\":\"sha256\",\"enc\":\"hex\",\"digest\":\"{DIGEST}\"}}}}\n{{\"v\":1,\"token\":\"{SECRET}\"}}\n{SECRET}\n"
            ),
        ),
    ];
    let borrowed: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
    let directory = Directory::new(&borrowed);
    let found = directory.sentences();
    let expected = [
        r#"keyferry.toml:19:41: broken: credential[1].key_files[2] = "gone.sha256": gone.sha256: there is no such file"#,
        r#"keyferry.toml:19:56: error: credential[1].key_files[3] = "k/x.txt": k/x.txt is neither a *.jsonl nor a *.sha256 file; write patterns such as "keys.d/*.jsonl" and "keys.d/*.sha256""#,
        r#"keyferry.toml:19:67: warning: credential[1].key_files[4] = "empty/*.jsonl": it names no file"#,
        r#"keyferry.toml:23:22: broken: proxy[1].proxy_credentials = "k": the credential cannot be used: gone.sha256: there is no such file"#,
        r#"k/b.jsonl:3: error: token: unknown member"#,
        r#"k/b.jsonl:4: error: not a JSON object; write one record a line"#,
        "k/a.sha256:2: error: not a SHA-256 digest; write 64 hexadecimal digits and nothing else; `keyferry hash` makes them",
        "k/a.sha256:3: error: not a SHA-256 digest; write 64 hexadecimal digits and nothing else; `keyferry hash` makes them",
    ];
    assert_eq!(found, expected);
}

#[test]
fn secrets_come_from_files_without_their_line_end() {
    let main = format!(
        "{BASE}[[credential]]\nname = \"t\"\ntype = \"target\"\nauth = \"bearer\"\ntoken = {{ file = \"token\" }}\n"
    );
    for (content, wrong) in [
        ("abc", None),
        ("abc\n", None),
        ("abc\r\n", None),
        (
            "abc\n\n",
            Some("the secret has line ends, controls or characters that a header field cannot carry"),
        ),
        ("\n", Some("the secret is empty")),
        (
            "ab\u{e9}",
            Some("the secret has line ends, controls or characters that a header field cannot carry"),
        ),
        (" abc", Some("the secret begins or ends with a space")),
        (&"a".repeat(16 * 1024 + 1), Some("the secret is longer than 16384 bytes")),
    ] {
        let directory = Directory::new(&[("keyferry.toml", &main), ("token", content)]);
        match (directory.load(), wrong) {
            (Ok(loaded), None) => {
                assert_eq!(loaded.plan.target_credentials[0].fields[0].1.expose(), b"Bearer abc")
            }
            (Err(found), Some(message)) => {
                let error = found.iter().find(|found| found.severity == Severity::Error);
                assert_eq!(error.map(|found| found.message.as_str()), Some(message));
            }
            (found, _) => panic!("{content:?}: {found:?}"),
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_finding() {
    assert_eq!(
        Directory::new(&[("other.toml", "")]).sentences(),
        ["keyferry.toml: error: there is no such file"]
    );
    let directory = Directory::new(&[("other.toml", "")]);
    fs::write(directory.0.join("keyferry.toml"), b"a = 1\n\xff").unwrap();
    assert_eq!(directory.sentences(), ["keyferry.toml:2: error: not UTF-8; save the file as UTF-8"]);
}

#[test]
fn no_text_makes_it_panic_or_read_files() {
    let pieces = [
        "[server]\n",
        "[[proxy]]\n",
        "alias = ",
        "\"x\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        "\n",
        "'",
        "\"\"\"",
        "\u{feff}",
        "\0",
        "é",
        "\r",
        "1979-05-27",
        "1979-05-27T07:32Z",
        "0x",
        "keys",
        "[[credential]]\n",
        "type = \"proxy\"\n",
        "key_files = [\"/etc/*\"]\n",
        "include = [\"/etc/passwd\"]\n",
        "{ file = \"/etc/passwd\" }",
        "#",
    ];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for round in 0..3_000 {
        let mut input = String::new();
        for _ in 0..round % 40 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            input.push_str(pieces[(state % pieces.len() as u64) as usize]);
        }
        let found = config::parse_text(&input).map_or_else(|errors| errors, |loaded| loaded.diagnostics);
        assert!(!found.iter().any(|diagnostic| diagnostic.to_string().contains("root:")));
    }
    for cut in 0..BASE.len() {
        let _ = config::parse_text(&BASE[..cut]);
    }
    let _ = config::parse_text(&"[".repeat(100_000));
    let _ = config::parse_text(&"a.".repeat(10_000));
    let many = config::parse_text(&"x = \n".repeat(5_000)).expect_err("wrong everywhere");
    assert!(many.len() <= 1_001 && many.iter().all(|found| found.severity != Severity::Broken));
}

#[test]
fn security_is_an_or_of_ands() {
    let file = format!(
        "{BASE}{OTHERS}security = [[\"callers\", \"a\"], \"b\", {{ all = [\"a\", \"b\"], identity = \"b\" }}]\n\
         preflight = \"pass\"\n[[proxy]]\nalias = \"open\"\ntarget = \"api\"\nsecurity = []\n"
    );
    let loaded = Directory::new(&[("keyferry.toml", &file)]).load().expect("it is right");
    let route = |at: usize| loaded.plan.proxies[at].route.as_ref().expect("it is whole").security.clone();
    let branch = |members: &[usize], identity| Branch { members: members.into(), identity };
    assert_eq!(route(0).branches, [branch(&[0], 0)]);
    // Of callers and a, only a belongs to a consumer.
    assert_eq!(route(1).branches, [branch(&[0, 1], 1), branch(&[2], 0), branch(&[1, 2], 1)]);
    assert_eq!(route(1).credentials(), [0, 1, 2]);
    assert_eq!(route(2).branches, []);
    let passes: Vec<_> = loaded.plan.proxies.iter().map(|proxy| proxy.pass_preflight).collect();
    assert_eq!(passes, [false, true, false]);
}
