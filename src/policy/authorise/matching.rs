//! What the rules of one scope say to a request.
//!
//! Only rules whose path matches are looked at, and of those only as many as it takes to know the answer: after a deny
//! none, after an allow no other allow. Whoever watches for details is told of all that match.

use std::{net::IpAddr, ops::ControlFlow};

use super::{Identity, RuleMemory, query::Pairs};
use crate::{
    limits::RULES_PATH_ABSENT_MAX,
    policy::Watch,
    protocol::http::RequestHead,
    snapshot::{FieldCheck, LazyCaches, PathUse, Rule, RuleSet},
    types::{Effect, Presence, RuleScope},
};

/// What rules are held against.
pub(super) struct Facts<'f> {
    pub head: &'f RequestHead<'f>,
    pub path: &'f [u8],
    /// Unknown if it is none.
    pub source: Option<IpAddr>,
    pub identity: &'f Identity<'f>,
}

/// What a scope with rules says; nothing where none of them matches and it has no default.
pub(super) struct Said {
    pub effect: Option<Effect>,
    pub by_default: bool,
}

/// Asks the rules of a scope.
pub(super) fn says<W: Watch>(
    scope: RuleScope,
    set: &RuleSet,
    facts: &Facts<'_>,
    memory: &mut RuleMemory,
    watch: &mut W,
) -> Said {
    let RuleMemory { paths, fields, query } = memory;
    let mut look = Look { scope, set, facts, fields, query, watch, verdict: None };
    let mut there = Marks::default();
    let followed = set.paths.visit(facts.path, paths, |path_use| match path_use {
        PathUse::Present(at) => look.at(at),
        PathUse::Absent(bit) => {
            there.set(bit);
            ControlFlow::Continue(())
        }
    });
    let missing = (0..).zip(&set.absent).filter(|(bit, _)| !there.has(*bit)).map(|(_, at)| at);
    // A path that no automaton can follow must not get past rules that it may be about.
    let denied = !followed.is_ok_and(|flow| flow.is_continue())
        || set.always.iter().chain(missing).try_for_each(|at| look.at(*at)).is_break();
    let verdict = if denied { Some(Effect::Deny) } else { look.verdict };
    let by_default = verdict.is_none();
    let effect = verdict.or(set.default);
    watch.scope_said(scope, effect, by_default);
    Said { effect, by_default }
}

struct Look<'l, W> {
    scope: RuleScope,
    set: &'l RuleSet,
    facts: &'l Facts<'l>,
    fields: &'l mut LazyCaches,
    query: &'l mut Pairs,
    watch: &'l mut W,
    verdict: Option<Effect>,
}

impl<W: Watch> Look<'_, W> {
    /// Looks at a rule whose path fits; breaks off where the request is denied.
    #[inline]
    fn at(&mut self, at: u32) -> ControlFlow<()> {
        let Some(rule) = self.set.rules.get(at as usize) else { return ControlFlow::Break(()) };
        if !W::DETAILS && self.verdict == Some(rule.effect) {
            return ControlFlow::Continue(());
        }
        match self.holds(rule) {
            Some(false) => return ControlFlow::Continue(()),
            Some(true) => {}
            None => return ControlFlow::Break(()), // no automaton can follow a field: it is not let through
        }
        self.watch.rule_matched(self.scope, at as usize);
        if rule.effect == Effect::Deny && !W::DETAILS {
            return ControlFlow::Break(());
        }
        if self.verdict != Some(Effect::Deny) {
            self.verdict = Some(rule.effect);
        }
        ControlFlow::Continue(())
    }

    /// Whether every part but the path holds; none where that cannot be said.
    fn holds(&mut self, rule: &Rule) -> Option<bool> {
        let Facts { head, source, identity, .. } = self.facts;
        let held = |bit: &u32| identity.proofs().any(|proof| proof.credential.scopes.holds(*bit));
        let fits = rule.methods.contains(head.method, head.method_bytes)
            && (rule.source.is_empty() || lies_in(*source, rule))
            && rule.scopes.iter().all(held);
        if !fits {
            return Some(false);
        }
        for check in &rule.headers {
            let pairs = head.fields.iter().map(|field| (field.name, field.value));
            if !check_holds(check, pairs, self.fields)? {
                return Some(false);
            }
        }
        for check in &rule.query {
            let pairs = self.query.of(head.target.query.unwrap_or_default());
            if !check_holds(check, pairs, self.fields)? {
                return Some(false);
            }
        }
        Some(true)
    }
}

/// Whether a caller comes from where a rule says. One whose address nobody knows could be anywhere: it is denied what
/// any address is denied, and allowed nothing for its address.
fn lies_in(source: Option<IpAddr>, rule: &Rule) -> bool {
    match source {
        Some(source) => rule.source.iter().any(|network| network.contains(source)),
        None => rule.effect == Effect::Deny,
    }
}

fn check_holds<'p>(
    check: &FieldCheck,
    pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>,
    caches: &mut LazyCaches,
) -> Option<bool> {
    for (name, value) in pairs {
        if check.name.matches(name, caches)? && check.value.matches(value, caches)? {
            return Some(check.presence == Presence::MustExist);
        }
    }
    Some(check.presence == Presence::MustAbsent)
}

/// Bits of rules whose path must be absent.
#[derive(Default)]
struct Marks([u64; RULES_PATH_ABSENT_MAX.div_ceil(64)]);

impl Marks {
    fn set(&mut self, bit: u32) {
        if let Some(word) = self.0.get_mut(bit as usize / 64) {
            *word |= 1 << (bit % 64);
        }
    }

    fn has(&self, bit: u32) -> bool {
        self.0.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}
