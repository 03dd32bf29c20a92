//! Doubts about rules: what is right, works, and is probably not what was meant.
//!
//! Asked for by `keyferry check`, not by every load: it takes some time. Everything found is a warning. What it
//! compares is bounded; where a bound is reached it says less, and never anything wrong.

mod language;
mod never;
mod secret;
mod shadow;

use super::{
    Diagnostic, Severity,
    plan::{Origin, Plan, Proxy, Rule, Rules},
};
use crate::types::{Effect, RuleScope};

/// Everything that is doubtful about the rules of a plan, in the order of the files.
pub fn lint(plan: &Plan) -> Vec<Diagnostic> {
    let places = places(plan);
    let mut found = Vec::new();
    let mut shadows = shadow::Shadows::default();
    for place in &places {
        never::find(place, plan, &mut found);
        secret::find(place, &mut found);
        shadows.find(place, &mut found);
        without_effect(place, &mut found);
    }
    for proxy in &plan.proxies {
        without_default(proxy, &places, &mut found);
    }
    found.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    found
}

/// Somewhere that has rules, and the proxies that they are asked for.
struct Place<'p> {
    scope: RuleScope,
    rules: &'p Rules,
    proxies: Vec<&'p Proxy>,
}

fn places(plan: &Plan) -> Vec<Place<'_>> {
    let with = |uses: &dyn Fn(&super::plan::ProxyRoute) -> bool| -> Vec<&Proxy> {
        plan.proxies.iter().filter(|proxy| proxy.route.as_ref().is_ok_and(uses)).collect()
    };
    let mut places = Vec::new();
    for (at, credential) in plan.proxy_credentials.iter().enumerate() {
        let proxies = with(&|route| route.security.credentials().contains(&at));
        places.push(Place { scope: RuleScope::ProxyCredential, rules: &credential.rules, proxies });
    }
    for (at, credential) in plan.target_credentials.iter().enumerate() {
        let proxies = with(&|route| route.target_credential == Some(at));
        places.push(Place { scope: RuleScope::TargetCredential, rules: &credential.rules, proxies });
    }
    for proxy in &plan.proxies {
        places.push(Place { scope: RuleScope::Proxy, rules: &proxy.rules, proxies: vec![proxy] });
    }
    for (at, target) in plan.targets.iter().enumerate() {
        let proxies = with(&|route| route.target == at);
        places.push(Place { scope: RuleScope::Target, rules: &target.rules, proxies });
    }
    places.retain(|place| !place.rules.list.is_empty());
    places
}

/// Allow rules where nothing is ever denied by default: they take nothing away from anybody.
fn without_effect(place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let denies = |effect: Option<Effect>| effect == Some(Effect::Deny);
    if denies(place.rules.default) || place.proxies.iter().any(|proxy| denies(proxy.rules.default)) {
        return;
    }
    if place.proxies.is_empty() {
        return; // nobody uses it, which is said already
    }
    if let Some(rule) = place.rules.list.iter().find(|rule| rule.effect == Effect::Allow) {
        let message = format!(
            "the allow rules of this {} change nothing: what they do not name is allowed as well",
            place.scope.word()
        );
        let help = r#"write default_rule_effect = "deny" on the proxy, or deny what is not meant"#;
        found.push(warning(&rule.origin, message, help));
    }
}

/// A proxy whose rules leave open what they do not name.
fn without_default(proxy: &Proxy, places: &[Place<'_>], found: &mut Vec<Diagnostic>) {
    let has_rules = places.iter().any(|place| place.proxies.iter().any(|one| std::ptr::eq(*one, proxy)));
    if has_rules && proxy.rules.default.is_none() {
        let message = "rules apply to this proxy, and what they do not name is allowed";
        let help = r#"write default_rule_effect = "deny", or "allow" if that is meant"#;
        found.push(warning(&proxy.origin, message.to_owned(), help));
    }
}

fn never_matches(rule: &Rule, why: &str, help: &str) -> Diagnostic {
    warning(&rule.origin, format!("the rule never matches: {why}"), help)
}

fn warning(origin: &Origin, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        file: origin.file.to_string(),
        line: origin.line,
        column: origin.column,
        key: Some(origin.key.clone()),
        value: None,
        message,
        help: (!help.is_empty()).then(|| help.to_owned()),
    }
}
