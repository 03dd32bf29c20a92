//! Proxies and proxy credentials as the data plane sees them.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;

use super::{NameSet, RuleSet, ScopeBits, Security, UpstreamId};
use crate::types::{Effect, Secret, SeriesId};

/// Whether a proxy serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It does.
    Yes,
    /// The operator switched it off.
    Inactive,
    /// Something that it refers to is missing.
    Broken,
}

/// One proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Its alias, host or id: the realm of its challenges, and its name in the log.
    pub label: Box<str>,
    /// Whether it serves.
    pub serving: Serving,
    /// Where it leads.
    pub upstream: UpstreamId,
    /// Position of its target among the snapshot's upstreams.
    pub upstream_index: u32,
    /// Whether WebSocket connections are tunnelled.
    pub websocket: bool,
    /// Whether `%2F` in a path is kept rather than refused.
    pub keep_encoded_slash: bool,
    /// Whom it lets in.
    pub security: Security,
    /// Fields of a request that never reach the API as the caller sent them: every location, every identity
    /// field, every field that is set for the API. Shared, because a body that streams needs it for its trailers
    /// after the snapshot was let go.
    pub stripped: Arc<NameSet>,
    /// The fields that the API gets instead, as lines: the target credential.
    pub injected: Secret,
    /// Who may do what, but for what the caller's own credential says.
    pub rules: ProxyRules,
    /// The `WWW-Authenticate` lines of its 401 responses (RFC 9110 §11.6.1).
    pub challenge: Box<[u8]>,
    /// What its requests are counted under.
    pub series: ProxySeries,
}

/// The series of a proxy: one for each credential that it accepts, and one for callers who proved none.
#[derive(Debug, Default)]
pub struct ProxySeries {
    unproved: SeriesId,
    proved: Box<[(u32, SeriesId)]>,
}

impl ProxySeries {
    /// From the series of each credential's number.
    pub fn new(unproved: SeriesId, mut proved: Vec<(u32, SeriesId)>) -> Self {
        proved.sort_unstable();
        Self { unproved, proved: proved.into_boxed_slice() }
    }

    /// The series of a request, by the number of the credential that it proved.
    #[inline]
    pub fn of(&self, credential: Option<u32>) -> SeriesId {
        let number = match credential {
            Some(number) => number,
            None => return self.unproved,
        };
        let found = self.proved.binary_search_by_key(&number, |(number, _)| *number);
        found.ok().and_then(|at| self.proved.get(at)).map_or(self.unproved, |(_, series)| *series)
    }
}

/// The rules that hold for every caller of a proxy.
#[derive(Debug, Clone)]
pub struct ProxyRules {
    /// Those of its target credential.
    pub target_credential: Arc<RuleSet>,
    /// Its own.
    pub proxy: Arc<RuleSet>,
    /// Those of its target.
    pub target: Arc<RuleSet>,
    /// What holds where none of them says anything, nor those of the caller's credential.
    pub default: Effect,
}

/// No rules: everything is allowed.
impl Default for ProxyRules {
    fn default() -> Self {
        let none = Arc::<RuleSet>::default();
        Self { target_credential: none.clone(), proxy: none.clone(), target: none, default: Effect::Allow }
    }
}

/// One proxy credential.
#[derive(Debug)]
pub struct Credential {
    /// Its number: the same in every snapshot of a process that has a credential of this name.
    pub number: u32,
    /// Its name.
    pub name: Box<str>,
    /// The fields that tell the API who calls, as lines.
    pub identity: Box<[u8]>,
    /// Its rules.
    pub rules: Arc<RuleSet>,
    /// The scopes that its consumer holds.
    pub scopes: ScopeBits,
    /// Who must stand behind the certificates of its callers, if it knows them by certificates.
    pub authorities: Option<Arc<dyn ClientCertVerifier>>,
}
