//! What is refused for good, whatever the tables say: it is asked before they are.

use std::{collections::HashSet, hash::BuildHasherDefault};

use crate::types::Digest;

/// Digests are uniform, and only operators put them in: their own bytes serve as hash.
#[derive(Default)]
pub struct DigestHasher(u64);

impl std::hash::Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8).take(1) {
            self.0 ^= u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        }
    }

    fn write_usize(&mut self, _: usize) {} // the length of a digest, which is always the same
}

/// Revoked keys and credentials.
#[derive(Debug, Clone, Default)]
pub struct Revoked {
    keys: HashSet<Digest, BuildHasherDefault<DigestHasher>>,
    /// By the numbers of credentials.
    credentials: Box<[bool]>,
}

impl Revoked {
    /// These keys, and the credentials whose flag is set, by their numbers.
    pub fn new(keys: impl IntoIterator<Item = Digest>, credentials: Box<[bool]>) -> Self {
        Self { keys: keys.into_iter().collect(), credentials }
    }

    /// Whether a key was revoked.
    #[inline]
    pub fn key(&self, digest: &Digest) -> bool {
        !self.keys.is_empty() && self.keys.contains(digest)
    }

    /// Whether a credential was, by its number.
    #[inline]
    pub fn credential(&self, number: u32) -> bool {
        self.credentials.get(number as usize).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::Revoked;

    #[test]
    fn only_what_was_revoked_is() {
        let revoked = Revoked::new([[1; 32]], Box::new([false, true]));
        assert!(revoked.key(&[1; 32]) && !revoked.key(&[2; 32]));
        assert!(revoked.credential(1) && !revoked.credential(0) && !revoked.credential(9));
        assert!(!Revoked::default().key(&[1; 32]));
    }
}
