//! Checks of header fields and of the pairs of a query. What stands in a value may be a secret: nothing is shown.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{Automaton, BuildBudget, LazyCaches};
use crate::{
    limits,
    types::{Case, Pattern, Presence, Shape},
};

/// One check: whether any pair of name and value matches.
#[derive(Debug)]
pub struct FieldCheck {
    /// What the name has to match.
    pub name: FieldPattern,
    /// What the value has to match.
    pub value: FieldPattern,
    /// Whether such a pair has to be there, or has to be missing.
    pub presence: Presence,
}

/// A pattern for one name or value.
pub enum FieldPattern {
    /// Anything.
    Any,
    /// This text.
    Exact(Box<[u8]>),
    /// This text, in lower case; the case of letters does not count.
    ExactCaseless(Box<[u8]>),
    /// Whatever begins with this text.
    Prefix(Box<[u8]>),
    /// The same for a text in lower case; the case of letters does not count.
    PrefixCaseless(Box<[u8]>),
    /// What an automaton finds. Equal patterns of a set share one.
    Searched(Arc<Automaton>),
}

/// The automata of a set so far.
pub(super) type Shared<'p> = HashMap<&'p Pattern, Arc<Automaton>>;

impl FieldPattern {
    /// The pattern in a form that is quick to ask.
    ///
    /// # Errors
    ///
    /// As of [`Automaton::new`].
    pub(super) fn new<'p>(
        pattern: Option<&'p Pattern>,
        shared: &mut Shared<'p>,
        budget: &mut BuildBudget,
    ) -> Result<Self, String> {
        let Some(pattern) = pattern else { return Ok(Self::Any) };
        Ok(match (pattern.text_shape(), pattern.case()) {
            (Shape::Any, _) => Self::Any,
            (Shape::Exact(text), Case::Counts) => Self::Exact(text.clone()),
            (Shape::Exact(text), Case::Ignored) => Self::ExactCaseless(text.clone()),
            (Shape::Prefix(text), Case::Counts) => Self::Prefix(text.clone()),
            (Shape::Prefix(text), Case::Ignored) => Self::PrefixCaseless(text.clone()),
            (Shape::Other, _) => {
                if let Some(automaton) = shared.get(pattern) {
                    return Ok(Self::Searched(Arc::clone(automaton)));
                }
                let built = Automaton::new(&[pattern], limits::AUTOMATON_FIELD_BYTES_MAX, budget)?;
                Self::Searched(Arc::clone(shared.entry(pattern).or_insert(Arc::new(built))))
            }
        })
    }

    /// Whether a text matches; none where that cannot be said.
    #[inline]
    pub fn matches(&self, text: &[u8], caches: &mut LazyCaches) -> Option<bool> {
        match self {
            Self::Any => Some(true),
            Self::Exact(wanted) => Some(**wanted == *text),
            Self::ExactCaseless(wanted) => Some(wanted.eq_ignore_ascii_case(text)),
            Self::Prefix(wanted) => Some(text.starts_with(wanted)),
            Self::PrefixCaseless(wanted) => {
                Some(text.get(..wanted.len()).is_some_and(|front| wanted.eq_ignore_ascii_case(front)))
            }
            Self::Searched(automaton) => automaton.finds(text, caches).ok(),
        }
    }
}

impl fmt::Debug for FieldPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Any => "Any",
            Self::Exact(_) => "Exact(…)",
            Self::ExactCaseless(_) => "ExactCaseless(…)",
            Self::Prefix(_) => "Prefix(…)",
            Self::PrefixCaseless(_) => "PrefixCaseless(…)",
            Self::Searched(_) => "Searched(…)",
        })
    }
}
