//! The keys of a gateway as operators see them: what the files say of each, and when it was last used.

use serde::Serialize;

use super::clock;
use crate::{
    compile::Compiled,
    config::plan::{KeyRef, ProxyCredential},
    store::Revocations,
    telemetry::Telemetry,
    types::KeyState,
};

/// Keys that one answer lists at most.
pub const KEYS_LISTED_MAX: usize = 1_000;

/// Bytes of a digest that are shown: enough to find the key in a file, too few to be worth anything.
const DIGEST_BYTES_SHOWN: usize = 6;

/// Which keys are asked for.
#[derive(Debug, Clone, Default)]
pub struct KeyQuery {
    /// Those of this credential; all without it.
    pub credential: Option<String>,
    /// How many are passed over first.
    pub offset: usize,
    /// How many are wanted, up to [`KEYS_LISTED_MAX`].
    pub limit: usize,
}

/// Some keys, and where to go on.
#[derive(Debug, Serialize)]
pub struct KeyPage {
    /// In the order of the files; within a file, of the digests.
    pub keys: Vec<KeyLine>,
    /// `offset` of the next page, if there are more.
    pub next: Option<usize>,
}

/// One key.
#[derive(Debug, Serialize)]
pub struct KeyLine {
    /// Its credential.
    pub credential: String,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// How its SHA-256 begins.
    pub sha256: String,
    /// `pending`, `active`, `deprecated`, `retired` or `revoked`.
    pub state: &'static str,
    /// As RFC 3339 writes it.
    pub not_before: Option<String>,
    /// The same.
    pub expires: Option<String>,
    /// When it was last accepted since the gateway started.
    pub last_used: Option<String>,
}

/// What is known of the keys that are asked for.
pub(super) fn list(
    query: &KeyQuery,
    compiled: &Compiled,
    revocations: &Revocations,
    telemetry: &Telemetry,
) -> KeyPage {
    let wanted = |one: &&ProxyCredential| query.credential.as_ref().is_none_or(|name| *name == one.name);
    let credentials = compiled.plan.proxy_credentials.iter().filter(wanted);
    let mut keys = credentials.flat_map(|one| one.keys().map(move |key| (one, key))).skip(query.offset);
    let limit = query.limit.clamp(1, KEYS_LISTED_MAX);
    let line = |(credential, key): (&ProxyCredential, KeyRef<'_>)| {
        let number = compiled.number_of(&credential.name);
        let entry = compiled.keys().find(key.digest).find(|entry| Some(entry.credential) == number);
        let revoked =
            revocations.key_of(key.digest, &credential.name) || revocations.credential(&credential.name);
        let window = key.window();
        KeyLine {
            credential: credential.name.clone(),
            id: key.id().map(str::to_owned),
            sha256: key.digest.iter().take(DIGEST_BYTES_SHOWN).map(|byte| format!("{byte:02x}")).collect(),
            state: if revoked { KeyState::Revoked } else { entry.map_or(key.state(), |entry| entry.state) }
                .word(),
            not_before: (window.not_before != i64::MIN).then(|| clock::moment(window.not_before)),
            expires: (window.expires != i64::MAX).then(|| clock::moment(window.expires)),
            last_used: entry
                .and_then(|entry| telemetry.last_used(entry.number))
                .and_then(|millis| i64::try_from(millis).ok())
                .map(clock::moment),
        }
    };
    let keys_listed: Vec<_> = keys.by_ref().take(limit).map(line).collect();
    let next = keys.next().map(|_| query.offset + limit);
    KeyPage { keys: keys_listed, next }
}
