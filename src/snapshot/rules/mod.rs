//! Rules as the data plane sees them: one [`RuleSet`] for each proxy, target and credential.
//!
//! The paths of all rules of a set are looked up in one pass, so that what a request costs does not grow with the
//! number of rules: [`PathMatcher`] tells which rules are worth a look. Nothing here decides; `policy` does.

mod automaton;
mod build;
mod field;
mod literals;
mod paths;

use std::fmt;

pub use automaton::{Automaton, BuildBudget, LazyCaches};
pub use build::{RuleSetBuilder, RuleSource};
pub use field::{FieldCheck, FieldPattern};
pub use paths::{PathMatcher, PathUse};

use crate::{
    protocol::http::Method,
    types::{Cidr, Effect},
};

/// The rules of one proxy, target or credential.
#[derive(Default)]
pub struct RuleSet {
    /// What it says where it has rules and none of them matches.
    pub default: Option<Effect>,
    /// The rules, in the order of the configuration.
    pub rules: Box<[Rule]>,
    /// Which of them a path makes worth a look.
    pub paths: PathMatcher,
    /// Those that are worth a look whatever the path is.
    pub always: Box<[u32]>,
    /// Those that are worth a look where the path is none of theirs, by their bits.
    pub absent: Box<[u32]>,
}

/// One rule, but for its path.
pub struct Rule {
    /// What it does.
    pub effect: Effect,
    /// The methods that it is about.
    pub methods: Methods,
    /// Checks of header fields.
    pub headers: Box<[FieldCheck]>,
    /// Checks of the query.
    pub query: Box<[FieldCheck]>,
    /// Where callers have to come from; empty is anywhere.
    pub source: Box<[Cidr]>,
    /// Bits of the scopes that callers have to hold, all of them.
    pub scopes: Box<[u32]>,
}

/// Methods that a rule is about.
#[derive(Debug, Default)]
pub struct Methods {
    any: bool,
    known: u16,
    others: Box<[Box<[u8]>]>,
}

/// The scopes that somebody holds, each with a bit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeBits(Box<[u64]>);

impl RuleSet {
    /// A set that denies everything: what stands in for one that cannot be built.
    pub fn closed() -> Self {
        let rule = Rule {
            effect: Effect::Deny,
            methods: Methods::any(),
            headers: Box::default(),
            query: Box::default(),
            source: Box::default(),
            scopes: Box::default(),
        };
        Self { rules: Box::new([rule]), always: Box::new([0]), ..Self::default() }
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RuleSet({} rules, default {:?}, {:?})", self.rules.len(), self.default, self.paths)
    }
}

impl Methods {
    /// Every method.
    pub fn any() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// These methods.
    pub fn of<'m>(names: impl IntoIterator<Item = &'m str>) -> Self {
        let (mut known, mut others) = (0, Vec::new());
        for name in names {
            match Method::parse(name.as_bytes()) {
                Some(Method::Other) | None => others.push(name.as_bytes().into()),
                Some(method) => known |= bit(method),
            }
        }
        Self { any: false, known, others: others.into_boxed_slice() }
    }

    /// Whether a method is among them.
    #[inline]
    pub fn contains(&self, method: Method, bytes: &[u8]) -> bool {
        let other = || method == Method::Other && self.others.iter().any(|other| **other == *bytes);
        self.any || self.known & bit(method) != 0 || other()
    }
}

/// `Other` has none.
const fn bit(method: Method) -> u16 {
    match method {
        Method::Other => 0,
        method => 1 << method as u16,
    }
}

impl ScopeBits {
    /// The scopes with these bits.
    pub fn new(bits: impl IntoIterator<Item = u32>) -> Self {
        let mut words = Vec::new();
        for bit in bits {
            let at = bit as usize / 64;
            words.resize(words.len().max(at + 1), 0);
            words[at] |= 1 << (bit % 64);
        }
        Self(words.into_boxed_slice())
    }

    /// Whether the scope with this bit is held.
    #[inline]
    pub fn holds(&self, bit: u32) -> bool {
        self.0.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Methods, ScopeBits};
    use crate::protocol::http::Method;

    #[test]
    fn methods_are_told_apart() {
        let methods = Methods::of(["GET", "PURGE"]);
        let contains =
            |name: &str| methods.contains(Method::parse(name.as_bytes()).expect("a method"), name.as_bytes());
        assert!(contains("GET") && contains("PURGE"));
        assert!(!contains("HEAD") && !contains("PURG") && !contains("get"));
        assert!(Methods::any().contains(Method::Other, b"X"));
    }

    #[test]
    fn scopes_are_told_apart() {
        let scopes = ScopeBits::new([0, 63, 64, 200]);
        for bit in 0..300 {
            assert_eq!(scopes.holds(bit), [0, 63, 64, 200].contains(&bit), "{bit}");
        }
        assert!(!ScopeBits::default().holds(0));
    }
}
