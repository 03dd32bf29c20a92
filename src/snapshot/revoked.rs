//! What is refused for good, whatever the tables say: it is asked before they are.

use std::{collections::HashMap, hash::BuildHasherDefault};

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
    keys: HashMap<Digest, RevokedFor, BuildHasherDefault<DigestHasher>>,
    /// By the numbers of credentials.
    credentials: Box<[bool]>,
}

/// Where a key is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokedFor {
    /// Wherever it stands.
    All,
    /// As a key of these credentials, by their numbers.
    Credentials(Vec<u32>),
}

impl Revoked {
    /// These keys, and the credentials whose flag is set, by their numbers.
    pub fn new(keys: impl IntoIterator<Item = (Digest, RevokedFor)>, credentials: Box<[bool]>) -> Self {
        Self { keys: keys.into_iter().collect(), credentials }
    }

    /// Whether a key was revoked wherever it stands.
    #[inline]
    pub fn key(&self, digest: &Digest) -> bool {
        !self.keys.is_empty() && self.keys.get(digest) == Some(&RevokedFor::All)
    }

    /// Whether a key of a credential was revoked, or the credential with all its keys.
    #[inline]
    pub fn key_of(&self, digest: &Digest, credential: u32) -> bool {
        let by_key = || match self.keys.get(digest) {
            None => false,
            Some(RevokedFor::All) => true,
            Some(RevokedFor::Credentials(numbers)) => numbers.contains(&credential),
        };
        self.credential(credential) || !self.keys.is_empty() && by_key()
    }

    /// Whether a credential was, by its number.
    #[inline]
    pub fn credential(&self, number: u32) -> bool {
        self.credentials.get(number as usize).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::{Revoked, RevokedFor};

    #[test]
    fn only_what_was_revoked_is() {
        let keys = [([1; 32], RevokedFor::All), ([3; 32], RevokedFor::Credentials(vec![0]))];
        let revoked = Revoked::new(keys, Box::new([false, true]));
        assert!(revoked.key(&[1; 32]) && !revoked.key(&[2; 32]) && !revoked.key(&[3; 32]));
        assert!(revoked.key_of(&[1; 32], 0) && revoked.key_of(&[3; 32], 0));
        assert!(!revoked.key_of(&[3; 32], 2) && revoked.key_of(&[2; 32], 1));
        assert!(revoked.credential(1) && !revoked.credential(0) && !revoked.credential(9));
        assert!(!Revoked::default().key_of(&[1; 32], 0));
    }
}
