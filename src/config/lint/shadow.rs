//! Rules that another one makes needless.
//!
//! A rule is covered by one of the same place that matches at least as much, if that one denies, or has the same
//! effect. The order in which they are written makes no difference, as it makes none to a request.

use std::collections::HashMap;

use super::{
    Place,
    language::{Language, PATHS},
    warning,
};
use crate::{
    config::{
        Diagnostic,
        plan::{FieldCheck, PathCheck, Rule},
    },
    types::{Effect, Pattern, Presence, Shape},
};

/// Pairs of rules that are compared in one plan.
const PAIRS_MAX: usize = 4_000_000;
/// Pairs of patterns whose languages are compared in one plan; most differ in the first text that is tried.
const COMPARISONS_MAX: usize = 5_000;

/// Automata of the patterns met so far, and what may still be spent.
pub(super) struct Shadows {
    languages: HashMap<Pattern, Option<Known>>,
    pairs: usize,
    comparisons: usize,
}

/// A pattern's language, and a text of it.
struct Known {
    language: Language,
    example: Vec<u8>,
}

impl Default for Shadows {
    fn default() -> Self {
        Self { languages: HashMap::new(), pairs: PAIRS_MAX, comparisons: COMPARISONS_MAX }
    }
}

impl Shadows {
    pub fn find(&mut self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        let rules = &place.rules.list;
        for (at, rule) in rules.iter().enumerate() {
            let Some(rest) = self.pairs.checked_sub(rules.len()) else { return };
            self.pairs = rest;
            let mut others = rules.iter().enumerate();
            // Of two that cover each other the later one is needless.
            let cover = others.find(|(other, cover)| {
                *other != at && self.covers(cover, rule) && (*other < at || !self.covers(rule, cover))
            });
            let Some((_, cover)) = cover else { continue };
            let origin = &cover.origin;
            let message = match (cover.effect, rule.effect) {
                (Effect::Deny, Effect::Allow) => "the rule allows nothing: all that it matches is denied",
                _ => "the rule is needless: all that it matches is matched with the same effect",
            };
            let message = format!("{message} by the rule at {}:{}", origin.file, origin.line);
            found.push(warning(&rule.origin, message, "remove one of the two, or make them differ"));
        }
    }

    fn covers(&mut self, cover: &Rule, rule: &Rule) -> bool {
        (cover.effect == Effect::Deny || cover.effect == rule.effect)
            && (cover.methods.is_empty()
                || !rule.methods.is_empty()
                    && rule.methods.iter().all(|method| cover.methods.contains(method)))
            && among(&cover.headers, &rule.headers)
            && among(&cover.query, &rule.query)
            && cover.scopes.iter().all(|scope| rule.scopes.contains(scope))
            && (cover.source.is_empty() || !rule.source.is_empty() && all_covered(cover, rule))
            && self.path_covers(cover.path.as_ref(), rule.path.as_ref())
    }

    fn path_covers(&mut self, cover: Option<&PathCheck>, path: Option<&PathCheck>) -> bool {
        let (cover, path) = match (cover, path) {
            (None, _) => return true,
            (Some(cover), Some(path)) if cover == path => return true,
            (Some(cover), None) => {
                return cover.presence == Presence::MustExist && *cover.pattern.line_shape() == Shape::Any;
            }
            (Some(cover), Some(path)) => (cover, path),
        };
        let exist = cover.presence == Presence::MustExist && path.presence == Presence::MustExist;
        exist && self.pattern_covers(&cover.pattern, &path.pattern)
    }

    fn pattern_covers(&mut self, cover: &Pattern, pattern: &Pattern) -> bool {
        match (cover.line_shape(), pattern.line_shape()) {
            (Shape::Any, _) => true,
            (Shape::Prefix(front), Shape::Prefix(text) | Shape::Exact(text)) => text.starts_with(front),
            (Shape::Exact(whole), Shape::Exact(text)) => whole == text,
            (Shape::Exact(_), Shape::Prefix(_)) => false,
            (_, Shape::Any) => false,
            (Shape::Prefix(_) | Shape::Exact(_), Shape::Other) | (Shape::Other, _) => {
                self.language_covers(cover, pattern)
            }
        }
    }

    fn language_covers(&mut self, cover: &Pattern, pattern: &Pattern) -> bool {
        self.learn(cover);
        self.learn(pattern);
        let (Some(Some(large)), Some(Some(small))) = (self.languages.get(cover), self.languages.get(pattern))
        else {
            return false;
        };
        if !large.language.holds(&small.example) {
            return false;
        }
        let Some(rest) = self.comparisons.checked_sub(1) else { return false };
        self.comparisons = rest;
        large.language.covers(&small.language, PATHS) == Ok(true)
    }

    fn learn(&mut self, pattern: &Pattern) {
        if self.languages.contains_key(pattern) {
            return;
        }
        let known = Language::of(pattern).and_then(|language| {
            let example = language.example(PATHS, true).ok()??;
            Some(Known { language, example })
        });
        self.languages.insert(pattern.clone(), known);
    }
}

/// Whether each of some checks is among others.
fn among(some: &[FieldCheck], others: &[FieldCheck]) -> bool {
    some.iter().all(|check| others.contains(check))
}

fn all_covered(cover: &Rule, rule: &Rule) -> bool {
    rule.source.iter().all(|network| cover.source.iter().any(|large| large.covers(network)))
}
