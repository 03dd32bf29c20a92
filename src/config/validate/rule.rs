//! `[[….rule]]` and `default_rule_effect`, the same in all four places, and the `scopes` that rules ask for.
//!
//! Both notations are read: the short one, and the one of RequestRocket's Core API (`path = { path = { pattern =
//! "…" }, presence = "…" }`). What stands in the values of headers and queries may be a secret and is not shown.

use std::sync::Arc;

use super::{
    super::{
        Severity,
        plan::{FieldCheck, PathCheck, Rule, Rules},
        raw::{Table, Value},
        report::{Problem, Report},
    },
    field,
    pattern::{self, Weighed},
};
use crate::{
    limits,
    types::{Case, Cidr, CidrError, Effect, Presence, Shape},
};

const DEFAULT: &str = "default_rule_effect";
const EFFECTS: [(&str, Effect); 2] = [("allow", Effect::Allow), ("deny", Effect::Deny)];
const PRESENCES: [(&str, Presence); 2] =
    [("must_exist", Presence::MustExist), ("must_absent", Presence::MustAbsent)];

/// Reads the rules of a target or credential, whose default counts only beside rules.
pub(super) fn rules(table: &mut Table<'_>, report: &mut Report) -> Arc<Rules> {
    let rules = rules_of_proxy(table, report);
    if let (true, true, Some(value)) = (rules.list.is_empty(), rules.default.is_some(), table.take(DEFAULT)) {
        let problem = Problem::new(
            "without rules beside it, this has no effect",
            "write it on the proxy, or write a rule here",
        );
        value.add(Severity::Warning, problem, report);
    }
    rules
}

/// Reads the rules of a proxy.
pub(super) fn rules_of_proxy(table: &mut Table<'_>, report: &mut Report) -> Arc<Rules> {
    let default = table.take(DEFAULT).and_then(|value| field::choice(&value, &EFFECTS, report));
    let mut budget = Budget::default();
    let mut list = Vec::new();
    for table in table.tables("rule", report) {
        if list.len() == limits::RULES_MAX {
            let message = format!("there are more than {} rules", limits::RULES_MAX);
            table.error(Problem::plain(message), report);
            break;
        }
        list.extend(rule(table, &mut budget, report));
    }
    Arc::new(Rules { default, list })
}

/// Reads `scopes`.
pub(super) fn scopes(table: &mut Table<'_>, report: &mut Report) -> Vec<String> {
    let read = |value: &Value<'_>, report: &mut Report| value.convert(report, scope).map(str::to_owned);
    members(table, "scopes", limits::RULE_MEMBERS_MAX, read, report)
}

/// What all the rules of one place have used up.
#[derive(Default)]
struct Budget {
    states: usize,
    absent: usize,
}

fn rule(mut table: Table<'_>, budget: &mut Budget, report: &mut Report) -> Option<Rule> {
    let origin = table.origin(report);
    let help = r#"write effect = "allow" or effect = "deny""#;
    let effect = table.require("effect", help, report);
    let effect = effect.and_then(|value| field::choice(&value, &EFFECTS, report));
    let methods = members(&mut table, "methods", limits::RULE_MEMBERS_MAX, method, report);
    let path = table.take("path").and_then(|value| path(&value, budget, report));
    let headers = checks(&mut table, "headers", Case::Ignored, budget, report);
    let query = checks(&mut table, "query", Case::Counts, budget, report);
    let source = members(&mut table, "source", limits::RULE_MEMBERS_MAX, source, report);
    let scopes = scopes(&mut table, report);
    let priority = field::count(&mut table, "priority", 0, (0, limits::RULE_PRIORITY_MAX), report);
    let notes = table.take("notes").and_then(|value| value.convert(report, notes));
    table.finish(report);
    let priority = u16::try_from(priority).unwrap_or(u16::MAX);
    Some(Rule { effect: effect?, methods, path, headers, query, source, scopes, priority, notes, origin })
}

/// A list that, where it is written, has members, none of them twice.
fn members<T: PartialEq>(
    table: &mut Table<'_>,
    key: &'static str,
    count_max: usize,
    read: impl Fn(&Value<'_>, &mut Report) -> Option<T>,
    report: &mut Report,
) -> Vec<T> {
    let Some(value) = table.take(key) else { return Vec::new() };
    let listed = value.list(report);
    if value.inner().as_array().is_some_and(|list| list.is_empty() || list.len() > count_max) {
        let help = format!("write 1 to {count_max}, or leave it out");
        value.error(Problem::new("it has too few or too many members", help), report);
        return Vec::new();
    }
    let mut found = Vec::new();
    for member in listed {
        match read(&member, report) {
            Some(one) if found.contains(&one) => member.error(Problem::plain("it is written twice"), report),
            Some(one) => found.push(one),
            None => {}
        }
    }
    found
}

/// A method token in upper case: names of methods are compared with case (RFC 9110 §9.1).
pub(super) fn method(value: &Value<'_>, report: &mut Report) -> Option<String> {
    value.convert(report, |text| {
        if !field::is_token(text) || text.len() > limits::METHOD_BYTES_MAX {
            return Err(Problem::new("not a method", r#"write one such as "GET""#));
        }
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let help = format!("write {:?}", text.to_ascii_uppercase());
            return Err(Problem::new("methods are in upper case, and compared as they are", help));
        }
        Ok(text.to_owned())
    })
}

fn path(value: &Value<'_>, budget: &mut Budget, report: &mut Report) -> Option<PathCheck> {
    let (found, presence) = match value.inner().as_table() {
        Some(_) => {
            let mut table = value.table(report)?;
            let found = match table.take("path") {
                Some(inner) => pattern::either(&inner, Case::Counts, false, report),
                None => pattern::required(&mut table, Case::Counts, false, report),
            };
            let presence = presence(&mut table, report);
            table.finish(report);
            (found?, presence)
        }
        None => (pattern::either(value, Case::Counts, false, report)?, Presence::MustExist),
    };
    budget.take_states(value, found.bytes, report);
    budget.take_absent(value, &found, presence, report);
    Some(PathCheck { pattern: found.pattern, presence })
}

impl Budget {
    /// Says at which pattern it is used up, once.
    fn take_states(&mut self, value: &Value<'_>, bytes: usize, report: &mut Report) {
        let before = self.states;
        self.states += bytes;
        if self.states > limits::RULES_STATES_BYTES_MAX && before <= limits::RULES_STATES_BYTES_MAX {
            let help = "use more patterns that are plain text behind ^, or fewer repetitions";
            let message = "up to here the patterns of these rules stand for too many states";
            value.error(Problem::new(message, help), report);
        }
    }

    /// The same for rules whose path must be absent. A pattern that matches every path is never missing: such a
    /// rule needs no place.
    fn take_absent(&mut self, value: &Value<'_>, found: &Weighed, presence: Presence, report: &mut Report) {
        if presence == Presence::MustExist || *found.pattern.line_shape() == Shape::Any {
            return;
        }
        self.absent += 1;
        if self.absent == limits::RULES_PATH_ABSENT_MAX + 1 {
            let most = limits::RULES_PATH_ABSENT_MAX;
            let message = format!("more than {most} of these rules have a path that must_absent");
            value.error(Problem::plain(message), report);
        }
    }
}

fn presence(table: &mut Table<'_>, report: &mut Report) -> Presence {
    let value = table.take("presence");
    value.and_then(|value| field::choice(&value, &PRESENCES, report)).unwrap_or_default()
}

/// `headers` or `query`. The list as a whole is not shown: a member that is no table may be a value.
fn checks(
    table: &mut Table<'_>,
    key: &'static str,
    case: Case,
    budget: &mut Budget,
    report: &mut Report,
) -> Vec<FieldCheck> {
    let Some(value) = table.take_secret(key) else { return Vec::new() };
    let listed = value.list(report);
    if listed.len() > limits::RULE_CHECKS_MAX {
        let message = format!("it has more than {} members", limits::RULE_CHECKS_MAX);
        value.error(Problem::plain(message), report);
        return Vec::new();
    }
    let read = |member: &Value<'_>| {
        let (check, bytes) = check(member.table(report)?, case, report)?;
        budget.take_states(member, bytes, report);
        Some(check)
    };
    listed.iter().filter_map(read).collect()
}

/// A check, and how much its patterns take as lists of states.
fn check(mut table: Table<'_>, case: Case, report: &mut Report) -> Option<(FieldCheck, usize)> {
    let name = table.require("name", r#"write name = "…""#, report);
    let name = name.and_then(|value| pattern::either(&value, case, false, report));
    let value = table.take_secret("value");
    let wanted = value.map(|value| pattern::either(&value, Case::Counts, true, report));
    let presence = presence(&mut table, report);
    table.finish(report);
    let (name, value) = (
        name?,
        match wanted {
            Some(found) => Some(found?),
            None => None,
        },
    );
    let bytes = name.bytes + value.as_ref().map_or(0, |value| value.bytes);
    Some((FieldCheck { name: name.pattern, value: value.map(|value| value.pattern), presence }, bytes))
}

fn source(value: &Value<'_>, report: &mut Report) -> Option<Cidr> {
    value.convert(report, network)
}

/// A network of addresses.
pub(super) fn network(text: &str) -> Result<Cidr, Problem> {
    Cidr::parse(text).map_err(|error| match error {
        CidrError::Malformed => {
            Problem::new("not a network", r#"write one such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.1""#)
        }
        CidrError::HostBits(meant) => {
            Problem::new("bits behind the prefix are set", format!("write \"{meant}\""))
        }
    })
}

/// RFC 6749 §3.3.
fn scope(text: &str) -> Result<&str, Problem> {
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&text.len());
    if !fits || !text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~')) {
        let help = r#"write a word without spaces and quotes, such as "contacts:read""#;
        return Err(Problem::new("not a scope", help));
    }
    Ok(text)
}

fn notes(text: &str) -> Result<String, Problem> {
    if text.len() > limits::RULE_NOTES_BYTES_MAX {
        let message = format!("the notes are longer than {} bytes", limits::RULE_NOTES_BYTES_MAX);
        return Err(Problem::plain(message));
    }
    Ok(text.to_owned())
}
