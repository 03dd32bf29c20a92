//! `[[assert]]`: whether requests end as the operator says they have to.

use super::{Question, explain};
use crate::{
    config::{
        Diagnostic, Severity,
        plan::{Assert, Plan},
    },
    snapshot::Snapshot,
    types::Reason,
};

/// What is asked for unless the assert says so.
const HOST: &str = "localhost";

/// An error for each assert that does not hold in a snapshot of its plan. One about a proxy that is out of service
/// for another reason is broken with it.
///
/// A target without an address counts as one with: names of hosts come and go. Keys in header fields are judged as of
/// 1970; an assert names its credential instead.
pub fn failed_asserts(plan: &Plan, snapshot: &Snapshot) -> Vec<Diagnostic> {
    plan.asserts.iter().filter_map(|assert| failure(assert, plan, snapshot)).collect()
}

fn failure(assert: &Assert, plan: &Plan, snapshot: &Snapshot) -> Option<Diagnostic> {
    let request = &assert.request;
    let headers: Vec<(&str, &[u8])> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let credential = request.credential.and_then(|at| plan.proxy_credentials.get(at));
    let question = Question {
        method: &request.method,
        path: &request.path,
        host: request.host.as_deref().unwrap_or(HOST),
        headers: &headers,
        source: request.source,
        credential: credential.map(|credential| credential.name.as_str()),
        now: 0,
    };
    let reason = match explain(snapshot, &question).reason {
        Reason::UpstreamUnresolved => Reason::Forwarded,
        reason => reason,
    };
    let expected = assert.expected;
    let holds = expected.status.is_none_or(|status| status == reason.status())
        && expected.reason.is_none_or(|wanted| wanted == reason);
    (!holds).then(|| diagnostic(assert, reason))
}

fn diagnostic(assert: &Assert, reason: Reason) -> Diagnostic {
    let (request, origin) = (&assert.request, &assert.origin);
    let status = assert.expected.status.map(|status| status.to_string());
    let wanted = status.into_iter().chain(assert.expected.reason.map(|reason| reason.word().to_owned()));
    let path = request.path.split('?').next().unwrap_or_default();
    Diagnostic {
        severity: if reason == Reason::ProxyBroken { Severity::Broken } else { Severity::Error },
        file: origin.file.to_string(),
        line: origin.line,
        column: origin.column,
        key: Some(origin.key.clone()),
        value: None,
        message: format!(
            "{} {path} is expected to end with {}, and ends with {} {}",
            request.method,
            wanted.collect::<Vec<_>>().join(" "),
            reason.status(),
            reason.word()
        ),
        help: Some(format!("ask `keyferry explain {} {path}` how that comes about", request.method)),
    }
}
