//! Patterns of rules: read, weighed, refused where they would cost too much. What stands in a value may be a
//! secret; whoever asks masks it first.

use regex_automata::nfa::thompson::{Compiler, Config, WhichCaptures};

use super::super::{
    raw::{Table, Value},
    report::{Problem, Report},
};
use crate::{
    limits,
    types::{Case, Pattern, Shape},
};

/// A pattern, and how much it takes as a list of states.
pub(super) struct Weighed {
    pub pattern: Pattern,
    pub bytes: usize,
}

/// Reads `"…"` or `{ pattern = "…" }`.
pub(super) fn either(value: &Value<'_>, case: Case, secret: bool, report: &mut Report) -> Option<Weighed> {
    if value.inner().as_table().is_none() {
        return pattern(value, case, report);
    }
    let mut table = value.table(report)?;
    let found = required(&mut table, case, secret, report);
    table.finish(report);
    found
}

/// Reads the key `pattern` of a table.
pub(super) fn required(
    table: &mut Table<'_>,
    case: Case,
    secret: bool,
    report: &mut Report,
) -> Option<Weighed> {
    let help = r#"write pattern = "…""#;
    let value = match secret {
        true => table.require_secret("pattern", help, report),
        false => table.require("pattern", help, report),
    };
    pattern(&value?, case, report)
}

fn pattern(value: &Value<'_>, case: Case, report: &mut Report) -> Option<Weighed> {
    value.convert(report, |text| {
        if text.len() > limits::PATTERN_BYTES_MAX {
            let message = format!("the pattern is longer than {} bytes", limits::PATTERN_BYTES_MAX);
            return Err(Problem::plain(message));
        }
        let wrong = |sentence| Problem::new(format!("not a regular expression, {sentence}"), HELP);
        let pattern = Pattern::parse(text, case).map_err(wrong)?;
        let bytes = weigh(&pattern)?;
        Ok(Weighed { pattern, bytes })
    })
}

const HELP: &str =
    r"write one such as '^/v2/'; a \ in front of . + * ? ( ) [ ] { } | ^ $ takes them as they are";

fn weigh(pattern: &Pattern) -> Result<usize, Problem> {
    if *pattern.text_shape() != Shape::Other {
        return Ok(0); // compared as a text
    }
    let config = Config::new()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(limits::PATTERN_STATES_BYTES_MAX));
    let states = Compiler::new().configure(config).build_from_hir(pattern.hir()).map_err(|_| {
        Problem::new("the pattern stands for too many states", "repeat less, or a smaller part of it")
    })?;
    if states.look_set_any().contains_word_unicode() {
        let message = "the pattern looks for the ends of words that are not ASCII";
        return Err(Problem::new(message, r"write \b without (?u)"));
    }
    Ok(states.memory_usage())
}
