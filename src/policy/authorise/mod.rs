//! Whether who calls may do what is asked: rules of four scopes.
//!
//! A deny that matches denies, in whichever scope. A scope with an allow that matches says allow; one whose rules do
//! not match says its default, if it has one; one without rules says nothing. One that says deny denies; else one
//! that says allow allows; and where all say nothing the proxy's default decides.

mod matching;
mod query;

use std::net::IpAddr;

use matching::{Facts, says};

use super::{Identity, Watch};
use crate::{
    protocol::http::RequestHead,
    snapshot::{LazyCaches, Proxy},
    types::{Effect, Reason, RuleScope},
};

/// Memory in which rules are looked at; one for each thread that decides.
#[derive(Debug, Default)]
pub struct RuleMemory {
    paths: LazyCaches,
    fields: LazyCaches,
    query: query::Pairs,
}

/// Refuses what the rules do not allow.
pub(super) fn authorise<W: Watch>(
    proxy: &Proxy,
    identity: Identity<'_>,
    head: &RequestHead<'_>,
    path: &[u8],
    source: Option<IpAddr>,
    memory: &mut RuleMemory,
    watch: &mut W,
) -> Result<(), Reason> {
    // The alias alone leads to the base of the API, which is its root.
    let path = if path.is_empty() { b"/" } else { path };
    watch.judging(path);
    let facts = Facts { head, path, source, scopes: &identity.credential.scopes };
    memory.query.forget();
    let (mut allowed, mut denied) = (false, false);
    for scope in RuleScope::ALL {
        let rules = match scope {
            RuleScope::ProxyCredential => &identity.credential.rules,
            RuleScope::TargetCredential => &proxy.rules.target_credential,
            RuleScope::Proxy => &proxy.rules.proxy,
            RuleScope::Target => &proxy.rules.target,
        };
        if rules.rules.is_empty() {
            continue;
        }
        match says(scope, rules, &facts, memory, watch) {
            Some(Effect::Deny) if !W::DETAILS => return Err(Reason::Rule),
            Some(Effect::Deny) => denied = true,
            Some(Effect::Allow) => allowed = true,
            None => {}
        }
    }
    let allowed = !denied && (allowed || proxy.rules.default == Effect::Allow);
    if allowed { Ok(()) } else { Err(Reason::Rule) }
}
