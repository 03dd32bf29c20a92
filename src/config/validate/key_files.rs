//! `key_files`: lists of keys too long for TOML, a million lines and more.
//!
//! `*.jsonl` holds one record a line (see [`record`]); `*.sha256` one hexadecimal SHA-256 a line, with blank
//! lines and comments behind `#`. No line of either kind is ever shown: a key may stand there by mistake.

use std::path::PathBuf;

use super::{
    super::{
        Severity,
        outside::{Outside, is_pattern},
        raw::Value,
        report::{Place, Problem, Report},
        value,
    },
    keys::Keys,
    record::{self, Record},
};
use crate::limits;

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

/// Reads every file that the patterns name and adds its keys. Returns why a file could not be read, if so.
pub(super) fn read(
    patterns: &[Value<'_>],
    consumer: Option<&str>,
    keys: &mut Keys,
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
    for (kind, path, pattern) in files {
        report.files.push(path.clone());
        match outside.read(&path, limits::KEY_FILE_BYTES_MAX) {
            Ok(bytes) => {
                let file = report.open(&path.display().to_string());
                let mut reader =
                    Reader { file, keys, wrong: 0, foreign: 0, expired: 0, now: outside.now_millis() };
                match kind {
                    Kind::Records => reader.records(&bytes, consumer, report),
                    Kind::Digests => reader.digests(&bytes, report),
                }
                reader.finish(report);
            }
            Err(sentence) => {
                let sentence = format!("{}: {sentence}", path.display());
                pattern.add(Severity::Broken, Problem::plain(sentence.clone()), report);
                broken.get_or_insert(sentence);
            }
        }
    }
    broken
}

fn paths(
    pattern: &Value<'_>,
    outside: &dyn Outside,
    broken: &mut Option<String>,
    report: &mut Report,
) -> Vec<PathBuf> {
    let Some(text) = pattern.text(report) else { return Vec::new() };
    match outside.matches(&pattern.source().base, text) {
        Ok(paths) => {
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
    file: usize,
    keys: &'a mut Keys,
    wrong: usize,
    foreign: usize,
    expired: usize,
    now: i64,
}

impl Reader<'_> {
    fn digests(&mut self, bytes: &[u8], report: &mut Report) {
        self.keys.reserve(bytes.len() / DIGEST_LINE_BYTES + 1);
        for (at, line) in lines(bytes).enumerate() {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            match value::hex_digest(line) {
                Some(digest) => self.keys.add_digest(digest, self.place(at)),
                None => {
                    let help = "write 64 hexadecimal digits and nothing else; `keyferry hash` makes them";
                    self.wrong_line(at, None, Problem::new("not a SHA-256 digest", help), report);
                }
            }
        }
    }

    fn records(&mut self, bytes: &[u8], consumer: Option<&str>, report: &mut Report) {
        self.keys.reserve(bytes.len() / RECORD_LINE_BYTES + 1);
        for (at, line) in lines(bytes).enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match record::read(line) {
                Ok(Record { key, consumer: named }) => {
                    self.foreign += usize::from(named.is_some() && named.as_deref() != consumer);
                    self.expired += usize::from(key.window.expires <= self.now);
                    if let Err(problem) = self.keys.add(key, self.place(at), report) {
                        self.wrong_line(at, None, problem, report);
                    }
                }
                Err((member, problem)) => self.wrong_line(at, member, problem, report),
            }
        }
    }

    fn finish(self, report: &mut Report) {
        let whole = Place { file: self.file, line: 0, column: 0 };
        let hidden = self.wrong.saturating_sub(WRONG_LINES_MAX);
        if hidden > 0 {
            let problem = Problem::plain(format!("{hidden} more lines are wrong"));
            report.add(Severity::Error, whole, None, None, problem);
        }
        if self.expired > 0 {
            let problem = Problem::plain(format!("{} of its keys have expired", self.expired));
            report.add(Severity::Warning, whole, None, None, problem);
        }
        if self.foreign > 0 {
            let message =
                format!("{} of its records name another consumer than their credential does", self.foreign);
            let help = "their keys count as the credential's; give each consumer a credential of its own to tell them apart";
            report.add(
                Severity::Warning,
                whole,
                Some("consumer".to_owned()),
                None,
                Problem::new(message, help),
            );
        }
    }

    fn wrong_line(&mut self, at: usize, member: Option<String>, problem: Problem, report: &mut Report) {
        self.wrong += 1;
        if self.wrong <= WRONG_LINES_MAX {
            report.add(Severity::Error, self.place(at), member, None, problem);
        }
    }

    fn place(&self, at: usize) -> Place {
        Place { file: self.file, line: at + 1, column: 0 }
    }
}
