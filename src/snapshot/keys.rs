//! The table of keys: from the SHA-256 digest of what a caller presents to the keys that it may be.
//!
//! It is split into parts by the first byte of the digest; each part is an open-addressed index of positions
//! into a dense list of entries. Digests are uniformly distributed and only operators put them in, so no
//! further hashing is needed and nobody can make the table slow. The same digest may stand under several
//! credentials: a look-up yields all of them and the proxy decides which counts.

use std::sync::Arc;

use crate::types::{Digest, KeyState, Window};

/// Parts of a table: a changed key means one part made anew.
const PARTS: usize = 256;
const EMPTY: u32 = u32::MAX;

/// One key of one credential.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// Its verifier.
    pub digest: Digest,
    /// The time in which it counts.
    pub window: Window,
    /// Position of its credential in the snapshot.
    pub credential: u32,
    /// Whether it is accepted.
    pub state: KeyState,
}

#[derive(Debug, Default)]
struct Part {
    entries: Box<[KeyEntry]>,
    slots: Box<[u32]>,
}

impl Part {
    fn new(entries: Vec<KeyEntry>) -> Self {
        if entries.is_empty() {
            return Self::default();
        }
        let mut slots = vec![EMPTY; (entries.len() * 2).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        for (position, entry) in entries.iter().enumerate() {
            let mut at = home(&entry.digest) & mask;
            while slots[at] != EMPTY {
                at = (at + 1) & mask;
            }
            slots[at] = u32::try_from(position).expect("a part holds fewer keys than 32 bits count");
        }
        Self { entries: entries.into_boxed_slice(), slots }
    }
}

/// Where a look-up begins: bytes of the digest that do not choose the part.
fn home(digest: &Digest) -> usize {
    let [_, a, b, c, d, e, f, g, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, 0]) as usize
}

/// All keys of a snapshot.
#[derive(Debug)]
pub struct KeyTable {
    parts: Box<[Arc<Part>]>,
    len: usize,
}

impl KeyTable {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every key with this digest.
    pub fn find<'t>(&'t self, digest: &'t Digest) -> impl Iterator<Item = &'t KeyEntry> {
        let part: &Part = &self.parts[usize::from(digest[0])];
        let mask = part.slots.len().wrapping_sub(1);
        let mut at = home(digest) & mask;
        std::iter::from_fn(move || {
            loop {
                let position = *part.slots.get(at)?;
                let entry = part.entries.get(position as usize)?; // an empty slot names no entry
                at = (at + 1) & mask;
                if entry.digest == *digest {
                    return Some(entry);
                }
            }
        })
    }

    /// Bytes of memory that the table takes.
    pub fn bytes(&self) -> usize {
        let of =
            |part: &Arc<Part>| size_of_val(&*part.entries) + size_of_val(&*part.slots) + size_of::<Part>();
        self.parts.iter().map(of).sum()
    }
}

/// Collects keys for a table.
pub struct KeyTableBuilder {
    parts: Vec<Vec<KeyEntry>>,
    len: usize,
}

impl Default for KeyTableBuilder {
    fn default() -> Self {
        Self { parts: vec![Vec::new(); PARTS], len: 0 }
    }
}

impl KeyTableBuilder {
    /// Adds a key.
    pub fn add(&mut self, entry: KeyEntry) {
        self.parts[usize::from(entry.digest[0])].push(entry);
        self.len += 1;
    }

    /// The table.
    pub fn build(self) -> KeyTable {
        let parts = self.parts.into_iter().map(|entries| Arc::new(Part::new(entries))).collect();
        KeyTable { parts, len: self.len }
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyEntry, KeyTable, KeyTableBuilder};
    use crate::types::{Digest, KeyState, Window};

    fn digest(first: u8, last: u8) -> Digest {
        let mut digest = [7; 32];
        (digest[0], digest[31]) = (first, last);
        digest
    }

    fn table(keys: &[(Digest, u32)]) -> KeyTable {
        let mut builder = KeyTableBuilder::default();
        for &(digest, credential) in keys {
            builder.add(KeyEntry { digest, window: Window::ALWAYS, credential, state: KeyState::Active });
        }
        builder.build()
    }

    fn credentials(table: &KeyTable, digest: Digest) -> Vec<u32> {
        table.find(&digest).map(|entry| entry.credential).collect()
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert!(credentials(&table(&[]), digest(0, 0)).is_empty());
    }

    #[test]
    fn a_digest_finds_each_of_its_keys_and_no_other() {
        // All of these begin their search at the same slot: only the whole digest tells them apart.
        let table = table(&[(digest(1, 1), 10), (digest(1, 2), 20), (digest(1, 1), 30), (digest(2, 1), 40)]);
        assert_eq!(credentials(&table, digest(1, 1)), [10, 30]);
        assert_eq!(credentials(&table, digest(1, 2)), [20]);
        assert_eq!(credentials(&table, digest(2, 1)), [40]);
        assert!(credentials(&table, digest(1, 3)).is_empty());
        assert!(credentials(&table, digest(9, 1)).is_empty());
    }

    #[test]
    fn a_million_keys_take_at_most_128_bytes_each() {
        let mut builder = KeyTableBuilder::default();
        let mut state = 1_u64;
        for _ in 0..1_000_000 {
            let mut digest = [0; 32];
            for word in digest.chunks_exact_mut(8) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                word.copy_from_slice(&(state >> 16 ^ state).to_le_bytes());
            }
            builder.add(KeyEntry { digest, window: Window::ALWAYS, credential: 0, state: KeyState::Active });
        }
        let table = builder.build();
        assert!(table.bytes() / table.len() <= 128, "{} bytes a key", table.bytes() / table.len());
    }
}
