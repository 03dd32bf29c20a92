//! How a decision came about, for those who want to know: a stopwatch on a shard, an explanation for an operator.

use crate::types::{Effect, Reason, RuleScope};

/// Is told of the steps of a decision while it is made. What it does costs each request.
pub trait Watch {
    /// Whether it wants to know of every rule that matches, also behind the one that decides.
    const DETAILS: bool = false;

    /// The caller's credentials are about to be looked for.
    fn authenticating(&mut self) {}
    /// It is known who calls, or that nobody known does.
    fn authenticated(&mut self) {}
    /// The branch at this position of several is not satisfied, and why. Only of the first few is it told.
    fn branch_lost(&mut self, _branch: usize, _reason: Reason) {}
    /// The caller comes in by the branch at this position.
    fn branch_won(&mut self, _branch: usize) {}
    /// Rules are about to be held against this path.
    fn judging(&mut self, _path: &[u8]) {}
    /// A scope with rules is about to be asked: that of this credential, if it is one of the caller's.
    fn asking(&mut self, _credential: Option<&str>) {}
    /// The rule at this position of a scope matches.
    fn rule_matched(&mut self, _scope: RuleScope, _rule: usize) {}
    /// What a scope with rules says, and whether only by its default. One without rules says nothing.
    fn scope_said(&mut self, _scope: RuleScope, _effect: Option<Effect>, _by_default: bool) {}
}

/// Nobody wants to know.
pub struct Unwatched;

impl Watch for Unwatched {}
