//! Reads the operator's files and hands them to the checks: the entry to this room.
//!
//! The order: the main file, the files that it includes, and whatever their values name (secrets, lists of
//! keys) while they are checked. Nothing here knows what a key means, except `include`.

use std::{
    cell::RefCell,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    Diagnostic, Plan, Severity, Stamp,
    files::Files,
    outside::{Disk, Nothing, Outside, directory_of, is_pattern},
    raw::{Source, Tree, Value},
    report::{Place, Problem, Report, Watched},
    validate,
};
use crate::{
    limits,
    types::{Endpoint, Pace},
};

/// What is included when `include` is not set, if the directory exists.
const INCLUDE_DIRECTORY: &str = "conf.d";
const INCLUDE_DEFAULT: &str = "conf.d/*.toml";

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub plan: Plan,
    /// What is broken or doubtful in it; never an error.
    pub diagnostics: Vec<Diagnostic>,
    /// What it was read from.
    pub watched: Watched,
}

/// One load of a file, successful or not.
#[derive(Debug)]
pub struct Attempt {
    /// The configuration, or everything that is wrong.
    pub result: Result<Loaded, Vec<Diagnostic>>,
    /// What was read, or asked for.
    pub watched: Watched,
    /// How many lists of keys were read rather than remembered.
    pub key_files_read: usize,
}

/// Loads the same file again and again, and reads only those lists of keys again that changed.
#[derive(Default)]
pub struct Loader {
    files: Files,
}

impl Loader {
    /// Loads the file at `path` and all that it names. Environment variables are looked up with `environment`.
    ///
    /// A file that could be read for the configuration accepted last, and cannot be read now or is empty, is an
    /// error, unless `force` is set: it is more likely about to be written than meant to be gone.
    pub fn load(
        &mut self,
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
        force: bool,
    ) -> Attempt {
        let mut files = std::mem::take(&mut self.files);
        files.begin(force);
        let outside = Disk { environment, files: RefCell::new(files) };
        let mut report = Report::default();
        let plan = load_file(path, &outside, &mut report);
        let Disk { files, .. } = outside;
        self.files = files.into_inner();
        for (lost, sentence) in self.files.lost() {
            let place = Place { file: report.open(&lost.display().to_string()), line: 0, column: 0 };
            let message = format!("what was there before cannot be read: {sentence}");
            let help = "put it back, or reload with --force to go on without it";
            report.add(Severity::Error, place, None, None, Problem::new(message, help));
        }
        let (diagnostics, watched, usable) = report.finish();
        let result = match plan {
            Some(plan) if usable => Ok(Loaded { plan, diagnostics, watched: watched.clone() }),
            _ => Err(diagnostics),
        };
        Attempt { result, watched, key_files_read: self.files.lists_read() }
    }

    /// Who is told that a load is bulk work, and how it goes on.
    pub fn set_pace(&mut self, pace: Option<Arc<dyn Pace>>) {
        self.files.set_pace(pace);
    }

    /// What was loaded last is what is served from now on.
    pub fn accept(&mut self) {
        self.files.accept();
    }

    /// Whether a list that changes from here on is sure to look different; if not, the files are to be read again in
    /// a moment.
    pub fn is_sure(&self) -> bool {
        self.files.is_sure()
    }

    /// Every file that was read and every directory that was searched in the last load, as they looked then.
    pub fn seen(&self) -> &HashMap<PathBuf, Stamp> {
        self.files.seen()
    }
}

/// Loads the file at `path` and all that it names, once. Environment variables are looked up with `environment`.
///
/// # Errors
///
/// Everything that is wrong, warnings included, if at least one finding is an error.
pub fn load(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Diagnostic>> {
    Loader::default().load(path, environment, false).result
}

/// The address of the admin listener that a file asks for, and nothing else of it.
///
/// # Errors
///
/// A sentence: the file cannot be read, or has no such address, or one that is chosen anew at each start.
pub fn admin_address(path: &Path) -> Result<Endpoint, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("{name}: {error}; name the configuration with -c, or the address with --admin")
    })?;
    let mut report = Report::default();
    let file = report.open(&name.to_string());
    let source = Source::new(
        file,
        path.parent().map(Path::to_path_buf).unwrap_or_default(),
        true,
        Zeroizing::new(text),
    );
    let tree = Tree::parse(&source, &mut report);
    let table = tree.root().take("admin").and_then(|value| value.table(&mut report));
    let address = table
        .and_then(|mut table| table.take("address"))
        .and_then(|value| validate::endpoint(value.text(&mut report)?, &source));
    match address {
        Some(Endpoint::Tcp(address)) if address.port() == 0 => Err(format!(
            "{name}: [admin] has port 0, another one at each start; give the address with --admin"
        )),
        Some(address) => Ok(address),
        None => Err(format!(
            "{name}: there is no [admin] with an address, so the gateway cannot be asked; or give the address with --admin"
        )),
    }
}

fn load_file(path: &Path, outside: &dyn Outside, report: &mut Report) -> Option<Plan> {
    let file = report.open(&path.display().to_string());
    let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    report.files.push(path.to_path_buf());
    // Named also when it is not there: it may be made later.
    for directory in [base.clone(), base.join(INCLUDE_DIRECTORY)] {
        outside.look_at(&directory);
        report.directories.push(directory);
    }
    let text = read_text(path, file, outside, report)?;
    Some(load_tree(Source::new(file, base, true, text), Some(INCLUDE_DEFAULT), outside, report))
}

/// Loads a text as if it were the file `name` in the directory `base`; only an `include` that it spells out
/// is followed.
///
/// # Errors
///
/// As [`load`].
pub fn load_text(
    text: &str,
    name: &str,
    base: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Diagnostic>> {
    load_text_from(text, name, base, &Disk::new(environment))
}

/// Checks a text without touching anything else: whatever it refers to outside itself is reported as missing.
///
/// # Errors
///
/// As [`load`].
pub fn parse_text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load_text_from(text, "text", Path::new(""), &Nothing)
}

fn load_text_from(
    text: &str,
    name: &str,
    base: &Path,
    outside: &dyn Outside,
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut report = Report::default();
    let file = report.open(name);
    let source = Source::new(file, base.to_path_buf(), true, Zeroizing::new(text.to_owned()));
    let plan = load_tree(source, None, outside, &mut report);
    let (diagnostics, watched, usable) = report.finish();
    if usable { Ok(Loaded { plan, diagnostics, watched }) } else { Err(diagnostics) }
}

fn load_tree(
    main: Source,
    include_default: Option<&'static str>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Plan {
    let main = Tree::parse(&main, report);
    let sources = included(&main, include_default, outside, report);
    let mut trees = vec![main];
    for source in &sources {
        trees.push(Tree::parse(source, report));
    }
    validate::validate(&trees, outside, report)
}

/// The files that `include` names, read; each once, and never the main file itself.
fn included(
    main: &Tree<'_>,
    include_default: Option<&'static str>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Vec<Source> {
    let mut paths = Vec::new();
    match validate::include(main, report) {
        Some(patterns) => {
            for pattern in &patterns {
                paths.extend(matches(pattern, outside, report));
            }
        }
        None => {
            let base = main.root().source().base.clone();
            report.directories.extend(include_default.map(|pattern| directory_of(&base, pattern)));
            let found = include_default.map(|pattern| outside.matches(&base, pattern));
            paths.extend(found.and_then(Result::ok).unwrap_or_default());
        }
    }
    let mut seen: Vec<PathBuf> = report.files.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut sources = Vec::new();
    for path in paths {
        let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
        if seen.contains(&canonical) {
            continue;
        }
        seen.push(canonical);
        sources.extend(read_source(path, outside, report));
    }
    sources
}

fn matches(pattern: &Value<'_>, outside: &dyn Outside, report: &mut Report) -> Vec<PathBuf> {
    let Some(text) = pattern.text(report) else { return Vec::new() };
    report.directories.push(directory_of(&pattern.source().base, text));
    match outside.matches(&pattern.source().base, text) {
        Ok(paths) => {
            report.directories.extend(paths.iter().filter_map(|path| path.parent().map(Path::to_path_buf)));
            if paths.is_empty() {
                let kind = if is_pattern(text) { "it names no file" } else { "there is no such file" };
                pattern.add(Severity::Warning, Problem::plain(kind), report);
            }
            paths
        }
        Err(sentence) => {
            pattern.error(Problem::plain(sentence), report);
            Vec::new()
        }
    }
}

fn read_source(path: PathBuf, outside: &dyn Outside, report: &mut Report) -> Option<Source> {
    let file = report.open(&path.display().to_string());
    report.files.push(path.clone());
    let text = read_text(&path, file, outside, report)?;
    let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    Some(Source::new(file, base, false, text))
}

fn read_text(
    path: &Path,
    file: usize,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<Zeroizing<String>> {
    let whole = Place { file, line: 0, column: 0 };
    let bytes = match outside.read(path, limits::CONFIG_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(sentence) => {
            report.add(Severity::Error, whole, None, None, Problem::plain(sentence));
            return None;
        }
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Some(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
            let problem = Problem::new("not UTF-8", "save the file as UTF-8");
            report.add(Severity::Error, Place { line, ..whole }, None, None, problem);
            None
        }
    }
}
