//! The texts that a pattern matches: whether there are any, one of them, and whether another pattern matches all.
//!
//! Asked of small dense automata. A pattern whose automaton is not small has no answer.

use std::collections::{HashMap, HashSet, VecDeque};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson::{self, WhichCaptures},
    util::{primitives::StateID, start},
};

use crate::types::Pattern;

/// Size of an automaton that is still looked into.
const BYTES_MAX: usize = 256 * 1024;
/// States, or pairs of them, that one question may visit.
const VISITS_MAX: usize = 20_000;

/// Bytes of which texts are made, and the one that they begin with, if there is such a one.
#[derive(Clone, Copy)]
pub(super) struct Alphabet {
    pub holds: fn(u8) -> bool,
    pub first: Option<u8>,
}

/// Paths as rules see them (RFC 3986 §3.3), percent-encoded.
pub(super) const PATHS: Alphabet = Alphabet { holds: is_path, first: Some(b'/') };
/// Names of header fields (RFC 9110 §5.1), all but the first letter of which may be anything.
pub(super) const NAMES: Alphabet = Alphabet { holds: is_token, first: None };
/// Values of header fields (RFC 9110 §5.5).
pub(super) const VALUES: Alphabet = Alphabet { holds: is_value, first: None };
/// Names and values of queries, decoded.
pub(super) const TEXTS: Alphabet = Alphabet { holds: |_| true, first: None };

fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_value(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// The texts that a pattern matches.
pub(super) struct Language {
    automaton: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Language {
    /// None where the automaton would not be small.
    pub fn of(pattern: &Pattern) -> Option<Self> {
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(BYTES_MAX));
        let states = thompson::Compiler::new().configure(config).build_from_hir(&pattern.anywhere()).ok()?;
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(BYTES_MAX))
            .determinize_size_limit(Some(BYTES_MAX));
        let automaton = dense::Builder::new().configure(config).build_from_nfa(&states).ok()?;
        let start = automaton.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { automaton, start })
    }

    /// Whether a text is among them.
    pub fn holds(&self, text: &[u8]) -> bool {
        self.accepts(text.iter().fold(self.start, |state, byte| self.automaton.next_state(state, *byte)))
    }

    /// The shortest text of an alphabet that is among them, or that is not; none if there is none. An error where
    /// the search was given up.
    pub fn example(&self, alphabet: Alphabet, among: bool) -> Result<Option<Vec<u8>>, GivenUp> {
        let wanted = |[state]: [StateID; 1]| self.accepts(state) == among;
        let step = |[state]: [StateID; 1], byte| [self.automaton.next_state(state, byte)];
        search([self.start], alphabet, step, wanted)
    }

    /// Whether every text of an alphabet that is among the others is among these.
    pub fn covers(&self, others: &Self, alphabet: Alphabet) -> Result<bool, GivenUp> {
        let differs = |[mine, theirs]: [StateID; 2]| others.accepts(theirs) && !self.accepts(mine);
        let step = |[mine, theirs]: [StateID; 2], byte| {
            [self.automaton.next_state(mine, byte), others.automaton.next_state(theirs, byte)]
        };
        Ok(search([self.start, others.start], alphabet, step, differs)?.is_none())
    }

    fn accepts(&self, state: StateID) -> bool {
        self.automaton.is_match_state(self.automaton.next_eoi_state(state))
    }
}

/// More states than may be visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GivenUp;

/// The shortest text that leads to what is wanted.
fn search<const N: usize>(
    start: [StateID; N],
    alphabet: Alphabet,
    step: impl Fn([StateID; N], u8) -> [StateID; N],
    wanted: impl Fn([StateID; N]) -> bool,
) -> Result<Option<Vec<u8>>, GivenUp> {
    let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| (alphabet.holds)(*byte)).collect();
    // Where each state was reached from, and by which byte.
    let mut before: HashMap<[StateID; N], ([StateID; N], u8)> = HashMap::new();
    let begin = match alphabet.first {
        Some(byte) => step(start, byte),
        None => start,
    };
    let mut seen = HashSet::from([begin]);
    let mut open = VecDeque::from([begin]);
    while let Some(state) = open.pop_front() {
        if wanted(state) {
            let mut text: Vec<u8> = std::iter::successors(before.get(&state), |(state, _)| before.get(state))
                .map(|(_, byte)| *byte)
                .collect();
            text.extend(alphabet.first);
            text.reverse();
            return Ok(Some(text));
        }
        for &byte in &bytes {
            let next = step(state, byte);
            if seen.insert(next) {
                if seen.len() > VISITS_MAX {
                    return Err(GivenUp);
                }
                before.insert(next, (state, byte));
                open.push_back(next);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{Language, PATHS};
    use crate::types::{Case, Pattern};

    fn language(text: &str) -> Language {
        Language::of(&Pattern::parse(text, Case::Counts).expect("a pattern")).expect("a small automaton")
    }

    #[test]
    fn examples_are_the_shortest_texts() {
        let example = |text: &str, among| language(text).example(PATHS, among).expect("few states");
        assert_eq!(example("^/v[12]/", true).as_deref(), Some(&b"/v1/"[..]));
        assert_eq!(example("^v2/", true), None);
        assert_eq!(example("^/ ", true), None);
        assert_eq!(example("a^b", true), None);
        assert_eq!(example("^/", false), None);
        assert_eq!(example("/$", false).map(|text| text.len()), Some(2));
    }

    #[test]
    fn inclusion_is_exact() {
        for (large, small, covers) in [
            ("^/v[12]/", "^/v1/", true),
            ("^/v1/", "^/v[12]/", false),
            ("^/v2", "^/v2/.*x$", true),
            ("/", "^/a", true),
            (".*", "^/a|b", true),
            ("^/a+$", "^/(aa)+$", true),
            ("^/(aa)+$", "^/a+$", false),
        ] {
            assert_eq!(language(large).covers(&language(small), PATHS), Ok(covers), "{large} {small}");
        }
    }
}
