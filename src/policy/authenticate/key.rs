//! Opaque keys: the digest of what was presented, looked up in the snapshot's table.

use super::{Identity, Now};
use crate::{
    limits::KEY_BYTES_MAX,
    snapshot::{KeyEntry, Location, Snapshot},
    types::{Digest, KeyState, Reason},
};

/// What one key amounts to.
pub(super) enum Verdict<'s> {
    Accepted(Identity<'s>),
    Refused(Reason),
}

/// Looks a key up. Of several entries with its digest, only those of credentials that count at this location
/// are considered; any of them that is accepted decides.
pub(super) fn verify<'s>(snapshot: &'s Snapshot, location: &Location, key: &[u8], now: Now) -> Verdict<'s> {
    if key.len() > KEY_BYTES_MAX {
        return Verdict::Refused(Reason::KeyUnknown); // no such key is ever stored
    }
    verify_digest(snapshot, location, &digest(key), now)
}

/// The same for what is known by a digest.
pub(super) fn verify_digest<'s>(
    snapshot: &'s Snapshot,
    location: &Location,
    digest: &Digest,
    Now(now): Now,
) -> Verdict<'s> {
    if snapshot.revoked.key(digest) {
        return Verdict::Refused(Reason::KeyRevoked); // before any table can say yes
    }
    let mut reason = Reason::KeyUnknown;
    for entry in snapshot.keys.find(digest) {
        if location.credentials.binary_search(&entry.credential).is_err() {
            continue;
        }
        if snapshot.revoked.key_of(digest, entry.credential) {
            reason = Reason::KeyRevoked;
            continue;
        }
        match (usable(entry, now), snapshot.credential(entry.credential)) {
            (Ok(()), Some(credential)) => {
                return Verdict::Accepted(Identity { credential, key: Some(entry) });
            }
            (Err(refused), _) => reason = refused,
            (Ok(()), None) => {}
        }
    }
    Verdict::Refused(reason)
}

fn digest(key: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, key).as_ref());
    digest
}

/// Whether a key counts at this moment: by its state, then by its window.
pub(super) fn usable(entry: &KeyEntry, now: i64) -> Result<(), Reason> {
    match entry.state {
        KeyState::Active | KeyState::Deprecated => {}
        KeyState::Pending => return Err(Reason::KeyNotYetValid),
        KeyState::Retired => return Err(Reason::KeyRetired),
        KeyState::Revoked => return Err(Reason::KeyRevoked),
    }
    if now < entry.window.not_before {
        return Err(Reason::KeyNotYetValid);
    }
    if now >= entry.window.expires {
        return Err(Reason::KeyExpired);
    }
    Ok(())
}
