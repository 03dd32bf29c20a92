//! `tls` of a listener and of a target.

use std::{collections::HashSet, sync::Arc};

use rustls::pki_types::ServerName;

use super::{
    super::{
        Severity, base64,
        outside::Outside,
        plan::{Authorities, ClientCa, Identity, ListenerTls, Roots, TargetTls, TlsVersion},
        raw::{Table, Value},
        report::{Problem, Report},
    },
    certificate, field,
    host::Url,
};
use crate::{
    limits,
    types::{Digest, digest_from_hex},
};

/// `tls` of a listener.
pub(super) fn listener(value: &Value<'_>, outside: &dyn Outside, report: &mut Report) -> Option<ListenerTls> {
    let mut table = value.table(report)?;
    let certificates = certificates(&mut table, outside, report);
    let min_version = min_version(&mut table, report);
    let client = client(&mut table, outside, report);
    table.finish(report);
    Some(ListenerTls { certificates, min_version, client })
}

/// `tls` of a target, or its defaults; none with plain HTTP.
pub(super) fn target(
    table: &mut Table<'_>,
    url: &Url,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<TargetTls> {
    let value = table.take("tls");
    if !url.tls {
        if let Some(value) = value.filter(|_| !url.host.is_empty()) {
            let help = r#"write url = "https://…", or leave tls out"#;
            value.error(Problem::new("the url of this target is not one with TLS", help), report);
        }
        return None;
    }
    let (place, mut written) = (table.take("url"), value.and_then(|value| value.table(report)));
    let server_name = written.as_mut().and_then(|table| table.take("server_name"));
    let server_name = match &server_name {
        Some(value) => value.convert(report, name_of_server),
        None => name_of_server(&url.host).map_err(|problem| place.map(|url| url.error(problem, report))).ok(),
    };
    let Some(mut written) = written else {
        let roots = system_roots(table, outside, report);
        let (pins, identity, min_version) = (Vec::new(), None, TlsVersion::Tls12);
        return Some(TargetTls { server_name: server_name?, roots, pins, identity, min_version });
    };
    let found = TargetTls {
        roots: roots(&mut written, outside, report),
        pins: pins(&mut written, report),
        identity: written
            .take("client_certificate")
            .and_then(|value| value.table(report))
            .and_then(|table| whole_identity(table, false, outside, report)),
        min_version: min_version(&mut written, report),
        server_name: server_name.unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())),
    };
    written.finish(report);
    Some(found)
}

fn certificates(table: &mut Table<'_>, outside: &dyn Outside, report: &mut Report) -> Vec<Identity> {
    let help = r#"write certificates = [{ cert = "tls/api.pem", key = "tls/api.key" }]"#;
    let Some(list) = table.require("certificates", help, report) else { return Vec::new() };
    let members = list.list(report);
    if list.inner().as_array().is_some() && !(1..=limits::CERTIFICATES_MAX).contains(&members.len()) {
        let message = format!("it has {} certificates", members.len());
        list.error(Problem::new(message, format!("write 1 to {}", limits::CERTIFICATES_MAX)), report);
        return Vec::new();
    }
    let (mut found, mut names) = (Vec::<Identity>::new(), HashSet::<String>::new());
    for member in members {
        let Some(table) = member.table(report) else { continue };
        let Some(identity) = whole_identity(table, true, outside, report) else { continue };
        for name in &identity.names {
            if names.contains(name) {
                let message =
                    format!("the name {name} is in a certificate before this one, which is used for it");
                member.add(Severity::Warning, Problem::new(message, "leave one of the two out"), report);
            }
        }
        names.extend(identity.names.iter().cloned());
        found.push(identity);
    }
    found
}

fn whole_identity(
    mut table: Table<'_>,
    named: bool,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<Identity> {
    let found = certificate::identity(&mut table, named, outside, report);
    table.finish(report);
    found
}

fn min_version(table: &mut Table<'_>, report: &mut Report) -> TlsVersion {
    let words = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    let value = table.take("min_version");
    value.and_then(|value| field::choice(&value, &words, report)).unwrap_or(TlsVersion::Tls12)
}

fn client(table: &mut Table<'_>, outside: &dyn Outside, report: &mut Report) -> Option<ClientCa> {
    let (authorities, asked) = (table.take("client_ca"), table.take("client_certificate"));
    let words = [("optional", false), ("required", true)];
    let required = asked.as_ref().and_then(|value| field::choice(value, &words, report));
    let Some(authorities) = authorities else {
        if let Some(asked) = asked {
            let help = r#"write client_ca = "callers.pem" as well, or leave it out"#;
            asked.error(Problem::new("nobody is named whose certificates would count", help), report);
        }
        return None;
    };
    let authorities = certificate::authorities(&authorities, outside, report)?;
    Some(ClientCa { authorities: authorities.into(), required: required.unwrap_or(false) })
}

/// Whom the target's certificate must come from. What is wrong is replaced by nobody, never by anybody.
fn roots(table: &mut Table<'_>, outside: &dyn Outside, report: &mut Report) -> Roots {
    let anybody = table.take("dangerous_accept_any_certificate");
    let accept = anybody.as_ref().and_then(|value| value.boolean(report)).unwrap_or(false);
    let named = table.take("roots");
    if let Some(value) = anybody.filter(|_| accept) {
        let problem = Problem::new(
            "whoever answers in the place of this target can read and change everything, credentials included",
            r#"write roots = "ca.pem" instead"#,
        );
        value.add(Severity::Warning, problem, report);
        if let Some(named) = named {
            let help = "leave out one of roots and dangerous_accept_any_certificate";
            named.error(Problem::new("it would not count: any certificate is accepted", help), report);
        }
        return Roots::Anybody;
    }
    match named {
        Some(value) => Roots::Authorities(
            certificate::authorities(&value, outside, report).map_or_else(nobody, Arc::new),
        ),
        None => system_roots(table, outside, report),
    }
}

fn system_roots(table: &Table<'_>, outside: &dyn Outside, report: &mut Report) -> Roots {
    match outside.system_roots() {
        Ok(roots) => Roots::Authorities(roots),
        Err(sentence) => {
            let help = r#"install ca-certificates, or write tls = { roots = "ca.pem" }"#;
            table.error(Problem::new(sentence, help), report);
            Roots::Authorities(nobody())
        }
    }
}

fn nobody() -> Arc<Authorities> {
    Arc::new(Authorities::new(Vec::new()).0)
}

fn pins(table: &mut Table<'_>, report: &mut Report) -> Vec<Digest> {
    let Some(list) = table.take("pins") else { return Vec::new() };
    let members = list.list(report);
    if list.inner().as_array().is_some() && !(1..=limits::PINS_MAX).contains(&members.len()) {
        let message = format!("it has {} pins", members.len());
        list.error(
            Problem::new(message, format!("write 1 to {}, or leave it out", limits::PINS_MAX)),
            report,
        );
    }
    members.iter().filter_map(|value| value.convert(report, pin)).collect()
}

fn pin(text: &str) -> Result<Digest, Problem> {
    let spelt = text.strip_prefix("sha256:").map(str::as_bytes);
    let found = spelt.and_then(|text| digest_from_hex(text).or_else(|| base64::digest(text, false)));
    let help = r#"write "sha256:" and the digest of the public key (SubjectPublicKeyInfo) in hex or base64"#;
    found.ok_or_else(|| Problem::new("not a pin", help))
}

fn name_of_server(text: &str) -> Result<ServerName<'static>, Problem> {
    let help = r#"write server_name = "api.example", the name or address in the target's certificate"#;
    let found = ServerName::try_from(text).map(|name| name.to_owned());
    found.map_err(|_| Problem::new("not a name that a certificate can have", help))
}
