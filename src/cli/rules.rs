//! Rules as `check` lists them: under the proxy that they apply to, by place, higher priorities first.
//!
//! What stands in the values of headers and queries may be a secret and is left out.

use crate::{
    config::{
        Plan,
        plan::{FieldCheck, Proxy, Rule, Rules},
    },
    types::{Presence, RuleScope},
};

/// Lists all rules that a proxy asks.
pub(super) fn list(text: &mut String, proxy: &Proxy, plan: &Plan) {
    let Ok(route) = &proxy.route else { return };
    for credential in route.security.credentials().iter().filter_map(|at| plan.proxy_credentials.get(*at)) {
        place(text, RuleScope::ProxyCredential, &credential.name, &credential.rules);
    }
    let target_credential = route.target_credential.and_then(|at| plan.target_credentials.get(at));
    if let Some(credential) = target_credential {
        place(text, RuleScope::TargetCredential, &credential.name, &credential.rules);
    }
    place(text, RuleScope::Proxy, &proxy.label, &proxy.rules);
    if let Some(target) = plan.targets.get(route.target) {
        place(text, RuleScope::Target, &target.name, &target.rules);
    }
}

fn place(text: &mut String, scope: RuleScope, name: &str, rules: &Rules) {
    if rules.list.is_empty() && (rules.default.is_none() || scope != RuleScope::Proxy) {
        return;
    }
    let default = match rules.default {
        Some(effect) => format!("; else {}", effect.word()),
        None => String::new(),
    };
    text.push_str(&format!("    rules of {} {name}{default}\n", scope.word()));
    let mut ordered: Vec<&Rule> = rules.list.iter().collect();
    ordered.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    for rule in ordered {
        text.push_str(&format!("        {}\n", describe(rule)));
    }
}

/// `allow GET path ^/v2/ scopes contacts:read  "read only" (keyferry.toml:12)`
fn describe(rule: &Rule) -> String {
    let mut parts = vec![rule.effect.word().to_owned()];
    if !rule.methods.is_empty() {
        parts.push(rule.methods.join(","));
    }
    if let Some(path) = &rule.path {
        parts.push(format!("path {}{}", but(path.presence), path.pattern.text()));
    }
    for (noun, checks) in [("header", &rule.headers), ("query", &rule.query)] {
        parts.extend(checks.iter().map(|check| describe_check(noun, check)));
    }
    if !rule.source.is_empty() {
        let networks: Vec<_> = rule.source.iter().map(|network| network.to_string()).collect();
        parts.push(format!("source {}", networks.join(",")));
    }
    if !rule.scopes.is_empty() {
        parts.push(format!("scopes {}", rule.scopes.join(",")));
    }
    let notes = rule.notes.as_ref().map_or_else(String::new, |notes| format!("  {notes:?}"));
    format!("{}{notes} ({}:{})", parts.join(" "), rule.origin.file, rule.origin.line)
}

fn describe_check(noun: &str, check: &FieldCheck) -> String {
    let value = if check.value.is_some() { " = …" } else { "" };
    format!("{noun} {}{}{value}", but(check.presence), check.name.text())
}

fn but(presence: Presence) -> &'static str {
    match presence {
        Presence::MustExist => "",
        Presence::MustAbsent => "not ",
    }
}
