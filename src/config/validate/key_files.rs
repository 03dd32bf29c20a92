//! `key_files`: lists of keys too long for TOML, a million lines and more.
//!
//! `*.jsonl` holds one record a line (see [`record`]); `*.sha256` one hexadecimal SHA-256 a line, with blank
//! lines and comments behind `#`. No line of either kind is ever shown: a key may stand there by mistake.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        Severity,
        files::KeyFile,
        outside::{Outside, directory_of, is_pattern},
        plan::KeyList,
        raw::Value,
        report::{Place, Problem, Report},
    },
    keys::Keys,
    record::{self, Record},
};
use crate::types::digest_from_hex;
/// Length of a line of a list, its end included.
const DIGEST_LINE_BYTES: usize = 65;
/// Length of a short record: what is reserved for a file must not exceed what its keys could need.
const RECORD_LINE_BYTES: usize = 200;
/// Wrong lines of one file that are reported one by one.
const WRONG_LINES_MAX: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Records,
    Digests,
}

/// Consumers of one file that are told apart; the records of any more are counted together.
const CONSUMERS_MAX: usize = 1_000;

/// Reads every file that the patterns name and adds its keys. Returns why a file could not be read, if so.
pub(super) fn read(
    patterns: &[Value<'_>],
    consumer: Option<&str>,
    lists: &mut Vec<Arc<KeyList>>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<String> {
    let mut files: Vec<(Kind, PathBuf, &Value<'_>)> = Vec::new();
    let mut broken = None;
    for pattern in patterns {
        for path in paths(pattern, outside, &mut broken, report) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("jsonl") => files.push((Kind::Records, path, pattern)),
                Some("sha256") => files.push((Kind::Digests, path, pattern)),
                _ => {
                    let message = format!("{} is neither a *.jsonl nor a *.sha256 file", path.display());
                    let help = r#"write patterns such as "keys.d/*.jsonl" and "keys.d/*.sha256""#;
                    pattern.error(Problem::new(message, help), report);
                }
            }
        }
    }
    files.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
    files.dedup_by(|left, right| left.1 == right.1);
    outside.expect_key_files(&files.iter().map(|(_, path, _)| path.as_path()).collect::<Vec<_>>());
    for (kind, path, pattern) in files {
        report.files.push(path.clone());
        let name = path.display().to_string();
        match outside.key_file(&path, &|bytes| parse(kind, &name, bytes, outside.now_millis())) {
            Ok(file) => {
                tell(&file, &name, consumer, report);
                lists.push(Arc::clone(&file.list));
            }
            Err(sentence) => {
                let sentence = format!("{name}: {sentence}");
                pattern.add(Severity::Broken, Problem::plain(sentence.clone()), report);
                broken.get_or_insert(sentence);
            }
        }
    }
    broken
}

/// Reports what was found in a file, when it was read now or earlier.
fn tell(found: &KeyFile, name: &str, consumer: Option<&str>, report: &mut Report) {
    let file = report.open(name);
    let whole = Place { file, line: 0, column: 0 };
    for (line, member, problem) in found.wrong.iter().take(WRONG_LINES_MAX) {
        let place = Place { line: *line, ..whole };
        report.add(Severity::Error, place, member.clone(), None, problem.clone());
    }
    let hidden = found.wrong.len().saturating_sub(WRONG_LINES_MAX);
    if hidden > 0 {
        let problem = Problem::plain(format!("{hidden} more lines are wrong"));
        report.add(Severity::Error, whole, None, None, problem);
    }
    if found.expired > 0 {
        let problem = Problem::plain(format!("{} of its keys have expired", found.expired));
        report.add(Severity::Warning, whole, None, None, problem);
    }
    let named = found.consumers.iter().filter(|(named, _)| named.is_some() && named.as_deref() != consumer);
    let foreign: usize = named.map(|(_, count)| count).sum();
    if foreign > 0 {
        let message = format!("{foreign} of its records name another consumer than their credential does");
        let help = "their keys count as the credential's; give each consumer a credential of its own to tell them apart";
        let problem = Problem::new(message, help);
        report.add(Severity::Warning, whole, Some("consumer".to_owned()), None, problem);
    }
}

/// Reads the lines of a file.
fn parse(kind: Kind, name: &str, bytes: &[u8], now: i64) -> KeyFile {
    let mut reader = Reader { name, wrong: Vec::new(), expired: 0, consumers: BTreeMap::new(), now };
    let list = match kind {
        Kind::Records => reader.records(bytes),
        Kind::Digests => reader.digests(bytes),
    };
    KeyFile {
        list: Arc::new(list),
        wrong: reader.wrong,
        expired: reader.expired,
        consumers: reader.consumers,
    }
}

fn paths(
    pattern: &Value<'_>,
    outside: &dyn Outside,
    broken: &mut Option<String>,
    report: &mut Report,
) -> Vec<PathBuf> {
    let Some(text) = pattern.text(report) else { return Vec::new() };
    report.directories.push(directory_of(&pattern.source().base, text));
    match outside.matches(&pattern.source().base, text) {
        Ok(paths) => {
            report.directories.extend(paths.iter().filter_map(|path| path.parent().map(Path::to_path_buf)));
            if paths.is_empty() && is_pattern(text) {
                pattern.add(Severity::Warning, Problem::plain("it names no file"), report);
            }
            paths
        }
        Err(sentence) => {
            pattern.add(Severity::Broken, Problem::plain(sentence.clone()), report);
            broken.get_or_insert(format!("{text}: {sentence}"));
            Vec::new()
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
    ends.map(move |end| {
        let line = bytes.get(start..end).unwrap_or_default();
        start = end + 1;
        line
    })
}

/// One file while its lines are read.
struct Reader<'a> {
    name: &'a str,
    wrong: Vec<(usize, Option<String>, Problem)>,
    expired: usize,
    consumers: BTreeMap<Option<String>, usize>,
    now: i64,
}

impl Reader<'_> {
    fn digests(&mut self, bytes: &[u8]) -> KeyList {
        let mut digests = Vec::with_capacity(bytes.len() / DIGEST_LINE_BYTES + 1);
        for (at, line) in lines(bytes).enumerate() {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            match digest_from_hex(line) {
                Some(digest) => digests.push(digest),
                None => {
                    let help = "write 64 hexadecimal digits and nothing else; `keyferry hash` makes them";
                    self.wrong.push((at + 1, None, Problem::new("not a SHA-256 digest", help)));
                }
            }
        }
        KeyList::of_digests(self.name, digests)
    }

    fn records(&mut self, bytes: &[u8]) -> KeyList {
        let mut keys = Keys::default();
        keys.reserve(bytes.len() / RECORD_LINE_BYTES + 1);
        let locate = |place: Place| format!("{}:{}", self.name, place.line);
        for (at, line) in lines(bytes).enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let place = Place { file: 0, line: at + 1, column: 0 };
            match record::read(line) {
                Ok(Record { key, consumer }) => {
                    let told_apart =
                        self.consumers.len() < CONSUMERS_MAX || self.consumers.contains_key(&consumer);
                    let consumer = if told_apart { consumer } else { Some(String::new()) };
                    *self.consumers.entry(consumer).or_default() += 1;
                    self.expired += usize::from(key.window.expires <= self.now);
                    if let Err(problem) = keys.add(key, place, &locate) {
                        self.wrong.push((at + 1, None, problem));
                    }
                }
                Err((member, problem)) => self.wrong.push((at + 1, member, problem)),
            }
        }
        keys.into_list(self.name)
    }
}
