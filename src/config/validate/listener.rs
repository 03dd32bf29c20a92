//! The keys of a `[[listener]]` beside `address` and `tls`: whom it believes, and whether it only redirects.

use super::{
    super::{
        Severity,
        plan::{Edge, Redirect},
        raw::{Source, Table, Value},
        report::{Problem, Report},
    },
    field, host, rule,
};
use crate::{
    limits::LISTENER_PEERS_MAX,
    types::{Endpoint, Peers, TrustedHeader},
};

const PEERS_HELP: &str =
    r#"write networks such as "10.0.0.0/8", or "unix" for whoever comes over a Unix socket"#;
const MODE_HELP: &str = r#"write three or four octal digits in quotes, such as "0660""#;
const TLS_HELP: &str = "leave out redirect or tls: redirect sends callers of plain HTTP to https";
const REDIRECT_HELP: &str = r#"write "https", or an origin such as "https://api.example:8443""#;

/// Where something listens; a relative path starts at the directory of its file.
pub(in super::super) fn endpoint(text: &str, source: &Source) -> Option<Endpoint> {
    Some(match Endpoint::parse(text)? {
        Endpoint::Unix(path) => Endpoint::Unix(source.base.join(path)),
        tcp @ Endpoint::Tcp(_) => tcp,
    })
}

/// Everything of a listener but its address and its certificates.
pub(super) fn edge(
    table: &mut Table<'_>,
    address: Option<&Endpoint>,
    is_tls: bool,
    report: &mut Report,
) -> Edge {
    let trusted = table.take("trusted_proxies").map(|value| peers(&value, report));
    Edge {
        mode: mode(table, address, report),
        proxy_protocol: table.take("proxy_protocol").and_then(|value| proxy_protocol(&value, report)),
        trusted_header: trusted_header(table, trusted.is_some(), report),
        trusted_proxies: trusted.unwrap_or_default(),
        redirect: table.take("redirect").and_then(|value| {
            if is_tls {
                value.error(
                    Problem::new("a listener with TLS has nothing to redirect from", TLS_HELP),
                    report,
                );
            }
            value.convert(report, redirect)
        }),
    }
}

/// `mode` of a Unix socket.
pub(super) fn mode(table: &mut Table<'_>, address: Option<&Endpoint>, report: &mut Report) -> Option<u32> {
    let value = table.take("mode")?;
    if matches!(address, Some(Endpoint::Tcp(_))) {
        let problem = Problem::new(
            "only a Unix socket has a mode",
            r#"leave it out, or write address = "unix:/run/keyferry/callers.sock""#,
        );
        value.add(Severity::Warning, problem, report);
    }
    value.convert(report, |text| {
        let digits = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        mode.filter(|mode| *mode <= 0o777).ok_or_else(|| Problem::new("not a mode of a file", MODE_HELP))
    })
}

fn trusted_header(table: &mut Table<'_>, is_trusting: bool, report: &mut Report) -> TrustedHeader {
    let Some(value) = table.take("trusted_header") else { return TrustedHeader::default() };
    if !is_trusting {
        let help = r#"write trusted_proxies = ["10.0.0.0/8"] as well, or leave it out"#;
        value.error(Problem::new("nobody is named whose word would count", help), report);
    }
    let words = [("x-forwarded-for", TrustedHeader::XForwardedFor), ("forwarded", TrustedHeader::Forwarded)];
    field::choice(&value, &words, report).unwrap_or_default()
}

fn proxy_protocol(value: &Value<'_>, report: &mut Report) -> Option<Peers> {
    let mut table = value.table(report)?;
    let help = r#"write proxy_protocol = { from = ["10.0.0.0/8"] }"#;
    let from = table.require("from", help, report);
    table.finish(report);
    let from = from?;
    let found = peers(&from, report);
    if found.is_empty() {
        from.error(Problem::new("nobody may connect then", PEERS_HELP), report);
    }
    Some(found)
}

fn peers(value: &Value<'_>, report: &mut Report) -> Peers {
    let mut peers = Peers::default();
    let mut networks = Vec::new();
    let members = value.list(report);
    if members.len() > LISTENER_PEERS_MAX {
        value.error(Problem::plain(format!("there are more than {LISTENER_PEERS_MAX} networks")), report);
    }
    for member in members {
        match member.inner().as_str() {
            Some("unix") => peers.unix = true,
            _ => networks.extend(member.convert(report, |text| {
                let wrong = |problem: Problem| Problem {
                    help: problem.help.map(|help| help + r#", or "unix""#),
                    ..problem
                };
                rule::network(text).map_err(wrong)
            })),
        }
    }
    Peers { networks, ..peers }
}

fn redirect(text: &str) -> Result<Redirect, Problem> {
    if text == "https" {
        return Ok(Redirect::Https);
    }
    let is_authority = |text: &&str| !text.contains('/') && host::url(&format!("http://{text}")).is_ok();
    match text.strip_prefix("https://").filter(is_authority) {
        Some(_) => Ok(Redirect::Origin(text.to_owned())),
        None => Err(Problem::new("not an origin of https", REDIRECT_HELP)),
    }
}
