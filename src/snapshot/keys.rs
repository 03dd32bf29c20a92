//! The table of keys: from the SHA-256 digest of what a caller presents to the keys that it may be.
//!
//! It is split into parts by the first byte of the digest; each part is an open-addressed list of entries, each
//! on a cache line of its own. Digests are uniformly distributed and only operators put them in, so no
//! further hashing is needed and nobody can make the table slow. The same digest may stand under several
//! credentials: a look-up yields all of them and the proxy decides which counts.

use std::sync::Arc;

use crate::types::{Digest, KeyState, Window};

/// Parts of a table: a changed key means one part made anew.
pub const PARTS: usize = 256;

/// One key of one credential.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// Its verifier.
    pub digest: Digest,
    /// The time in which it counts.
    pub window: Window,
    /// Number of its credential in the snapshot.
    pub credential: u32,
    /// Its own number, by which its last use is recorded: the same for as long as the key is there.
    pub number: u32,
    /// Whether it is accepted.
    pub state: KeyState,
}

/// One place of a part. It has a cache line of its own, so that a look-up costs one memory access.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Slot(Option<KeyEntry>);

const _: () = assert!(size_of::<Slot>() == 64);

/// A part of a table; the length stands beside the pointer, so that nothing but a slot is fetched.
type Part = Arc<[Slot]>;

fn part(entries: Vec<KeyEntry>) -> Part {
    if entries.is_empty() {
        return Arc::default();
    }
    // At most three of five slots are taken, so that unknown keys are found out after a few; at least one is free
    // and ends every search.
    let mut slots = vec![Slot::default(); entries.len() * 5 / 3 + 1];
    for entry in entries {
        let mut at = home(&entry.digest, slots.len());
        while slots[at].0.is_some() {
            at = next(at, slots.len());
        }
        slots[at].0 = Some(entry);
    }
    slots.into()
}

/// Where a search begins: bytes of the digest that do not choose the part, spread over `count` slots.
fn home(digest: &Digest, count: usize) -> usize {
    let [_, a, b, c, d, ..] = *digest;
    let uniform = u64::from(u32::from_le_bytes([a, b, c, d]));
    ((uniform * count as u64) >> 32) as usize
}

fn next(at: usize, count: usize) -> usize {
    if at + 1 == count { 0 } else { at + 1 }
}

/// All keys of a snapshot. A clone shares every part.
#[derive(Debug, Clone)]
pub struct KeyTable {
    parts: Box<[Part]>,
    len: usize,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self { parts: vec![Part::default(); PARTS].into(), len: 0 }
    }
}

impl KeyTable {
    /// Replaces the part of all digests that begin with a byte by one with these entries, which do.
    pub fn replace_part(&mut self, first: u8, entries: Vec<KeyEntry>) {
        let at = usize::from(first);
        self.len = self.len - self.part(first).count() + entries.len();
        self.parts[at] = part(entries);
    }

    /// Every key whose digest begins with a byte, in no order.
    pub fn part(&self, first: u8) -> impl Iterator<Item = &KeyEntry> {
        self.parts[usize::from(first)].iter().filter_map(|slot| slot.0.as_ref())
    }

    /// How many parts are the same memory as in another table.
    pub fn parts_shared_with(&self, other: &Self) -> usize {
        self.parts.iter().zip(&other.parts).filter(|(one, another)| Arc::ptr_eq(one, another)).count()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every key with this digest.
    pub fn find<'t>(&'t self, digest: &Digest) -> impl Iterator<Item = &'t KeyEntry> {
        let slots: &[Slot] = &self.parts[usize::from(digest[0])];
        let mut at = home(digest, slots.len());
        std::iter::from_fn(move || {
            loop {
                let entry = slots.get(at)?.0.as_ref()?;
                at = next(at, slots.len());
                if entry.digest == *digest {
                    return Some(entry);
                }
            }
        })
    }

    /// Bytes of memory that the table takes.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| size_of_val(&**part) + size_of::<Part>()).sum()
    }
}

impl FromIterator<KeyEntry> for KeyTable {
    fn from_iter<I: IntoIterator<Item = KeyEntry>>(entries: I) -> Self {
        let mut parts = vec![Vec::new(); PARTS];
        entries.into_iter().for_each(|entry| parts[usize::from(entry.digest[0])].push(entry));
        let len = parts.iter().map(Vec::len).sum();
        Self { parts: parts.into_iter().map(part).collect(), len }
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyEntry, KeyTable};
    use crate::types::{Digest, KeyState, Window};

    fn digest(first: u8, last: u8) -> Digest {
        let mut digest = [7; 32];
        (digest[0], digest[31]) = (first, last);
        digest
    }

    fn entry(digest: Digest, credential: u32) -> KeyEntry {
        KeyEntry { digest, window: Window::ALWAYS, credential, number: 0, state: KeyState::Active }
    }

    fn table(keys: &[(Digest, u32)]) -> KeyTable {
        keys.iter().map(|&(digest, credential)| entry(digest, credential)).collect()
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
    fn a_part_is_replaced_and_the_others_are_shared() {
        let before = table(&[(digest(1, 1), 10), (digest(1, 2), 20), (digest(2, 1), 30)]);
        let mut after = before.clone();
        after.replace_part(1, vec![entry(digest(1, 3), 40)]);
        assert_eq!((before.len(), after.len()), (3, 2));
        assert!(credentials(&after, digest(1, 1)).is_empty());
        assert_eq!(credentials(&after, digest(1, 3)), [40]);
        assert_eq!(credentials(&before, digest(1, 1)), [10]);
        assert_eq!(after.parts_shared_with(&before), 255);
    }

    #[test]
    fn a_million_keys_take_at_most_128_bytes_each() {
        let mut state = 1_u64;
        let mut random = || {
            let mut digest = [0; 32];
            for word in digest.chunks_exact_mut(8) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                word.copy_from_slice(&(state >> 16 ^ state).to_le_bytes());
            }
            digest
        };
        let table: KeyTable = (0..1_000_000).map(|_| entry(random(), 0)).collect();
        assert!(table.bytes() / table.len() <= 128, "{} bytes a key", table.bytes() / table.len());
    }
}
