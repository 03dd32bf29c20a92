//! The program as a shell runs it: exit codes, what goes to which stream, and that no key leaks.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

const CONFIGURATION: &str = r#"
[[target]]
name = "api"
url = "http://api.example/base"
[[credential]]
name = "callers"
type = "proxy"
auth = "key"
keys = [RECORD]
[[proxy]]
alias = "crm"
target = "api"
proxy_credentials = ["callers"]
"#;
const RECORD: &str = r#"{ sha256 = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8" }"#;

fn keyferry(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyferry"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that refuses its arguments does not read; the broken pipe is then right.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("the program ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A file of its own for each test.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("keyferry-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("keyferry.toml");
        fs::write(&path, content).expect("a file");
        Self(path)
    }

    fn check(&self) -> Output {
        keyferry(&["check", "--config", self.0.to_str().expect("UTF-8")], b"")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().expect("a directory"));
    }
}

#[test]
fn check_shows_what_each_proxy_does() {
    let output = File::new("good", &CONFIGURATION.replace("RECORD", RECORD)).check();
    assert_eq!(
        stdout(&output),
        "listener 127.0.0.1:8080\nproxy crm → http://api.example/base\n    accepts callers (1 key)\n    \
         presents no target credential\n0 errors, 0 broken, 0 warnings\n"
    );
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn check_fails_for_errors_and_for_what_is_broken_but_not_for_warnings() {
    let plain = r#"{ key = "hunter2" }"#;
    let warned = File::new("warned", &CONFIGURATION.replace("RECORD", plain)).check();
    assert_eq!(warned.status.code(), Some(0));
    assert!(stdout(&warned).ends_with("0 errors, 0 broken, 2 warnings\n"), "{}", stdout(&warned));
    assert!(!stdout(&warned).contains("hunter2"));

    let broken = CONFIGURATION.replace("RECORD", RECORD).replace(r#"target = "api""#, r#"target = "apo""#);
    let broken = File::new("broken", &broken).check();
    assert_eq!(broken.status.code(), Some(1));
    assert!(stdout(&broken).contains("proxy crm: out of service: target \"apo\" does not exist\n"));

    let wrong =
        File::new("wrong", &CONFIGURATION.replace("RECORD", "1, 2").replace("alias", "alais")).check();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stdout(&wrong).contains("did you mean alias?"));
    assert!(stdout(&wrong).ends_with("4 errors, 0 broken, 0 warnings\n"), "{}", stdout(&wrong));
}

#[test]
fn check_of_a_missing_file_fails() {
    let output = keyferry(&["check", "-c", "/nonexistent/keyferry.toml"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stdout(&output),
        "/nonexistent/keyferry.toml: error: there is no such file\n\n1 error, 0 broken, 0 warnings\n"
    );
}

/// What `key new` prints: the key and the record.
fn new_key(arguments: &[&str]) -> (String, String) {
    let output = keyferry(&[&["key", "new"], arguments].concat(), b"");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("key (") && lines[3].starts_with("record ("), "{text}");
    (lines[1].to_owned(), lines[4].to_owned())
}

#[test]
fn a_new_key_hashes_to_its_record_and_the_record_loads() {
    let (key, record) = new_key(&["--prefix", "acme_test", "--id", "k-7"]);
    assert!(key.starts_with("acme_test_") && key.len() == "acme_test_".len() + 39, "{key}");
    assert!(record.starts_with(r#"{ id = "k-7", sha256 = ""#), "{record}");

    let hashed = keyferry(&["hash"], format!("{key}\n").as_bytes());
    let digest = stdout(&hashed).lines().next().map(str::to_owned).expect("a digest");
    assert_eq!((hashed.status.code(), digest.len()), (Some(0), 64));
    assert!(record.contains(&digest));
    assert!(!stdout(&hashed).contains(&key) && !stderr(&hashed).contains(&key));

    assert_eq!(File::new("record", &CONFIGURATION.replace("RECORD", &record)).check().status.code(), Some(0));
}

#[test]
fn no_two_keys_are_alike() {
    let (first, second) = (new_key(&[]).0, new_key(&[]).0);
    assert!(first.starts_with("kf_live_") && first != second);
}

#[test]
fn a_plain_new_key_counts_as_strong() {
    let (key, _) = new_key(&[]);
    let output =
        File::new("strong", &CONFIGURATION.replace("RECORD", &format!(r#"{{ key = "{key}" }}"#))).check();
    assert!(stdout(&output).ends_with("0 errors, 0 broken, 1 warning\n"), "{}", stdout(&output));
}

#[test]
fn hash_reads_one_key() {
    let expected = format!(
        "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8\n\n\
         record (for keys = [ … ] of a credential):\n{RECORD}\n"
    );
    for input in ["acme_live_7Q2mZr9xW4", "acme_live_7Q2mZr9xW4\n", "acme_live_7Q2mZr9xW4\r\n"] {
        assert_eq!(stdout(&keyferry(&["hash"], input.as_bytes())), expected);
    }
    for input in ["", "\n", "a\nb\n", &"a".repeat(5_000)] {
        let output = keyferry(&["hash"], input.as_bytes());
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
        assert!(stderr(&output).starts_with("keyferry hash: "));
    }
}

#[test]
fn hash_refuses_arguments_without_repeating_them() {
    for arguments in [&["hash", "hunter2"][..], &["hash", "--key", "hunter2"], &["hash", "--key=hunter2"]] {
        let output = keyferry(arguments, b"");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr(&output).contains("history of the shell") && !stderr(&output).contains("hunter2"));
    }
}

#[test]
fn help_says_what_there_is() {
    let help = stdout(&keyferry(&["--help"], b""));
    for word in ["run", "demo", "check", "explain", "key", "hash"] {
        assert!(help.contains(&format!("\n  {word} ")), "{help}");
    }
    let hash = keyferry(&["hash", "--help"], b"");
    assert_eq!(hash.status.code(), Some(0));
    assert!(stdout(&hash).contains("standard input") && !stdout(&hash).to_lowercase().contains("refused"));
    assert_eq!(keyferry(&[], b"").status.code(), Some(2));
    assert_eq!(keyferry(&["key", "new", "--prefix", "a b"], b"").status.code(), Some(2));
}

const RULES: &str = r#"
default_rule_effect = "deny"
[[proxy.rule]]
effect = "allow"
methods = ["GET"]
path = "^/v2/"
notes = "read only"
[[proxy.rule]]
effect = "deny"
path = "^/v2/admin"
headers = [{ name = "^X-Tenant$", value = "^acme$", presence = "must_absent" }]
priority = 9
[[assert]]
request = { method = "GET", path = "/crm/v2/contacts", credential = "callers" }
expect = { status = 200 }
"#;

#[test]
fn check_lists_rules_and_asks_what_is_asserted() {
    let good = CONFIGURATION.replace("RECORD", RECORD) + RULES;
    let file = File::new("rules", &good);
    let name = file.0.to_str().expect("UTF-8");
    let output = file.check();
    assert_eq!(
        stdout(&output),
        format!(
            "listener 127.0.0.1:8080\nproxy crm → http://api.example/base\n    accepts callers (1 key)\n    \
             presents no target credential\n    rules of proxy crm; else deny\n        \
             deny path ^/v2/admin header not ^X-Tenant$ = … ({name}:21)\n        \
             allow GET path ^/v2/  \"read only\" ({name}:16)\n0 errors, 0 broken, 0 warnings\n"
        )
    );
    assert_eq!(output.status.code(), Some(0));
    let failing = File::new("assert", &good.replace("status = 200", "status = 403")).check();
    assert_eq!(failing.status.code(), Some(1));
    assert!(stdout(&failing).contains("is expected to end with 403, and ends with 200 forwarded"));
    let doubtful = File::new("doubt", &good.replace("\"^/v2/\"", "\"^v2/\"").replace("200", "403")).check();
    assert_eq!(doubtful.status.code(), Some(0));
    assert!(stdout(&doubtful).ends_with("0 errors, 0 broken, 1 warning\n"), "{}", stdout(&doubtful));
}

#[test]
fn explain_tells_which_rules_say_what() {
    let file = File::new("explain", &(CONFIGURATION.replace("RECORD", RECORD) + RULES));
    let name = file.0.to_str().expect("UTF-8");
    let explain = |arguments: &[&str]| {
        let output = keyferry(&[&["explain", "-c", name], arguments].concat(), b"");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
        stdout(&output)
    };
    let callers = ["--credential", "callers"];
    assert_eq!(
        explain(&[&["GET", "/crm/v2/./admin/x?y"], &callers[..]].concat()),
        format!(
            "proxy       crm\ncredential  callers\npath        /v2/admin/x\n\nproxy crm says deny\n    \
             allow {name}:16  \"read only\"\n    deny  {name}:21\n\n403 rule: The request is not allowed\n"
        )
    );
    let tenant = ["--header", "X-Tenant: acme"];
    let allowed = explain(&[&["GET", "/crm/v2/admin/x"], &callers[..], &tenant].concat());
    assert!(allowed.contains("proxy crm says allow\n") && allowed.ends_with("\n200 forwarded: Forwarded\n"));
    assert!(!allowed.contains("acme"), "{allowed}");
    let other = explain(&[&["POST", "/crm/v3"], &callers[..]].concat());
    assert!(other.contains("proxy crm says deny, by default\n"), "{other}");
    let unknown = explain(&[&["GET", "/crm/v2/x", "--source", "unknown"], &callers[..]].concat());
    assert!(unknown.ends_with("\n200 forwarded: Forwarded\n"), "no rule is about addresses: {unknown}");
    let nobody = explain(&["GET", "/crm/v2/x"]);
    assert!(
        nobody.ends_with("credential  none\n\n401 credential-missing: A credential is required\n"),
        "{nobody}"
    );
    // The key of the configuration: its digest is `RECORD`.
    let key = explain(&["GET", "/crm/v2/x", "--header", "X-API-Key: acme_live_7Q2mZr9xW4"]);
    assert!(key.contains("credential  callers\n") && key.contains("200 forwarded"), "{key}");
    assert!(!key.contains("7Q2mZr9xW4"));
    let json = explain(&[&["GET", "/crm/v2/admin/x", "--json"], &callers[..]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["status"].as_u64(), json["reason"].as_str()), (Some(403), Some("rule")));
    assert_eq!(json["scopes"][0]["rules"][1]["line"], 21);
    assert_eq!((&json["path"], &json["default_rule_effect"]), (&"/v2/admin/x".into(), &"deny".into()));
}

#[test]
fn explain_refuses_what_it_cannot_ask() {
    let file = File::new("refused", &CONFIGURATION.replace("RECORD", RECORD));
    let name = file.0.to_str().expect("UTF-8");
    for (arguments, said) in [
        (&["--credential", "nobody"][..], "there is no proxy credential \"nobody\""),
        (&["--header", "hunter2"], "a header field is \"Name: value\""),
        (&["--source", "x"], "invalid value"),
    ] {
        let output = keyferry(&[&["explain", "GET", "/crm", "-c", name], arguments].concat(), b"");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(
            stderr(&output).contains(said) && !stderr(&output).contains("hunter2"),
            "{}",
            stderr(&output)
        );
    }
    for (method, path) in
        [("GET", "/crm/a b"), ("G T", "/crm"), ("GET\r\nX: y", "/crm"), ("GET", "/crm/\u{e9}")]
    {
        let output = keyferry(&["explain", method, path, "-c", name, "--credential", "callers"], b"");
        assert!(stdout(&output).starts_with("proxy       none\n"), "{method} {path}: {}", stdout(&output));
    }
}
