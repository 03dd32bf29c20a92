//! Proxy credentials: what the API is told of whoever presents one.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;

use crate::{
    config::plan::{Plan, ProxyCredential},
    snapshot::{Credential, RuleSet, ScopeBits},
};

/// The names of the fields that tell the API who calls. A caller's own fields of these names never pass.
pub(super) const IDENTITY_FIELDS: [&str; 3] = ["X-Credential-Id", "X-Consumer-Id", "X-Consumer-Legacy-Id"];

pub(super) fn compile(
    number: u32,
    credential: &ProxyCredential,
    plan: &Plan,
    (rules, scopes): (Arc<RuleSet>, ScopeBits),
    authorities: Option<Arc<dyn ClientCertVerifier>>,
) -> Credential {
    let consumer = credential.consumer.and_then(|at| plan.consumers.get(at));
    let values = [
        Some(credential.name.as_str()),
        consumer.map(|consumer| consumer.name.as_str()),
        consumer.and_then(|consumer| consumer.legacy_id.as_deref()),
    ];
    let mut identity = Vec::new();
    for (name, value) in IDENTITY_FIELDS.iter().zip(values) {
        if let Some(value) = value {
            identity.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }
    Credential {
        number,
        name: credential.name.as_str().into(),
        identity: identity.into_boxed_slice(),
        rules,
        scopes,
        authorities,
    }
}
