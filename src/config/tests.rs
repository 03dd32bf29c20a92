//! What must hold between the reader and `config/keyferry.toml`: all that can be written is described there.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use zeroize::Zeroizing;

use super::{
    outside::Disk,
    raw::{Source, Tree},
    report::Report,
    validate,
};

const DOCUMENTATION: &str = include_str!("../../config/keyferry.toml");

/// The file with every setting that it leaves switched off switched on.
fn switched_on() -> String {
    let switch = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    };
    DOCUMENTATION.lines().map(switch).collect::<Vec<_>>().join("\n")
}

fn asked(text: &str) -> (BTreeSet<(String, &'static str)>, Report) {
    let mut report = Report::default();
    let file = report.open("keyferry.toml");
    let base = certificates(text);
    let source = Source::new(file, base.clone(), true, Zeroizing::new(text.to_owned()));
    let tree = Tree::parse(&source, &mut report);
    validate::validate(&[tree], &Disk::new(&|_| Some("value".to_owned())), &mut report);
    let _ = fs::remove_dir_all(base);
    (std::mem::take(&mut report.asked), report)
}

/// A directory with the certificates that a text names.
fn certificates(text: &str) -> PathBuf {
    let base = std::env::temp_dir().join(format!("keyferry-documented-{}", std::process::id()));
    fs::create_dir_all(base.join("tls")).expect("a directory");
    let made = rcgen::generate_simple_self_signed(vec!["api.example".to_owned()]).expect("a certificate");
    for name in text.split('"').filter(|name| name.starts_with("tls/")) {
        let content = if name.ends_with(".key") { made.signing_key.serialize_pem() } else { made.cert.pem() };
        let path = base.join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    base
}

#[test]
fn every_key_that_is_read_is_documented() {
    let text = switched_on();
    let (asked, report) = asked(&text);
    assert!(report.usable(), "{:#?}", report.finish().0);
    assert!(asked.len() > 60, "only {} keys were asked for", asked.len());
    let written: BTreeSet<(String, String)> = keys_written(&text);
    for (table, key) in asked {
        let table = where_documented(&table);
        let inline = key == "env" || key == "file";
        assert!(
            inline || written.contains(&(table.clone(), key.to_owned())) || key == "default_rule_effect",
            "[{table}] {key} is not documented"
        );
    }
}

/// Rules are the same in all places, and described with those of proxies.
fn where_documented(table: &str) -> String {
    match table.split_once(".rule") {
        Some((_, rest)) => format!("proxy.rule{rest}"),
        None => table.to_owned(),
    }
}

/// Table and key of every line that sets one, and of every table header.
fn keys_written(text: &str) -> BTreeSet<(String, String)> {
    let mut table = String::new();
    let mut written = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            let name = line.trim_start_matches('[').split(']').next().unwrap_or_default();
            let (parent, key) = name.rsplit_once('.').unwrap_or(("", name));
            written.insert((parent.to_owned(), key.to_owned()));
            table = name.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            written.insert((table.clone(), key.to_owned()));
        }
    }
    written
}
