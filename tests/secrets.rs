//! No key, token or password is ever shown: not by types, findings, logs, status, nor answers.
//!
//! One table of secrets is planted in every place where an operator or a caller may put one. Every output is then
//! searched for any part of any of them, as it is, in base64, in hexadecimal digits, and as a list of bytes. That
//! the search finds what is there is shown first.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and reads the clock")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread::{self, JoinHandle},
};

use common::{Api, Caller, Then, eventually, message::latin};
use keyferry::{
    compile::{Compiler, Epoch},
    config::{self, Diagnostic},
    explain::{failed_asserts, rehearsal},
    policy::{Means, Now, RuleMemory, Unwatched, decide},
    protocol::{
        h1::parse_request,
        http::{FieldTable, HeadLimits},
    },
    snapshot::{Serving, Snapshot},
    store::Revocations,
    types::Secret,
};

// --- what is planted ---------------------------------------------------------------------------

const CALLER_KEY: &str = "kq7Wz1Rf5Tb9Yn3Um8Xc4Vd6";
const CALLER_KEY_FROM_ENVIRONMENT: &str = "Jh2Gs8Pa4Lk6Zx0Qw3Er7Ty5";
const CALLER_KEY_FROM_FILE: &str = "Bv9Nc5Mx1Hd7Sf3Ag8Ju4Ki2";
const BEARER: &str = "tO6pI2uY8rE4wQ0aS5dF9gH1";
const API_KEY: &str = "zX3cV7bN1mL5kJ9hG2fD6sA8";
const PASSWORD: &str = "eR4tY8uI2oP6aS0dF3gH7jK1";
const CUSTOM: &str = "wE5rT9yU3iO7pA1sD4fG8hJ2";
/// Presented by callers, known to nobody.
const UNKNOWN_KEY: &str = "nM6bV0cX4zL8kJ2hG5fD9sQ3";
const UNKNOWN_BEARER: &str = "xC7vB1nM5qW9eR3tY6uI0oP4";
const IN_QUERY: &str = "yU8iO2pA6sD0fG4hJ7kL1zX5";
const IN_BODY: &str = "gH9jK3lZ7xC1vB5nM8qW2eR6";
const IN_BAD_HEAD: &str = "uI0oP4aS8dF2gH6jK9lZ3xC7";
/// In patterns of rules, and in asserts.
const IN_PATTERN: &str = "aS3dF7gH1jK5lZ9xC2vB6nM0";
const IN_QUERY_PATTERN: &str = "qW1eR5tY9uI3oP7aS0dF4gH8";
const IN_ASSERT: &str = "lK8jH4gF0dS6aP2oI9uY5tR1";

const SECRETS: [&str; 15] = [
    IN_PATTERN,
    IN_QUERY_PATTERN,
    IN_ASSERT,
    CALLER_KEY,
    CALLER_KEY_FROM_ENVIRONMENT,
    CALLER_KEY_FROM_FILE,
    BEARER,
    API_KEY,
    PASSWORD,
    CUSTOM,
    UNKNOWN_KEY,
    UNKNOWN_BEARER,
    IN_QUERY,
    IN_BODY,
    IN_BAD_HEAD,
];

/// Every kind of credential, each with a proxy of its own to one API; `closed` leads to a port that nobody has.
fn configuration(api: SocketAddr) -> String {
    let targets =
        [("one", "bearer"), ("two", "key"), ("three", "basic"), ("four", "custom"), ("closed", "bearer")];
    let proxies = targets.map(|(alias, credential)| {
        let target = if alias == "closed" { "closed" } else { "api" };
        format!(
            "[[proxy]]\nalias = \"{alias}\"\ntarget = \"{target}\"\ntarget_credential = \"{credential}\"\n\
             proxy_credentials = [\"callers\"]\n"
        )
    });
    format!(
        r#"[server]
shards = 1
[[listener]]
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"
[[target]]
name = "api"
url = "http://{api}"
[[target]]
name = "closed"
url = "http://127.0.0.1:1"
[[consumer]]
name = "payments"
[[credential]]
name = "callers"
type = "proxy"
auth = "key"
consumer = "payments"
keys = [{{ key = "{CALLER_KEY}" }}, {{ key = {{ env = "CALLER_KEY" }} }}, {{ key = {{ file = "caller.key" }} }}]
[[credential]]
name = "bearer"
type = "target"
auth = "bearer"
token = "{BEARER}"
[[credential]]
name = "key"
type = "target"
auth = "key"
key = {{ env = "API_KEY" }}
header = "X-API-Key"
[[credential]]
name = "basic"
type = "target"
auth = "basic"
user = "gateway"
password = "{PASSWORD}"
[[credential]]
name = "custom"
type = "target"
auth = "custom"
headers = {{ "X-App-Id" = "gateway", "X-App-Key" = "{CUSTOM}" }}
[[credential.rule]]
effect = "deny"
path = "^/ruled$"
headers = [{{ name = "^X-Partner-Key$", value = "^{IN_PATTERN}$", presence = "must_absent" }}]
[[credential.rule]]
effect = "deny"
query = [{{ name = "^key$", value = {{ pattern = "{IN_QUERY_PATTERN}" }} }}]
{}[[assert]]
request = {{ method = "GET", path = "/four/ruled", credential = "callers", headers = {{ X-Partner-Key = "{IN_ASSERT}" }} }}
expect = {{ status = 200 }}
"#,
        proxies.concat()
    )
}

fn environment(name: &str) -> Option<String> {
    match name {
        "CALLER_KEY" => Some(CALLER_KEY_FROM_ENVIRONMENT.into()),
        "API_KEY" => Some(API_KEY.into()),
        _ => None,
    }
}

// --- the search --------------------------------------------------------------------------------

/// As much of a secret as may show: any longer piece of it is found.
const PIECE_BYTES: usize = 10;

/// What of which secret can be read in a text, and in which form.
fn found_in(text: &str) -> Option<String> {
    static FORMS: OnceLock<Vec<(String, &str)>> = OnceLock::new();
    let forms = FORMS.get_or_init(|| SECRETS.iter().flat_map(|secret| forms(secret)).collect());
    let (form, secret) = forms.iter().find(|(form, _)| text.contains(form.as_str()))?;
    Some(format!("{form:?}, of {secret:?}"))
}

fn forms(secret: &'static str) -> impl Iterator<Item = (String, &'static str)> {
    let pieces = secret.as_bytes().windows(PIECE_BYTES);
    let pieces = pieces.flat_map(|piece| [latin(piece), hex(piece), list(piece)]);
    let whole = [base64(secret), base64(&format!("gateway:{secret}")), base64(&format!(":{secret}"))];
    pieces.chain(whole).map(move |form| (form, secret))
}

#[track_caller]
fn shows_nothing(what: &str, text: &str) {
    if let Some(found) = found_in(text) {
        panic!("{what} shows {found}:\n{}", &text[..text.len().min(4000)]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As `Debug` writes bytes.
fn list(bytes: &[u8]) -> String {
    format!("{bytes:?}").trim_matches(['[', ']']).to_string()
}

/// Without its last characters, which depend on what follows.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.as_bytes().chunks_exact(3).flat_map(|chunk| {
        let bits = u32::from_be_bytes([0, chunk[0], chunk[1], chunk[2]]);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift) as usize & 63]))
    });
    digits.collect()
}

#[test]
fn the_search_finds_what_is_there() {
    for secret in SECRETS {
        for text in [
            format!("a {secret} b"),
            format!("token = \"{}…\"", &secret[..PIECE_BYTES]),
            format!("…{}", &secret[secret.len() - PIECE_BYTES..]),
            format!("{:?}", secret.as_bytes()),
            hex(secret.as_bytes()),
        ] {
            assert!(found_in(&text).is_some(), "{text}");
        }
    }
    assert!(found_in("Basic Z2F0ZXdheTplUjR0WTh1STJvUDZhUzBkRjNnSDdqSzE=").is_some(), "RFC 7617");
    assert!(found_in(&format!("{:?} {}", Secret::from(BEARER), &BEARER[..PIECE_BYTES - 1])).is_none());
}

// --- types -------------------------------------------------------------------------------------

#[test]
fn a_plan_shows_nothing() {
    let loaded = load(&configuration(nowhere())).unwrap();
    shows_nothing("a plan", &format!("{:?} {:#?}", loaded.plan, loaded.plan));
    let shown = format!("{:?}", loaded.diagnostics);
    shows_nothing("its findings", &shown);
    let plan = Arc::new(loaded.plan);
    let compiled = Compiler::default().compile(&plan, Epoch::FIRST).expect("it compiles");
    let rehearsal = rehearsal(&compiled, &Revocations::default());
    let (doubts, failures) = (config::lint(&plan), failed_asserts(&plan, &rehearsal));
    assert!(
        !doubts.is_empty() && failures.len() == 1,
        "a secret in a pattern is doubted, and the assert is wrong"
    );
    shows_nothing("doubts and asserts", &format!("{doubts:?} {failures:?}"));
}

#[test]
fn a_snapshot_shows_nothing() {
    let snapshot = snapshot();
    shows_nothing("a proxy", &format!("{:?}", snapshot.proxies));
    shows_nothing("a credential", &format!("{:?}", snapshot.credentials));
    shows_nothing("a table of keys", &format!("{:?}", snapshot.keys));
    shows_nothing("a target", &format!("{:?}", snapshot.upstreams));
}

#[test]
fn a_decision_shows_nothing() {
    let snapshot = snapshot();
    for (key, permitted) in [(CALLER_KEY, true), (UNKNOWN_KEY, false)] {
        let head =
            format!("GET /one/x?token={IN_QUERY} HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: {key}\r\n\r\n");
        let (mut table, mut path) = (FieldTable::default(), vec![0; 64 * 1024]);
        let head = parse_request(head.as_bytes(), &HeadLimits::default(), &mut table).unwrap();
        let means = Means {
            now: Now(0),
            source: Some([127, 0, 0, 1].into()),
            certificate: None,
            path: &mut path,
            rules: &mut RuleMemory::default(),
            watch: &mut Unwatched,
        };
        let shown = match decide(&snapshot, &head, means) {
            Ok(permit) => {
                assert!(permitted);
                format!("{permit:?}")
            }
            Err(denial) => {
                assert!(!permitted);
                format!("{denial:?}")
            }
        };
        shows_nothing("a decision", &shown);
    }
}

#[test]
fn a_head_shows_nothing() {
    let head = format!(
        "GET /one/x?token={IN_QUERY} HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: {UNKNOWN_KEY}\r\n\
         Authorization: Bearer {UNKNOWN_BEARER}\r\n\r\n"
    );
    let mut table = FieldTable::default();
    let head = parse_request(head.as_bytes(), &HeadLimits::default(), &mut table).unwrap();
    shows_nothing("a head", &format!("{head:?}"));
    shows_nothing("its fields", &format!("{:?}", head.fields.iter().collect::<Vec<_>>()));
}

// --- findings ----------------------------------------------------------------------------------

/// Every file that differs from a good one by a slip of the hand.
#[test]
fn no_finding_shows_a_secret_whatever_is_mistyped() {
    let good = configuration(nowhere());
    let (mut judged, mut start) = (0, 0);
    for line in good.split_inclusive('\n') {
        let (before, after) = (&good[..start], &good[start + line.len()..]);
        findings_show_nothing(&format!("{before}{after}"), &mut judged);
        findings_show_nothing(&format!("{before}{line}{line}{after}"), &mut judged);
        if found_in(line).is_some() {
            for (at, char) in line.char_indices() {
                let (left, right) = (&line[..at], &line[at + char.len_utf8()..]);
                for slip in ["", "\"", "\n", "="] {
                    findings_show_nothing(&format!("{before}{left}{slip}{right}{after}"), &mut judged);
                }
                findings_show_nothing(&format!("{before}{left}"), &mut judged);
            }
        }
        start += line.len();
    }
    assert!(judged > 1000, "only {judged} files were wrong");
}

#[track_caller]
fn findings_show_nothing(text: &str, judged: &mut usize) {
    let findings = match load(text) {
        Ok(loaded) => loaded.diagnostics,
        Err(findings) => findings,
    };
    *judged += usize::from(!findings.is_empty());
    for finding in findings {
        let shown = format!("{finding} {finding:?}");
        let found = found_in(&shown);
        assert!(found.is_none(), "{found:?} is shown by\n{shown}\nfor\n{text}");
    }
}

fn load(text: &str) -> Result<config::Loaded, Vec<Diagnostic>> {
    static DIRECTORY: OnceLock<&Path> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::write(directory.join("caller.key"), CALLER_KEY_FROM_FILE).unwrap();
        directory
    });
    config::load_text(text, "keyferry.toml", directory, &environment)
}

/// What the data plane has of the configuration; every proxy in it serves.
fn snapshot() -> Snapshot {
    let plan = load(&configuration(nowhere())).unwrap().plan;
    let addresses = vec![vec![nowhere()]; plan.targets.len()];
    let compiled = Compiler::default().compile(&Arc::new(plan), Epoch::FIRST).expect("it compiles");
    let snapshot = compiled.snapshot(1, &addresses, &Arc::default());
    assert!(snapshot.proxies.iter().all(|proxy| proxy.serving == Serving::Yes));
    assert!(
        snapshot.proxies.iter().any(|proxy| latin(proxy.injected.expose()).contains(BEARER)),
        "nothing is planted"
    );
    snapshot
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

// --- the program -------------------------------------------------------------------------------

#[test]
fn a_check_shows_nothing() {
    let directory = Directory::new("check");
    for (what, text) in [
        ("of a good file", configuration(nowhere())),
        ("of one with an unknown key", configuration(nowhere()).replace("token = ", "tokn = ")),
        (
            "of one that ends in a secret",
            configuration(nowhere()).split(&BEARER[10..]).next().unwrap().into(),
        ),
    ] {
        let file = directory.write(&text);
        let output = program(&file, "check").output().unwrap();
        shows_nothing(what, &format!("{}{}", latin(&output.stdout), latin(&output.stderr)));
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{what}: nothing was said");
    }
}

#[test]
fn an_explanation_shows_nothing() {
    let directory = Directory::new("explain");
    let file = directory.write(&configuration(nowhere()));
    for (what, field) in [
        ("of a key", format!("X-API-Key: {CALLER_KEY}")),
        ("of an unknown key", format!("Authorization: Bearer {UNKNOWN_BEARER}")),
        ("of two keys", format!("X-API-Key: {UNKNOWN_KEY}\r\nX-API-Key: {CALLER_KEY}")),
        ("of a value that a rule asks for", format!("X-Partner-Key: {IN_PATTERN}")),
        ("of no field at all", UNKNOWN_KEY.to_owned()),
    ] {
        for more in [&["--credential", "callers"][..], &["--json"], &[]] {
            let mut command = program(&file, "explain");
            command.args(["GET", "/four/ruled", "--header", &field]).args(more);
            let output = command.output().unwrap();
            shows_nothing(what, &format!("{}{}", latin(&output.stdout), latin(&output.stderr)));
            assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{what}: nothing was said");
        }
    }
}

/// A whole life with the most talkative log: good and bad callers, an API that fails, and an end in order.
#[test]
fn a_run_that_logs_everything_shows_nothing() {
    let api = failing_api();
    let directory = Directory::new("run");
    let failing = configuration(api.address) + "\n[access_log]\npath = \"access.jsonl\"\n";
    let text = failing.replace("expect = { status = 200 }", "expect = { status = 403 }");
    let text = text.replace("[server]\n", "[server]\ndata_dir = \"data\"\n");
    let mut running = Running::start(&directory.write(&text));
    let mut answers = String::new();
    for request in requests() {
        let mut caller = Caller::to(running.gateway).unwrap();
        caller.send(request.as_bytes());
        caller.wire.finish();
        let answer = latin(&caller.wire.rest());
        assert!(answer.starts_with("HTTP/1.1 "), "{request:?} had the answer {answer:?}");
        answers.push_str(&answer);
    }
    shows_nothing("the answers", &answers);
    for status in ["200", "400", "401", "404", "502"] {
        assert!(answers.contains(&format!("HTTP/1.1 {status} ")), "no answer {status}");
    }
    for path in [
        "/status",
        "/metrics",
        "/telemetry",
        "/healthz",
        "/readyz",
        "/nothing",
        &format!("/status?key={IN_QUERY}"),
    ] {
        let mut caller = Caller::to(running.admin).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {UNKNOWN_BEARER}\r\nConnection: close\r\n\r\n",
            running.admin
        );
        caller.send(head.as_bytes());
        shows_nothing(path, &latin(&caller.wire.rest()));
    }
    // Whoever asks to revoke a key by itself rather than by its name, and files that became wrong.
    for body in [format!("{{\"name\":\"{UNKNOWN_KEY}\"}}"), format!("{{\"sha256\":\"{UNKNOWN_KEY}\"}}")] {
        shows_nothing("a refused revocation", &running.post("/revoke", &body));
    }
    for wrong in
        [&failing, &text.replace("auth = \"bearer\"", "auth = \"bearer"), &text.replace("token =", "tokn =")]
    {
        directory.write(wrong);
        let answer = running.post("/reload", "{\"force\":true}");
        assert!(answer.contains("refused"), "{answer}");
        shows_nothing("a refused reload", &answer);
    }
    directory.write(&text.replace("notes", "priority = 7\nnotes"));
    shows_nothing("a reload", &running.post("/reload", "{}"));
    shows_nothing("a revocation", &running.post("/revoke", "{\"name\":\"callers\"}"));
    for path in ["/status", "/keys", "/keys?credential=callers&limit=1000"] {
        shows_nothing(path, &running.get(path));
    }
    shows_nothing("revocations", &fs::read_to_string(directory.0.join("data/revocations.jsonl")).unwrap());
    let arguments = fs::read(format!("/proc/{}/cmdline", running.child.id())).unwrap();
    shows_nothing("the list of processes", &latin(&arguments));
    running.end();
    let log = running.log.lock().unwrap();
    assert!(log.contains("draining") && log.contains("ended"), "it did not log its end:\n{log}");
    shows_nothing("the log", &log);
    let lines = fs::read_to_string(directory.0.join("access.jsonl")).unwrap();
    assert!(lines.lines().count() >= requests().len(), "{lines}");
    shows_nothing("the access log", &lines);
    // That the secrets were in use at all: the API has seen those that are meant for it, and no caller's.
    let seen = api.records().iter().map(|record| latin(record)).collect::<String>();
    for meant in [BEARER, API_KEY, CUSTOM, &base64(&format!("gateway:{PASSWORD}"))] {
        assert!(seen.contains(meant), "the API has not seen {meant:?}");
    }
    for kept in [CALLER_KEY, CALLER_KEY_FROM_ENVIRONMENT, CALLER_KEY_FROM_FILE, UNKNOWN_KEY, UNKNOWN_BEARER] {
        assert!(!seen.contains(kept), "the API has seen {kept:?}");
    }
}

fn requests() -> Vec<String> {
    let mut requests = Vec::new();
    for alias in ["one", "two", "three", "four"] {
        for field in [
            format!("X-API-Key: {CALLER_KEY}"),
            format!("X-API-Key: {CALLER_KEY_FROM_ENVIRONMENT}"),
            format!("Authorization: Bearer {CALLER_KEY_FROM_FILE}"),
        ] {
            requests.push(request(&format!("/{alias}/x"), &field));
        }
        requests.push(request(&format!("/{alias}/x"), &format!("X-API-Key: {UNKNOWN_KEY}")));
        requests.push(request(&format!("/{alias}/x"), &format!("Authorization: Bearer {UNKNOWN_BEARER}")));
    }
    let key = format!("X-API-Key: {CALLER_KEY}");
    for path in ["/one/invalid", "/one/closes", "/one/cuts", "/closed/x", "/nobody/x"] {
        requests.push(request(path, &key));
    }
    requests.extend([
        request(&format!("/one/x?api_key={IN_QUERY}"), "X-Other: 1"),
        request("/one/x", &format!("{key}\r\nX-API-Key: {UNKNOWN_KEY}")),
        request("/one/x", &format!("{key}\r\nBad Name: {IN_BAD_HEAD}")),
        request("/one/x", &format!("{key}\r\nX-Bad: {IN_BAD_HEAD}\x01")),
        format!("GET /{IN_BAD_HEAD} with spaces HTTP/1.1\r\nHost: gw.example\r\n\r\n"),
        format!("{IN_BAD_HEAD}\r\n\r\n"),
        format!("POST /one/x HTTP/1.1\r\nHost: gw.example\r\n{key}\r\nContent-Length: 24\r\n\r\n{IN_BODY}"),
        format!(
            "POST /one/x HTTP/1.1\r\nHost: gw.example\r\n{key}\r\nTransfer-Encoding: chunked\r\n\r\n{IN_BODY}\r\n"
        ),
    ]);
    requests
}

fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw.example\r\n{fields}\r\nConnection: close\r\n\r\n")
}

/// Answers, or fails in one of several ways.
fn failing_api() -> Api {
    Api::start(|exchange| match exchange.path() {
        "/invalid" => {
            exchange.send(b"HTTP/1.1 abc\r\n\r\n");
            Then::Close
        }
        "/closes" => Then::Close,
        "/cuts" => {
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut");
            Then::Close
        }
        _ => exchange.ok("ok"),
    })
}

fn program(file: &Path, command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    program.args([command, "--config"]).arg(file).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    program.env("CALLER_KEY", CALLER_KEY_FROM_ENVIRONMENT).env("API_KEY", API_KEY);
    program.stdin(Stdio::null());
    program
}

/// A gateway, and all that it says.
struct Running {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    log: Arc<Mutex<String>>,
    gateway: SocketAddr,
    admin: SocketAddr,
}

impl Running {
    fn start(file: &Path) -> Self {
        let mut child = program(file, "run").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let readers = vec![
            keep(child.stdout.take().unwrap(), Arc::clone(&log)),
            keep(child.stderr.take().unwrap(), Arc::clone(&log)),
        ];
        eventually("the gateway is ready", || log.lock().unwrap().contains("generation="));
        let text = log.lock().unwrap().clone();
        let address = |what: &str| {
            let line = text.lines().find(|line| line.contains(what)).unwrap();
            line.split_once("address=").unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (gateway, admin) = (address(" listening "), address("admin listening"));
        Self { child, readers, log, gateway, admin }
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin))
    }

    fn post(&self, path: &str, body: &str) -> String {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        ))
    }

    fn ask(&self, request: &str) -> String {
        let mut caller = Caller::to(self.admin).unwrap();
        caller.send(request.as_bytes());
        latin(&caller.wire.rest())
    }

    fn end(&mut self) {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(told.unwrap().success());
        eventually("it ends", || self.child.try_wait().unwrap().is_some());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(stream: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}

/// A directory of its own for each test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("keyferry-secrets-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("caller.key"), CALLER_KEY_FROM_FILE).unwrap();
        Self(path)
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.0.join("keyferry.toml");
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
