//! Writes down what a decision tells while it is made.

use crate::{
    policy::Watch,
    types::{Effect, Reason, RuleScope},
};

/// What one place with rules said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The place.
    pub scope: RuleScope,
    /// The credential of the caller's that it belongs to, if it is one.
    pub credential: Option<String>,
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
    /// The branches of the proxy that are not satisfied, and why, as far as that is told.
    pub lost: Vec<(usize, Reason)>,
    /// The branch that is.
    pub won: Option<usize>,
    asked: Option<String>,
    matched: Vec<usize>,
}

impl Watch for Record {
    const DETAILS: bool = true;

    fn judging(&mut self, path: &[u8]) {
        self.path = Some(path.escape_ascii().to_string());
    }

    fn branch_lost(&mut self, branch: usize, reason: Reason) {
        self.lost.push((branch, reason));
    }

    fn branch_won(&mut self, branch: usize) {
        self.won = Some(branch);
    }

    fn asking(&mut self, credential: Option<&str>) {
        self.asked = credential.map(str::to_owned);
    }

    fn rule_matched(&mut self, _scope: RuleScope, rule: usize) {
        self.matched.push(rule);
    }

    fn scope_said(&mut self, scope: RuleScope, effect: Option<Effect>, by_default: bool) {
        let mut rules = std::mem::take(&mut self.matched);
        rules.sort_unstable();
        self.said.push(Said { scope, credential: self.asked.take(), effect, by_default, rules });
    }
}
