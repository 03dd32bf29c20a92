//! From patterns to a rule set. Called by `compile` alone, never on a shard.

use super::{
    BuildBudget, FieldCheck, FieldPattern, Methods, PathMatcher, PathUse, Rule, RuleSet, field::Shared,
};
use crate::{
    limits,
    types::{Cidr, Effect, Pattern, Presence, Shape},
};

/// One rule as it goes in.
pub struct RuleSource<'p> {
    /// What it does.
    pub effect: Effect,
    /// The methods that it is about.
    pub methods: Methods,
    /// The path.
    pub path: Option<(&'p Pattern, Presence)>,
    /// Checks of header fields: name, value, presence.
    pub headers: Vec<(&'p Pattern, Option<&'p Pattern>, Presence)>,
    /// Checks of the query.
    pub query: Vec<(&'p Pattern, Option<&'p Pattern>, Presence)>,
    /// Where callers have to come from.
    pub source: &'p [Cidr],
    /// Bits of the scopes that callers have to hold.
    pub scopes: Vec<u32>,
}

/// Collects rules for a set.
#[derive(Default)]
pub struct RuleSetBuilder<'p> {
    rules: Vec<Rule>,
    paths: Vec<(&'p Pattern, PathUse)>,
    always: Vec<u32>,
    absent: Vec<u32>,
    shared: Shared<'p>,
}

impl<'p> RuleSetBuilder<'p> {
    /// Adds a rule.
    ///
    /// # Errors
    ///
    /// A sentence for rules that did not pass the checks of the configuration.
    pub fn add(&mut self, source: RuleSource<'p>, budget: &mut BuildBudget) -> Result<(), String> {
        let at = u32::try_from(self.rules.len()).map_err(|_| "too many rules")?;
        self.place(at, source.path)?;
        self.rules.push(Rule {
            effect: source.effect,
            methods: source.methods,
            headers: checks(&source.headers, &mut self.shared, budget)?,
            query: checks(&source.query, &mut self.shared, budget)?,
            source: source.source.into(),
            scopes: source.scopes.into(),
        });
        Ok(())
    }

    /// Where the rule is found: by its path, without it, or nowhere.
    fn place(&mut self, at: u32, path: Option<(&'p Pattern, Presence)>) -> Result<(), String> {
        match path {
            None => self.always.push(at),
            Some((pattern, presence)) => match (pattern.line_shape(), presence) {
                (Shape::Any, Presence::MustExist) => self.always.push(at),
                (Shape::Any, Presence::MustAbsent) => {} // no path is without it: the rule never matches
                (_, Presence::MustExist) => self.paths.push((pattern, PathUse::Present(at))),
                (_, Presence::MustAbsent) => {
                    if self.absent.len() == limits::RULES_PATH_ABSENT_MAX {
                        return Err("too many paths that must be absent".to_owned());
                    }
                    self.paths.push((pattern, PathUse::Absent(self.absent.len() as u32)));
                    self.absent.push(at);
                }
            },
        }
        Ok(())
    }

    /// The set.
    ///
    /// # Errors
    ///
    /// As of [`Self::add`].
    pub fn build(self, default: Option<Effect>, budget: &mut BuildBudget) -> Result<RuleSet, String> {
        Ok(RuleSet {
            default,
            paths: PathMatcher::new(&self.paths, budget)?,
            rules: self.rules.into(),
            always: self.always.into(),
            absent: self.absent.into(),
        })
    }
}

fn checks<'p>(
    checks: &[(&'p Pattern, Option<&'p Pattern>, Presence)],
    shared: &mut Shared<'p>,
    budget: &mut BuildBudget,
) -> Result<Box<[FieldCheck]>, String> {
    let mut check = |&(name, value, presence): &(&'p Pattern, Option<&'p Pattern>, Presence)| {
        Ok(FieldCheck {
            name: FieldPattern::new(Some(name), shared, budget)?,
            value: FieldPattern::new(value, shared, budget)?,
            presence,
        })
    };
    checks.iter().map(&mut check).collect()
}
