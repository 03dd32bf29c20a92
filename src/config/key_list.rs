//! The keys of one file, or of one credential's own table: sorted by digest, immutable, and shared between plans
//! for as long as the file does not change.

use std::fmt;

use super::plan::Key;
use crate::types::{Digest, KeyState, Window};

/// Keys are compared and compiled part by part; a part is what begins with the same byte.
pub const PARTS: usize = 256;

/// Keys in the order of their digests, each digest once.
pub struct KeyList {
    file: Box<str>,
    digests: Box<[Digest]>,
    /// One for each digest, or none at all: then all of them are simply accepted.
    details: Box<[KeyDetail]>,
    /// Where each part begins, and the end.
    starts: Box<[u32; PARTS + 1]>,
}

/// What a record says of a key besides its digest.
#[derive(Debug, Clone)]
pub struct KeyDetail {
    /// `id`.
    pub id: Option<Box<str>>,
    /// `not_before` and `expires`.
    pub window: Window,
    /// `state`.
    pub state: KeyState,
    /// Its line in the file, from 1.
    pub line: u32,
}

/// A key of a list.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'l> {
    /// Its verifier.
    pub digest: &'l Digest,
    /// What is said of it; nothing is in a list of digests.
    pub detail: Option<&'l KeyDetail>,
}

impl KeyRef<'_> {
    /// The time in which it counts.
    pub fn window(&self) -> Window {
        self.detail.map_or(Window::ALWAYS, |detail| detail.window)
    }

    /// Whether it is accepted.
    pub fn state(&self) -> KeyState {
        self.detail.map_or(KeyState::Active, |detail| detail.state)
    }

    /// Its id, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.detail.and_then(|detail| detail.id.as_deref())
    }

    /// Whether two records say the same of the same key, wherever they stand.
    fn says_the_same(&self, other: &KeyRef<'_>) -> bool {
        self.digest == other.digest
            && self.detail.is_some() == other.detail.is_some()
            && (self.window(), self.state(), self.id()) == (other.window(), other.state(), other.id())
    }
}

impl KeyList {
    /// A list of digests; one that is there twice counts once.
    pub fn of_digests(file: &str, mut digests: Vec<Digest>) -> Self {
        digests.sort_unstable();
        digests.dedup();
        Self::new(file, digests, Vec::new())
    }

    /// A list of records, each with its line. Of two with the same digest the first stays.
    pub fn of_records(file: &str, mut records: Vec<(Key, u32)>) -> Self {
        records.sort_by_key(|(key, line)| (key.digest, *line));
        records.dedup_by_key(|(key, _)| key.digest);
        let detail = |(key, line): (Key, u32)| {
            let Key { id, digest, window, state } = key;
            (digest, KeyDetail { id: id.map(String::into_boxed_str), window, state, line })
        };
        let (digests, details) = records.into_iter().map(detail).unzip();
        Self::new(file, digests, details)
    }

    fn new(file: &str, digests: Vec<Digest>, details: Vec<KeyDetail>) -> Self {
        let mut starts = Box::new([0; PARTS + 1]);
        for (part, start) in starts.iter_mut().enumerate() {
            let at = digests.partition_point(|digest| usize::from(digest[0]) < part);
            *start = u32::try_from(at).unwrap_or(u32::MAX);
        }
        Self { file: file.into(), digests: digests.into(), details: details.into(), starts }
    }

    /// The file that it stands in, as it was named to us.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Every key.
    pub fn iter(&self) -> impl Iterator<Item = KeyRef<'_>> {
        self.range(0, self.digests.len())
    }

    /// The keys whose digests begin with a byte.
    pub fn part(&self, part: usize) -> impl Iterator<Item = KeyRef<'_>> {
        self.range(self.starts[part] as usize, self.starts[part + 1] as usize)
    }

    fn range(&self, start: usize, end: usize) -> impl Iterator<Item = KeyRef<'_>> {
        let digests = self.digests.get(start..end).unwrap_or_default();
        digests.iter().zip(start..).map(|(digest, at)| KeyRef { digest, detail: self.details.get(at) })
    }

    /// The record of a digest.
    pub fn find(&self, digest: &Digest) -> Option<KeyRef<'_>> {
        let at = self.digests.binary_search(digest).ok()?;
        Some(KeyRef { digest: &self.digests[at], detail: self.details.get(at) })
    }

    /// Whether a part says the same as that of another list.
    pub fn part_equals(&self, other: &Self, part: usize) -> bool {
        let (mine, theirs) = (self.part(part), other.part(part));
        self.part_len(part) == other.part_len(part)
            && mine.zip(theirs).all(|(one, another)| one.says_the_same(&another))
    }

    /// Number of keys of a part.
    pub fn part_len(&self, part: usize) -> usize {
        (self.starts[part + 1] - self.starts[part]) as usize
    }
}

impl PartialEq for KeyList {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (0..PARTS).all(|part| self.part_equals(other, part))
    }
}

/// Only how many there are: a digest verifies a key.
impl fmt::Debug for KeyList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyList({}, {} keys)", self.file, self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, KeyList};
    use crate::types::{Digest, KeyState, Window};

    fn digest(first: u8, last: u8) -> Digest {
        let mut digest = [7; 32];
        (digest[0], digest[31]) = (first, last);
        digest
    }

    fn record(digest: Digest, id: &str) -> Key {
        Key { id: Some(id.into()), digest, window: Window::ALWAYS, state: KeyState::Active }
    }

    #[test]
    fn parts_hold_what_begins_with_their_byte() {
        let list = KeyList::of_digests("a", vec![digest(255, 1), digest(0, 2), digest(255, 0), digest(0, 2)]);
        assert_eq!(list.len(), 3);
        assert_eq!(list.part(255).map(|key| key.digest[31]).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((list.part_len(0), list.part_len(1), list.part_len(255)), (1, 0, 2));
        assert!(list.find(&digest(0, 2)).is_some() && list.find(&digest(0, 3)).is_none());
    }

    #[test]
    fn lines_make_no_difference_and_contents_do() {
        let list = |line, id| KeyList::of_records("a", vec![(record(digest(1, 1), id), line)]);
        assert!(list(1, "k").part_equals(&list(9, "k"), 1));
        assert!(!list(1, "k").part_equals(&list(1, "l"), 1));
        let plain = KeyList::of_digests("a", vec![digest(1, 1)]);
        assert!(!plain.part_equals(&list(1, "k"), 1));
    }

    #[test]
    fn of_two_records_of_one_key_the_first_stays() {
        let list =
            KeyList::of_records("a", vec![(record(digest(1, 1), "b"), 2), (record(digest(1, 1), "a"), 1)]);
        assert_eq!(
            list.iter().map(|key| key.id().map(str::to_owned)).collect::<Vec<_>>(),
            [Some("a".into())]
        );
    }
}
