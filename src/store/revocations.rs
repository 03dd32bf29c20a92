//! Revocations: refused for good, whatever the files say now or later.
//!
//! They are lines of JSON in one file, which only ever grows: a line counts when it is on the disk with its end. A
//! last line without an end was never acknowledged, and is cut off; any other line that cannot be read is an error,
//! because going on without it could let a revoked key in.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::types::{Digest, digest_from_hex};

const FILE_NAME: &str = "revocations.jsonl";

/// What was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// A key, by its verifier: under whatever credential it stands, or will stand.
    Key {
        /// Its SHA-256.
        digest: Digest,
        /// The credential that it was found under, for people.
        credential: Option<String>,
        /// Its id, for people.
        id: Option<String>,
    },
    /// A key as a key of one credential: what a file calls revoked. Under another credential it may count.
    Record {
        /// Its SHA-256.
        digest: Digest,
        /// The credential.
        credential: String,
        /// Its id, for people.
        id: Option<String>,
    },
    /// A proxy credential with all its keys, by its name.
    Credential {
        /// Its name.
        name: String,
    },
}

/// Why something could not be kept.
#[derive(Debug)]
pub enum StoreError {
    /// `server.data_dir` is not set.
    NoDirectory,
    /// The disk refused.
    Io(PathBuf, io::Error),
    /// The file is not there any more, or another one is: the next start would not read what is written now.
    Replaced(PathBuf),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory => formatter.write_str(
                "server.data_dir is not set, and a revocation that a restart forgets is none; \
                 set it to a directory of keyferry's own and restart",
            ),
            Self::Io(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Replaced(path) => write!(
                formatter,
                "{}: it is not the file that was opened at the start; put that one back or restart",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreError {}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "revoked", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Key {
        sha256: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    Record {
        sha256: String,
        credential: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    Credential {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
}

/// The file that is open.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    file: File,
    /// Where its last line ends, if something without an end may stand behind it.
    torn: Option<u64>,
}

/// Everything that was revoked, and where it is kept.
#[derive(Debug, Default)]
pub struct Revocations {
    file: Option<Kept>,
    /// Each for the credentials that are named, or, without, wherever it stands.
    keys: HashMap<Digest, Option<BTreeSet<String>>>,
    credentials: BTreeSet<String>,
    /// Taken, and not on the disk yet.
    owed: Vec<Revocation>,
}

impl Revocations {
    /// Reads what is kept in a directory, which is made if it is not there. Without one, nothing is kept.
    ///
    /// # Errors
    ///
    /// The directory or the file cannot be used, or a line cannot be read.
    pub fn open(directory: Option<&Path>) -> io::Result<Self> {
        let mut revocations = Self::default();
        let Some(directory) = directory else { return Ok(revocations) };
        let path = directory.join(FILE_NAME);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        std::fs::create_dir_all(directory).map_err(named)?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&path).map_err(named)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(named)?;
        let whole = revocations.take(&text, &path)?;
        if whole < text.len() {
            file.set_len(whole as u64).map_err(named)?;
        }
        file.sync_all().map_err(named)?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(named)?;
        revocations.file = Some(Kept { path, file, torn: None });
        Ok(revocations)
    }

    /// Reads what is kept in a directory and changes nothing there.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read, or a line of it.
    pub fn look(directory: Option<&Path>) -> io::Result<Self> {
        let mut revocations = Self::default();
        let Some(path) = directory.map(|directory| directory.join(FILE_NAME)) else { return Ok(revocations) };
        match std::fs::read(&path) {
            Ok(text) => revocations.take(&text, &path).map(|_| revocations),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(revocations),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// Takes every line that has an end; returns where the last one ends.
    fn take(&mut self, text: &[u8], path: &Path) -> io::Result<usize> {
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for (at, line) in text[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let Some(revocation) = read(line) else {
                let message = format!(
                    "{}:{}: not a revocation; repair the line or restore the file, because leaving it out \
                     could let a revoked key in",
                    path.display(),
                    at + 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            self.remember(&revocation);
        }
        Ok(whole)
    }

    /// Whether what is added outlives the process.
    pub fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// Takes what another process has kept in the same file since this one last read or wrote; says whether there was
    /// anything.
    ///
    /// # Errors
    ///
    /// The file or a line cannot be read.
    pub fn follow(&mut self) -> io::Result<bool> {
        let Some(kept) = &mut self.file else { return Ok(false) };
        let mut text = Vec::new();
        kept.file.read_to_end(&mut text)?; // from behind what was read or written last
        let path = kept.path.clone();
        let whole = self.take(&text, &path)?;
        if let (Some(kept), Ok(rest)) = (&mut self.file, i64::try_from(text.len() - whole)) {
            kept.file.seek(SeekFrom::Current(-rest))?;
        }
        Ok(whole > 0)
    }

    /// Keeps revocations. When it returns without an error they are on the disk; with one, nothing has changed.
    ///
    /// # Errors
    ///
    /// There is no directory to keep them in, or the disk refuses.
    pub fn add(&mut self, revocations: &[Revocation], at: &str) -> Result<(), StoreError> {
        let Some(kept) = &mut self.file else { return Err(StoreError::NoDirectory) };
        if !kept.is_in_place() {
            return Err(StoreError::Replaced(kept.path.clone()));
        }
        let mut lines = Vec::new();
        for revocation in revocations {
            lines.extend(written(revocation, at));
        }
        kept.append(&lines).map_err(|error| StoreError::Io(kept.path.clone(), error))?;
        revocations.iter().for_each(|revocation| self.remember(revocation));
        Ok(())
    }

    /// Takes revocations that could not be written down; [`Revocations::pay`] tries again.
    pub fn owe(&mut self, revocations: Vec<Revocation>) {
        self.remember_all(&revocations);
        self.owed.extend(revocations);
    }

    /// Whether something is taken that is not on the disk.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Writes down what is owed.
    ///
    /// # Errors
    ///
    /// As [`Revocations::add`].
    pub fn pay(&mut self, at: &str) -> Result<(), StoreError> {
        let owed = std::mem::take(&mut self.owed);
        let paid = self.add(&owed, at);
        if paid.is_err() {
            self.owed = owed;
        }
        paid
    }

    /// Takes revocations for this process alone.
    pub fn remember_all(&mut self, revocations: &[Revocation]) {
        revocations.iter().for_each(|revocation| self.remember(revocation));
    }

    /// Whether something was revoked already.
    pub fn contains(&self, revocation: &Revocation) -> bool {
        match revocation {
            Revocation::Key { digest, .. } => self.keys.get(digest) == Some(&None),
            Revocation::Record { digest, credential, .. } => self.key_of(digest, credential),
            Revocation::Credential { name } => self.credentials.contains(name),
        }
    }

    /// The keys, each with the credentials whose key it no longer is; without any, it is nobody's.
    pub fn keys(&self) -> impl Iterator<Item = (&Digest, &Option<BTreeSet<String>>)> {
        self.keys.iter()
    }

    /// Whether a key of a credential was revoked.
    pub fn key_of(&self, digest: &Digest, credential: &str) -> bool {
        let found = self.keys.get(digest);
        found.is_some_and(|names| names.as_ref().is_none_or(|names| names.contains(credential)))
    }

    /// Whether a credential was revoked.
    pub fn credential(&self, name: &str) -> bool {
        self.credentials.contains(name)
    }

    /// How many keys, and how many credentials.
    pub fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.credentials.len())
    }

    fn remember(&mut self, revocation: &Revocation) {
        match revocation {
            Revocation::Key { digest, .. } => drop(self.keys.insert(*digest, None)),
            Revocation::Record { digest, credential, .. } => {
                if let Some(names) = self.keys.entry(*digest).or_insert_with(|| Some(BTreeSet::new())) {
                    names.insert(credential.clone());
                }
            }
            Revocation::Credential { name } => drop(self.credentials.insert(name.clone())),
        }
    }
}

impl Kept {
    /// Whether the next start would read this file.
    fn is_in_place(&self) -> bool {
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let (here, there) = (self.file.metadata(), std::fs::metadata(&self.path));
        here.is_ok_and(|here| there.is_ok_and(|there| identity(here) == identity(there)))
    }

    /// Appends whole lines, or nothing.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Some(end) = self.torn {
            self.file.set_len(end)?;
            self.torn = None;
        }
        let end = self.file.seek(SeekFrom::End(0))?;
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if written.is_err() && self.file.set_len(end).is_err() {
            self.torn = Some(end); // it has no end, and would be cut off at the next start
        }
        written
    }
}

fn written(revocation: &Revocation, at: &str) -> Vec<u8> {
    let at = Some(at.to_owned());
    let line = match revocation.clone() {
        Revocation::Key { digest, credential, id } => Line::Key { sha256: hex(&digest), credential, id, at },
        Revocation::Record { digest, credential, id } => {
            Line::Record { sha256: hex(&digest), credential, id, at }
        }
        Revocation::Credential { name } => Line::Credential { name, at },
    };
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

fn read(line: &[u8]) -> Option<Revocation> {
    Some(match serde_json::from_slice(line).ok()? {
        Line::Key { sha256, credential, id, .. } => {
            Revocation::Key { digest: digest_from_hex(sha256.as_bytes())?, credential, id }
        }
        Line::Record { sha256, credential, id, .. } => {
            Revocation::Record { digest: digest_from_hex(sha256.as_bytes())?, credential, id }
        }
        Line::Credential { name, .. } => Revocation::Credential { name },
    })
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::{Revocation, Revocations, StoreError};

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("keyferry-store-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("revocations.jsonl")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn key(first: u8) -> Revocation {
        Revocation::Key { digest: [first; 32], credential: Some("callers".into()), id: Some("k1".into()) }
    }

    fn credential() -> Revocation {
        Revocation::Credential { name: "partners".into() }
    }

    #[test]
    fn what_was_added_is_there_after_a_restart() {
        let directory = Directory::new("restart");
        let mut revocations = Revocations::open(Some(&directory.0)).expect("a new directory");
        revocations.add(&[key(1), credential()], "2026-11-23T00:00:00Z").expect("the disk takes it");
        drop(revocations);
        let again = Revocations::open(Some(&directory.0)).expect("what was written can be read");
        assert!(again.contains(&key(1)) && again.contains(&credential()) && !again.contains(&key(2)));
        assert_eq!(again.counts(), (1, 1));
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_another_is_an_error() {
        let directory = Directory::new("torn");
        Revocations::open(Some(&directory.0)).expect("new").add(&[key(1)], "t").expect("written");
        let whole = fs::read_to_string(directory.file()).expect("the file");
        fs::write(directory.file(), format!("{whole}{{\"revoked\":\"key\",\"sha")).expect("written");
        let mut revocations = Revocations::open(Some(&directory.0)).expect("a torn end is no error");
        revocations.add(&[key(2)], "t").expect("written");
        assert_eq!(Revocations::open(Some(&directory.0)).expect("whole again").counts(), (2, 0));
        fs::write(directory.file(), format!("nonsense\n{whole}")).expect("written");
        let error = Revocations::open(Some(&directory.0)).expect_err("a line is lost").to_string();
        assert!(error.contains("revocations.jsonl:1: not a revocation"), "{error}");
    }

    #[test]
    fn a_file_that_was_replaced_is_not_written_to() {
        let directory = Directory::new("replaced");
        let mut revocations = Revocations::open(Some(&directory.0)).expect("a new directory");
        fs::remove_file(directory.file()).expect("a file");
        assert!(matches!(revocations.add(&[key(1)], "t"), Err(StoreError::Replaced(_))));
        fs::write(directory.file(), "").expect("written");
        assert!(matches!(revocations.add(&[key(1)], "t"), Err(StoreError::Replaced(_))));
        assert!(!revocations.contains(&key(1)));
    }

    #[test]
    fn what_is_left_of_a_line_is_cut_off_before_the_next_one() {
        let directory = Directory::new("left");
        let mut revocations = Revocations::open(Some(&directory.0)).expect("a new directory");
        revocations.add(&[key(1)], "t").expect("written");
        let end = fs::metadata(directory.file()).expect("a file").len();
        fs::OpenOptions::new()
            .append(true)
            .open(directory.file())
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"{\"revoked\":"))
            .expect("written");
        revocations.file.as_mut().expect("a file").torn = Some(end);
        revocations.add(&[key(2)], "t").expect("written");
        assert_eq!(Revocations::open(Some(&directory.0)).expect("whole lines").counts(), (2, 0));
    }

    #[test]
    fn without_a_directory_nothing_is_promised() {
        let mut revocations = Revocations::open(None).expect("nothing to open");
        assert!(matches!(revocations.add(&[key(1)], "t"), Err(StoreError::NoDirectory)));
        assert!(!revocations.contains(&key(1)));
    }
}
