//! One line of a `*.jsonl` file: the normalised record that importers write, as far as it can be honoured.
//!
//! Read: `v` (1), `key_id` or `id`, `verifier`, `not_before`, `accept_until`, `state`. Of verifiers, `sha256`
//! in `hex`, `base64` or `base64url`.
//!
//! Left out without a word, because they only describe: `credential_id`, `legacy_id`, `source`, `shape` (a key
//! whose digest is right has the right shape), `deprecated_at`, `sunset_at`, `lossy`, `meta`.
//! `consumer` is compared with the credential's and reported where it differs.
//!
//! Refused, because the answer to a request would depend on them: `locations`, `scopes`, `limits` that are
//! not empty, `quota` that is not null, every other scheme, and every member that is not named here.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use super::{
    super::{base64, plan::Key, report::Problem, value},
    keys::checked_window,
};
use crate::{
    limits,
    types::{Digest, Window, digest_from_hex},
};

/// Longest name of a member that a diagnostic shows.
const MEMBER_BYTES_MAX: usize = 32;

/// What a line says.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Record {
    /// The key.
    pub key: Key,
    /// The consumer that it belonged to.
    pub consumer: Option<String>,
}

/// The member that is wrong, if it is one, and what is wrong.
pub(super) type Wrong = (Option<String>, Problem);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    v: u64,
    #[serde(borrow, default)]
    key_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    verifier: Verifier<'a>,
    #[serde(borrow, default)]
    not_before: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    accept_until: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    consumer: Option<Cow<'a, str>>,
    #[serde(default)]
    locations: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    scopes: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    limits: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    quota: Option<IgnoredAny>,
    #[serde(default, rename = "credential_id")]
    _credential_id: IgnoredAny,
    #[serde(default, rename = "legacy_id")]
    _legacy_id: IgnoredAny,
    #[serde(default, rename = "source")]
    _source: IgnoredAny,
    #[serde(default, rename = "shape")]
    _shape: IgnoredAny,
    #[serde(default, rename = "deprecated_at")]
    _deprecated_at: IgnoredAny,
    #[serde(default, rename = "sunset_at")]
    _sunset_at: IgnoredAny,
    #[serde(default, rename = "lossy")]
    _lossy: IgnoredAny,
    #[serde(default, rename = "meta")]
    _meta: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verifier<'a> {
    #[serde(borrow)]
    scheme: Cow<'a, str>,
    #[serde(borrow)]
    enc: Cow<'a, str>,
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

/// Reads a line. What is wrong is told without showing any of it.
pub(super) fn read(line: &[u8]) -> Result<Record, Wrong> {
    if line.len() > limits::KEY_LINE_BYTES_MAX {
        return Err((
            None,
            Problem::plain(format!("the line is longer than {} bytes", limits::KEY_LINE_BYTES_MAX)),
        ));
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| explain(line, &error))?;
    refuse_unhonoured(&line)?;
    let not_before = moment("not_before", line.not_before.as_deref())?.unwrap_or(Window::ALWAYS.not_before);
    let expires = moment("accept_until", line.accept_until.as_deref())?.unwrap_or(Window::ALWAYS.expires);
    let window = at("accept_until", checked_window(Window { not_before, expires }))?;
    let state = line.state.as_deref().map(|word| at("state", value::key_state(word))).transpose()?;
    let id = line.key_id.or(line.id).map(|id| at("key_id", value::name(&id))).transpose()?;
    let digest = digest(&line.verifier)?;
    let consumer = line.consumer.map(Cow::into_owned);
    Ok(Record { key: Key { id, digest, window, state: state.unwrap_or_default() }, consumer })
}

fn refuse_unhonoured(line: &Line<'_>) -> Result<(), Wrong> {
    if line.v != 1 {
        return Err(wrong("v", "not a version that is known", "write \"v\":1"));
    }
    if line.key_id.is_some() && line.id.is_some() {
        return Err(wrong("id", "the record has key_id as well", "write one of the two"));
    }
    let filled = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let members = [
        ("locations", filled(&line.locations)),
        ("scopes", filled(&line.scopes)),
        ("limits", filled(&line.limits)),
        ("quota", line.quota.is_some()),
    ];
    match members.into_iter().find(|(_, is_set)| *is_set) {
        Some((name, _)) => Err(wrong(
            name,
            "not honoured for single keys, and not ignored either",
            "remove it from the record",
        )),
        None => Ok(()),
    }
}

fn digest(verifier: &Verifier<'_>) -> Result<Digest, Wrong> {
    if verifier.scheme != "sha256" {
        return Err(scheme());
    }
    let text = verifier.digest.as_bytes();
    let read = match &*verifier.enc {
        "hex" => digest_from_hex(text),
        "base64" => base64::digest(text, false),
        "base64url" => base64::digest(text, true),
        _ => return Err(wrong("verifier.enc", "not an encoding", r#"write "hex", "base64" or "base64url""#)),
    };
    read.ok_or_else(|| {
        wrong("verifier.digest", "not a SHA-256 digest in the encoding of enc", "write all 32 bytes")
    })
}

fn moment(member: &'static str, text: Option<&str>) -> Result<Option<i64>, Wrong> {
    text.map(|text| at(member, value::rfc3339(text))).transpose()
}

fn scheme() -> Wrong {
    wrong("verifier.scheme", "not a scheme that can be checked", r#"write "sha256""#)
}

fn at<T>(member: &str, read: Result<T, Problem>) -> Result<T, Wrong> {
    read.map_err(|problem| (Some(member.to_owned()), problem))
}

fn wrong(member: &str, message: &str, help: &str) -> Wrong {
    (Some(member.to_owned()), Problem::new(message, help))
}

/// What serde_json found, without the values that it quotes.
fn explain(line: &[u8], error: &serde_json::Error) -> Wrong {
    if !error.is_data() {
        return (None, Problem::new("not a JSON object", "write one record a line"));
    }
    // Members of another scheme are unknown too, but it is the scheme that is wrong.
    let found = serde_json::from_slice::<serde_json::Value>(line).unwrap_or_default();
    if found.pointer("/verifier/scheme").is_some_and(|word| word != "sha256") {
        return scheme();
    }
    let text = error.to_string();
    for (start, message) in [
        ("unknown field `", "unknown member"),
        ("duplicate field `", "the member is written twice"),
        ("missing field `", "the member is missing"),
    ] {
        if let Some(member) = text.strip_prefix(start).and_then(|rest| rest.split('`').next()) {
            // Some formats use the key itself as the name of a member.
            let plain = member.len() <= MEMBER_BYTES_MAX
                && member.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let shown = if plain { member } else { "…" };
            return (Some(shown.to_owned()), Problem::plain(message));
        }
    }
    // The value stands in front of this word; what follows is serde's own.
    let expected = text.rsplit_once(", expected ").map_or("another type", |(_, rest)| rest);
    let expected = expected.split(" at line ").next().unwrap_or(expected);
    let column = error.column();
    (None, Problem::plain(format!("a member has the wrong type (near column {column}), expected {expected}")))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::types::KeyState;

    const DIGEST: &str = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8";

    fn with(members: &str) -> String {
        format!(r#"{{"v":1,"verifier":{{"scheme":"sha256","enc":"hex","digest":"{DIGEST}"}}{members}}}"#)
    }

    #[test]
    fn the_normalised_record_is_read() {
        let line = with(
            r#","credential_id":"c1","key_id":"k1","consumer":"acme","legacy_id":"kong:1","source":"kong","lossy":["x"],
            "shape":{"prefix":"a"},"locations":[],"scopes":null,"quota":null,"not_before":null,
            "accept_until":"2027-01-31T00:00:00Z","deprecated_at":"2026-12-01T00:00:00Z","sunset_at":null,
            "meta":{"plan":"gold"},"state":"deprecated""#,
        );
        let record = read(line.replace('\n', "").as_bytes()).expect("a record");
        assert_eq!(record.key.id.as_deref(), Some("k1"));
        assert_eq!(record.key.state, KeyState::Deprecated);
        assert_eq!(record.key.window.expires, 1_801_353_600_000);
        assert_eq!(record.key.window.not_before, i64::MIN);
        assert_eq!(record.consumer.as_deref(), Some("acme"));
    }

    #[test]
    fn encodings_agree() {
        let hex = read(with("").as_bytes()).expect("hex").key.digest;
        let line = r#"{"v":1,"verifier":{"scheme":"sha256","enc":"base64","digest":"cHQvglGOL0xEooJB6F6smkhw2Ma4sRrANKbWa7B0q/g="}}"#;
        assert_eq!(read(line.as_bytes()).expect("base64").key.digest, hex);
        let line = line.replace("base64", "base64url").replace("q/g=", "q_g");
        assert_eq!(read(line.as_bytes()).expect("base64url").key.digest, hex);
    }

    #[test]
    fn what_is_wrong_is_named_and_never_shown() {
        let cases = [
            (
                with(r#","scopes":["hunter2"]"#),
                Some("scopes"),
                "not honoured for single keys, and not ignored either",
            ),
            (
                with(r#","quota":{"hunter2":1}"#),
                Some("quota"),
                "not honoured for single keys, and not ignored either",
            ),
            (with(r#","extra":"hunter2""#), Some("extra"), "unknown member"),
            (with(r#","hunter2":"acme""#), Some("…"), "unknown member"),
            (with(r#","state":"hunter2""#), Some("state"), "not a state"),
            (with(r#","not_before":"hunter2""#), Some("not_before"), "not a time"),
            (with(r#","v":1"#), Some("v"), "the member is written twice"),
            (with("").replace(r#""v":1"#, r#""v":2"#), Some("v"), "not a version that is known"),
            (
                with("").replace(DIGEST, "hunter2"),
                Some("verifier.digest"),
                "not a SHA-256 digest in the encoding of enc",
            ),
            (
                with("").replace("sha256", "hunter2"),
                Some("verifier.scheme"),
                "not a scheme that can be checked",
            ),
            (
                r#"{"v":1,"verifier":{"scheme":"bcrypt","string":"hunter2"}}"#.to_owned(),
                Some("verifier.scheme"),
                "not a scheme that can be checked",
            ),
            (r#"{"v":1}"#.to_owned(), Some("verifier"), "the member is missing"),
            (
                r#""hunter2""#.to_owned(),
                None,
                "a member has the wrong type (near column 9), expected struct Line",
            ),
            (
                with("").replace(r#""v":1"#, r#""v":"hunter2, expected x""#),
                None,
                "a member has the wrong type (near column 26), expected u64",
            ),
            ("hunter2".to_owned(), None, "not a JSON object"),
        ];
        for (line, member, message) in cases {
            let (found, problem) = read(line.as_bytes()).expect_err(&line);
            assert_eq!((found.as_deref(), problem.message.as_str()), (member, message), "{line}");
            assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
        }
    }
}
