//! The work of a reload that needs no running gateway: load, compile, and refuse what would drop too many callers.
//!
//! It runs on a thread of its own, beside the control thread, because a million keys take their time. The same function
//! serves the start, a changed file, a signal and an operator's command.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::pace::Gentle;
use crate::{
    compile::{Compiled, Compiler, Epoch},
    config::{Attempt, Diagnostic, Loader, Plan, Severity, Watched, listed},
    explain::{failed_asserts, rehearsal},
    limits::{SHRINK_KEYS_MIN, SHRINK_PROXIES_MIN},
    store::Revocations,
    types::Pace,
};

/// Looks an environment variable up.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Makes compiled configurations of one file, again and again.
pub struct Builder {
    path: PathBuf,
    loader: Loader,
    compiler: Compiler,
    /// Makes the calling thread give way to the shards, for the rest of its life.
    give_way: fn(),
}

/// What came of one attempt.
pub struct Built {
    /// To be used for the next one.
    pub builder: Builder,
    /// What came of it.
    pub outcome: Outcome,
    /// What was read, or asked for.
    pub watched: Watched,
    /// How long it took.
    pub took: Duration,
    /// How many lists of keys were read rather than remembered.
    pub key_files_read: usize,
}

/// What came of loading and compiling.
pub enum Outcome {
    /// A configuration that may be served, and what is broken or doubtful in it.
    New(Arc<Compiled>, Vec<Diagnostic>),
    /// The files say what they said before.
    Same(Vec<Diagnostic>),
    /// It cannot be served.
    Refused(Vec<Diagnostic>),
}

impl Builder {
    /// For a file, with nothing loaded. Work in bulk calls `give_way` first, unless it is the first load.
    pub fn new(path: &Path, give_way: fn()) -> Self {
        Self { path: path.to_path_buf(), loader: Loader::default(), compiler: Compiler::default(), give_way }
    }

    /// Loads and compiles what is served first.
    pub fn first(self) -> Built {
        self.attempt(None, Epoch::FIRST, false, None) // there is nobody to give way to
    }

    /// Loads and compiles, beside the shards, on threads of its own. What is refused leaves no trace, except that
    /// unchanged lists of keys are remembered.
    pub fn build(self, before: &Compiled, epoch: Epoch, force: bool) -> Built {
        let give_way = self.give_way;
        let (built, is_late) = self.on_a_thread(Some(give_way), before, epoch, force);
        // The thread that gives way never gets its priority back: the second attempt is on another one.
        if is_late { built.builder.on_a_thread(None, before, epoch, force).0 } else { built }
    }

    fn on_a_thread(
        self,
        give_way: Option<fn()>,
        before: &Compiled,
        epoch: Epoch,
        force: bool,
    ) -> (Built, bool) {
        let pace = Arc::new(Gentle::new(give_way));
        let told = Arc::clone(&pace);
        let built = thread::scope(|scope| {
            scope.spawn(move || self.attempt(Some(before), epoch, force, Some(told))).join()
        });
        (built.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), pace.is_late())
    }

    #[allow(clippy::disallowed_methods, reason = "the control plane's own clock")]
    fn attempt(
        mut self,
        before: Option<&Compiled>,
        epoch: Epoch,
        force: bool,
        pace: Option<Arc<dyn Pace>>,
    ) -> Built {
        let started = Instant::now();
        self.loader.set_pace(pace.clone());
        self.compiler.set_pace(pace);
        let Attempt { result, watched, key_files_read } = self.loader.load(&self.path, &environment, force);
        let outcome = match result {
            Err(diagnostics) => Outcome::Refused(diagnostics),
            Ok(loaded) if before.is_some_and(|before| *before.plan == loaded.plan) => {
                self.loader.accept();
                Outcome::Same(loaded.diagnostics)
            }
            Ok(loaded) => self.compile(loaded.plan, loaded.diagnostics, before, epoch, force),
        };
        Built { builder: self, outcome, watched, took: started.elapsed(), key_files_read }
    }

    /// Whether what was read is known to be what is there.
    pub fn is_sure(&self) -> bool {
        self.loader.is_sure()
    }

    /// How the files looked that were read last, and the directories that were searched.
    pub fn seen(&self) -> &std::collections::HashMap<PathBuf, crate::config::Stamp> {
        self.loader.seen()
    }

    fn compile(
        &mut self,
        plan: Plan,
        mut diagnostics: Vec<Diagnostic>,
        before: Option<&Compiled>,
        epoch: Epoch,
        force: bool,
    ) -> Outcome {
        let mut compiler = self.compiler.clone();
        let compiled = match compiler.compile(&Arc::new(plan), epoch) {
            Ok(compiled) => compiled,
            Err(errors) => {
                diagnostics.extend(errors);
                return Outcome::Refused(diagnostics);
            }
        };
        let failed = failed_asserts(&compiled.plan, &rehearsal(&compiled, &Revocations::default()));
        if failed.iter().any(|one| one.severity == Severity::Error) {
            diagnostics.extend(failed);
            return Outcome::Refused(diagnostics);
        }
        diagnostics.extend(failed);
        if let Some(before) = before.filter(|_| !force) {
            let shrunk = shrinks(before, &compiled, &self.path);
            if !shrunk.is_empty() {
                return Outcome::Refused(shrunk);
            }
        }
        self.compiler = compiler;
        self.loader.accept();
        Outcome::New(Arc::new(compiled), diagnostics)
    }
}

/// What a configuration would take away, if that is more than may go without a word.
fn shrinks(before: &Compiled, after: &Compiled, path: &Path) -> Vec<Diagnostic> {
    let limit = usize::from(before.plan.server.shrink_limit);
    let too_many = |gone: usize, of: usize, least: usize| gone >= least && gone * 100 > limit * of;
    let refusal = |what: &str, gone: usize, of: usize, names: &str| Diagnostic {
        severity: Severity::Error,
        file: path.display().to_string(),
        line: 0,
        column: 0,
        key: None,
        value: None,
        message: format!(
            "{gone} of {of} {what} would be gone ({names}), more than server.shrink_limit = {limit} percent"
        ),
        help: Some("if that is meant, reload with --force".to_owned()),
    };
    let mut refusals = Vec::new();
    let keys = &after.key_changes;
    let gone = keys.total().removed;
    if too_many(gone, keys.before, SHRINK_KEYS_MIN) {
        let mut removed: Vec<_> =
            keys.of_credentials.iter().filter(|(_, counts)| counts.removed > 0).collect();
        removed.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.removed));
        let name = |number| after.name_of(number).or_else(|| before.name_of(number)).unwrap_or("?");
        let names: Vec<String> = removed
            .iter()
            .map(|(number, counts)| format!("{}: {}", name(**number), counts.removed))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        refusals.push(refusal("keys", gone, keys.before, &listed(&names)));
    }
    let labels = |compiled: &Compiled| -> std::collections::HashSet<String> {
        let served = compiled.plan.proxies.iter().filter(|proxy| proxy.route.is_ok());
        served.map(|proxy| proxy.label.clone()).collect()
    };
    let (old, new) = (labels(before), labels(after));
    let mut gone: Vec<&str> = old.difference(&new).map(String::as_str).collect();
    gone.sort_unstable();
    if too_many(gone.len(), old.len(), SHRINK_PROXIES_MIN) {
        refusals.push(refusal("proxies", gone.len(), old.len(), &listed(&gone)));
    }
    refusals
}
