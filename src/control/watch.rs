//! Watches the files of the configuration and says when they have settled.
//!
//! Directories are watched rather than files: an editor that writes a new file and renames it over the old one, and the
//! `..data` link that Kubernetes swaps, leave the old file unchanged. What the kernel tells are hints; whether anything
//! differs is decided by looking at the files.
//!
//! | what happened | settled |
//! |---|---|
//! | renamed, linked, removed | at once |
//! | written in place, and closed | at once |
//! | written in place, not closed | after [`QUIET`] without another write |
//! | written in place, and now much shorter or without its last line end | after [`UNFINISHED_QUIET`] |

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind},
};
use tokio::{
    sync::mpsc::{Receiver, channel},
    time::{Instant, sleep_until},
};
use tracing::warn;

use crate::config::{Stamp, Watched};

/// How long a file is left alone that is open for writing.
const QUIET: Duration = Duration::from_millis(40);
/// How long a file is left alone that looks half-written.
const UNFINISHED_QUIET: Duration = Duration::from_secs(2);
/// Longest wait for files that never come to rest.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often files are looked at without a hint: some file systems give none.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// How long after a load that could not be sure of a file everything is read again.
const SURE_AFTER: Duration = Duration::from_millis(100);
/// Hints that are kept; when more come, everything is looked at.
const HINTS_MAX: usize = 4096;
/// Symbolic links that are followed on the way to one file.
const LINKS_MAX: usize = 40;

/// Extensions of the files that a configuration may consist of.
const EXTENSIONS: [&str; 3] = ["toml", "jsonl", "sha256"];

type Hint = notify::Result<Event>;

/// Something that changed and may change further.
#[derive(Debug, Clone, Copy)]
struct Pending {
    since: Instant,
    due: Instant,
    /// Written in place: it may be half a file.
    in_place: bool,
}

impl Pending {
    /// When it counts as settled, whatever happens.
    fn latest(&self) -> Instant {
        self.due.min(self.since + PATIENCE)
    }
}

/// Watches what a configuration was read from.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    hints: Receiver<Hint>,
    /// Every file, and every link on the way to one.
    files: HashSet<PathBuf>,
    /// Directories where a new file may belong to the configuration.
    open: HashSet<PathBuf>,
    /// How the directories looked when they were searched.
    searched: HashMap<PathBuf, Option<Stamp>>,
    /// Directories that are watched, and which ones they were when the watch began.
    directories: HashMap<PathBuf, Option<(u64, u64)>>,
    /// How files looked when they were read last, or when they could not be.
    stamps: HashMap<PathBuf, Option<Stamp>>,
    /// Lengths of the files that are served.
    lengths: HashMap<PathBuf, u64>,
    /// Files that had no line end at their end when they were taken.
    without_line_end: HashSet<PathBuf>,
    pending: HashMap<PathBuf, Pending>,
    next_look: Instant,
    /// When everything is read again, because a file changed just before it was read.
    again: Option<Instant>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        let (sender, hints) = channel(HINTS_MAX);
        // A hint that finds no room is lost; the look without a hint finds what it told.
        let watcher = notify::recommended_watcher(move |hint: Hint| drop(sender.try_send(hint)));
        let watcher = watcher.inspect_err(|error| {
            warn!(%error, "files cannot be watched; they are looked at every few seconds");
        });
        Self {
            watcher: watcher.ok(),
            hints,
            files: HashSet::new(),
            open: HashSet::new(),
            searched: HashMap::new(),
            directories: HashMap::new(),
            stamps: HashMap::new(),
            lengths: HashMap::new(),
            without_line_end: HashSet::new(),
            pending: HashMap::new(),
            next_look: Instant::now() + LOOK_INTERVAL,
            again: None,
        }
    }

    /// Has everything read again in a moment: a file that changed just before it was read may have changed again
    /// without looking any different.
    pub(super) fn make_sure(&mut self) {
        self.again.get_or_insert(Instant::now() + SURE_AFTER);
    }

    /// Watches these from here on; `seen` is how the files looked when they were read, `accepted` whether what they
    /// said is served.
    pub(super) fn follow(&mut self, watched: &Watched, seen: &HashMap<PathBuf, Stamp>, accepted: bool) {
        let mut directories = HashSet::new();
        self.files.clear();
        // A directory is watched under its one real name, because the kernel knows no other; the files are known by
        // that name and by their own.
        let mut ways = Ways::default();
        for file in &watched.files {
            for step in ways.to(&absolute(file)) {
                if let (Some(parent), Some(name)) = (step.parent(), step.file_name()) {
                    let parent = ways.real(parent);
                    self.files.insert(parent.join(name));
                    directories.insert(parent);
                }
                self.files.insert(step);
            }
        }
        let open = watched.directories.iter().map(|directory| absolute(directory));
        self.open = open.flat_map(|directory| [real(&directory), directory]).collect();
        directories.extend(watched.directories.iter().map(|directory| real(&absolute(directory))));
        let searched = watched.directories.iter();
        self.searched =
            searched.map(|directory| (absolute(directory), seen.get(directory).copied())).collect();
        let begun = self.watch(directories);
        let before = std::mem::take(&mut self.stamps);
        for file in &watched.files {
            let path = absolute(file);
            let stamp = seen.get(file).copied().or_else(|| Stamp::of(&path));
            if accepted && before.get(&path) != Some(&stamp) {
                self.accept(&path, stamp);
            }
            self.stamps.insert(path, stamp);
        }
        self.look(); // what changed after it was read and before it was watched
        if accepted {
            self.look_for_new_files(watched, seen, &begun);
        }
    }

    /// Remembers what a file looks like when it is whole.
    fn accept(&mut self, path: &Path, stamp: Option<Stamp>) {
        match ends_with_a_line(path) {
            Some(false) => self.without_line_end.insert(path.to_path_buf()),
            _ => self.without_line_end.remove(path),
        };
        match stamp {
            Some(stamp) => self.lengths.insert(path.to_path_buf(), stamp.bytes()),
            None => self.lengths.remove(path),
        };
    }

    /// Files that came into a directory after it was searched and before it was watched.
    fn look_for_new_files(
        &mut self,
        watched: &Watched,
        seen: &HashMap<PathBuf, Stamp>,
        begun: &HashSet<PathBuf>,
    ) {
        let now = Instant::now();
        for directory in &watched.directories {
            let path = absolute(directory);
            if begun.contains(&real(&path)) && Stamp::of(&path) != seen.get(directory).copied() {
                self.pending.insert(path, Pending { since: now, due: now, in_place: false });
            }
        }
    }

    /// Watches these directories and no others; returns those that were not watched before.
    fn watch(&mut self, directories: HashSet<PathBuf>) -> HashSet<PathBuf> {
        let mut begun = HashSet::new();
        let Some(watcher) = &mut self.watcher else { return begun };
        let gone: Vec<_> =
            self.directories.keys().filter(|known| !directories.contains(*known)).cloned().collect();
        for directory in gone {
            let _ = watcher.unwatch(&directory);
            self.directories.remove(&directory);
        }
        for directory in directories {
            let identity = identity(&directory);
            if self.directories.get(&directory).is_some_and(|known| *known == identity && identity.is_some())
            {
                continue;
            }
            if self.directories.remove(&directory).is_some() {
                let _ = watcher.unwatch(&directory); // another directory of the same name
            }
            if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
                if identity.is_some() {
                    warn!(directory = %directory.display(), %error, "cannot be watched; its files are looked at");
                }
                continue;
            }
            begun.insert(directory.clone());
            self.directories.insert(directory, identity);
        }
        begun
    }

    /// Returns when something has changed and settled. Can be dropped at any time.
    pub(super) async fn settled(&mut self) {
        loop {
            let now = Instant::now();
            while let Ok(hint) = self.hints.try_recv() {
                self.note(hint, now);
            }
            if self.is_settled(now) || self.again.is_some_and(|again| again <= now && self.pending.is_empty())
            {
                self.pending.clear();
                self.again = None;
                return;
            }
            let wake = self.wake_at();
            tokio::select! {
                hint = self.hints.recv(), if self.watcher.is_some() => match hint {
                    Some(hint) => self.note(hint, Instant::now()),
                    None => self.watcher = None, // it has ended: from now on files are only looked at
                },
                () = sleep_until(wake) => {
                    if Instant::now() >= self.next_look {
                        self.next_look = Instant::now() + LOOK_INTERVAL;
                        self.look_everywhere();
                    }
                }
            }
        }
    }

    /// Whether everything has come to rest, or something has not for too long. A file that looks unfinished is given
    /// more time first.
    fn is_settled(&mut self, now: Instant) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let due: Vec<PathBuf> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.in_place && pending.due <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in due {
            let unfinished = self.looks_unfinished(&path);
            if let Some(pending) = self.pending.get_mut(&path) {
                pending.in_place = false;
                if unfinished {
                    pending.due = now + UNFINISHED_QUIET;
                }
            }
        }
        self.pending.values().all(|pending| pending.latest() <= now)
    }

    fn wake_at(&self) -> Instant {
        let settled = self.pending.values().map(Pending::latest).max();
        settled.or(self.again).map_or(self.next_look, |at| at.min(self.next_look))
    }

    fn note(&mut self, hint: Hint, now: Instant) {
        let Ok(event) = hint else { return self.look_everywhere() };
        if event.need_rescan() {
            return self.look_everywhere();
        }
        if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
            // A directory that comes back under this name is another one, whatever its number.
            for path in &event.paths {
                if let Some(known) = self.directories.get_mut(path) {
                    *known = None;
                }
            }
        }
        let (wait, in_place) = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => (Duration::ZERO, true),
            EventKind::Create(CreateKind::File)
            | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => (QUIET, true),
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Metadata(_)) => (QUIET, true),
            _ => (Duration::ZERO, false),
        };
        for path in event.paths {
            if !self.concerns(&path) {
                continue;
            }
            let due = now + wait;
            // A look without a hint knows the file by another name, where a link leads to its directory.
            for (_, other) in self.pending.iter_mut().filter(|(known, _)| is_same_file(known, &path)) {
                (other.due, other.in_place) = (due, in_place);
            }
            self.pending.entry(path).or_insert(Pending { since: now, due, in_place });
        }
    }

    fn concerns(&self, path: &Path) -> bool {
        let may_be_new = || {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
                && path.parent().is_some_and(|parent| self.open.contains(parent))
        };
        self.files.contains(path) || may_be_new() || self.open.contains(path)
    }

    /// Looks at every file and every directory without a hint.
    fn look_everywhere(&mut self) {
        self.look();
        let now = Instant::now();
        for (path, stamp) in &mut self.searched {
            let found = Stamp::of(path);
            if found != *stamp {
                *stamp = found;
                let pending = Pending { since: now, due: now, in_place: false };
                self.pending.entry(path.clone()).or_insert(pending);
            }
        }
    }

    /// Looks at every file without a hint.
    fn look(&mut self) {
        let now = Instant::now();
        for (path, stamp) in &self.stamps {
            if Stamp::of(path) != *stamp {
                let pending = Pending { since: now, due: now, in_place: true };
                self.pending.entry(path.clone()).or_insert(pending);
            }
        }
    }

    fn looks_unfinished(&self, path: &Path) -> bool {
        let Some(stamp) = Stamp::of(path) else { return false };
        let before = self.lengths.get(path).copied().unwrap_or(0);
        let much_shorter = stamp.bytes().saturating_mul(4) < before.saturating_mul(3);
        let of_lines = path
            .extension()
            .and_then(|found| found.to_str())
            .is_some_and(|found| EXTENSIONS.contains(&found));
        much_shorter
            || of_lines && !self.without_line_end.contains(path) && ends_with_a_line(path) == Some(false)
    }
}

/// Whether a path leads to the file that the kernel calls `real_name`.
fn is_same_file(path: &Path, real_name: &Path) -> bool {
    path == real_name || path.file_name() == real_name.file_name() && real(path) == real_name
}

/// A path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// What is known of directories and links while many files are looked at that lie side by side.
#[derive(Default)]
struct Ways {
    /// Where links lead, and none for what is no link.
    links: HashMap<PathBuf, Option<PathBuf>>,
    real: HashMap<PathBuf, PathBuf>,
}

impl Ways {
    /// The file itself and every symbolic link that leads to it, directories included.
    fn to(&mut self, path: &Path) -> Vec<PathBuf> {
        let mut steps = Vec::new();
        let mut rest: Vec<PathBuf> = components_of(path);
        let mut so_far = PathBuf::new();
        let mut links = 0;
        while let Some(component) = rest.pop() {
            if component == Path::new("..") {
                so_far.pop();
                continue;
            }
            let here = so_far.join(component);
            match self.link(&here) {
                Some(leads_to) if links < LINKS_MAX => {
                    links += 1;
                    let whole = so_far.join(leads_to);
                    steps.push(here);
                    so_far = PathBuf::new();
                    rest.extend(components_of(&whole));
                }
                _ => so_far = here,
            }
        }
        steps.push(path.to_path_buf());
        steps.push(so_far);
        steps
    }

    fn link(&mut self, path: &Path) -> Option<&Path> {
        if !self.links.contains_key(path) {
            self.links.insert(path.to_path_buf(), fs::read_link(path).ok());
        }
        self.links.get(path)?.as_deref()
    }

    fn real(&mut self, path: &Path) -> PathBuf {
        if let Some(known) = self.real.get(path) {
            return known.clone();
        }
        let found = real(path);
        self.real.insert(path.to_path_buf(), found.clone());
        found
    }
}

/// The last one first.
fn components_of(path: &Path) -> Vec<PathBuf> {
    let components = path.components().filter(|component| *component != Component::CurDir);
    let mut components: Vec<PathBuf> =
        components.map(|component| PathBuf::from(component.as_os_str())).collect();
    components.reverse();
    components
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    fs::metadata(directory).ok().map(|found| (found.dev(), found.ino()))
}

/// Whether the last byte of a file ends a line; none for an empty one, and for one that cannot be read.
fn ends_with_a_line(path: &Path) -> Option<bool> {
    let mut file = fs::File::open(path).ok()?;
    file.seek(SeekFrom::End(-1)).ok()?;
    let mut last = [0];
    file.read_exact(&mut last).ok()?;
    Some(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use super::Ways;

    #[test]
    fn every_link_on_the_way_is_known() {
        let root = std::env::temp_dir().join(format!("keyferry-way-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("..2026")).expect("a directory");
        fs::write(root.join("..2026/keyferry.toml"), "").expect("a file");
        symlink("..2026", root.join("..data")).expect("a link");
        symlink("..data/keyferry.toml", root.join("keyferry.toml")).expect("a link");
        let root_really = root.canonicalize().expect("it exists");
        let way = Ways::default().to(&root_really.join("keyferry.toml"));
        let names: Vec<PathBuf> =
            way.iter().filter_map(|step| step.strip_prefix(&root_really).ok().map(PathBuf::from)).collect();
        assert_eq!(
            names,
            ["keyferry.toml", "..data", "keyferry.toml", "..2026/keyferry.toml"].map(PathBuf::from)
        );
        let _ = fs::remove_dir_all(&root);
    }
}
