//! What listeners can be told, and what is said about a mistake in it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;

use keyferry::{
    config::{self, Diagnostic, plan::Redirect},
    types::{Endpoint, TrustedHeader},
};

const BASE: &str = "[[target]]\nname = \"api\"\nurl = \"http://api.example\"\n";

fn sentences(lines: &str) -> Vec<String> {
    let text = format!("{lines}\n{BASE}");
    let found = config::load_text(&text, "k.toml", Path::new("/etc/keyferry"), &|_| None);
    let found = found.map_or_else(|errors| errors, |loaded| loaded.diagnostics);
    let found = found.iter().map(Diagnostic::to_string);
    found.filter(|sentence| !sentence.contains("no proxy is defined")).collect()
}

#[test]
fn what_is_written_is_what_is_meant() {
    let text = "[[listener]]\naddress = \"unix:a.sock\"\nmode = \"660\"\n\
                trusted_proxies = [\"10.0.0.0/8\", \"unix\"]\ntrusted_header = \"forwarded\"\n\
                proxy_protocol = { from = [\"::1\"] }\n[[listener]]\naddress = \"[::]:80\"\nredirect = \"https://a:8443\"\n\
                [admin]\naddress = \"unix:/run/b.sock\"\n";
    let loaded =
        config::load_text(&(text.to_owned() + BASE), "k.toml", Path::new("/etc/keyferry"), &|_| None);
    let plan = loaded.unwrap().plan;
    let [first, second] = &plan.listeners[..] else { panic!("two listeners") };
    assert_eq!(first.address, Endpoint::Unix("/etc/keyferry/a.sock".into()));
    assert_eq!(first.edge.mode, Some(0o660));
    assert!(first.edge.trusted_proxies.contains(None));
    assert!(first.edge.trusted_proxies.contains("10.1.2.3".parse().ok()));
    let headers = [first, second].map(|listener| listener.edge.trusted_header);
    assert_eq!(headers, [TrustedHeader::Forwarded, TrustedHeader::XForwardedFor]);
    assert!(!first.edge.proxy_protocol.as_ref().unwrap().contains(None));
    assert_eq!(second.edge.redirect, Some(Redirect::Origin("https://a:8443".into())));
    let admin = plan.admin.unwrap();
    assert_eq!((admin.address.to_string().as_str(), admin.mode), ("unix:/run/b.sock", 0o600));
}

#[test]
fn every_mistake_has_its_remedy() {
    for (line, expected) in [
        (
            "redirect = \"http\"",
            r#"k.toml:3:12: error: listener.redirect = "http": not an origin of https; write "https", or an origin such as "https://api.example:8443""#,
        ),
        (
            "redirect = \"https://a/b\"",
            r#"k.toml:3:12: error: listener.redirect = "https://a/b": not an origin of https; write "https", or an origin such as "https://api.example:8443""#,
        ),
        (
            "redirect = \"https://a\\r\\nb\"",
            r#"k.toml:3:12: error: listener.redirect = "https://a\r\nb": not an origin of https; write "https", or an origin such as "https://api.example:8443""#,
        ),
        (
            "trusted_proxies = [\"10.0.0.1/8\"]",
            r#"k.toml:3:20: error: listener.trusted_proxies = "10.0.0.1/8": bits behind the prefix are set; write "10.0.0.0/8", or "unix""#,
        ),
        (
            "trusted_proxies = [\"all\"]",
            r#"k.toml:3:20: error: listener.trusted_proxies = "all": not a network; write one such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.1", or "unix""#,
        ),
        (
            "trusted_header = \"forwarded\"",
            r#"k.toml:3:18: error: listener.trusted_header = "forwarded": nobody is named whose word would count; write trusted_proxies = ["10.0.0.0/8"] as well, or leave it out"#,
        ),
        (
            "trusted_proxies = [\"10.0.0.0/8\"]\ntrusted_header = \"x-real-ip\"",
            r#"k.toml:4:18: error: listener.trusted_header = "x-real-ip": not one of the words; write one of "x-forwarded-for", "forwarded""#,
        ),
        (
            "proxy_protocol = {}",
            r#"k.toml:3:18: error: listener.proxy_protocol: from is missing; write proxy_protocol = { from = ["10.0.0.0/8"] }"#,
        ),
        (
            "proxy_protocol = { from = [] }",
            r#"k.toml:3:27: error: listener.proxy_protocol.from = […]: nobody may connect then; write networks such as "10.0.0.0/8", or "unix" for whoever comes over a Unix socket"#,
        ),
        (
            "mode = \"0660\"",
            r#"k.toml:3:8: warning: listener.mode = "0660": only a Unix socket has a mode; leave it out, or write address = "unix:/run/keyferry/callers.sock""#,
        ),
        (
            "[server.limits]\nconnections_per_address = 0",
            r#"k.toml:4:27: error: server.limits.connections_per_address = 0: not a number in range; write a number from 1 to 10000000, or "none""#,
        ),
    ] {
        let found = sentences(&format!("[[listener]]\naddress = \"[::]:80\"\n{line}"));
        assert_eq!(found, [expected], "{line}");
    }
    let found = sentences(
        "[[listener]]\naddress = \"[::]:80\"\nredirect = \"https\"\n[listener.tls]\ncertificates = []",
    );
    assert_eq!(
        found[0],
        r#"k.toml:3:12: error: listener.redirect = "https": a listener with TLS has nothing to redirect from; leave out redirect or tls: redirect sends callers of plain HTTP to https"#
    );
    let found = sentences("[[listener]]\naddress = \"unix:/a\"\nmode = \"888\"");
    assert_eq!(
        found,
        [
            r#"k.toml:3:8: error: listener.mode = "888": not a mode of a file; write three or four octal digits in quotes, such as "0660""#
        ]
    );
    let found = sentences("[[listener]]\naddress = \"unix:/a\"\n[admin]\naddress = \"unix:/a\"");
    assert!(found.iter().any(|sentence| sentence.contains("already taken at k.toml:2:11")), "{found:#?}");
}
