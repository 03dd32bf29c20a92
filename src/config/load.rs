//! Reads the operator's files and hands them to the checks: the entry to this room.
//!
//! The order: the main file, the files that it includes, and whatever their values name (secrets, lists of
//! keys) while they are checked. Nothing here knows what a key means, except `include`.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{
    Diagnostic, Plan, Severity,
    outside::{Disk, Nothing, Outside, is_pattern},
    raw::{Source, Tree, Value},
    report::{Place, Problem, Report},
    validate,
};
use crate::limits;

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
}

/// Loads the file at `path` and all that it names. Environment variables are looked up with `environment`.
///
/// # Errors
///
/// Everything that is wrong, warnings included, if at least one finding is an error.
pub fn load(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Diagnostic>> {
    let outside = Disk { environment };
    let mut report = Report::default();
    let file = report.open(&path.display().to_string());
    let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    report.files.push(path.to_path_buf());
    match read_text(path, file, &outside, &mut report) {
        Some(text) => {
            let include_default = base.join(INCLUDE_DIRECTORY).is_dir().then_some(INCLUDE_DEFAULT);
            load_tree(Source::new(file, base, true, text), include_default, &outside, report)
        }
        None => Err(report.finish().0),
    }
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
    load_text_from(text, name, base, &Disk { environment })
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
    load_tree(source, None, outside, report)
}

fn load_tree(
    main: Source,
    include_default: Option<&'static str>,
    outside: &dyn Outside,
    mut report: Report,
) -> Result<Loaded, Vec<Diagnostic>> {
    let main = Tree::parse(&main, &mut report);
    let sources = included(&main, include_default, outside, &mut report);
    let mut trees = vec![main];
    for source in &sources {
        trees.push(Tree::parse(source, &mut report));
    }
    let plan = validate::validate(&trees, outside, &mut report);
    let (diagnostics, files, usable) = report.finish();
    match usable {
        true => Ok(Loaded { plan: Plan { files, ..plan }, diagnostics }),
        false => Err(diagnostics),
    }
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
    match outside.matches(&pattern.source().base, text) {
        Ok(paths) => {
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
