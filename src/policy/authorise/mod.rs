//! Whether who calls may do what is asked: rules of four scopes.
//!
//! A deny that matches denies, in whichever scope. A scope with an allow that matches says allow; one whose rules do
//! not match says its default, if it has one; one without rules says nothing. One that says deny denies; else one
//! that says allow allows; and where all say nothing the proxy's default decides.

mod matching;
mod query;

use std::net::IpAddr;

use matching::{Facts, Said, says};

use super::{Identity, Proof, Watch};
use crate::{
    protocol::http::RequestHead,
    snapshot::{LazyCaches, Proxy, ProxyRules},
    types::{Effect, Reason, RuleScope},
};

/// Memory in which rules are looked at; one for each thread that decides.
#[derive(Debug, Default)]
pub struct RuleMemory {
    paths: LazyCaches,
    fields: LazyCaches,
    query: query::Pairs,
}

/// What is asked for.
pub(super) struct Asked<'a, 'b> {
    pub(super) head: &'a RequestHead<'b>,
    pub(super) path: &'a [u8],
    pub(super) source: Option<IpAddr>,
    /// A preflight of a browser: nothing but a rule that denies it is against it.
    pub(super) preflight: bool,
}

/// Refuses what the rules do not allow.
pub(super) fn authorise<W: Watch>(
    proxy: &Proxy,
    identity: &Identity<'_>,
    asked: &Asked<'_, '_>,
    memory: &mut RuleMemory,
    watch: &mut W,
) -> Result<(), Reason> {
    // The alias alone leads to the base of the API, which is its root.
    let path = if asked.path.is_empty() { b"/" } else { asked.path };
    watch.judging(path);
    let facts = Facts { head: asked.head, path, source: asked.source, identity };
    memory.query.forget();
    let own = identity.proofs().map(|Proof { credential, .. }| {
        (RuleScope::ProxyCredential, Some(&*credential.name), &credential.rules)
    });
    let ProxyRules { target_credential, proxy: of_proxy, target, default } = &proxy.rules;
    let others = [
        (RuleScope::TargetCredential, None, target_credential),
        (RuleScope::Proxy, None, of_proxy),
        (RuleScope::Target, None, target),
    ];
    let (mut allowed, mut denied) = (false, false);
    for (scope, credential, rules) in own.chain(others) {
        if rules.rules.is_empty() {
            continue;
        }
        watch.asking(credential);
        match says(scope, rules, &facts, memory, watch) {
            Said { effect: Some(Effect::Deny), by_default: true } if asked.preflight => {}
            Said { effect: Some(Effect::Deny), .. } if !W::DETAILS => return Err(Reason::Rule),
            Said { effect: Some(Effect::Deny), .. } => denied = true,
            Said { effect: Some(Effect::Allow), .. } => allowed = true,
            Said { effect: None, .. } => {}
        }
    }
    let allowed = !denied && (allowed || asked.preflight || *default == Effect::Allow);
    if allowed { Ok(()) } else { Err(Reason::Rule) }
}
