//! Replays the seeds of every fuzz target, so that what fuzzing found stays fixed.
//!
//! The bodies are shared with `fuzz/fuzz_targets`; those of TLS stand in `src/shard/tls/fuzz.rs`, which replays their
//! seeds itself. To fuzz one for half a minute, with new inputs kept apart:
//! `mkdir -p fuzz/corpus/path && RUSTC_BOOTSTRAP=1 cargo fuzz run path fuzz/corpus/path tests/data/fuzz/path --
//! -max_total_time=30`. An input that breaks something joins the seeds under a name that says what it was.
//! Private keys are not among the seeds: those of `certificates` are made here for each run. To fuzz that target with
//! them, `KEYFERRY_SEEDS=DIRECTORY cargo test --test fuzz certificates` writes them down.

use std::{fs, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SignatureAlgorithm, date_time_ymd,
};

#[path = "fuzz_bodies/certificates.rs"]
mod certificates;
#[path = "fuzz_bodies/chunked.rs"]
mod chunked;
#[path = "fuzz_bodies/client_certificate.rs"]
mod client_certificate;
#[path = "fuzz_bodies/config.rs"]
mod config;
#[path = "fuzz_bodies/forwarded.rs"]
mod forwarded;
#[path = "fuzz_bodies/path.rs"]
mod path;
#[path = "fuzz_bodies/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "fuzz_bodies/request_head.rs"]
mod request_head;
#[path = "fuzz_bodies/response_head.rs"]
mod response_head;

/// Seeds that each target has at least.
const SEEDS_MIN: usize = 20;

fn replay(target: &str, body: fn(&[u8])) {
    let seeds = replay_all(target, body);
    assert!(seeds >= SEEDS_MIN, "{target} has {seeds} seeds");
}

fn replay_all(target: &str, body: fn(&[u8])) -> usize {
    let directory = format!("{}/tests/data/fuzz/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut seeds = 0;
    for entry in fs::read_dir(&directory).expect("the seeds are part of the repository") {
        let path = entry.expect("the directory can be read").path();
        body(&fs::read(&path).expect("a seed is a file"));
        seeds += 1;
    }
    seeds
}

#[test]
fn request_heads() {
    replay("request_head", request_head::run);
}

#[test]
fn response_heads() {
    replay("response_head", response_head::run);
}

#[test]
fn chunked_bodies() {
    replay("chunked", chunked::run);
}

#[test]
fn paths() {
    replay("path", path::run);
}

#[test]
fn configurations() {
    replay("config", config::run);
}

#[test]
fn certificates_and_keys() {
    let made = certificate_seeds();
    made.iter().for_each(|(_, text)| certificates::run(text.as_bytes()));
    if let Some(directory) = std::env::var_os("KEYFERRY_SEEDS") {
        for (name, text) in &made {
            fs::write(PathBuf::from(&directory).join(name), text).expect("the seeds can be written");
        }
    }
    assert!(made.len() + replay_all("certificates", certificates::run) >= SEEDS_MIN);
}

/// Files with certificates and keys, right and wrong, by what is odd about them.
fn certificate_seeds() -> Vec<(String, String)> {
    let pair = |algorithm: &'static SignatureAlgorithm, change: &dyn Fn(&mut CertificateParams)| {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::new(vec!["api.example".to_owned()]).expect("a name");
        change(&mut params);
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    };
    let (certificate, key) = pair(&PKCS_ECDSA_P256_SHA256, &|_| {});
    let (other, other_key) = pair(&PKCS_ED25519, &|_| {});
    let (expired, expired_key) = pair(&PKCS_ECDSA_P256_SHA256, &|params| {
        params.not_after = date_time_ymd(2001, 1, 1);
        params.not_before = date_time_ymd(2000, 1, 1);
    });
    let (early, early_key) =
        pair(&PKCS_ECDSA_P256_SHA256, &|params| params.not_before = date_time_ymd(3000, 1, 1));
    let (p384, p384_key) = pair(&PKCS_ECDSA_P384_SHA384, &|_| {});
    let (nameless, nameless_key) = pair(&PKCS_ECDSA_P256_SHA256, &|params| params.subject_alt_names.clear());
    let (authority, authority_key) = pair(&PKCS_ECDSA_P256_SHA256, &|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let whole = format!("{certificate}{key}");
    let relabelled = |from: &str, to: &str| whole.replace(from, to);
    let rows = [
        ("p256", whole.clone()),
        ("ed25519", format!("{other}{other_key}")),
        ("p384", format!("{p384}{p384_key}")),
        ("expired", format!("{expired}{expired_key}")),
        ("not-yet", format!("{early}{early_key}")),
        ("no-names", format!("{nameless}{nameless_key}")),
        ("authority", format!("{authority}{authority_key}")),
        ("key-first", format!("{key}{certificate}")),
        ("another-key", format!("{certificate}{other_key}")),
        ("two-keys", format!("{whole}{other_key}")),
        ("leaf-twice", format!("{certificate}{whole}")),
        ("no-certificate", key.clone()),
        ("crlf", whole.replace('\n', "\r\n")),
        ("one-line", whole.replace('\n', "")),
        ("text-between", format!("{certificate}some text\n{key}")),
        ("not-base64", whole.replace("MI", "?I")),
        ("label-of-rsa", relabelled(" PRIVATE", " RSA PRIVATE")),
        ("label-of-sec1", relabelled(" PRIVATE", " EC PRIVATE")),
        ("label-of-encrypted", relabelled(" PRIVATE", " ENCRYPTED PRIVATE")),
        ("label-of-neither", relabelled(" CERTIFICATE", " X509 CRL")),
        ("half", whole[..whole.len() / 2].to_owned()),
    ];
    rows.map(|(name, text)| (name.to_owned(), text)).into()
}

#[test]
fn client_certificates() {
    replay("client_certificate", client_certificate::run);
}

#[test]
fn proxy_headers() {
    replay("proxy_protocol", proxy_protocol::run);
}

#[test]
fn what_proxies_say() {
    replay("forwarded", forwarded::run);
}
