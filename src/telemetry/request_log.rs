//! The way of one line of the access log from a shard to its writer: an entry of fixed size in a bounded ring.
//!
//! An entry holds numbers instead of names, and nothing that a caller could keep a secret in: no field, no query,
//! no body. What does not fit in the ring is counted and dropped, because a shard never waits.

use std::net::IpAddr;

use crossbeam_queue::ArrayQueue;

use crate::{
    limits::{BRANCHES_TOLD_MAX, LOG_PATH_BYTES_MAX},
    types::{Reason, SeriesId},
};

/// Length of a request id.
const ID_BYTES: usize = 24;

/// One request.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When its head was complete, in milliseconds since the Unix epoch.
    pub time_millis: i64,
    /// Its number, unique among all shards and starts.
    pub request_id: [u8; ID_BYTES],
    /// Its method; none if there was no head.
    pub method: Option<&'static str>,
    pub(super) path: [u8; LOG_PATH_BYTES_MAX],
    pub(super) path_bytes: u16,
    pub(super) path_is_cut: bool,
    /// The status that the caller saw.
    pub status: u16,
    /// Why it ended.
    pub reason: Reason,
    /// What it was counted under.
    pub series: SeriesId,
    /// The caller's address, if it is known.
    pub source: Option<IpAddr>,
    /// Whether it is unknown because the caller came over a Unix socket.
    pub unix: bool,
    /// Nanoseconds from the end of its head to the end of its answer.
    pub duration_nanos: u64,
    /// Nanoseconds that were spent authenticating, if it came to that.
    pub authentication_nanos: Option<u64>,
    /// The generation of the snapshot that it was judged by.
    pub generation: u64,
    /// The shard that served it.
    pub shard: u8,
    /// Why the branches of the proxy's security before the one that let it in did not.
    pub not_by: [Option<Reason>; BRANCHES_TOLD_MAX],
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            time_millis: 0,
            request_id: [b'0'; ID_BYTES],
            method: None,
            path: [0; LOG_PATH_BYTES_MAX],
            path_bytes: 0,
            path_is_cut: false,
            status: 0,
            reason: Reason::CallerGone,
            series: SeriesId::UNROUTED,
            source: None,
            unix: false,
            duration_nanos: 0,
            authentication_nanos: None,
            generation: 0,
            shard: 0,
            not_by: [None; BRANCHES_TOLD_MAX],
        }
    }
}

impl Entry {
    /// Keeps the beginning of a path; the query must not be in it.
    pub fn set_path(&mut self, path: &[u8]) {
        let kept = &path[..path.len().min(LOG_PATH_BYTES_MAX)];
        self.path[..kept.len()].copy_from_slice(kept);
        self.path_bytes = u16::try_from(kept.len()).unwrap_or(0);
        self.path_is_cut = kept.len() < path.len();
    }

    /// The path as received, or its beginning, and whether that is all of it.
    pub fn path(&self) -> (&[u8], bool) {
        (&self.path[..usize::from(self.path_bytes)], !self.path_is_cut)
    }
}

/// The entries of one shard that wait for the writer.
#[derive(Debug)]
pub struct Ring(ArrayQueue<Entry>);

impl Ring {
    /// With room for this many.
    pub fn new(entries: usize) -> Self {
        Self(ArrayQueue::new(entries.max(1)))
    }

    /// Adds an entry; says whether there was room.
    #[inline]
    pub fn push(&self, entry: Entry) -> bool {
        self.0.push(entry).is_ok()
    }

    /// Takes the oldest entry.
    pub fn pop(&self) -> Option<Entry> {
        self.0.pop()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Ring};
    use crate::limits::LOG_PATH_BYTES_MAX;

    #[test]
    fn a_full_ring_takes_no_more_and_says_so() {
        let ring = Ring::new(2);
        let taken = (0..5).filter(|status| ring.push(Entry { status: *status, ..Entry::default() })).count();
        assert_eq!((taken, ring.len()), (2, 2));
        assert_eq!(ring.pop().map(|entry| entry.status), Some(0));
        assert!(ring.push(Entry::default()), "there is room again");
    }

    #[test]
    fn a_path_is_cut_at_its_bound() {
        let mut entry = Entry::default();
        entry.set_path(b"/a");
        assert_eq!(entry.path(), (&b"/a"[..], true));
        entry.set_path(&[b'x'; LOG_PATH_BYTES_MAX + 1]);
        assert_eq!(entry.path(), (&[b'x'; LOG_PATH_BYTES_MAX][..], false));
        entry.set_path(b"");
        assert_eq!(entry.path(), (&b""[..], true));
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 400, "{}", size_of::<Entry>());
    }
}
