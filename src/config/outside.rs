//! The only way out of this room: environment variables, files, patterns of file names, and the time.
//!
//! `validate` is given an [`Outside`] and reaches nothing else, so the same code judges files on disk
//! ([`Disk`]) and a text that must touch nothing ([`Nothing`], for fuzzing).

use std::{
    cell::RefCell,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use zeroize::Zeroizing;

use super::{
    files::{Files, KeyFile, sentence},
    plan::Authorities,
};
use crate::limits;

/// What the checks may ask of the world.
pub(super) trait Outside {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file of at most `bytes_max`, or a sentence that says why not.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, String>;

    /// The permissions of a file, if they can be told.
    fn mode(&self, path: &Path) -> Option<u32>;

    /// Whom the machine trusts, or a sentence that says why that is not known.
    fn system_roots(&self) -> Result<Arc<Authorities>, String>;

    /// A file of keys as `parse` reads it, or a sentence that says why not. It is read only if it has changed.
    fn key_file(&self, path: &Path, parse: &dyn Fn(&[u8]) -> KeyFile) -> Result<Arc<KeyFile>, String>;
    /// Says which lists of keys will be asked for next.
    fn expect_key_files(&self, paths: &[&Path]);

    /// Remembers how a directory looks, before it is searched.
    fn look_at(&self, directory: &Path);

    /// The files that a pattern names, in alphabetical order, or a sentence that says why not.
    fn matches(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String>;

    /// Milliseconds since the Unix epoch, for warnings about keys that have expired; no decision hangs on it.
    fn now_millis(&self) -> i64;
}

/// The machine that the process runs on.
pub(super) struct Disk<'a> {
    /// Looks an environment variable up.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// What is remembered of files.
    pub files: RefCell<Files>,
}

impl<'a> Disk<'a> {
    /// With nothing remembered.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { environment, files: RefCell::default() }
    }
}

impl Outside for Disk<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        // The system's own look-up panics on such names on some platforms.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        (self.environment)(name)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, String> {
        self.files.borrow_mut().read(path, bytes_max)
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        std::fs::metadata(path).ok().map(|found| found.mode())
    }

    fn system_roots(&self) -> Result<Arc<Authorities>, String> {
        self.files.borrow_mut().system_roots()
    }

    fn expect_key_files(&self, paths: &[&Path]) {
        self.files.borrow_mut().expect(paths);
    }
    fn key_file(&self, path: &Path, parse: &dyn Fn(&[u8]) -> KeyFile) -> Result<Arc<KeyFile>, String> {
        let now = self.now_millis();
        self.files.borrow_mut().key_file(path, limits::KEY_FILE_BYTES_MAX, now, parse)
    }

    fn look_at(&self, directory: &Path) {
        self.files.borrow_mut().look_at(directory);
    }

    fn matches(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
        self.look_at(&directory_of(base, pattern));
        let named = base.join(pattern);
        let found = files_of(base, pattern);
        match &found {
            Ok(paths) if paths.is_empty() => self.files.borrow_mut().miss(&named, "it names no file"),
            Ok(_) if is_pattern(pattern) => self.files.borrow_mut().find(&named),
            Ok(_) => {} // whether the file is there shows when it is read
            Err(sentence) => self.files.borrow_mut().miss(&named, sentence),
        }
        found
    }

    fn now_millis(&self) -> i64 {
        #[allow(
            clippy::disallowed_methods,
            reason = "only warnings depend on it; decisions use the shards' clock"
        )]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .unwrap_or(0)
    }
}

fn files_of(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !is_pattern(pattern) {
        return Ok(vec![base.join(pattern)]);
    }
    let base = base.to_str().ok_or("the path of the directory is not UTF-8")?;
    let whole = Path::new(&glob::Pattern::escape(base)).join(pattern);
    let whole = whole.to_str().ok_or("the pattern is not UTF-8")?;
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let found =
        glob::glob_with(whole, options).map_err(|error| format!("it is not a pattern: {}", error.msg))?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| sentence(error.error()))?;
        if path.is_dir() {
            continue;
        }
        paths.push(path);
        if paths.len() > limits::FILES_MAX {
            return Err(format!("it names more than {} files", limits::FILES_MAX));
        }
    }
    Ok(paths)
}

/// The directory in which everything lies that a pattern could name.
pub(super) fn directory_of(base: &Path, pattern: &str) -> PathBuf {
    let whole = base.join(pattern);
    let parent = whole.parent().unwrap_or(&whole);
    parent.components().take_while(|part| !part.as_os_str().to_str().is_some_and(is_pattern)).collect()
}

/// No world at all: every look-up fails, and no time has passed.
pub(super) struct Nothing;

impl Outside for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, _: &Path, _: u64) -> Result<Zeroizing<Vec<u8>>, String> {
        Err("files are not read here".to_owned())
    }

    fn mode(&self, _: &Path) -> Option<u32> {
        None
    }

    fn system_roots(&self) -> Result<Arc<Authorities>, String> {
        Err("files are not read here".to_owned())
    }

    fn expect_key_files(&self, _: &[&Path]) {}
    fn key_file(&self, _: &Path, _: &dyn Fn(&[u8]) -> KeyFile) -> Result<Arc<KeyFile>, String> {
        Err("files are not read here".to_owned())
    }

    fn look_at(&self, _: &Path) {}

    fn matches(&self, _: &Path, _: &str) -> Result<Vec<PathBuf>, String> {
        Err("files are not read here".to_owned())
    }

    fn now_millis(&self) -> i64 {
        i64::MIN
    }
}

/// Whether a name stands for any number of files, none included.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}
