//! Rules that no request can match.

use super::{
    Place,
    language::{Alphabet, Language, NAMES, PATHS, TEXTS, VALUES},
    never_matches, warning,
};
use crate::{
    config::{
        Diagnostic,
        plan::{FieldCheck, Plan, Rule},
    },
    types::{Pattern, Presence, Shape},
};

/// Methods that are refused before rules are asked (RFC 9110 §9.3.6, §9.3.8).
const REFUSED: [&str; 2] = ["CONNECT", "TRACE"];

pub(super) fn find(place: &Place<'_>, plan: &Plan, found: &mut Vec<Diagnostic>) {
    for rule in &place.rules.list {
        found.extend(
            path(rule, place)
                .or_else(|| fields(rule))
                .or_else(|| scopes(rule, plan))
                .or_else(|| methods(rule)),
        );
    }
}

fn path(rule: &Rule, place: &Place<'_>) -> Option<Diagnostic> {
    let path = rule.path.as_ref()?;
    let text = path.pattern.text();
    match path.presence {
        Presence::MustExist if is_empty(&path.pattern, PATHS) => {
            let why = format!(
                "no path matches {text:?}, since every path begins with \"/\" and is percent-encoded"
            );
            let rest = text.strip_prefix('^').filter(|rest| !rest.starts_with('/'));
            let help = rest.map_or_else(String::new, |rest| format!("write \"^/{rest}\""));
            Some(never_matches(rule, &why, &help))
        }
        Presence::MustAbsent if is_everything(&path.pattern) => {
            Some(never_matches(rule, &format!("every path matches {text:?}, which must be absent"), ""))
        }
        Presence::MustExist => with_alias(rule, &path.pattern, place),
        Presence::MustAbsent => None,
    }
}

/// `^/crm/` on a proxy with the alias `crm`: it matches `/crm/crm/…`, and nothing that is called so.
fn with_alias(rule: &Rule, pattern: &Pattern, place: &Place<'_>) -> Option<Diagnostic> {
    let (Shape::Prefix(text) | Shape::Exact(text)) = pattern.line_shape() else { return None };
    let segment = text.strip_prefix(b"/")?.split(|byte| *byte == b'/').next()?;
    // Under a host name nothing is taken off.
    let by_alias = place.proxies.iter().filter(|proxy| proxy.hosts.is_empty());
    let mut names = by_alias.flat_map(|proxy| proxy.alias.iter().chain(&proxy.id));
    let name = names.find(|name| name.as_bytes() == segment)?;
    let message = format!("the path begins with the alias {name:?}, which is taken off before rules see it");
    let rest = pattern.text().replacen(&format!("/{name}"), "", 1);
    let rest = if rest == "^" || rest == "^$" { rest.replacen('^', "^/", 1) } else { rest };
    Some(warning(&rule.origin, message, &format!("write {rest:?}")))
}

fn fields(rule: &Rule) -> Option<Diagnostic> {
    let headers = rule.headers.iter().map(|check| (check, NAMES, VALUES, "header field"));
    let query = rule.query.iter().map(|check| (check, TEXTS, TEXTS, "pair of a query"));
    let none = |(check, names, values, _): &(&FieldCheck, Alphabet, Alphabet, &str)| {
        let value = check.value.as_ref();
        check.presence == Presence::MustExist
            && (is_empty(&check.name, *names) || value.is_some_and(|value| is_empty(value, *values)))
    };
    let (check, _, _, what) = headers.chain(query).find(none)?;
    let why = format!("no {what} matches the check of {:?}", check.name.text());
    Some(never_matches(rule, &why, ""))
}

fn scopes(rule: &Rule, plan: &Plan) -> Option<Diagnostic> {
    let held = |scope: &String| plan.consumers.iter().any(|consumer| consumer.scopes.contains(scope));
    let scope = rule.scopes.iter().find(|scope| !held(scope))?;
    let why = format!("no consumer has the scope {scope:?}");
    Some(never_matches(rule, &why, "write scopes = […] on a [[consumer]]"))
}

fn methods(rule: &Rule) -> Option<Diagnostic> {
    let refused =
        !rule.methods.is_empty() && rule.methods.iter().all(|method| REFUSED.contains(&method.as_str()));
    refused.then(|| never_matches(rule, "these methods are refused before rules are asked", ""))
}

fn is_empty(pattern: &Pattern, alphabet: Alphabet) -> bool {
    let literal = |text: &[u8]| {
        !text.iter().all(|byte| (alphabet.holds)(*byte))
            || alphabet.first.is_some_and(|first| text.first().is_some_and(|byte| *byte != first))
    };
    match pattern.line_shape() {
        Shape::Any => false,
        Shape::Exact(text) => literal(text) || (text.is_empty() && alphabet.first.is_some()),
        Shape::Prefix(text) => literal(text),
        Shape::Other => {
            Language::of(pattern).is_some_and(|language| language.example(alphabet, true) == Ok(None))
        }
    }
}

fn is_everything(pattern: &Pattern) -> bool {
    match pattern.line_shape() {
        Shape::Any => true,
        Shape::Prefix(text) => matches!(&**text, b"" | b"/"),
        Shape::Exact(_) => false,
        Shape::Other => {
            Language::of(pattern).is_some_and(|language| language.example(PATHS, false) == Ok(None))
        }
    }
}
