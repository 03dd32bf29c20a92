//! The findings of one load, collected while it goes on, and the files that it read.
//!
//! Used by every part of this room; `load` turns it into the answer. It is bounded: after
//! [`DIAGNOSTICS_MAX`] findings the rest are only counted.

#[cfg(test)]
use std::collections::BTreeSet;
use std::{collections::HashSet, path::PathBuf, sync::Arc};

use super::{Diagnostic, Severity, plan::Origin};

/// Findings that are kept: more than anyone reads, and a bound for a file that is wrong in every byte.
const DIAGNOSTICS_MAX: usize = 1_000;

/// A position in a file, small enough to be kept for every name and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the file, from [`Report::open`].
    pub file: usize,
    /// Line, from 1; 0 is the whole file.
    pub line: usize,
    /// Column, from 1; 0 is the whole line.
    pub column: usize,
}

/// What is wrong with a value and what to write instead, before it is known where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// A problem and its remedy.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }

    /// A problem whose remedy goes without saying.
    pub fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }
}

/// What a configuration was read from: if anything there changes, it is to be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Every file that was read or asked for.
    pub files: Vec<PathBuf>,
    /// Directories in which further files may appear.
    pub directories: Vec<PathBuf>,
}

/// The findings so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    names: Vec<Arc<str>>,
    diagnostics: Vec<(usize, Diagnostic)>,
    dropped: usize,
    errors: usize,
    /// Lines with an error of syntax: whatever else is said about them is a consequence.
    torn: HashSet<(usize, usize)>,
    /// Every file that was read or asked for, for watching.
    pub files: Vec<PathBuf>,
    /// Directories in which files may appear that belong to the configuration, for watching.
    pub directories: Vec<PathBuf>,
    /// Every table and key that was asked for: what the documentation has to describe.
    #[cfg(test)]
    pub asked: BTreeSet<(String, &'static str)>,
}

impl Report {
    /// Gives a file its number.
    pub fn open(&mut self, name: &str) -> usize {
        self.names.push(name.into());
        self.names.len() - 1
    }

    /// A place that outlives the report, for what is found out later.
    pub fn origin(&self, place: Place, key: String) -> Origin {
        let file = self.names.get(place.file).cloned().unwrap_or_else(|| "".into());
        Origin { file, line: place.line, column: place.column, key }
    }

    /// A place as it stands in a sentence: `conf.d/a.toml:3:8`.
    pub fn locate(&self, place: Place) -> String {
        let mut text = self.name(place.file).to_owned();
        for number in [place.line, place.column] {
            if number > 0 {
                text.push_str(&format!(":{number}"));
            }
        }
        text
    }

    /// Adds an error of syntax. What is left of its line makes no sense, and may be the rest of a secret that
    /// was taken for a key: nothing more is said about that line.
    pub fn add_syntax(&mut self, place: Place, problem: Problem) {
        self.torn.remove(&(place.file, place.line));
        self.add(Severity::Error, place, None, None, problem);
        self.torn.insert((place.file, place.line));
    }

    /// Adds a finding.
    pub fn add(
        &mut self,
        severity: Severity,
        place: Place,
        key: Option<String>,
        value: Option<String>,
        problem: Problem,
    ) {
        if place.line > 0 && self.torn.contains(&(place.file, place.line)) {
            return;
        }
        self.errors += usize::from(severity == Severity::Error);
        if self.diagnostics.len() >= DIAGNOSTICS_MAX {
            self.dropped += 1;
            return;
        }
        let diagnostic = Diagnostic {
            severity,
            file: self.name(place.file).to_owned(),
            line: place.line,
            column: place.column,
            key,
            value,
            message: problem.message,
            help: problem.help,
        };
        self.diagnostics.push((place.file, diagnostic));
    }

    /// Whether the configuration can be used so far.
    pub fn usable(&self) -> bool {
        self.errors == 0
    }

    /// Every finding in the order of the files, and whether the configuration can be used.
    pub fn finish(mut self) -> (Vec<Diagnostic>, Watched, bool) {
        self.diagnostics.sort_by_key(|(file, found)| (*file, found.line, found.column));
        let (usable, first) = (self.usable(), self.name(0).to_owned());
        let mut diagnostics: Vec<_> = self.diagnostics.into_iter().map(|(_, found)| found).collect();
        if self.dropped > 0 {
            diagnostics.push(Diagnostic {
                severity: if usable { Severity::Warning } else { Severity::Error },
                file: first,
                line: 0,
                column: 0,
                key: None,
                value: None,
                message: format!("{} more findings are not shown", self.dropped),
                help: None,
            });
        }
        self.directories.sort_unstable();
        self.directories.dedup();
        (diagnostics, Watched { files: self.files, directories: self.directories }, usable)
    }

    fn name(&self, file: usize) -> &str {
        self.names.get(file).map_or("", |name| name)
    }
}
