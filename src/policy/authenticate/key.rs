//! Opaque keys: the digest of what was presented, looked up in the snapshot's table.

use super::{
    super::{Now, Proof},
    found::Found,
};
use crate::{
    limits::KEY_BYTES_MAX,
    snapshot::{Credential, KeyEntry, Location, Snapshot},
    types::{Digest, KeyState, Reason},
};

/// Looks a key up. Of the entries with its digest, those of credentials that count at this location are considered.
pub(super) fn verify<'s>(
    snapshot: &'s Snapshot,
    location: &Location,
    key: &[u8],
    now: Now,
    found: &mut Found<'s>,
) {
    if key.len() > KEY_BYTES_MAX {
        return found.refuse_all(location, Reason::KeyUnknown); // no such key is ever stored
    }
    verify_digest(snapshot, location, &digest(key), found, |_, entry| usable(entry, now.0));
}

/// The same for what is known by a digest; `counts` says whether a key of a credential counts now.
pub(super) fn verify_digest<'s>(
    snapshot: &'s Snapshot,
    location: &Location,
    digest: &Digest,
    found: &mut Found<'s>,
    counts: impl Fn(&Credential, &KeyEntry) -> Result<(), Reason>,
) {
    if snapshot.revoked.key(digest) {
        return found.refuse_all(location, Reason::KeyRevoked); // before any table can say yes
    }
    let mut known = false;
    for entry in snapshot.keys.find(digest).filter(|entry| location.counts(entry.credential)) {
        let Some(credential) = snapshot.credential(entry.credential) else { continue };
        known = true;
        if snapshot.revoked.key_of(digest, entry.credential) {
            found.refuse(entry.credential, Reason::KeyRevoked);
            continue;
        }
        match counts(credential, entry) {
            Ok(()) => found.prove(Proof { credential, key: Some(entry) }),
            Err(reason) => found.refuse(entry.credential, reason),
        }
    }
    if !known {
        found.refuse_all(location, Reason::KeyUnknown);
    }
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
