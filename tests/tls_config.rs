//! TLS as operators write it down: files of certificates and keys, and a sentence for everything that can be wrong.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use keyferry::config::{
    self, Attempt, Loader, Severity, difference,
    plan::{Roots, TlsVersion},
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// A directory with a certificate, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("keyferry-tls-config-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let directory = Self(path);
        directory.issue("api", &["API.example", "*.wild.example"], |_| {});
        directory
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        self.mode(name, 0o600);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn issue(&self, stem: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        self.write(&format!("{stem}.pem"), &params.self_signed(&key).unwrap().pem());
        self.write(&format!("{stem}.key"), &key.serialize_pem());
    }

    fn load(&self, text: &str) -> Result<config::Loaded, Vec<config::Diagnostic>> {
        config::load_text(text, "k.toml", &self.0, &|_| None)
    }

    /// Errors alone, or else everything: the file has no proxy, which is doubted.
    fn sentences(&self, text: &str) -> Vec<String> {
        let found = self.load(text).map_or_else(|errors| errors, |loaded| loaded.diagnostics);
        let told = found.iter().filter(|one| !one.message.starts_with("no proxy is defined"));
        told.map(ToString::to_string).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pem(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn listener(tls: &str) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:8443\"\ntls = {{ {tls} }}\n")
}

fn certificate(stem: &str) -> String {
    format!("certificates = [{{ cert = \"{stem}.pem\", key = \"{stem}.key\" }}]")
}

fn target(url: &str, tls: &str) -> String {
    format!("[[target]]\nname = \"t\"\nurl = \"{url}\"\ntls = {{ {tls} }}\n")
}

const CERT: &str = "k.toml:3:34: error: listener.tls.certificates.cert = ";

#[test]
fn what_is_written_is_what_is_planned() {
    let directory = Directory::new();
    let text = listener(&format!("{}, client_ca = \"api.pem\"", certificate("api")))
        + &target("https://API.example/base", "roots = \"api.pem\", min_version = \"1.3\"");
    let plan = directory.load(&text).unwrap_or_else(|errors| panic!("{errors:#?}")).plan;
    let tls = plan.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates[0].names, ["api.example", "*.wild.example"]);
    assert_eq!((tls.min_version, tls.client.as_ref().unwrap().required), (TlsVersion::Tls12, false));
    let target = &plan.targets[0];
    assert_eq!(
        (target.host.as_str(), target.port, target.authority.as_str()),
        ("api.example", 443, "api.example")
    );
    let tls = target.tls.as_ref().unwrap();
    assert_eq!((tls.server_name.to_str().as_ref(), tls.min_version), ("api.example", TlsVersion::Tls13));
    assert!(matches!(&tls.roots, Roots::Authorities(found) if found.certificates.len() == 1));
    let shown = format!("{plan:?}");
    let key: String = directory.read("api.key").lines().nth(1).unwrap().to_owned();
    assert!(!shown.contains(&key) && !shown.contains("key_digest"), "{shown}");
    let address = directory.load(&target_of("https://[::1]:8443")).unwrap().plan;
    assert_eq!(address.targets[0].tls.as_ref().unwrap().server_name.to_str(), "::1");
}

fn target_of(url: &str) -> String {
    target(url, "roots = \"api.pem\"")
}

#[test]
fn every_file_that_cannot_be_used_has_its_sentence() {
    let directory = Directory::new();
    let one = |key: &str, value: &str| {
        let (cert, key) = if key == "cert" { (value, "api.key") } else { ("api.pem", value) };
        directory.sentences(&listener(&format!("certificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]")))
    };
    directory.write("none.pem", "nothing");
    directory.write("torn.pem", &directory.read("api.pem").replace("MI", "?"));
    directory.write("odd.pem", &pem("CERTIFICATE", "AAAA"));
    let encrypted = directory.read("api.key").replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    directory.write("encrypted.key", &encrypted);
    let old = pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA");
    directory.write("encrypted-old.key", &old);
    directory.write("two.key", &directory.read("api.key").repeat(2));
    directory.write("odd.key", &pem("PRIVATE KEY", "AAAA"));
    directory.write("strange.key", &pem("DSA PRIVATE KEY", "AAAA"));
    directory.issue("other", &["other.example"], |_| {});
    for (key, file, expected) in [
        ("cert", "gone.pem", "there is no such file; put it there so that this user may read it"),
        ("cert", "none.pem", "the file is not PEM; convert it"),
        ("cert", "torn.pem", "the file is damaged"),
        ("cert", "odd.pem", "the certificate cannot be understood"),
        ("cert", "api.key", "there is no certificate in the file; there is a key: were the two files taken"),
        ("key", "gone.key", "there is no such file"),
        ("key", "none.pem", "the file is not PEM"),
        ("key", "api.pem", "there is no private key in the file; there are certificates"),
        (
            "key",
            "encrypted.key",
            "the key is encrypted, and nobody is there to type its password; decrypt it: openssl",
        ),
        ("key", "encrypted-old.key", "the key is encrypted"),
        ("key", "two.key", "there is more than one private key in the file"),
        ("key", "odd.key", "the key is of a kind that is not supported, or damaged"),
        ("key", "strange.key", "the key is in a form that is not supported; convert it"),
        ("key", "other.key", "the key does not belong to the certificate in api.pem"),
    ] {
        let found = one(key, file);
        let start = format!("error: listener.tls.certificates.{key} = \"{file}\": {expected}");
        assert!(found.len() == 1 && found[0].contains(&start), "{start}\n{found:#?}");
    }
    let pasted = one("key", &pem("PRIVATE KEY", "hunter2").replace('\n', ""));
    assert!(pasted[0].contains("certificates.key = …: not the path of a file"), "{pasted:#?}");
}

#[test]
fn others_may_not_read_a_key() {
    let directory = Directory::new();
    let text = listener(&certificate("api"));
    for mode in [0o600, 0o400, 0o640, 0o440] {
        directory.mode("api.key", mode);
        assert_eq!(directory.sentences(&text), [""; 0]);
    }
    for mode in [0o644, 0o604, 0o620, 0o660, 0o602] {
        directory.mode("api.key", mode);
        let found = directory.sentences(&text);
        let expected = format!(
            "= \"api.key\": others may read or write the key: its mode is {mode:o}; chmod 600 api.key"
        );
        assert!(found.len() == 1 && found[0].ends_with(&expected), "{found:#?}");
    }
}

#[test]
fn dates_and_names_of_certificates_are_looked_at() {
    let directory = Directory::new();
    let soon = time::OffsetDateTime::now_utc() + time::Duration::days(10);
    directory.issue("expired", &["a.example"], |params| params.not_after = date_time_ymd(2020, 1, 2));
    directory.issue("early", &["a.example"], |params| params.not_before = date_time_ymd(2090, 1, 2));
    directory.issue("soon", &["a.example"], |params| params.not_after = soon);
    directory.issue("nameless", &[], |_| {});
    directory.issue("address", &["127.0.0.1"], |_| {});
    for (stem, expected) in [
        ("expired", "the certificate expired on 2020-01-02; put a renewed one there".to_owned()),
        (
            "early",
            "the certificate is not valid before 2090-01-02; see whether this machine's clock".to_owned(),
        ),
        ("nameless", "the certificate has no name; have it issued with subjectAltName".to_owned()),
    ] {
        let found = directory.sentences(&listener(&certificate(stem)));
        let start = format!("{CERT}\"{stem}.pem\": {expected}");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{found:#?}");
    }
    assert_eq!(directory.sentences(&listener(&certificate("address"))), [""; 0]);
    let found = directory.load(&listener(&certificate("soon"))).unwrap().diagnostics;
    let expected = format!("the certificate expires on {}", soon.date());
    assert!(
        found.iter().any(|one| one.severity == Severity::Warning && one.message == expected),
        "{found:#?}"
    );
    // Nobody looks for a name in the certificate that a target sees.
    let shown =
        "roots = \"api.pem\", client_certificate = { cert = \"nameless.pem\", key = \"nameless.key\" }";
    assert_eq!(directory.sentences(&target("https://t.example", shown)), [""; 0]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let directory = Directory::new();
    let api = certificate("api");
    let twice = "certificates = [{ cert = \"api.pem\", key = \"api.key\" }, { cert = \"api.pem\", key = \"api.key\" }]";
    let anybody = "dangerous_accept_any_certificate = true";
    for (text, expected) in [
        (listener(""), "error: listener.tls: certificates is missing; write certificates = [{ cert"),
        (listener("certificates = []"), "it has 0 certificates; write 1 to 1000"),
        (listener(&format!("{api}, min_version = \"1.1\"")), "min_version = \"1.1\": not one of the words"),
        (
            listener(&format!("{api}, client_certificate = \"required\"")),
            "nobody is named whose certificates",
        ),
        (
            listener(&format!("{api}, client_ca = \"api.key\"")),
            "client_ca = \"api.key\": there is no certificate",
        ),
        (listener(&format!("{api}, ciphers = 1")), "error: listener.tls.ciphers: unknown key"),
        (
            listener(twice),
            "warning: listener.tls.certificates[1] = {…}: the name api.example is in a certificate before",
        ),
        (
            target_of("http://t.example"),
            "target.tls = {…}: the url of this target is not one with TLS; write url = ",
        ),
        (
            target("https://t.example", "roots = \"gone.pem\""),
            "target.tls.roots = \"gone.pem\": there is no such file",
        ),
        (
            target("https://t.example", &format!("{anybody}, roots = \"api.pem\"")),
            "any certificate is accepted",
        ),
        (
            target("https://t.example", anybody),
            "warning: target.tls.dangerous_accept_any_certificate = true: whoever",
        ),
        (
            target("https://t.example", "roots = \"api.pem\", pins = [\"00\"]"),
            "target.tls.pins = \"00\": not a pin",
        ),
        (target("https://t.example", "roots = \"api.pem\", pins = []"), "it has 0 pins"),
        (
            target("https://t.example", "roots = \"api.pem\", server_name = \"a b\""),
            "not a name that a certificate",
        ),
    ] {
        let found = directory.sentences(&text);
        assert!(
            !found.is_empty() && found.iter().any(|one| one.contains(expected)),
            "{expected}\n{found:#?}"
        );
    }
}

#[test]
fn a_renewed_certificate_is_another_plan_and_a_lost_one_is_none() {
    let directory = Directory::new();
    directory.write("keyferry.toml", &(listener(&certificate("api")) + &target_of("https://t.example")));
    let mut loader = Loader::default();
    let mut load = || {
        let Attempt { result, watched, .. } =
            loader.load(&directory.0.join("keyferry.toml"), &|_| None, false);
        if result.is_ok() {
            loader.accept();
        }
        (result, watched)
    };
    let (first, watched) = load();
    let first = first.unwrap().plan;
    let names = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files: Vec<_> = watched.files.iter().map(|path| names(path)).collect();
    assert!(files.contains(&"api.pem".to_owned()) && files.contains(&"api.key".to_owned()), "{files:?}");
    assert_eq!(load().0.unwrap().plan, first);
    directory.issue("api", &["api.example"], |_| {});
    let renewed = load().0.unwrap().plan;
    assert_ne!(renewed, first);
    let told = difference(&first, &renewed);
    assert_eq!(told.objects, ["target changed t", "listener changed 127.0.0.1:8443"]);
    assert_eq!(told.restart, [""; 0]);
    for lost in ["api.key", "api.pem"] {
        let content = directory.read(lost);
        fs::remove_file(directory.0.join(lost)).unwrap();
        assert!(load().0.is_err());
        directory.write(lost, &content);
    }
    assert_eq!(load().0.unwrap().plan, renewed);
    directory.write("keyferry.toml", "[[listener]]\naddress = \"127.0.0.1:8443\"\n");
    assert_eq!(difference(&renewed, &load().0.unwrap().plan).restart, ["listener"]);
}

#[test]
fn callers_known_by_certificates_are_written_down_without_doubt() {
    let directory = Directory::new();
    directory.issue("ca", &[], |_| {});
    let asking = format!("{}\n", listener(&format!("{}, client_ca = \"ca.pem\"", certificate("api"))));
    let credential =
        |lines: &str| format!("[[credential]]\nname = \"c\"\ntype = \"proxy\"\nauth = \"mtls\"\n{lines}\n");
    let told = |text: String| {
        let found = directory.sentences(&text);
        let found = found.into_iter().filter(|one| !one.contains("no proxy uses")).collect::<Vec<_>>();
        found.join("\n")
    };
    let print = "AB:".repeat(32).trim_end_matches(':').to_owned();
    let good = [
        format!("clients = [{{ fingerprint = \"{print}\" }}, {{ fingerprint = \"sha256:{}\" }}]", "0a".repeat(32)),
        "ca = \"ca.pem\"\nclients = [{ id = \"a\", san = \"dns:a.example\" }, { san = \"ip:::1\", state = \"pending\" }]".into(),
        r#"ca = "ca.pem"
clients = [{ subject = 'O=Partner\, Inc,CN=a' }]"#.into(),
    ];
    for lines in good {
        assert_eq!(told(asking.clone() + &credential(&lines)), "", "{lines}");
    }
    for (lines, expected) in [
        ("clients = [{ san = \"dns:a.example\" }]", "anybody could have it in a certificate; write ca = "),
        (
            "ca = \"ca.pem\"\nclients = [{ id = \"a\" }]",
            "a client is known by exactly one name; write one of san",
        ),
        (
            "ca = \"ca.pem\"\nclients = [{ san = \"a.example\" }]",
            "not a name as subjectAltName has it; write \"dns:NAME\"",
        ),
        ("ca = \"ca.pem\"\nclients = [{ san = \"dns:*.example\" }]", "a client is not known by a wildcard"),
        ("ca = \"ca.pem\"\nclients = [{ san = \"ip:1.2\" }]", "not a name as subjectAltName has it"),
        (
            "ca = \"ca.pem\"\nclients = [{ subject = \"CN = a, O = b\" }]",
            "not a subject in the form of RFC 4514",
        ),
        ("ca = \"ca.pem\"\nclients = [{ subject = \"/CN=a\" }]", "not a subject in the form of RFC 4514"),
        ("clients = [{ fingerprint = \"AB:CD\" }]", "not the SHA-256 of a certificate"),
        ("ca = \"none.pem\"\nclients = []", "none.pem"),
        ("ca = \"ca.pem\"", "the credential has no clients: nobody can use it"),
        (
            "ca = \"ca.pem\"\nclients = [{ san = \"dns:a\" }, { san = \"DNS:a\" }]",
            "not a name as subjectAltName has it",
        ),
        (
            "ca = \"ca.pem\"\nclients = [{ san = \"dns:a\" }, { san = \"dns:A\" }]",
            "the same key is already at",
        ),
        (
            "ca = \"ca.pem\"\nkeys = []\nclients = [{ san = \"dns:a\" }]",
            "a credential of client certificates has none",
        ),
    ] {
        let found = told(asking.clone() + &credential(lines));
        assert!(found.contains(expected), "{lines}: {found}");
    }
    let found =
        told(listener(&certificate("api")) + &credential("ca = \"ca.pem\"\nclients = [{ san = \"dns:a\" }]"));
    assert!(
        found.contains("no listener asks callers for the certificates") && found.contains("client_ca"),
        "{found}"
    );
}
