//! Writes down what a decision tells while it is made.

use crate::{
    policy::Watch,
    types::{Effect, RuleScope},
};

/// What one place with rules said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The place.
    pub scope: RuleScope,
    /// What it said; nothing if it kept out of it.
    pub effect: Option<Effect>,
    /// Whether only its default said so.
    pub by_default: bool,
    /// Positions of the rules that match, in the plan's order.
    pub rules: Vec<usize>,
}

#[derive(Default)]
pub(super) struct Record {
    pub path: Option<String>,
    pub said: Vec<Said>,
    matched: Vec<usize>,
}

impl Watch for Record {
    const DETAILS: bool = true;

    fn judging(&mut self, path: &[u8]) {
        self.path = Some(path.escape_ascii().to_string());
    }

    fn rule_matched(&mut self, _scope: RuleScope, rule: usize) {
        self.matched.push(rule);
    }

    fn scope_said(&mut self, scope: RuleScope, effect: Option<Effect>, by_default: bool) {
        let mut rules = std::mem::take(&mut self.matched);
        rules.sort_unstable();
        self.said.push(Said { scope, effect, by_default, rules });
    }
}
