//! TOML with the place of every value: a thin reader over the parsed tree.
//!
//! A [`Table`] remembers which keys were asked for, so that [`Table::finish`] can refuse the others. A
//! [`Value`] knows its dotted path and whether it may be shown. It knows nothing of what the keys mean:
//! `validate` asks.

use std::{ops::Range, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use zeroize::Zeroizing;

use super::{
    Severity,
    plan::Origin,
    report::{Place, Problem, Report},
    suggest::nearest,
};

/// Characters of a value that a diagnostic shows.
const EXCERPT_CHARS_MAX: usize = 80;
/// Up to here columns are counted in characters, beyond it in bytes: a file that is one long line stays cheap.
const COLUMN_CHARS_MAX: usize = 4096;

/// One file: its text, and where its lines begin.
pub(super) struct Source {
    /// Number in the [`Report`].
    pub file: usize,
    /// Directory that relative paths in it start from.
    pub base: PathBuf,
    /// Whether it is the file that was named on the command line, not an included one.
    pub main: bool,
    text: Zeroizing<String>,
    line_starts: Vec<usize>,
}

/// A parsed file.
pub(super) struct Tree<'a> {
    source: &'a Source,
    entries: Spanned<DeTable<'a>>,
}

/// A table that is being read.
pub(super) struct Table<'a> {
    source: &'a Source,
    path: String,
    place: usize,
    entries: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

/// A value that was asked for.
#[derive(Clone)]
pub(super) struct Value<'a> {
    source: &'a Source,
    /// Dotted path of it.
    pub path: String,
    span: Range<usize>,
    inner: &'a DeValue<'a>,
    secret: bool,
}

impl Source {
    /// Takes a text over.
    pub fn new(file: usize, base: PathBuf, main: bool, text: Zeroizing<String>) -> Self {
        let line_starts =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Self { file, base, main, text, line_starts }
    }

    /// Line and column of a position in the text.
    pub fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let bytes = offset.saturating_sub(start);
        let column = match self.text.get(start..offset) {
            Some(before) if bytes <= COLUMN_CHARS_MAX => before.chars().count(),
            _ => bytes,
        };
        Place { file: self.file, line, column: column + 1 }
    }

    fn excerpt(&self, span: &Range<usize>) -> String {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let mut shown: String = written.chars().take(EXCERPT_CHARS_MAX).flat_map(visible).collect();
        if written.chars().nth(EXCERPT_CHARS_MAX).is_some() {
            shown.push('…');
        }
        shown
    }
}

impl<'a> Tree<'a> {
    /// Parses a file; each error of syntax goes into the report, and what could be read is read.
    pub fn parse(source: &'a Source, report: &mut Report) -> Self {
        let (entries, errors) = DeTable::parse_recoverable(&source.text);
        for error in errors {
            // Only the message: the error's own Display quotes the line, secrets included.
            let place = error
                .span()
                .map_or(Place { file: source.file, line: 0, column: 0 }, |at| source.place(at.start));
            report.add_syntax(place, Problem::plain(format!("not TOML: {}", error.message())));
        }
        Self { source, entries }
    }

    /// The table of the whole file.
    pub fn root(&'a self) -> Table<'a> {
        Table {
            source: self.source,
            path: String::new(),
            place: 0,
            entries: self.entries.get_ref(),
            asked: Vec::new(),
        }
    }
}

impl<'a> Table<'a> {
    /// The file it stands in.
    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        self.source.place(self.place)
    }

    /// The same, for what is found out when the file is read.
    pub fn origin(&self, report: &Report) -> Origin {
        report.origin(self.place(), self.path.clone())
    }

    /// The file as a whole.
    pub fn whole(&self) -> Place {
        Place { file: self.source.file, line: 0, column: 0 }
    }

    /// Asks for a key.
    pub fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let (name, value) = self.entries.get_key_value(key)?;
        Some(self.child(name.get_ref(), value, false))
    }

    /// Asks for a key whose value is, or may be, a secret: no diagnostic will show it.
    pub fn take_secret(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.take(key).map(|value| Value { secret: true, ..value })
    }

    /// Asks for a key that must be there.
    pub fn require(&mut self, key: &'static str, help: &str, report: &mut Report) -> Option<Value<'a>> {
        let found = self.take(key);
        if found.is_none() {
            self.missing(key, help, report);
        }
        found
    }

    /// The same, for a value that may not be shown.
    pub fn require_secret(
        &mut self,
        key: &'static str,
        help: &str,
        report: &mut Report,
    ) -> Option<Value<'a>> {
        self.require(key, help, report).map(|value| Value { secret: true, ..value })
    }

    /// Asks for a list of tables, `[[key]]`.
    pub fn tables(&mut self, key: &'static str, report: &mut Report) -> Vec<Table<'a>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        if matches!(value.inner, DeValue::Table(_)) {
            let help = format!("write [[{key}]], with two brackets");
            value.error(Problem::new("it is a list of tables", help), report);
            return Vec::new();
        }
        value.list(report).iter().filter_map(|item| item.table(report)).collect()
    }

    /// Asks for every key there is, as values that may not be shown: the keys are names that the operator chose.
    pub fn take_all(&mut self) -> Vec<(&'a str, Value<'a>)> {
        let children = self.entries.iter();
        children
            .map(|(name, value)| (name.get_ref().as_ref(), self.child(name.get_ref(), value, true)))
            .collect()
    }

    /// Reports that a key is not there.
    pub fn missing(&self, key: &str, help: &str, report: &mut Report) {
        let problem = Problem::new(format!("{key} is missing"), help);
        report.add(Severity::Error, self.place(), self.named(), None, problem);
    }

    /// Reports that the table as a whole cannot be used.
    pub fn error(&self, problem: Problem, report: &mut Report) {
        self.add(Severity::Error, problem, report);
    }

    /// Reports something about the table as a whole.
    pub fn add(&self, severity: Severity, problem: Problem, report: &mut Report) {
        report.add(severity, self.place(), self.named(), None, problem);
    }

    /// Reports every key that nobody asked for. Their values are not shown: a misspelt `token` holds a token.
    pub fn finish(self, report: &mut Report) {
        #[cfg(test)]
        report.asked.extend(self.asked.iter().map(|key| (without_positions(&self.path), *key)));
        for (name, _) in self.entries {
            let key = name.get_ref().as_ref();
            if self.asked.contains(&key) {
                continue;
            }
            let help = match nearest(key, self.asked.iter().copied()) {
                Some(word) => format!("did you mean {word}?"),
                None => format!("the keys here are {}", self.asked.join(", ")),
            };
            let place = self.source.place(name.span().start);
            report.add(
                Severity::Error,
                place,
                Some(self.path_of(key)),
                None,
                Problem::new("unknown key", help),
            );
        }
    }

    fn child(&self, name: &str, value: &'a Spanned<DeValue<'a>>, secret: bool) -> Value<'a> {
        Value {
            source: self.source,
            path: self.path_of(name),
            span: value.span(),
            inner: value.get_ref(),
            secret,
        }
    }

    fn path_of(&self, key: &str) -> String {
        let key: String = key.chars().take(EXCERPT_CHARS_MAX).flat_map(visible).collect();
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn named(&self) -> Option<String> {
        (!self.path.is_empty()).then(|| self.path.clone())
    }
}

impl<'a> Value<'a> {
    /// The file it stands in.
    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        self.source.place(self.span.start)
    }

    /// What kind of value it is.
    pub fn inner(&self) -> &'a DeValue<'a> {
        self.inner
    }

    /// The same value, not to be shown from here on.
    pub fn masked(self) -> Self {
        Self { secret: true, ..self }
    }

    /// A string, or a report that it is none.
    pub fn text(&self, report: &mut Report) -> Option<&'a str> {
        let found = self.inner.as_str();
        if found.is_none() {
            self.wrong_type("a string", report);
        }
        found
    }

    /// `true` or `false`, or a report.
    pub fn boolean(&self, report: &mut Report) -> Option<bool> {
        let found = self.inner.as_bool();
        if found.is_none() {
            self.wrong_type("true or false", report);
        }
        found
    }

    /// The members of a list, or a report and none.
    pub fn list(&self, report: &mut Report) -> Vec<Value<'a>> {
        let Some(array) = self.inner.as_array() else {
            self.wrong_type("a list", report);
            return Vec::new();
        };
        let alone = array.len() == 1;
        let path = |at| if alone { self.path.clone() } else { format!("{}[{at}]", self.path) };
        let member = |(at, item): (usize, &'a Spanned<DeValue<'a>>)| Value {
            path: path(at),
            span: item.span(),
            inner: item.get_ref(),
            ..self.clone()
        };
        array.iter().enumerate().map(member).collect()
    }

    /// A table, or a report.
    pub fn table(&self, report: &mut Report) -> Option<Table<'a>> {
        let Some(entries) = self.inner.as_table() else {
            self.wrong_type("a table", report);
            return None;
        };
        let (source, path, place) = (self.source, self.path.clone(), self.span.start);
        Some(Table { source, path, place, entries, asked: Vec::new() })
    }

    /// A string that `read` understands, or a report of what it says.
    pub fn convert<T>(
        &self,
        report: &mut Report,
        read: impl FnOnce(&'a str) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.text(report)?;
        self.accept(read(text), report)
    }

    /// What was read, or a report of why not.
    pub fn accept<T>(&self, read: Result<T, Problem>, report: &mut Report) -> Option<T> {
        read.map_err(|problem| self.error(problem, report)).ok()
    }

    /// Reports that the value cannot be used.
    pub fn error(&self, problem: Problem, report: &mut Report) {
        self.add(Severity::Error, problem, report);
    }

    /// Reports something about the value.
    pub fn add(&self, severity: Severity, problem: Problem, report: &mut Report) {
        report.add(severity, self.place(), Some(self.path.clone()), Some(self.shown()), problem);
    }

    fn wrong_type(&self, wanted: &str, report: &mut Report) {
        let found = self.inner.type_str();
        self.error(Problem::plain(format!("it is of type {found} where {wanted} is needed")), report);
    }

    fn shown(&self) -> String {
        match self.inner {
            _ if self.secret => "…".to_owned(),
            DeValue::Array(_) => "[…]".to_owned(),
            DeValue::Table(_) => "{…}".to_owned(),
            _ => self.source.excerpt(&self.span),
        }
    }
}

/// A path without the positions in its lists: what the documentation calls it.
#[cfg(test)]
fn without_positions(path: &str) -> String {
    path.split('.').map(|part| part.split('[').next().unwrap_or(part)).collect::<Vec<_>>().join(".")
}

/// A character as a terminal may show it: what would move the cursor or hide is escaped.
fn visible(character: char) -> impl Iterator<Item = char> {
    let hidden = character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let escaped = hidden.then(|| character.escape_unicode());
    let plain = (!hidden).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}
