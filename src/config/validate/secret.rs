//! A secret, wherever the file says it is: in the text, in an environment variable, in another file.
//!
//! No diagnostic made here shows it, nor anything that could be one by mistake.

use super::super::{
    Severity,
    outside::Outside,
    raw::{Table, Value},
    report::{Problem, Report},
};
use crate::{limits, types::Secret};

/// What became of a secret. What is wrong with it is in the report already.
pub(super) enum Found {
    /// It stands in the file itself.
    Inline(Secret),
    /// It came from a variable or another file.
    Outside(Secret),
    /// The variable or file is not there; the sentence says so.
    Dangling(String),
    /// It cannot be used.
    Wrong,
}

impl Found {
    /// The secret, if there is one.
    pub fn secret(self) -> Option<Secret> {
        match self {
            Self::Inline(secret) | Self::Outside(secret) => Some(secret),
            Self::Dangling(_) | Self::Wrong => None,
        }
    }
}

/// Reads `"text"`, `{ env = "NAME" }` or `{ file = "path" }`.
pub(super) fn secret(
    value: Value<'_>,
    bytes_max: usize,
    outside: &dyn Outside,
    report: &mut Report,
) -> Found {
    let value = value.masked();
    if let Some(text) = value.inner().as_str() {
        return checked(&value, text.as_bytes(), bytes_max, report).map_or(Found::Wrong, Found::Inline);
    }
    if value.inner().as_table().is_none() {
        let help = r#"write "…", { env = "NAME" } or { file = "path" }"#;
        value.error(Problem::new("not a secret", help), report);
        return Found::Wrong;
    }
    let Some(mut table) = value.table(report) else { return Found::Wrong };
    let found = elsewhere(&mut table, bytes_max, outside, report);
    table.finish(report);
    found
}

fn elsewhere(table: &mut Table<'_>, bytes_max: usize, outside: &dyn Outside, report: &mut Report) -> Found {
    match (table.take("env"), table.take("file")) {
        (Some(name), None) => variable(name, bytes_max, outside, report),
        (None, Some(path)) => file(path, bytes_max, outside, report),
        _ => {
            let help = r#"write { env = "NAME" } or { file = "path" }"#;
            table.error(Problem::new("a secret is in one place", help), report);
            Found::Wrong
        }
    }
}

fn variable(value: Value<'_>, bytes_max: usize, outside: &dyn Outside, report: &mut Report) -> Found {
    let Some(name) = value.text(report) else { return Found::Wrong };
    // Somebody who writes the secret itself here must not find it in the log.
    let named = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let value = if named { value } else { value.masked() };
    match outside.variable(name).map(zeroize::Zeroizing::new) {
        Some(text) => {
            checked(&value, text.as_bytes(), bytes_max, report).map_or(Found::Wrong, Found::Outside)
        }
        None => {
            let problem =
                Problem::new("the environment variable is not set, or not UTF-8", "set it, or name another");
            value.add(Severity::Broken, problem, report);
            let shown = if named { name } else { "…" };
            Found::Dangling(format!("environment variable {shown} is not set"))
        }
    }
}

fn file(value: Value<'_>, bytes_max: usize, outside: &dyn Outside, report: &mut Report) -> Found {
    let Some(path) = value.text(report) else { return Found::Wrong };
    let whole = value.source().base.join(path);
    report.files.push(whole.clone());
    // Room for the line end that will be taken off.
    match outside.read(&whole, bytes_max as u64 + 2) {
        Ok(bytes) => {
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            checked(&value, text, bytes_max, report).map_or(Found::Wrong, Found::Outside)
        }
        Err(sentence) => {
            value.add(Severity::Broken, Problem::plain(sentence.clone()), report);
            Found::Dangling(format!("the secret in file {path:?} is not available: {sentence}"))
        }
    }
}

/// The bytes as a secret that can stand in a header field: visible ASCII, with spaces only inside.
fn checked(value: &Value<'_>, bytes: &[u8], bytes_max: usize, report: &mut Report) -> Option<Secret> {
    let problem = if bytes.is_empty() {
        Problem::plain("the secret is empty")
    } else if bytes.len() > bytes_max {
        Problem::plain(format!("the secret is longer than {bytes_max} bytes"))
    } else if !bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        Problem::plain("the secret has line ends, controls or characters that a header field cannot carry")
    } else if bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ') {
        Problem::plain("the secret begins or ends with a space")
    } else {
        return Some(Secret::new(bytes.to_vec()));
    };
    value.error(problem, report);
    None
}

const _: () = assert!(limits::KEY_BYTES_MAX <= limits::SECRET_BYTES_MAX);
