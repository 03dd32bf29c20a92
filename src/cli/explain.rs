//! `keyferry explain`: how a request would be judged, and by which rules.
//!
//! Values of header fields go in and never come out again.

use std::{
    net::{AddrParseError, IpAddr},
    path::Path,
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use serde_json::{Value, json};

use super::{complain, print};
use crate::{
    compile::{Compiler, Epoch},
    config::{
        self, Plan,
        plan::{Proxy, Rule, Rules},
    },
    explain::{Explanation, Question, Said, explain, rehearsal},
    store::Revocations,
    types::RuleScope,
};

/// A request, as a caller would send it.
#[derive(Debug, Args)]
pub(super) struct Asked {
    /// Its method, such as GET
    method: String,
    /// Its path, alias and query included, such as /crm/v2/contacts?id=1
    path: String,
    /// A header field, "Name: value"; may be repeated. Its value is printed nowhere
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// The proxy credential that the caller is taken to have; without it, the header fields decide
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// The address that the caller comes from, or "unknown"
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    source: Source,
    /// The host that is asked for
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where a caller is; nobody knows if it is none.
#[derive(Debug, Clone, Copy)]
struct Source(Option<IpAddr>);

impl FromStr for Source {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        if text == "unknown" { Ok(Self(None)) } else { text.parse().map(|address| Self(Some(address))) }
    }
}

/// Loads the configuration and explains what it makes of the request.
pub(super) fn run(path: &Path, asked: &Asked) -> ExitCode {
    let plan = match config::load(path, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded.plan,
        Err(diagnostics) => {
            diagnostics.iter().for_each(|diagnostic| complain(diagnostic));
            return ExitCode::FAILURE;
        }
    };
    let Some(headers) = asked.headers.iter().map(|field| split(field)).collect::<Option<Vec<_>>>() else {
        complain(&"keyferry explain: a header field is \"Name: value\"");
        return ExitCode::from(2);
    };
    let known = |name: &String| plan.proxy_credentials.iter().any(|credential| credential.name == *name);
    if let Some(name) = asked.credential.as_ref().filter(|name| !known(name)) {
        complain(&format!("keyferry explain: there is no proxy credential {name:?}"));
        return ExitCode::from(2);
    }
    let question = Question {
        method: &asked.method,
        path: &asked.path,
        host: &asked.host,
        headers: &headers,
        source: asked.source.0,
        credential: asked.credential.as_deref(),
        now: now(),
    };
    let plan = Arc::new(plan);
    let compiled = match Compiler::default().compile(&plan, Epoch::FIRST) {
        Ok(compiled) => compiled,
        Err(diagnostics) => {
            diagnostics.iter().for_each(|diagnostic| complain(diagnostic));
            return ExitCode::FAILURE;
        }
    };
    let revocations = match Revocations::look(plan.server.data_dir.as_deref()) {
        Ok(revocations) => revocations,
        Err(error) => {
            complain(&format!("keyferry explain: what was revoked is not known: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let explanation = explain(&rehearsal(&compiled, &revocations), &question);
    match asked.json {
        true => print(&format!("{:#}\n", to_json(&explanation, &plan))),
        false => print(&to_text(&explanation, &plan)),
    }
}

fn split(field: &str) -> Option<(&str, &[u8])> {
    let (name, value) = field.split_once(':')?;
    Some((name, value.trim().as_bytes()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys are judged as of now, and no shard or control thread runs"
)]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

// --- text ----------------------------------------------------------------------------------------

fn to_text(explanation: &Explanation, plan: &Plan) -> String {
    let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    let mut text = format!(
        "proxy       {}\ncredential  {}\n",
        or_none(&explanation.proxy),
        or_none(&explanation.credential)
    );
    for (at, reason) in &explanation.lost {
        let members = members(*at, explanation, plan).join(" and ");
        text.push_str(&format!("not by      {members}: {}\n", reason.word()));
    }
    let by = explanation.won.map(|at| members(at, explanation, plan)).unwrap_or_default();
    if by.len() > 1 {
        text.push_str(&format!("by          {}\n", by.join(" and ")));
    }
    if let Some(path) = &explanation.path {
        text.push_str(&format!("path        {path}\n"));
    }
    for said in &explanation.said {
        let (rules, owner) = rules_of(said, explanation, plan).unzip();
        let word = said.effect.map_or("nothing", |effect| effect.word());
        let why = if said.by_default && said.effect.is_some() { ", by default" } else { "" };
        text.push_str(&format!("\n{} {} says {word}{why}\n", said.scope.word(), owner.unwrap_or_default()));
        for rule in matched(said, rules) {
            let notes = rule.notes.as_ref().map_or_else(String::new, |notes| format!("  {notes:?}"));
            let origin = &rule.origin;
            text.push_str(&format!("    {:5} {}:{}{notes}\n", rule.effect.word(), origin.file, origin.line));
        }
    }
    if let (true, Some(default)) = (explanation.rests_on_default(), explanation.default) {
        text.push_str(&format!("\nno rule decides; the proxy's default_rule_effect is {}\n", default.word()));
    }
    let reason = explanation.reason;
    text.push_str(&format!("\n{} {}: {}\n", reason.status(), reason.word(), reason.title()));
    text
}

fn proxy_of<'p>(explanation: &Explanation, plan: &'p Plan) -> Option<&'p Proxy> {
    plan.proxies.iter().find(|proxy| Some(&proxy.label) == explanation.proxy.as_ref())
}

/// The members of a branch of the proxy's security.
fn members<'p>(at: usize, explanation: &Explanation, plan: &'p Plan) -> Vec<&'p str> {
    let route = proxy_of(explanation, plan).and_then(|proxy| proxy.route.as_ref().ok());
    let branch = route.and_then(|route| route.security.branches.get(at));
    let members = branch.map_or(&[][..], |branch| &branch.members);
    members.iter().filter_map(|at| Some(plan.proxy_credentials.get(*at)?.name.as_str())).collect()
}

/// The rules of a place, and the name of who has them.
fn rules_of<'p>(said: &Said, explanation: &Explanation, plan: &'p Plan) -> Option<(&'p Rules, &'p str)> {
    let proxy = proxy_of(explanation, plan)?;
    let route = proxy.route.as_ref().ok()?;
    match said.scope {
        RuleScope::Proxy => Some((&proxy.rules, &proxy.label)),
        RuleScope::Target => plan.targets.get(route.target).map(|target| (&*target.rules, &*target.name)),
        RuleScope::TargetCredential => {
            let credential = plan.target_credentials.get(route.target_credential?)?;
            Some((&credential.rules, &credential.name))
        }
        RuleScope::ProxyCredential => {
            let mut credentials = plan.proxy_credentials.iter();
            let credential = credentials.find(|one| Some(&one.name) == said.credential.as_ref())?;
            Some((&credential.rules, &credential.name))
        }
    }
}

fn matched<'p>(said: &Said, rules: Option<&'p Rules>) -> Vec<&'p Rule> {
    said.rules.iter().filter_map(|at| rules?.list.get(*at)).collect()
}

// --- JSON ----------------------------------------------------------------------------------------

fn to_json(explanation: &Explanation, plan: &Plan) -> Value {
    let said: Vec<_> = explanation.said.iter().map(|said| said_to_json(said, explanation, plan)).collect();
    json!({
        "proxy": explanation.proxy,
        "credential": explanation.credential,
        "by": explanation.won.map(|at| members(at, explanation, plan)),
        "not_by": explanation.lost.iter().map(|(at, reason)| {
            json!({ "credentials": members(*at, explanation, plan), "reason": reason.word() })
        }).collect::<Vec<_>>(),
        "path": explanation.path,
        "scopes": said,
        "default_rule_effect": explanation.default.map(|effect| effect.word()),
        "by_default": explanation.rests_on_default(),
        "status": explanation.reason.status(),
        "reason": explanation.reason.word(),
    })
}

fn said_to_json(said: &Said, explanation: &Explanation, plan: &Plan) -> Value {
    let (rules, owner) = rules_of(said, explanation, plan).unzip();
    let rule = |rule: &Rule| {
        json!({
            "effect": rule.effect.word(),
            "file": &*rule.origin.file,
            "line": rule.origin.line,
            "key": rule.origin.key,
            "priority": rule.priority,
            "notes": rule.notes,
        })
    };
    json!({
        "scope": said.scope.word(),
        "name": owner,
        "effect": said.effect.map(|effect| effect.word()),
        "by_default": said.by_default && said.effect.is_some(),
        "rules": matched(said, rules).into_iter().map(rule).collect::<Vec<_>>(),
    })
}
