//! Rules of this repository that no compiler checks: who may import whom, which rooms stay pure, where `unsafe`
//! and the runtime may be named, and what a file must and must not have.
//!
//! It reads source text, not syntax trees: comments and strings are blanked out, and what is left is looked at word
//! by word. Every check is a function from text to findings, and is shown to fail on a planted example.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/lines.rs"]
mod lines;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use imports::{forbidden_imports, is_test_file};
use lines::{indiscretions, unexplained_dependencies, untidy_lines};
use words::{
    exemptions_without_reason, misplaced_unsafe, missing_description, named, unfinished, without_tests,
};

// --- the rules -------------------------------------------------------------------------------------

/// Who may import whom. A name with a path opens only that part of a room. Tests inside a room are held to the
/// same table, with `TEST_EDGES` added.
const EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("limits", &[]),
    ("protocol", &[]),
    ("quota", &[]),
    ("telemetry", &[]),
    ("config", &[]),
    ("store", &["config"]),
    ("snapshot", &["protocol::http"]),
    ("policy", &["snapshot", "quota", "protocol::http"]),
    ("shard", &["protocol", "policy", "quota", "snapshot", "telemetry"]),
    ("compile", &["config", "store", "snapshot"]),
    ("import", &["config", "store"]),
    ("migration", &["store", "telemetry"]),
    // What an operator asks of a decision takes the operator's words and the decision, which no other room knows both.
    ("explain", &["config", "compile", "store", "snapshot", "policy", "protocol"]),
    ("control", &["config", "compile", "store", "migration", "snapshot", "telemetry", "explain"]),
    ("admin", &["control", "store", "migration", "import", "telemetry"]),
    (
        "run",
        &[
            "protocol",
            "quota",
            "telemetry",
            "config",
            "store",
            "snapshot",
            "policy",
            "shard",
            "compile",
            "import",
            "migration",
            "explain",
            "control",
            "admin",
        ],
    ),
    ("cli", &["run", "config", "compile", "store", "explain", "import", "admin"]),
];

/// Open to all.
const OPEN: &[&str] = &["types", "limits"];

/// Edges beyond the table, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// What the tests inside a room may import as well.
const TEST_EDGES: &[(&str, &str, &str)] = &[
    ("shard", "compile", "a shard is prepared from the snapshot of an empty file"),
    ("shard", "config", "the same"),
    ("policy", "protocol::h1", "a decision is tested on heads as they arrive"),
];

/// Rooms, and parts of rooms, that decide and compute and touch nothing else.
const PURE: &[&str] = &[
    "src/types/",
    "src/limits.rs",
    "src/protocol/",
    "src/snapshot/",
    "src/policy/",
    "src/config/validate/",
    "src/compile/",
    "src/explain/",
];

/// Words that a pure room does not name outside its tests: sockets, files, clocks, randomness, locks, threads.
const IMPURE: &[&str] = &[
    "monoio",
    "io_uring",
    "tokio",
    "socket2",
    "mio",
    "libc",
    "axum",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "OwnedFd",
    "RawFd",
    "File",
    "OpenOptions",
    "Instant",
    "SystemTime",
    "rand",
    "SecureRandom",
    "SystemRandom",
    "Mutex",
    "RwLock",
    "Condvar",
    "Once",
    "OnceLock",
    "LazyLock",
    "thread",
    "thread_local",
    "mpsc",
    "unsafe",
    "async",
    "await",
];

/// The one file that names the runtime.
const RUNTIME_FILE: &str = "src/shard/io.rs";

/// Files that may hold `unsafe` code, each with its reason.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("src/shard/buffer.rs", "memory that the kernel writes to"),
    ("src/shard/sys.rs", "system calls that no other crate wraps"),
    ("tests/allocation.rs", "an allocator that counts"),
    ("tests/drivers.rs", "a filter of system calls, and a thread that is stopped"),
];

/// Directories with files of ours.
const PLACES: &[&str] = &["src", "tests", "benches", "loadtest", "config", "docs", "fuzz", "examples"];

/// Directories that are not text, or not ours.
const NOT_OURS: &[&str] = &["target", "corpus", "artifacts", "coverage", "data", "node_modules", ".git"];

// --- the checks on this repository -----------------------------------------------------------------

#[test]
fn rooms_import_only_whom_they_may() {
    report(sources("src").flat_map(|file| forbidden_imports(&file.name, &file.text)));
}

#[test]
fn pure_rooms_touch_nothing() {
    let is_pure = |file: &File| PURE.iter().any(|place| file.name.starts_with(place));
    let pure = sources("src").filter(|file| is_pure(file) && !is_test_file(&file.name));
    report(pure.flat_map(|file| named(&file.name, without_tests(&file.text), IMPURE)));
}

#[test]
fn the_runtime_is_named_in_one_file() {
    let others = everywhere().filter(|file| file.name != RUNTIME_FILE);
    report(others.flat_map(|file| named(&file.name, &file.text, &["monoio"])));
    assert!(
        source::words(&source::blank(&read(RUNTIME_FILE))).any(|word| word == "monoio"),
        "the rule has outlived its file"
    );
}

#[test]
fn unsafe_code_stays_where_it_is_argued_for() {
    report(everywhere().flat_map(|file| {
        let allowed = UNSAFE_FILES.iter().any(|(name, _)| *name == file.name);
        misplaced_unsafe(&file.name, &file.text, allowed)
    }));
}

#[test]
fn every_file_says_what_it_is() {
    report(everywhere().flat_map(|file| missing_description(&file.name, &file.text)));
}

#[test]
fn nothing_is_left_for_later() {
    report(everywhere().flat_map(|file| unfinished(&file.name, &file.text)));
}

#[test]
fn exemptions_from_lints_have_a_reason() {
    report(everywhere().flat_map(|file| exemptions_without_reason(&file.name, &file.text)));
}

#[test]
fn lines_end_where_they_end() {
    report(texts().flat_map(|file| untidy_lines(&file.name, &file.text)));
}

#[test]
fn nothing_tells_of_a_machine_or_opens_a_door() {
    report(texts().flat_map(|file| indiscretions(&file.name, &file.text)));
}

#[test]
fn every_dependency_has_a_reason() {
    report(unexplained_dependencies("Cargo.toml", &read("Cargo.toml")).into_iter());
}

/// A room that is not in the table would be free to import anything.
#[test]
fn every_room_is_in_the_table() {
    let rooms = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().file_name());
    for room in rooms.map(|name| name.into_string().unwrap()) {
        let room = room.trim_end_matches(".rs");
        assert!(matches!(room, "main" | "lib") || EDGES.iter().any(|(name, _)| *name == room), "{room}");
    }
}

// --- files -----------------------------------------------------------------------------------------

struct File {
    name: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn sources(place: &str) -> impl Iterator<Item = File> {
    files(place, &["rs"]).into_iter()
}

/// Every source file of ours.
fn everywhere() -> impl Iterator<Item = File> {
    PLACES.iter().flat_map(|place| sources(place))
}

/// Every text of ours.
fn texts() -> impl Iterator<Item = File> {
    let top = ["Cargo.toml", "clippy.toml", "deny.toml", "rustfmt.toml", "README.md", "CHANGELOG.md"];
    let top = top.into_iter().filter(|name| root().join(name).exists());
    let top = top.map(|name| File { name: name.to_string(), text: read(name) });
    let places =
        PLACES.iter().flat_map(|place| files(place, &["rs", "toml", "md", "sh", "yml", "yaml", "jsonl"]));
    top.chain(places)
}

fn files(place: &str, endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(place)];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one)) {
                let name = relative(&path);
                found.push(File { text: read(&name), name });
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

#[track_caller]
fn report(findings: impl Iterator<Item = String>) {
    let findings: Vec<_> = findings.collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
