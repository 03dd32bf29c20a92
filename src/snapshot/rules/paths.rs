//! All path patterns of a set at once: plain texts in a tree, all others in one automaton.

use std::{
    collections::HashMap,
    fmt,
    ops::{ControlFlow, Range},
};

use super::{
    Automaton, BuildBudget, LazyCaches,
    automaton::Unjudged,
    literals::{Literal, Literals},
};
use crate::{
    limits,
    types::{Pattern, Shape},
};

/// What follows when a path matches a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathUse {
    /// The rule at this position is worth a look.
    Present(u32),
    /// The rule with this bit is not.
    Absent(u32),
}

/// Finds out which rules a path makes worth a look.
#[derive(Default)]
pub struct PathMatcher {
    literals: Literals,
    others: Option<Others>,
}

/// Patterns that are more than a text; each stands in the automaton once, however many rules have it.
struct Others {
    automaton: Automaton,
    uses: Box<[PathUse]>,
    of_pattern: Box<[Range<u32>]>,
}

impl PathMatcher {
    /// A matcher of these patterns. None of them matches every path.
    pub(super) fn new(patterns: &[(&Pattern, PathUse)], budget: &mut BuildBudget) -> Result<Self, String> {
        let mut literals = Vec::new();
        let mut distinct: Vec<(&Pattern, Vec<PathUse>)> = Vec::new();
        let mut known: HashMap<&Pattern, usize> = HashMap::new();
        for &(pattern, path_use) in patterns {
            let (text, exact) = match pattern.line_shape() {
                Shape::Exact(text) => (text.clone(), true),
                Shape::Prefix(text) => (text.clone(), false),
                Shape::Any => (Box::default(), false),
                Shape::Other => {
                    let at = *known.entry(pattern).or_insert(distinct.len());
                    match distinct.get_mut(at) {
                        Some((_, uses)) => uses.push(path_use),
                        None => distinct.push((pattern, vec![path_use])),
                    }
                    continue;
                }
            };
            literals.push(Literal { text, exact, path_use });
        }
        Ok(Self { literals: Literals::new(literals), others: Others::new(&distinct, budget)? })
    }

    /// Tells every use of a path, until it is told to stop.
    #[inline]
    pub fn visit(
        &self,
        path: &[u8],
        caches: &mut LazyCaches,
        mut tell: impl FnMut(PathUse) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unjudged> {
        if self.literals.visit(path, &mut tell).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let Some(others) = &self.others else { return Ok(ControlFlow::Continue(())) };
        others.automaton.visit(path, caches, |pattern| {
            let range = others.of_pattern.get(pattern).map(|range| range.start as usize..range.end as usize);
            let uses = range.and_then(|range| others.uses.get(range)).unwrap_or_default();
            uses.iter().try_for_each(|path_use| tell(*path_use))
        })
    }

    /// Whether a lazy automaton is part of it.
    pub fn is_lazy(&self) -> bool {
        self.others.as_ref().is_some_and(|others| others.automaton.is_lazy())
    }
}

impl fmt::Debug for PathMatcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (patterns, automaton) =
            self.others.as_ref().map(|others| (others.of_pattern.len(), &others.automaton)).unzip();
        write!(formatter, "{} texts, {} patterns ({automaton:?})", self.literals.len(), patterns.unwrap_or(0))
    }
}

impl Others {
    fn new(patterns: &[(&Pattern, Vec<PathUse>)], budget: &mut BuildBudget) -> Result<Option<Self>, String> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let distinct: Vec<&Pattern> = patterns.iter().map(|(pattern, _)| *pattern).collect();
        let automaton = Automaton::new(&distinct, limits::AUTOMATON_PATHS_BYTES_MAX, budget)?;
        let (mut uses, mut of_pattern) = (Vec::new(), Vec::new());
        for (_, mine) in patterns {
            let start = uses.len() as u32;
            uses.extend_from_slice(mine);
            of_pattern.push(start..uses.len() as u32);
        }
        Ok(Some(Self { automaton, uses: uses.into(), of_pattern: of_pattern.into() }))
    }
}
