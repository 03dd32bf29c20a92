//! Where lines of the access log go: a file that others may rename or remove at any time, or standard output.
//!
//! Whatever goes wrong costs lines, which are counted, and nothing else. A line is in the file whole or not at all, as
//! far as the system allows it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use tracing::{error, info};

/// Only who runs the gateway reads who called.
const MODE: u32 = 0o600;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    StandardOutput,
    /// A file, made if it is not there.
    Path(PathBuf),
}

/// An open sink.
#[derive(Debug)]
pub struct LogFile {
    sink: Sink,
    file: Option<File>,
    /// The last line was cut and could not be taken back.
    torn: bool,
    /// Lines lost since lines could be written last.
    lost: u64,
}

impl LogFile {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// If lines cannot go there.
    pub fn open(sink: Sink) -> io::Result<Self> {
        let file = match &sink {
            Sink::StandardOutput => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Sink::Path(path) => open(path)?,
        };
        Ok(Self { sink, file: Some(file), torn: false, lost: 0 })
    }

    /// Opens the file anew if another one, or none, has its name now.
    pub(super) fn follow(&mut self) {
        let Sink::Path(path) = &self.sink else { return };
        let named = std::fs::metadata(path).ok();
        let same = self.file.as_ref().and_then(|file| file.metadata().ok()).is_some_and(|own| {
            named.is_some_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino()))
        });
        if same {
            return;
        }
        self.torn = false;
        match open(path) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                self.file = None;
                self.fail(&error, 0);
            }
        }
    }

    /// Writes whole lines; returns how many of them could be.
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        let all = count(lines);
        let Some(file) = &mut self.file else {
            self.lost += all;
            return 0;
        };
        if self.torn && file.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        let (written, result) = write_some(file, lines);
        let whole = memchr::memrchr(b'\n', &lines[..written]).map_or(0, |at| at + 1);
        let done = count(&lines[..whole]);
        match result {
            Ok(()) => self.recover(),
            Err(error) => {
                self.torn |= whole < written && !take_back(file, written - whole);
                self.fail(&error, all - done);
            }
        }
        done
    }

    fn fail(&mut self, error: &io::Error, lost: u64) {
        if self.lost == 0 {
            error!(sink = %self.describe(), %error, "the access log cannot be written: lines are lost until it can");
        }
        self.lost += lost.max(1);
    }

    fn recover(&mut self) {
        if self.lost > 0 {
            info!(sink = %self.describe(), "the access log is written again");
            self.lost = 0;
        }
    }

    fn describe(&self) -> String {
        match &self.sink {
            Sink::StandardOutput => "standard output".to_owned(),
            Sink::Path(path) => path.display().to_string(),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Writes as much as can be; says how much that was.
fn write_some(out: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Takes the last bytes of a file back.
fn take_back(file: &File, bytes: usize) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    metadata.is_file()
        && metadata.len().checked_sub(bytes as u64).is_some_and(|length| file.set_len(length).is_ok())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{self, Write},
        os::unix::fs::{MetadataExt, symlink},
        path::PathBuf,
    };

    use super::{LogFile, Sink, take_back, write_some};

    /// A directory that is removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("keyferry-log-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_followed_when_it_is_renamed_or_removed() {
        let directory = Directory::new("follow");
        let mut file = LogFile::open(Sink::Path(directory.path("a"))).unwrap();
        assert_eq!(fs::metadata(directory.path("a")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(file.write(b"1\n2\n"), 2);
        fs::rename(directory.path("a"), directory.path("b")).unwrap();
        assert_eq!(file.write(b"3\n"), 1);
        file.follow();
        assert_eq!(file.write(b"4\n"), 1);
        assert_eq!((directory.read("b").as_str(), directory.read("a").as_str()), ("1\n2\n3\n", "4\n"));
        fs::remove_file(directory.path("a")).unwrap();
        file.follow();
        assert_eq!(file.write(b"5\n"), 1);
        assert_eq!(directory.read("a"), "5\n");
    }

    #[test]
    fn a_full_disk_costs_lines_until_there_is_room() {
        let directory = Directory::new("full");
        symlink("/dev/full", directory.path("a")).unwrap();
        let mut file = LogFile::open(Sink::Path(directory.path("a"))).unwrap();
        assert_eq!((file.write(b"1\n2\n"), file.lost), (0, 2));
        assert_eq!((file.write(b"3\n"), file.lost), (0, 3));
        fs::remove_file(directory.path("a")).unwrap();
        file.follow();
        assert_eq!((file.write(b"4\n"), file.lost), (1, 0));
        assert_eq!(directory.read("a"), "4\n");
    }

    #[test]
    fn a_directory_that_is_gone_costs_lines_until_it_is_back() {
        let directory = Directory::new("gone");
        fs::create_dir(directory.path("d")).unwrap();
        let mut file = LogFile::open(Sink::Path(directory.path("d/a"))).unwrap();
        fs::remove_dir_all(directory.path("d")).unwrap();
        file.follow();
        assert_eq!(file.write(b"1\n"), 0);
        fs::create_dir(directory.path("d")).unwrap();
        file.follow();
        assert_eq!(file.write(b"2\n"), 1);
        assert_eq!(directory.read("d/a"), "2\n");
    }

    #[test]
    fn a_cut_line_is_taken_back() {
        struct Narrow(usize);
        impl Write for Narrow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let count = bytes.len().min(3).min(self.0);
                self.0 -= count;
                if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (written, result) = write_some(&mut Narrow(7), b"123\n567\n");
        assert_eq!((written, result.unwrap_err().kind()), (7, io::ErrorKind::StorageFull));
        let directory = Directory::new("cut");
        fs::write(directory.path("a"), b"123\n567").unwrap();
        let file = fs::OpenOptions::new().append(true).open(directory.path("a")).unwrap();
        assert!(take_back(&file, 3));
        assert_eq!(directory.read("a"), "123\n");
        assert!(!take_back(&fs::File::open("/dev/null").unwrap(), 1));
    }
}
