//! Readers of single fields that several tables share: each takes a key, its default and its bounds.

use std::time::Duration;

use super::super::{
    raw::{Table, Value},
    report::{Problem, Report},
    value,
};
use crate::limits;

/// Fields that frame a message or steer a connection (RFC 9112 §6, RFC 9110 §7.6.1): the proxy writes them itself.
const CONNECTION_FIELDS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// A duration.
pub(super) fn duration(
    table: &mut Table<'_>,
    key: &'static str,
    default: Duration,
    report: &mut Report,
) -> Duration {
    table.take(key).and_then(|value| value.convert(report, value::duration)).unwrap_or(default)
}

/// A duration or `"0s"`, which is the default.
pub(super) fn duration_or_zero(table: &mut Table<'_>, key: &'static str, report: &mut Report) -> Duration {
    table.take(key).and_then(|value| value.convert(report, value::duration_or_zero)).unwrap_or_default()
}

/// A duration or `"none"`, which is the default.
pub(super) fn duration_or_none(
    table: &mut Table<'_>,
    key: &'static str,
    report: &mut Report,
) -> Option<Duration> {
    table.take(key).and_then(|value| value.convert(report, value::duration_or_none)).flatten()
}

/// `true` or `false`.
pub(super) fn boolean(table: &mut Table<'_>, key: &'static str, default: bool, report: &mut Report) -> bool {
    table.take(key).and_then(|value| value.boolean(report)).unwrap_or(default)
}

/// An integer between two bounds.
pub(super) fn count(
    table: &mut Table<'_>,
    key: &'static str,
    default: usize,
    (least, most): (usize, usize),
    report: &mut Report,
) -> usize {
    let Some(found) = table.take(key) else { return default };
    count_of(&found, (least, most), report).unwrap_or(default)
}

/// An integer between two bounds, or `"auto"`, which is the default.
pub(super) fn count_or_auto(
    table: &mut Table<'_>,
    key: &'static str,
    bounds: (usize, usize),
    report: &mut Report,
) -> Option<usize> {
    let found = table.take(key)?;
    if found.inner().as_str() == Some("auto") {
        return None;
    }
    count_of(&found, bounds, report)
}

/// A number between two bounds, or `"none"`, which is the default.
pub(super) fn count_or_none(
    table: &mut Table<'_>,
    key: &'static str,
    (least, most): (usize, usize),
    report: &mut Report,
) -> Option<usize> {
    let found = table.take(key)?;
    if found.inner().as_str() == Some("none") {
        return None;
    }
    let help = format!(r#"write a number from {least} to {most}, or "none""#);
    let read = value::integer(found.inner()).and_then(|number| value::within(number, least, most).ok());
    found.accept(read.ok_or_else(|| Problem::new("not a number in range", help)), report)
}

/// A number of bytes between two bounds.
pub(super) fn size(
    table: &mut Table<'_>,
    key: &'static str,
    default: usize,
    (least, most): (usize, usize),
    report: &mut Report,
) -> usize {
    let Some(found) = table.take(key) else { return default };
    let read = value::size(found.inner()).and_then(|bytes| value::within(bytes, least, most));
    found.accept(read, report).unwrap_or(default)
}

/// One of a few words, and what it stands for.
pub(super) fn choice<T: Copy>(value: &Value<'_>, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    value.convert(report, |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        let offered = || words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| Problem::new("not one of the words", format!("write one of {}", offered())))
    })
}

/// The name of a header field in lower case, not one that frames the message.
pub(super) fn header_name(text: &str) -> Result<String, Problem> {
    if !is_token(text) || text.len() > limits::FIELD_NAME_BYTES_MAX {
        return Err(Problem::new("not the name of a header field", r#"write one such as "X-API-Key""#));
    }
    let name = text.to_ascii_lowercase();
    if CONNECTION_FIELDS.contains(&name.as_str()) {
        let message = "this field belongs to the connection and is written by keyferry itself";
        return Err(Problem::new(message, "choose another field"));
    }
    Ok(name)
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn count_of(value: &Value<'_>, (least, most): (usize, usize), report: &mut Report) -> Option<usize> {
    let read = match value::integer(value.inner()) {
        Some(number) => value::within(number, least, most),
        None => Err(Problem::new("not a number", format!("write a number from {least} to {most}"))),
    };
    value.accept(read, report)
}
