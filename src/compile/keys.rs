//! The table of keys, made from the lists of all credentials: only those of its parts anew that differ from before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::numbers::{Epoch, Numbers};
use crate::{
    config::plan::{KEY_PARTS as LIST_PARTS, KeyDetail, KeyList},
    snapshot::{KEY_PARTS, KeyEntry, KeyTable},
    types::{Digest, KeyState, Pace},
};

const _: () = assert!(LIST_PARTS == KEY_PARTS, "a changed part of a list is a changed part of the table");

/// Conflicts that are told one by one.
const CONFLICTS_MAX: usize = 20;

/// The lists of one credential.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub credential: u32,
    pub lists: Vec<Arc<KeyList>>,
}

/// The table, and what it was made of.
#[derive(Clone, Default)]
pub(super) struct Keys {
    pub table: Arc<KeyTable>,
    sources: Vec<Source>,
    numbers: Numbers,
    /// Who is told how a large update goes on.
    pub pace: Option<Arc<dyn Pace>>,
}

/// Counts of one credential's keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// That were not there before.
    pub added: usize,
    /// That are not there any more.
    pub removed: usize,
    /// Whose window or state is another.
    pub changed: usize,
}

/// A revoked key of a list.
#[derive(Debug, Clone)]
pub struct RevokedKey {
    /// The number of its credential.
    pub credential: u32,
    /// Its verifier.
    pub digest: Digest,
    /// Its id.
    pub id: Option<String>,
}

/// How a table differs from the one before.
#[derive(Debug, Clone, Default)]
pub struct KeyChanges {
    /// By the numbers of credentials; those without changes are left out.
    pub of_credentials: BTreeMap<u32, KeyCounts>,
    /// Keys that the files call revoked, of the parts that changed.
    pub revoked: Vec<RevokedKey>,
    /// Numbers of keys that belonged to others before: what was counted under them is not theirs.
    pub recycled: Vec<u32>,
    /// How many keys there were before.
    pub before: usize,
}

impl KeyChanges {
    /// All credentials together.
    pub fn total(&self) -> KeyCounts {
        self.of_credentials.values().fold(KeyCounts::default(), |sum, counts| KeyCounts {
            added: sum.added + counts.added,
            removed: sum.removed + counts.removed,
            changed: sum.changed + counts.changed,
        })
    }
}

/// Two records of one key, in different files: they could disagree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub file: String,
    pub line: u32,
    pub other: String,
}

/// A key as a list has it.
struct Listed<'l> {
    digest: &'l Digest,
    credential: u32,
    detail: Option<&'l KeyDetail>,
    list: &'l KeyList,
}

impl Keys {
    /// Makes the table of these lists current. Without conflicts, an error says that the pace asked to leave it.
    pub(super) fn update(&mut self, sources: Vec<Source>, epoch: Epoch) -> Result<KeyChanges, Vec<Conflict>> {
        let breathe = || self.pace.as_ref().is_none_or(|pace| pace.breathe());
        let touched = touched(&self.sources, &sources, breathe).ok_or_else(Vec::new)?;
        let mut changes = KeyChanges { before: self.table.len(), ..KeyChanges::default() };
        let mut conflicts = Vec::new();
        let mut table: Option<KeyTable> = None;
        for (first, _) in (0..=u8::MAX).zip(touched).filter(|(_, touched)| *touched) {
            if self.pace.as_ref().is_some_and(|pace| !pace.breathe()) {
                return Err(conflicts);
            }
            let listed = merged(&sources, first, &mut conflicts);
            let entries = self.numbered(&listed, first, epoch, &mut changes);
            table.get_or_insert_with(|| (*self.table).clone()).replace_part(first, entries);
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        if let Some(table) = table {
            self.table = Arc::new(table);
        }
        self.sources = sources;
        changes.recycled = self.numbers.take_recycled();
        Ok(changes)
    }

    /// The entries of a part, each with the number that it had, or with a new one.
    fn numbered(
        &mut self,
        listed: &[Listed<'_>],
        first: u8,
        epoch: Epoch,
        changes: &mut KeyChanges,
    ) -> Vec<KeyEntry> {
        let table = Arc::clone(&self.table);
        let mut before: Vec<&KeyEntry> = table.part(first).collect();
        before.sort_unstable_by_key(|entry| (entry.digest, entry.credential));
        let mut before = before.into_iter().peekable();
        let mut entries = Vec::with_capacity(listed.len());
        for key in listed {
            let name = (*key.digest, key.credential);
            while let Some(gone) = before.next_if(|entry| (entry.digest, entry.credential) < name) {
                self.forget(gone, epoch, changes);
            }
            let known = before.next_if(|entry| (entry.digest, entry.credential) == name);
            let number = known.map_or_else(|| self.numbers.take(epoch), |entry| entry.number);
            let entry = key.entry(number);
            match known {
                None => changes.of(key.credential).added += 1,
                Some(known) if (known.window, known.state) != (entry.window, entry.state) => {
                    changes.of(key.credential).changed += 1;
                }
                Some(_) => {}
            }
            if entry.state == KeyState::Revoked {
                let id = key.detail.and_then(|detail| detail.id.as_deref()).map(str::to_owned);
                changes.revoked.push(RevokedKey { credential: key.credential, digest: entry.digest, id });
            }
            entries.push(entry);
        }
        before.for_each(|gone| self.forget(gone, epoch, changes));
        entries
    }

    fn forget(&mut self, gone: &KeyEntry, epoch: Epoch, changes: &mut KeyChanges) {
        self.numbers.give_back(gone.number, epoch);
        changes.of(gone.credential).removed += 1;
    }
}

impl KeyChanges {
    fn of(&mut self, credential: u32) -> &mut KeyCounts {
        self.of_credentials.entry(credential).or_default()
    }
}

impl Listed<'_> {
    fn entry(&self, number: u32) -> KeyEntry {
        KeyEntry {
            digest: *self.digest,
            window: self.detail.map(|detail| detail.window).unwrap_or_default(),
            credential: self.credential,
            number,
            state: self.detail.map(|detail| detail.state).unwrap_or_default(),
        }
    }

    fn place(&self) -> String {
        let line = self.detail.map_or(0, |detail| detail.line);
        format!("{}:{line}", self.list.file())
    }
}

/// Which parts of the table differ. `None` if `breathe` asked to leave it.
fn touched(before: &[Source], after: &[Source], breathe: impl Fn() -> bool) -> Option<[bool; KEY_PARTS]> {
    let mut touched = [false; KEY_PARTS];
    let mut known: HashMap<(u32, &str), &Arc<KeyList>> = before
        .iter()
        .flat_map(|source| source.lists.iter().map(|list| ((source.credential, list.file()), list)))
        .collect();
    for source in after {
        for list in &source.lists {
            if !breathe() {
                return None;
            }
            match known.remove(&(source.credential, list.file())) {
                Some(same) if Arc::ptr_eq(same, list) => {}
                Some(other) => mark(&mut touched, |part| !list.part_equals(other, part)),
                None => mark(&mut touched, |part| list.part_len(part) > 0),
            }
        }
    }
    known.into_values().for_each(|gone| mark(&mut touched, |part| gone.part_len(part) > 0));
    Some(touched)
}

fn mark(touched: &mut [bool; KEY_PARTS], differs: impl Fn(usize) -> bool) {
    touched.iter_mut().enumerate().for_each(|(part, touched)| *touched = *touched || differs(part));
}

/// The keys of a part in the order of digest and credential, each once: a record wins over a list of digests.
fn merged<'s>(sources: &'s [Source], first: u8, conflicts: &mut Vec<Conflict>) -> Vec<Listed<'s>> {
    let mut listed: Vec<Listed<'s>> = Vec::new();
    for source in sources {
        for list in &source.lists {
            let keys = list.part(usize::from(first));
            listed.extend(keys.map(|key| Listed {
                digest: key.digest,
                credential: source.credential,
                detail: key.detail,
                list,
            }));
        }
    }
    listed.sort_by_key(|key| (key.digest, key.credential, key.detail.is_none()));
    listed.dedup_by(|later, earlier| {
        let same = (later.digest, later.credential) == (earlier.digest, earlier.credential);
        if let Some(detail) = later.detail.filter(|_| same && conflicts.len() < CONFLICTS_MAX) {
            let (file, line) = (later.list.file().to_owned(), detail.line);
            conflicts.push(Conflict { file, line, other: earlier.place() });
        }
        same
    });
    listed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Epoch, KeyCounts, Keys, Source};
    use crate::{
        config::plan::{Key, KeyList},
        types::{Digest, KeyState, Window},
    };

    fn digest(first: u8, last: u8) -> Digest {
        let mut digest = [7; 32];
        (digest[0], digest[31]) = (first, last);
        digest
    }

    fn digests(file: &str, digests: &[Digest]) -> Arc<KeyList> {
        Arc::new(KeyList::of_digests(file, digests.to_vec()))
    }

    fn record(file: &str, digest: Digest, state: KeyState) -> Arc<KeyList> {
        let key = Key { id: Some("k".into()), digest, window: Window::ALWAYS, state };
        Arc::new(KeyList::of_records(file, vec![(key, 4)]))
    }

    fn source(credential: u32, lists: &[Arc<KeyList>]) -> Vec<Source> {
        vec![Source { credential, lists: lists.to_vec() }]
    }

    fn states(keys: &Keys, digest: Digest) -> Vec<KeyState> {
        keys.table.find(&digest).map(|entry| entry.state).collect()
    }

    const EPOCH: Epoch = Epoch::FIRST;

    #[test]
    fn one_changed_key_shares_all_other_parts() {
        let mut keys = Keys::default();
        let all: Vec<_> = (0..=255).map(|first| digest(first, 1)).collect();
        keys.update(source(0, &[digests("a", &all)]), EPOCH).expect("no conflict");
        let before = Arc::clone(&keys.table);
        let changed = [&all[1..], &[digest(9, 9)]].concat();
        let changes = keys.update(source(0, &[digests("a", &changed)]), EPOCH).expect("no conflict");
        assert_eq!(changes.total(), KeyCounts { added: 1, removed: 1, changed: 0 });
        assert_eq!(keys.table.parts_shared_with(&before), 254);
        assert_eq!(changes.before, 256);
    }

    #[test]
    fn nothing_changed_is_the_same_table() {
        let mut keys = Keys::default();
        let lists = || source(0, &[digests("a", &[digest(1, 1), digest(2, 2)])]);
        keys.update(lists(), EPOCH).expect("no conflict");
        let before = Arc::clone(&keys.table);
        let changes = keys.update(lists(), EPOCH).expect("no conflict");
        assert!(changes.of_credentials.is_empty() && Arc::ptr_eq(&before, &keys.table));
    }

    #[test]
    fn a_number_that_had_another_key_is_told() {
        let epoch = |generation, settled| Epoch { generation, settled };
        let list = |digest| source(0, &[digests("a", &[digest])]);
        let mut keys = Keys::default();
        let first = keys.update(list(digest(1, 1)), epoch(1, 0)).expect("no conflict");
        assert!(first.recycled.is_empty());
        let second = keys.update(list(digest(1, 2)), epoch(2, 1)).expect("no conflict");
        assert!(second.recycled.is_empty(), "a shard may still know the number of the key before");
        let third = keys.update(list(digest(1, 3)), epoch(3, 2)).expect("no conflict");
        let number = keys.table.find(&digest(1, 3)).next().map(|entry| entry.number);
        assert_eq!((third.recycled, number), (vec![0], Some(0)));
    }

    #[test]
    fn a_key_keeps_its_number_and_a_list_gives_way_to_a_record() {
        let mut keys = Keys::default();
        keys.update(source(0, &[digests("a", &[digest(1, 1), digest(1, 2)])]), EPOCH).expect("no conflict");
        let number =
            |keys: &Keys| keys.table.find(&digest(1, 2)).map(|entry| entry.number).collect::<Vec<_>>();
        let before = number(&keys);
        let lists = [digests("a", &[digest(1, 2)]), record("b", digest(1, 2), KeyState::Retired)];
        let changes = keys.update(source(0, &lists), EPOCH).expect("no conflict");
        assert_eq!(number(&keys), before);
        assert_eq!(states(&keys, digest(1, 2)), [KeyState::Retired]);
        assert_eq!(changes.total(), KeyCounts { added: 0, removed: 1, changed: 1 });
        // The record goes, the list is still there.
        keys.update(source(0, &lists[..1]), EPOCH).expect("no conflict");
        assert_eq!(states(&keys, digest(1, 2)), [KeyState::Active]);
        assert_eq!(number(&keys), before);
    }

    #[test]
    fn two_records_of_one_key_are_a_conflict_that_changes_nothing() {
        let mut keys = Keys::default();
        let lists =
            [record("a", digest(1, 1), KeyState::Active), record("b", digest(1, 1), KeyState::Retired)];
        let conflicts = keys.clone().update(source(0, &lists), EPOCH).expect_err("a conflict");
        assert_eq!((conflicts[0].file.as_str(), conflicts[0].other.as_str()), ("b", "a:4"));
        // Under two credentials it is two keys.
        let sources = [source(0, &lists[..1]), source(1, &lists[1..])].concat();
        keys.update(sources, EPOCH).expect("no conflict");
        assert_eq!(states(&keys, digest(1, 1)).len(), 2);
    }

    #[test]
    fn what_the_files_call_revoked_is_told() {
        let mut keys = Keys::default();
        let changes = keys.update(source(3, &[record("a", digest(1, 1), KeyState::Revoked)]), EPOCH);
        let revoked = changes.expect("no conflict").revoked;
        assert_eq!((revoked[0].credential, revoked[0].digest, revoked.len()), (3, digest(1, 1), 1));
    }
}
