//! Patterns as automata, which look at each byte of a text once and can never go back.
//!
//! A dense automaton is finished when it is made and shared by all threads. Where one would be too large, a lazy one
//! makes its states while it runs; what it has made lies in [`LazyCaches`], of which each shard has its own. Both
//! are walked by hand: the suffix that makes a match anywhere stay a match to the end would make a search report
//! each byte, and only the last one is of interest.

use std::{
    fmt,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
};

use regex_automata::{
    Anchored, MatchKind, PatternID,
    dfa::{Automaton as _, StartKind, dense},
    hybrid::dfa::{self as lazy, Cache, DFA as Lazy},
    nfa::thompson::{self, WhichCaptures},
    util::start,
};
use regex_syntax::hir::Hir;

use crate::{limits, types::Pattern};

/// One or more patterns that are looked for all at once.
pub struct Automaton(Kind);

enum Kind {
    Dense(Box<dense::DFA<Vec<u32>>>),
    Lazy { id: u64, automaton: Box<Lazy> },
}

/// How much may still be spent on dense automata.
#[derive(Debug)]
pub struct BuildBudget {
    bytes: usize,
}

impl Default for BuildBudget {
    fn default() -> Self {
        Self { bytes: limits::AUTOMATA_BUILT_BYTES_MAX }
    }
}

impl BuildBudget {
    /// Nothing: every automaton is a lazy one.
    pub const fn nothing() -> Self {
        Self { bytes: 0 }
    }
}

impl Automaton {
    /// An automaton that finds these patterns, by their positions. A dense one if it takes at most `bytes_max` and
    /// the budget allows.
    ///
    /// # Errors
    ///
    /// None of patterns whose number and weight were checked; a sentence for any others.
    pub fn new(patterns: &[&Pattern], bytes_max: usize, budget: &mut BuildBudget) -> Result<Self, String> {
        let searched: Vec<Hir> = patterns.iter().map(|pattern| pattern.anywhere()).collect();
        let config = thompson::Config::new().utf8(false).which_captures(WhichCaptures::None);
        let states = thompson::Compiler::new()
            .configure(config)
            .build_many_from_hir(&searched)
            .map_err(|error| error.to_string())?;
        let bytes = bytes_max.min(budget.bytes);
        if bytes > 0 {
            let built = dense::Builder::new().configure(dense_config(bytes)).build_from_nfa(&states);
            budget.bytes -= built.as_ref().map_or(bytes, |dense| dense.memory_usage().min(bytes));
            if let Ok(dense) = built {
                return Ok(Self(Kind::Dense(Box::new(dense))));
            }
        }
        let lazy = lazy::Builder::new().configure(lazy_config()).build_from_nfa(states);
        let automaton = Box::new(lazy.map_err(|error| error.to_string())?);
        Ok(Self(Kind::Lazy { id: unique(), automaton }))
    }

    /// Whether it makes its states while it runs.
    pub fn is_lazy(&self) -> bool {
        matches!(self.0, Kind::Lazy { .. })
    }

    /// Tells the position of every pattern that is found in a text, until it is told to stop.
    ///
    /// # Errors
    ///
    /// The text cannot be judged. It does not happen with automata made here, and is not to be taken for a miss.
    #[inline]
    pub fn visit(
        &self,
        text: &[u8],
        caches: &mut LazyCaches,
        mut tell: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unjudged> {
        match &self.0 {
            Kind::Dense(dense) => walk(dense, text, |id| tell(id.as_usize())),
            Kind::Lazy { id, automaton } => {
                walk_lazy(automaton, caches.of(*id, automaton), text, |id| tell(id.as_usize()))
            }
        }
    }

    /// Whether any pattern is found in a text.
    #[inline]
    pub fn finds(&self, text: &[u8], caches: &mut LazyCaches) -> Result<bool, Unjudged> {
        self.visit(text, caches, |_| ControlFlow::Break(())).map(|found| found.is_break())
    }
}

/// A text that an automaton could not follow to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unjudged;

impl fmt::Debug for Automaton {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_lazy() { "lazy" } else { "dense" })
    }
}

fn walk(
    dense: &dense::DFA<Vec<u32>>,
    text: &[u8],
    mut tell: impl FnMut(PatternID) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Unjudged> {
    let mut state = dense.start_state(&from_the_front()).map_err(|_| Unjudged)?;
    for &byte in text {
        state = dense.next_state(state, byte);
        if dense.is_special_state(state) {
            if dense.is_dead_state(state) {
                return Ok(ControlFlow::Continue(()));
            }
            if dense.is_quit_state(state) {
                return Err(Unjudged);
            }
        }
    }
    state = dense.next_eoi_state(state);
    let found = if dense.is_match_state(state) { dense.match_len(state) } else { 0 };
    Ok((0..found).try_for_each(|at| tell(dense.match_pattern(state, at))))
}

fn walk_lazy(
    lazy: &Lazy,
    cache: &mut Cache,
    text: &[u8],
    mut tell: impl FnMut(PatternID) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Unjudged> {
    let mut state = lazy.start_state(cache, &from_the_front()).map_err(|_| Unjudged)?;
    for &byte in text {
        state = lazy.next_state(cache, state, byte).map_err(|_| Unjudged)?;
        if state.is_tagged() {
            if state.is_dead() {
                return Ok(ControlFlow::Continue(()));
            }
            if state.is_quit() {
                return Err(Unjudged);
            }
        }
    }
    state = lazy.next_eoi_state(cache, state).map_err(|_| Unjudged)?;
    let found = if state.is_match() { lazy.match_len(cache, state) } else { 0 };
    Ok((0..found).try_for_each(|at| tell(lazy.match_pattern(cache, state, at))))
}

fn from_the_front() -> start::Config {
    start::Config::new().anchored(Anchored::Yes)
}

fn dense_config(bytes_max: usize) -> dense::Config {
    dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(bytes_max))
        .determinize_size_limit(Some(bytes_max))
}

/// The check that a cache holds enough states at least is left to the cache, which then takes what it needs.
fn lazy_config() -> lazy::Config {
    lazy::Config::new()
        .match_kind(MatchKind::All)
        .cache_capacity(limits::LAZY_CACHE_BYTES_MAX)
        .skip_cache_capacity_check(true)
}

/// No two lazy automata of a process have the same number, so that none finds the cache of another.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What the lazy automata of one thread have made so far. Those that were not used for longest are forgotten.
#[derive(Default)]
pub struct LazyCaches {
    entries: Vec<Entry>,
    uses: u64,
}

struct Entry {
    id: u64,
    used: u64,
    cache: Cache,
}

impl LazyCaches {
    fn of(&mut self, id: u64, automaton: &Lazy) -> &mut Cache {
        self.uses += 1;
        let at =
            self.entries.iter().position(|entry| entry.id == id).unwrap_or_else(|| self.make(id, automaton));
        let entry = &mut self.entries[at];
        entry.used = self.uses;
        &mut entry.cache
    }

    #[cold]
    fn make(&mut self, id: u64, automaton: &Lazy) -> usize {
        let entry = Entry { id, used: 0, cache: automaton.create_cache() };
        if self.entries.len() < limits::LAZY_CACHES_MAX {
            self.entries.push(entry);
            return self.entries.len() - 1;
        }
        let oldest = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.used);
        let at = oldest.map_or(0, |(at, _)| at);
        self.entries[at] = entry;
        at
    }
}

impl fmt::Debug for LazyCaches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LazyCaches({})", self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::{Automaton, BuildBudget, LazyCaches};
    use crate::{
        limits,
        types::{Case, Pattern},
    };

    fn found(automaton: &Automaton, text: &str, caches: &mut LazyCaches) -> Vec<usize> {
        let mut found = Vec::new();
        let told = automaton.visit(text.as_bytes(), caches, |at| {
            found.push(at);
            ControlFlow::Continue(())
        });
        assert_eq!(told, Ok(ControlFlow::Continue(())));
        found.sort_unstable();
        found
    }

    #[test]
    fn both_kinds_find_every_pattern_at_once() {
        let texts = ["^/v2/", "/x$", "b", r"\bcd\b", "^$", "^/v2/.*b$", "(?m)^z"];
        let patterns: Vec<_> =
            texts.iter().map(|text| Pattern::parse(text, Case::Counts).expect("a pattern")).collect();
        let patterns: Vec<_> = patterns.iter().collect();
        let mut caches = LazyCaches::default();
        for mut budget in [BuildBudget::default(), BuildBudget::nothing()] {
            let lazy = budget.bytes == 0;
            let automaton = Automaton::new(&patterns, 1 << 20, &mut budget).expect("an automaton");
            assert_eq!(automaton.is_lazy(), lazy);
            for (text, expected) in [
                ("", &[4][..]),
                ("/v2/", &[0]),
                ("/v2/b", &[0, 2, 5]),
                ("/v2/x", &[0, 1]),
                ("/v3/cd", &[3]),
                ("/v3/cde", &[]),
                ("a\nz", &[6]),
            ] {
                assert_eq!(found(&automaton, text, &mut caches), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_lazy_and_takes_its_share_of_the_budget() {
        let pattern = Pattern::parse("^/.*a.{20}$", Case::Counts).expect("a pattern");
        let mut budget = BuildBudget::default();
        let automaton = Automaton::new(&[&pattern], 1 << 16, &mut budget).expect("an automaton");
        assert!(automaton.is_lazy());
        assert_eq!(budget.bytes, limits::AUTOMATA_BUILT_BYTES_MAX - (1 << 16));
        let mut caches = LazyCaches::default();
        assert_eq!(found(&automaton, &format!("/xa{}", "a".repeat(20)), &mut caches), [0]);
        assert_eq!(found(&automaton, "/a", &mut caches), [0_usize; 0]);
    }

    #[test]
    fn the_caches_of_a_thread_are_bounded() {
        let pattern = Pattern::parse("a", Case::Counts).expect("a pattern");
        let mut caches = LazyCaches::default();
        let automata: Vec<_> = (0..limits::LAZY_CACHES_MAX + 5)
            .map(|_| Automaton::new(&[&pattern], 0, &mut BuildBudget::nothing()).expect("an automaton"))
            .collect();
        for _ in 0..2 {
            for automaton in &automata {
                assert_eq!(automaton.finds(b"bab", &mut caches), Ok(true));
                assert_eq!(automaton.finds(b"bbb", &mut caches), Ok(false));
            }
        }
        assert_eq!(caches.entries.len(), limits::LAZY_CACHES_MAX);
    }
}
