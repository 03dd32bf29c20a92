//! The only way out of this room: environment variables, files, patterns of file names, and the time.
//!
//! `validate` is given an [`Outside`] and reaches nothing else, so the same code judges files on disk
//! ([`Disk`]) and a text that must touch nothing ([`Nothing`], for fuzzing).

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use zeroize::Zeroizing;

use crate::limits;

/// What the checks may ask of the world.
pub(super) trait Outside {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The content of a file of at most `bytes_max`, or a sentence that says why not.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, String>;
    /// The files that a pattern names, in alphabetical order, or a sentence that says why not.
    fn matches(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String>;
    /// Milliseconds since the Unix epoch, for warnings about keys that have expired; no decision hangs on it.
    fn now_millis(&self) -> i64;
}

/// The machine that the process runs on.
pub(super) struct Disk<'a> {
    /// Looks an environment variable up.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
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
        let mut file = File::open(path).map_err(|error| sentence(&error))?;
        let bytes_expected = file.metadata().map_or(0, |found| found.len()).min(bytes_max);
        // Reserved up front: a buffer that grows leaves copies of a secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_expected as usize + 1));
        let read = file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes);
        let count = read.map_err(|error| sentence(&error))?;
        if count as u64 > bytes_max {
            return Err(format!("it is larger than {bytes_max} bytes"));
        }
        Ok(bytes)
    }

    fn matches(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
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

/// No world at all: every look-up fails, and no time has passed.
pub(super) struct Nothing;

impl Outside for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, _: &Path, _: u64) -> Result<Zeroizing<Vec<u8>>, String> {
        Err("files are not read here".to_owned())
    }

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

fn sentence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read by this user".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}
