//! What is remembered of files from one load to the next: how they looked, so that an unchanged list of keys is not
//! read again, and which of them could be read, so that one that disappears is not taken for an empty one.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{key_list::KeyList, plan::Authorities, report::Problem};
use crate::types::Pace;

/// A file that changed this short a time before it was read may change again without looking any different: file
/// systems stamp files with a clock of a few milliseconds.
const STAMP_TRUSTED_AFTER_MILLIS: i64 = 30;

/// Bytes of lists from which on a load is bulk work: some hundred thousand keys.
const BULK_BYTES: u64 = 8 * 1024 * 1024;

/// How often a file is read again that changed while it was read.
const READ_ATTEMPTS: usize = 3;

/// How a file looks from outside. Two that are equal are the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file, symbolic links followed; none if there is no such file.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|found| Self::from(&found))
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_old_at(&self, now_millis: i64) -> bool {
        let (seconds, nanos) = self.changed; // the other one can be set to anything
        let millis = seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000);
        now_millis.saturating_sub(millis) >= STAMP_TRUSTED_AFTER_MILLIS
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// A file of keys, read and checked. What was found wrong in it is found again for as long as it does not change.
#[derive(Debug)]
pub(super) struct KeyFile {
    pub list: Arc<KeyList>,
    /// Line (0 is the whole file), member, and what is wrong there; errors.
    pub wrong: Vec<(usize, Option<String>, Problem)>,
    /// Keys that had expired when it was read.
    pub expired: usize,
    /// How many records name each consumer, up to a bound; `None` are those that name none.
    pub consumers: BTreeMap<Option<String>, usize>,
}

struct Kept {
    stamp: Stamp,
    trusted: bool,
    file: Arc<KeyFile>,
    /// It is in the configuration that is served: nothing needs to be done for it again.
    served: bool,
}

/// The memory of a [`super::Loader`].
#[derive(Default)]
pub(super) struct Files {
    lists: HashMap<PathBuf, Kept>,
    /// As they looked in this load.
    seen: HashMap<PathBuf, Stamp>,
    /// Files that could not be read in this load, and why.
    missing: BTreeMap<PathBuf, String>,
    /// Patterns that named a file in this load.
    named: HashSet<PathBuf>,
    /// What `seen` and `named` were when the configuration was taken that is served now.
    accepted: Option<(HashMap<PathBuf, Stamp>, HashSet<PathBuf>)>,
    /// Files of keys that were read rather than remembered, in this load.
    lists_read: usize,
    /// Whether what is gone or empty now is meant to be.
    forced: bool,
    /// Bytes of lists that are new in this load, and who is told when they are many.
    list_bytes: u64,
    pace: Option<Arc<dyn Pace>>,
    /// Whom the machine trusts, once somebody asked.
    system_roots: Option<Arc<Authorities>>,
}

impl Files {
    /// Who is told that a load is bulk work.
    pub fn set_pace(&mut self, pace: Option<Arc<dyn Pace>>) {
        self.pace = pace;
    }

    /// Forgets the load before, but not what its files held.
    pub fn begin(&mut self, force: bool) {
        self.forced = force;
        self.seen.clear();
        self.missing.clear();
        self.named.clear();
        self.lists_read = 0;
        self.list_bytes = 0;
    }

    /// What was loaded last is what is served now.
    pub fn accept(&mut self) {
        self.lists.retain(|path, _| self.seen.contains_key(path));
        self.lists.values_mut().for_each(|kept| kept.served = true);
        self.accepted = Some((self.seen.clone(), self.named.clone()));
    }

    /// Files that could be read for the configuration that is served, and cannot be read now.
    pub fn lost(&self) -> Vec<(&Path, &str)> {
        let Some((seen, named)) = self.accepted.as_ref().filter(|_| !self.forced) else {
            return Vec::new();
        };
        let was_there = |path: &PathBuf| seen.contains_key(path) || named.contains(path);
        let lost = self.missing.iter().filter(|(path, _)| was_there(path));
        lost.map(|(path, sentence)| (path.as_path(), sentence.as_str())).collect()
    }

    /// Remembers how a directory looks, if it is there.
    pub fn look_at(&mut self, directory: &Path) {
        if let Some(stamp) = Stamp::of(directory) {
            self.seen.entry(directory.to_path_buf()).or_insert(stamp);
        }
    }

    /// Every file that was read and every directory that was searched, as they looked then.
    pub fn seen(&self) -> &HashMap<PathBuf, Stamp> {
        &self.seen
    }

    /// Whether every list would be noticed to have changed if it did.
    pub fn is_sure(&self) -> bool {
        self.seen.keys().filter_map(|path| self.lists.get(path)).all(|kept| kept.trusted)
    }

    /// How many files of keys were read rather than remembered.
    pub fn lists_read(&self) -> usize {
        self.lists_read
    }

    /// Remembers that a pattern named a file.
    pub fn find(&mut self, pattern: &Path) {
        self.named.insert(pattern.to_path_buf());
    }

    /// Remembers that a file, or what a pattern names, is not there.
    pub fn miss(&mut self, path: &Path, sentence: &str) {
        self.missing.insert(path.to_path_buf(), sentence.to_owned());
    }

    /// The content of a file.
    pub fn read(&mut self, path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, String> {
        let read = read_settled(path, bytes_max).and_then(|(bytes, stamp)| {
            self.seen.insert(path.to_path_buf(), stamp);
            self.refuse_emptied(path, stamp).map(|()| bytes)
        });
        read.inspect_err(|sentence| self.miss(path, sentence))
    }

    /// Whom the machine trusts; read once for all loads.
    pub fn system_roots(&mut self) -> Result<Arc<Authorities>, String> {
        if let Some(known) = &self.system_roots {
            return Ok(Arc::clone(known));
        }
        let found = rustls_native_certs::load_native_certs();
        // A few that cannot be used are usual; whom they would have issued is not trusted.
        let (authorities, _) = Authorities::new(found.certs);
        if authorities.store.is_empty() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!("this machine has no certificates of authorities{why}"));
        }
        Ok(Arc::clone(self.system_roots.insert(Arc::new(authorities))))
    }

    /// Sees whether these lists are bulk work, to be read or only to be compiled, before that begins.
    pub fn expect(&mut self, paths: &[&Path]) {
        let Some(pace) = &self.pace else { return };
        let new = |path: &&Path| {
            let stamp = Stamp::of(path)?;
            let known =
                self.lists.get(*path).is_some_and(|kept| kept.served && kept.trusted && kept.stamp == stamp);
            (!known).then_some(stamp.bytes)
        };
        self.list_bytes += paths.iter().filter_map(new).sum::<u64>();
        if self.list_bytes >= BULK_BYTES {
            pace.bulky();
        }
    }

    /// The list of keys in a file: remembered, if the file looks as it did.
    pub fn key_file(
        &mut self,
        path: &Path,
        bytes_max: u64,
        now_millis: i64,
        parse: &dyn Fn(&[u8]) -> KeyFile,
    ) -> Result<Arc<KeyFile>, String> {
        let stamp = Stamp::of(path);
        if let (Some(kept), Some(stamp)) = (self.lists.get(path), stamp)
            && kept.trusted
            && kept.stamp == stamp
        {
            self.seen.insert(path.to_path_buf(), stamp);
            return Ok(Arc::clone(&kept.file));
        }
        let bytes = self.read(path, bytes_max)?;
        self.lists_read += 1;
        let file = Arc::new(parse(&bytes));
        if let Some(&stamp) = self.seen.get(path) {
            let kept =
                Kept { stamp, trusted: stamp.is_old_at(now_millis), file: Arc::clone(&file), served: false };
            self.lists.insert(path.to_path_buf(), kept);
        }
        match &self.pace {
            Some(pace) if !pace.breathe() => Err("reading it was left for later".to_owned()),
            _ => Ok(file),
        }
    }

    /// A file that was emptied is about to be written again, or was destroyed: nobody empties one to say something.
    fn refuse_emptied(&self, path: &Path, stamp: Stamp) -> Result<(), String> {
        let before = self.accepted.as_ref().and_then(|(seen, _)| seen.get(path));
        if !self.forced && stamp.bytes == 0 && before.is_some_and(|before| before.bytes > 0) {
            return Err("it is empty now, and was not before".to_owned());
        }
        Ok(())
    }
}

/// A file's content and the stamp that belongs to it.
fn read_settled(path: &Path, bytes_max: u64) -> Result<(Zeroizing<Vec<u8>>, Stamp), String> {
    for _ in 0..READ_ATTEMPTS {
        let (bytes, before, after) = read_once(path, bytes_max)?;
        if before == after {
            return Ok((bytes, before));
        }
    }
    Err("it is being written at this moment".to_owned())
}

fn read_once(path: &Path, bytes_max: u64) -> Result<(Zeroizing<Vec<u8>>, Stamp, Stamp), String> {
    let mut file = File::open(path).map_err(|error| sentence(&error))?;
    let stamp = |file: &File| file.metadata().map(|found| Stamp::from(&found));
    let before = stamp(&file).map_err(|error| sentence(&error))?;
    // Reserved up front: a buffer that grows leaves copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(before.bytes.min(bytes_max) as usize + 1));
    let count =
        file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| sentence(&error))?;
    if count as u64 > bytes_max {
        return Err(format!("it is larger than {bytes_max} bytes"));
    }
    let after = stamp(&file).map_err(|error| sentence(&error))?;
    Ok((bytes, before, after))
}

pub(super) fn sentence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read by this user".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}
