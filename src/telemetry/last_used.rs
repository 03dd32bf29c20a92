//! When each key was last used: one time for each key number, in pieces that are made at their first use.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use crate::limits::{KEYS_USED_CHUNK, KEYS_USED_MAX};

const CHUNKS: usize = KEYS_USED_MAX / KEYS_USED_CHUNK;

type Chunk = [AtomicU64; KEYS_USED_CHUNK];

/// The last uses that one shard has seen. Only that shard writes them.
#[derive(Debug)]
pub(super) struct LastUsed {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

impl Default for LastUsed {
    fn default() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect() }
    }
}

impl LastUsed {
    /// Says that a key was used at a time in milliseconds since the Unix epoch. The first key of a piece takes
    /// memory.
    #[inline]
    pub(super) fn note(&self, key: u32, millis: u64) {
        let key = key as usize;
        let Some(chunk) = self.chunks.get(key / KEYS_USED_CHUNK) else { return };
        let chunk = chunk.get_or_init(|| Box::new([const { AtomicU64::new(0) }; KEYS_USED_CHUNK]));
        chunk[key % KEYS_USED_CHUNK].store(millis, Ordering::Relaxed);
    }

    /// Forgets a key; its memory, if it has any, is kept.
    pub(super) fn forget(&self, key: u32) {
        let key = key as usize;
        if let Some(chunk) = self.chunks.get(key / KEYS_USED_CHUNK).and_then(OnceLock::get) {
            chunk[key % KEYS_USED_CHUNK].store(0, Ordering::Relaxed);
        }
    }

    /// When a key was last used; zero for never.
    pub(super) fn of(&self, key: u32) -> u64 {
        let key = key as usize;
        let chunk = self.chunks.get(key / KEYS_USED_CHUNK).and_then(OnceLock::get);
        chunk.map_or(0, |chunk| chunk[key % KEYS_USED_CHUNK].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::LastUsed;
    use crate::limits::KEYS_USED_MAX;

    #[test]
    fn each_key_has_its_own_time() {
        let uses = LastUsed::default();
        let last = KEYS_USED_MAX as u32 - 1;
        for (key, millis) in [(0, 10), (4095, 20), (4096, 30), (last, 40), (0, 50)] {
            uses.note(key, millis);
        }
        assert_eq!([0, 1, 4095, 4096, 4097, last].map(|key| uses.of(key)), [50, 0, 20, 30, 0, 40]);
    }

    #[test]
    fn a_key_beyond_the_bound_has_none() {
        let uses = LastUsed::default();
        uses.note(KEYS_USED_MAX as u32, 10);
        assert_eq!((uses.of(KEYS_USED_MAX as u32), uses.of(u32::MAX)), (0, 0));
    }
}
