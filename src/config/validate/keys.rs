//! The keys of one table or one file as they come together.
//!
//! The same digest twice in it is an error that names both places, because two records could disagree about it. Lists
//! of digests are the exception: they say nothing but "accepted". Records of one key in several files are found when
//! the table of all keys is compiled.

use std::collections::HashMap;

use ring::digest::{SHA256, digest};

use super::{
    super::{
        Severity,
        outside::Outside,
        plan::{Key, KeyList},
        raw::{Table, Value},
        report::{Place, Problem, Report},
        value,
    },
    entropy,
    secret::{self, Found},
};
use crate::{
    limits,
    types::{Digest, Window, digest_from_hex},
};

/// What has been found so far.
#[derive(Default)]
pub(super) struct Keys {
    keys: Vec<(Key, Place)>,
    by_digest: HashMap<Digest, usize>,
    by_id: HashMap<String, usize>,
}

impl Keys {
    /// Makes room for a list.
    pub fn reserve(&mut self, count: usize) {
        self.keys.reserve(count);
        self.by_digest.reserve(count);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key that says something about itself; neither its digest nor its id may be there already.
    pub fn add(&mut self, key: Key, place: Place, locate: &dyn Fn(Place) -> String) -> Result<(), Problem> {
        let at = self.keys.len();
        let first = |other: usize| self.keys.get(other).map_or_else(String::new, |(_, place)| locate(*place));
        if let Some(other) = self.by_digest.get(&key.digest) {
            let message = format!("the same key is already at {}", first(*other));
            return Err(Problem::new(message, "remove one of the two"));
        }
        if let Some(id) = &key.id {
            if let Some(other) = self.by_id.get(id) {
                let message = format!("the id {id:?} is already taken at {}", first(*other));
                return Err(Problem::new(message, "give each key of a credential its own id"));
            }
            self.by_id.insert(id.clone(), at);
        }
        self.by_digest.insert(key.digest, at);
        self.keys.push((key, place));
        Ok(())
    }

    /// The keys as a list that stands in a file.
    pub fn into_list(self, file: &str) -> KeyList {
        let line = |place: Place| u32::try_from(place.line).unwrap_or(u32::MAX);
        KeyList::of_records(file, self.keys.into_iter().map(|(key, place)| (key, line(place))).collect())
    }
}

/// Reads one table of `keys` and adds it. Returns why it is not there, if a variable or file is missing.
pub(super) fn read(
    table: Table<'_>,
    keys: &mut Keys,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<String> {
    read_with(verifier, table, keys, outside, report)
}

/// The same for a table in which something else than `sha256` or `key` says who is meant.
pub(super) fn read_with(
    verifier: fn(&mut Table<'_>, &dyn Outside, &mut Report) -> Verifier,
    table: Table<'_>,
    keys: &mut Keys,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<String> {
    let mut table = table;
    let place = table.place();
    let id = table.take("id").and_then(|value| value.convert(report, value::name));
    let (digest, dangling) = match verifier(&mut table, outside, report) {
        Verifier::Digest(digest) => (Some(digest), None),
        Verifier::Dangling(sentence) => (None, Some(sentence)),
        Verifier::Wrong => (None, None),
    };
    let window = window(&mut table, outside, report);
    let state =
        table.take("state").and_then(|value| value.convert(report, value::key_state)).unwrap_or_default();
    if let Some(digest) = digest
        && let Err(problem) =
            keys.add(Key { id, digest, window, state }, place, &|place| report.locate(place))
    {
        table.error(problem, report);
    }
    table.finish(report);
    dangling
}

/// Whether a window lets anything through.
pub(super) fn checked_window(window: Window) -> Result<Window, Problem> {
    if window.not_before < window.expires {
        return Ok(window);
    }
    Err(Problem::new("the key expires before it becomes valid", "write an end that is later than not_before"))
}

/// What a key is told by.
pub(super) enum Verifier {
    /// This.
    Digest(Digest),
    /// It is not there, for the reason given.
    Dangling(String),
    /// What is written is none, which was reported.
    Wrong,
}

fn verifier(table: &mut Table<'_>, outside: &dyn Outside, report: &mut Report) -> Verifier {
    match (table.take_secret("sha256"), table.take_secret("key")) {
        (Some(value), None) => value.convert(report, hex).map_or(Verifier::Wrong, Verifier::Digest),
        (None, Some(value)) => plaintext(value, outside, report),
        _ => {
            let help = r#"write sha256 = "64 hexadecimal digits" (made by `keyferry hash`), or key = { env = "NAME" }"#;
            table.error(Problem::new("a key has either sha256 or key", help), report);
            Verifier::Wrong
        }
    }
}

/// Masked by its caller: what is no digest may be the key itself.
fn hex(text: &str) -> Result<Digest, Problem> {
    let help = "write the 64 hexadecimal digits that `keyferry hash` prints";
    digest_from_hex(text.as_bytes()).ok_or_else(|| Problem::new("not a SHA-256 digest", help))
}

fn plaintext(value: Value<'_>, outside: &dyn Outside, report: &mut Report) -> Verifier {
    let found = secret::secret(value.clone(), limits::KEY_BYTES_MAX, outside, report);
    if matches!(found, Found::Inline(_)) {
        let help = "write sha256 = \"…\" instead; `keyferry hash` makes it";
        value.add(Severity::Warning, Problem::new("a key stands in the file in plain text", help), report);
    }
    if let Found::Dangling(sentence) = found {
        return Verifier::Dangling(sentence);
    }
    let Some(key) = found.secret() else { return Verifier::Wrong };
    let bits = entropy::bits(key.expose());
    if bits < entropy::BITS_MIN {
        let message =
            format!("the key could be guessed: it holds less than {} bits of chance", entropy::BITS_MIN);
        let help = "replace it by one that `keyferry key new` makes";
        value.add(Severity::Warning, Problem::new(message, help), report);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, key.expose()).as_ref());
    Verifier::Digest(bytes)
}

fn window(table: &mut Table<'_>, outside: &dyn Outside, report: &mut Report) -> Window {
    let mut moment = |key, report: &mut Report| {
        let value = table.take(key)?;
        let millis = value.accept(value::moment(value.inner()), report)?;
        Some((value, millis))
    };
    let not_before = moment("not_before", report);
    let expires = moment("expires", report);
    let window = Window {
        not_before: not_before.map_or(Window::ALWAYS.not_before, |(_, millis)| millis),
        expires: expires.as_ref().map_or(Window::ALWAYS.expires, |(_, millis)| *millis),
    };
    if let Some((value, millis)) = expires {
        if let Err(problem) = checked_window(window) {
            value.error(problem, report);
        } else if millis <= outside.now_millis() {
            value.add(
                Severity::Warning,
                Problem::new("the key has expired", "remove it, or write a later time"),
                report,
            );
        }
    }
    window
}
