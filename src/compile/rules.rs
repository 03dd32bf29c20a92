//! Rules: from patterns to automata, each set built once and kept for as long as its content stays the same.
//!
//! What a rule says beside its content (notes, priority, place) makes no new set. Scopes get numbers that they keep
//! for the life of the process, so that sets and credentials of different compilations fit together.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{
        Diagnostic, Severity,
        plan::{Consumer, FieldCheck, Plan, Rule as PlannedRule, Rules},
    },
    snapshot::{BuildBudget, Methods, RuleSet, RuleSetBuilder, RuleSource, ScopeBits},
    types::{Effect, Pattern, Presence},
};

/// Rule sets of the compilation before, and the numbers of scopes.
#[derive(Clone, Default)]
pub struct RuleCache {
    sets: HashMap<Key, Arc<RuleSet>>,
    scopes: HashMap<String, u32>,
    lazy_only: bool,
}

/// The sets of one plan, by the positions of those who have them.
pub struct CompiledRules {
    /// Of [`Plan::proxies`].
    pub proxies: Vec<Arc<RuleSet>>,
    /// Of [`Plan::targets`].
    pub targets: Vec<Arc<RuleSet>>,
    /// Of [`Plan::proxy_credentials`].
    pub proxy_credentials: Vec<Arc<RuleSet>>,
    /// Of [`Plan::target_credentials`].
    pub target_credentials: Vec<Arc<RuleSet>>,
    /// Scopes of [`Plan::consumers`].
    pub scopes: Vec<ScopeBits>,
    /// Sets that are too large for any automaton, each with the rule that makes it so.
    pub failures: Vec<Diagnostic>,
}

impl RuleCache {
    /// A cache whose automata are all lazy, so that those can be tested.
    pub fn lazy_only() -> Self {
        Self { lazy_only: true, ..Self::default() }
    }

    /// The sets of a plan; those that no longer exist are forgotten.
    pub fn compile(&mut self, plan: &Plan) -> CompiledRules {
        let budget = if self.lazy_only { BuildBudget::nothing() } else { BuildBudget::default() };
        let failures = Vec::new();
        let mut pass = Pass { before: std::mem::take(&mut self.sets), cache: self, budget, failures };
        let mut sets =
            |lists: &mut dyn Iterator<Item = &Arc<Rules>>| lists.map(|rules| pass.set(rules)).collect();
        let compiled = CompiledRules {
            proxies: sets(&mut plan.proxies.iter().map(|proxy| &proxy.rules)),
            targets: sets(&mut plan.targets.iter().map(|target| &target.rules)),
            proxy_credentials: sets(&mut plan.proxy_credentials.iter().map(|credential| &credential.rules)),
            target_credentials: sets(&mut plan.target_credentials.iter().map(|credential| &credential.rules)),
            scopes: Vec::new(),
            failures: Vec::new(),
        };
        let failures = pass.failures;
        CompiledRules {
            failures,
            scopes: plan.consumers.iter().map(|consumer| self.held_by(consumer)).collect(),
            ..compiled
        }
    }

    fn held_by(&mut self, consumer: &Consumer) -> ScopeBits {
        ScopeBits::new(consumer.scopes.iter().map(|name| self.bit(name)).collect::<Vec<_>>())
    }

    fn bit(&mut self, scope: &str) -> u32 {
        if let Some(bit) = self.scopes.get(scope) {
            return *bit;
        }
        let bit = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        self.scopes.insert(scope.to_owned(), bit);
        bit
    }
}

impl CompiledRules {
    /// The rules of the proxy credential at a position, and the scopes that its consumer holds.
    pub fn of_credential(&self, plan: &Plan, at: usize) -> (Arc<RuleSet>, ScopeBits) {
        let consumer = plan.proxy_credentials.get(at).and_then(|credential| credential.consumer);
        let scopes = consumer.and_then(|consumer| self.scopes.get(consumer));
        (self.proxy_credentials.get(at).cloned().unwrap_or_default(), scopes.cloned().unwrap_or_default())
    }
}

struct Pass<'c> {
    before: HashMap<Key, Arc<RuleSet>>,
    cache: &'c mut RuleCache,
    budget: BuildBudget,
    failures: Vec<Diagnostic>,
}

impl Pass<'_> {
    fn set(&mut self, rules: &Rules) -> Arc<RuleSet> {
        let scopes: Vec<Vec<u32>> = rules.list.iter().map(|rule| self.bits(rule)).collect();
        let key = Key::of(rules, &scopes);
        if let Some(set) = self.cache.sets.get(&key) {
            return Arc::clone(set);
        }
        let set = match self.before.remove(&key) {
            Some(known) => known,
            None => match build(&rules.list, rules.default, &scopes, &mut self.budget) {
                Ok(set) => Arc::new(set),
                Err(sentence) => {
                    self.failures.extend(failure(rules, &scopes, sentence));
                    return Arc::new(RuleSet::closed()); // nobody gets through should it ever be used
                }
            },
        };
        self.cache.sets.insert(key, Arc::clone(&set));
        set
    }

    fn bits(&mut self, rule: &PlannedRule) -> Vec<u32> {
        rule.scopes.iter().map(|scope| self.cache.bit(scope)).collect()
    }
}

/// Names the first rule without which the rules before it would still fit.
fn failure(rules: &Rules, scopes: &[Vec<u32>], sentence: String) -> Option<Diagnostic> {
    let fits = |count: &usize| {
        build(&rules.list[..*count], rules.default, scopes, &mut BuildBudget::nothing()).is_ok()
    };
    let counts: Vec<usize> = (0..=rules.list.len()).collect();
    let first = counts.partition_point(fits).saturating_sub(1);
    let origin = &rules.list.get(first)?.origin;
    Some(Diagnostic {
        severity: Severity::Error,
        file: origin.file.to_string(),
        line: origin.line,
        column: origin.column,
        key: Some(origin.key.clone()),
        value: None,
        message: format!("with this rule, its scope is too large for an automaton: {sentence}"),
        help: Some("write fewer or simpler patterns, such as literal prefixes".to_owned()),
    })
}

fn build(
    rules: &[PlannedRule],
    default: Option<Effect>,
    scopes: &[Vec<u32>],
    budget: &mut BuildBudget,
) -> Result<RuleSet, String> {
    let mut builder = RuleSetBuilder::default();
    for (rule, scopes) in rules.iter().zip(scopes) {
        let methods = match rule.methods.is_empty() {
            true => Methods::any(),
            false => Methods::of(rule.methods.iter().map(String::as_str)),
        };
        let source = RuleSource {
            effect: rule.effect,
            methods,
            path: rule.path.as_ref().map(|path| (&path.pattern, path.presence)),
            headers: rule.headers.iter().map(check).collect(),
            query: rule.query.iter().map(check).collect(),
            source: &rule.source,
            scopes: scopes.clone(),
        };
        builder.add(source, budget)?;
    }
    builder.build(default, budget)
}

fn check(check: &FieldCheck) -> (&Pattern, Option<&Pattern>, Presence) {
    (&check.name, check.value.as_ref(), check.presence)
}

/// All that a set is made of, in one piece.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key(Arc<[u8]>);

impl Key {
    fn of(rules: &Rules, scopes: &[Vec<u32>]) -> Self {
        let mut key = Writer::default();
        key.text(rules.default.map_or("", |effect| effect.word()));
        for (rule, scopes) in rules.list.iter().zip(scopes) {
            key.text(rule.effect.word());
            key.list(&rule.methods, |key, method| key.text(method));
            key.list(rule.path.as_slice(), |key, path| {
                key.text(path.presence.word());
                key.pattern(&path.pattern);
            });
            for checks in [&rule.headers, &rule.query] {
                key.list(checks, |key, check| {
                    key.text(check.presence.word());
                    key.pattern(&check.name);
                    key.list(check.value.as_slice(), Writer::pattern);
                });
            }
            key.list(&rule.source, |key, network| key.text(&network.to_string()));
            key.list(scopes, |key, scope| key.number(*scope as usize));
        }
        Self(key.0.into())
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn pattern(&mut self, pattern: &Pattern) {
        self.number(pattern.case() as usize);
        self.text(pattern.text());
    }

    fn list<T>(&mut self, members: &[T], write: impl Fn(&mut Self, &T)) {
        self.number(members.len());
        members.iter().for_each(|member| write(self, member));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::RuleCache;
    use crate::config::{self, Plan};

    fn plan(more: &str) -> Plan {
        let text = format!(
            "[[target]]\nname = \"t\"\nurl = \"http://t.example\"\n\
             [[target.rule]]\neffect = \"deny\"\npath = \"^/v1/\"\nscopes = [\"a\"]\n{more}"
        );
        config::parse_text(&text).expect("a configuration").plan
    }

    #[test]
    fn a_set_is_built_again_only_if_it_says_something_else() {
        let mut cache = RuleCache::default();
        let mut set = |more: &str| Arc::clone(&cache.compile(&plan(more)).targets[0]);
        let first = set("");
        assert!(Arc::ptr_eq(&first, &set("\n\nnotes = \"old\"\npriority = 7\n")));
        assert!(Arc::ptr_eq(&first, &set("[[consumer]]\nname = \"c\"\nscopes = [\"b\"]\n")));
        assert!(!Arc::ptr_eq(&first, &set("methods = [\"GET\"]\n")));
        assert!(!Arc::ptr_eq(&first, &set("")), "it was forgotten");
    }

    #[test]
    fn equal_sets_are_one() {
        let mut cache = RuleCache::default();
        let again = "[[target]]\nname = \"u\"\nurl = \"http://u.example\"\n\
                     [[target.rule]]\neffect = \"deny\"\npath = \"^/v1/\"\nscopes = [\"a\"]\n";
        let compiled = cache.compile(&plan(again));
        assert!(Arc::ptr_eq(&compiled.targets[0], &compiled.targets[1]));
        assert_eq!(compiled.targets[0].rules.len(), 1);
    }
}
