//! `[[assert]]`: requests whose outcome an operator states, to be checked before anything is served.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    super::{
        plan::{Assert, AssertRequest, Expected, ProxyCredential},
        raw::{Table, Value},
        report::{Problem, Report},
        suggest::nearest,
    },
    directory::Directory,
    field, rule,
};
use crate::{
    limits,
    types::{Reason, Secret},
};

/// Where a request comes from unless its assert says so.
const SOURCE_DEFAULT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Reads every assert.
pub(super) fn asserts(
    tables: Vec<Table<'_>>,
    credentials: &Directory<ProxyCredential>,
    report: &mut Report,
) -> Vec<Assert> {
    if let Some(table) = tables.get(limits::ASSERTS_MAX) {
        let message = format!("there are more than {} asserts", limits::ASSERTS_MAX);
        table.error(Problem::plain(message), report);
    }
    let tables = tables.into_iter().take(limits::ASSERTS_MAX);
    tables.filter_map(|table| assert(table, credentials, report)).collect()
}

fn assert(
    mut table: Table<'_>,
    credentials: &Directory<ProxyCredential>,
    report: &mut Report,
) -> Option<Assert> {
    let origin = table.origin(report);
    let help = r#"write request = { method = "GET", path = "/…" }"#;
    let request = table.require("request", help, report).and_then(|value| value.table(report));
    let request = request.and_then(|table| request_of(table, credentials, report));
    let help = r#"write expect = { status = 403 }, expect = { reason = "rule" } or both"#;
    let expected = table.require("expect", help, report).and_then(|value| value.table(report));
    let expected = expected.map(|table| expected_of(table, help, report));
    table.finish(report);
    Some(Assert { request: request?, expected: expected?, origin })
}

fn request_of(
    mut table: Table<'_>,
    credentials: &Directory<ProxyCredential>,
    report: &mut Report,
) -> Option<AssertRequest> {
    let method = table.require("method", r#"write method = "GET""#, report);
    let method = method.and_then(|value| rule::method(&value, report));
    let path = table.require("path", r#"write path = "/…", as a caller sends it"#, report);
    let path = path.and_then(|value| value.convert(report, path_of));
    let credential = table.take("credential").and_then(|value| credential(&value, credentials, report));
    let headers = table.take_secret("headers").map(|value| headers(&value, report)).unwrap_or_default();
    let source = table.take("source").and_then(|value| value.convert(report, source));
    let source = source.unwrap_or(Some(SOURCE_DEFAULT));
    let host = table.take("host").and_then(|value| value.convert(report, host));
    table.finish(report);
    Some(AssertRequest { method: method?, path: path?, credential, headers, source, host })
}

fn path_of(text: &str) -> Result<String, Problem> {
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
        return Err(Problem::new("not a path", r#"write one such as "/crm/v2/contacts?id=1""#));
    }
    Ok(text.to_owned())
}

fn credential(
    value: &Value<'_>,
    credentials: &Directory<ProxyCredential>,
    report: &mut Report,
) -> Option<usize> {
    let name = value.text(report)?;
    let found = credentials.find(name);
    if found.is_none() {
        let help = match credentials.suggest(name) {
            Some(word) => format!("did you mean {word:?}?"),
            None => r#"name a [[credential]] of type = "proxy""#.to_owned(),
        };
        value.error(Problem::new("there is no such proxy credential", help), report);
    }
    found
}

fn headers(value: &Value<'_>, report: &mut Report) -> Vec<(String, Secret)> {
    let Some(mut table) = value.table(report) else { return Vec::new() };
    let mut found = Vec::new();
    for (name, member) in table.take_all() {
        if !field::is_token(name) {
            let help = r#"write headers = { "X-Name" = "value" }"#;
            member.error(Problem::new("not the name of a header field", help), report);
            continue;
        }
        found.extend(member.convert(report, field_value).map(|value| (name.to_owned(), value)));
    }
    found
}

fn field_value(text: &str) -> Result<Secret, Problem> {
    if text.chars().any(|character| character.is_control() && character != '\t') {
        return Err(Problem::plain("a header field cannot carry line ends and controls"));
    }
    Ok(Secret::from(text))
}

fn source(text: &str) -> Result<Option<IpAddr>, Problem> {
    if text == "unknown" {
        return Ok(None);
    }
    let help = r#"write one such as "192.0.2.1", or "unknown""#;
    text.parse().map(Some).map_err(|_| Problem::new("not an address", help))
}

fn host(text: &str) -> Result<String, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) {
        return Err(Problem::new("not a host", r#"write one such as "api.example""#));
    }
    Ok(text.to_owned())
}

fn expected_of(mut table: Table<'_>, help: &str, report: &mut Report) -> Expected {
    let (status, reason) = (table.take("status"), table.take("reason"));
    if status.is_none() && reason.is_none() {
        table.error(Problem::new("nothing is expected", help), report);
    }
    let status = status.and_then(|value| {
        let number = super::value::integer(value.inner()).unwrap_or(0);
        value.accept(super::value::within(number, 100, 599), report)
    });
    let expected = Expected {
        status: status.and_then(|status| u16::try_from(status).ok()),
        reason: reason.and_then(|value| value.convert(report, reason_of)),
    };
    table.finish(report);
    expected
}

fn reason_of(text: &str) -> Result<Reason, Problem> {
    Reason::from_word(text).ok_or_else(|| {
        let words = Reason::ALL.iter().map(|reason| reason.word());
        let help = match nearest(text, words) {
            Some(word) => format!("did you mean {word:?}?"),
            None => r#"write one such as "rule", "key-unknown" or "forwarded""#.to_owned(),
        };
        Problem::new("not a reason", help)
    })
}
