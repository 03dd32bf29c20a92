//! Everything that the data plane needs to judge and forward a request, compiled and immutable.
//!
//! `compile/` makes one, `control/` publishes it, shards read it through an arc-swap guard. Nothing in it
//! changes after it was made, and nothing in it knows TOML, files, sockets or clocks. Parts that did not
//! change are shared with the snapshot before (the key table, by its parts).

mod doors;
mod keys;
mod names;
mod proxies;
mod revoked;
mod routes;
mod rules;
mod security;
mod tls;
mod upstreams;

use std::sync::Arc;

pub use doors::{Door, RedirectTo};
pub use keys::{KeyEntry, KeyTable, PARTS as KEY_PARTS};
pub use names::NameSet;
pub use proxies::{Credential, Proxy, ProxyRules, ProxySeries, Serving};
pub use revoked::{Revoked, RevokedFor};
pub use routes::Routes;
pub use rules::{
    BuildBudget, FieldCheck, FieldPattern, LazyCaches, Methods, PathUse, Rule, RuleSet, RuleSetBuilder,
    RuleSource, ScopeBits,
};
pub use security::{Branch, Location, LocationKind, Security};
pub use tls::UpstreamTls;
pub use upstreams::{MILLIS_NEVER, Upstream, UpstreamId, UpstreamTimeouts};

pub use crate::protocol::http::HeadLimits;

use crate::types::SeriesName;

/// One compiled configuration.
pub struct Snapshot {
    /// Counts up by one with each snapshot of a process.
    pub generation: u64,
    /// From alias, id and host name to proxy.
    pub routes: Arc<Routes>,
    /// The proxies.
    pub proxies: Arc<[Proxy]>,
    /// The proxy credentials, by their numbers; numbers that belong to none are empty.
    pub credentials: Arc<[Option<Credential>]>,
    /// The keys of all proxy credentials.
    pub keys: Arc<KeyTable>,
    /// What is refused for good, whatever the keys say.
    pub revoked: Arc<Revoked>,
    /// The targets and their addresses.
    pub upstreams: Arc<[Upstream]>,
    /// How each listener speaks TLS, by number of the listener; empty for one that speaks plain HTTP.
    pub listeners: Arc<[Option<Arc<rustls::ServerConfig>>]>,
    /// Bounds and deadlines for callers.
    pub callers: Callers,
    /// The names of all series that requests were ever counted under, by number.
    pub series: Arc<[SeriesName]>,
}

impl Snapshot {
    /// The proxy at a position that `routes` gave.
    pub fn proxy(&self, index: u32) -> Option<&Proxy> {
        self.proxies.get(index as usize)
    }

    /// The credential with a number.
    pub fn credential(&self, number: u32) -> Option<&Credential> {
        self.credentials.get(number as usize)?.as_ref()
    }

    /// The target with an id, if it still exists.
    pub fn upstream(&self, id: UpstreamId) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.id == id)
    }

    /// How the listener with a number speaks TLS, if it does. The number is its position in the configuration that the
    /// process started with.
    pub fn listener_tls(&self, number: usize) -> Option<&Arc<rustls::ServerConfig>> {
        self.listeners.get(number)?.as_ref()
    }
}

/// Bounds and deadlines for callers; times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Callers {
    /// Bounds on heads.
    pub head: HeadLimits,
    /// Largest request body in bytes.
    pub body_bytes: u64,
    /// Time for a head.
    pub head_millis: u64,
    /// Time between two pieces of a body.
    pub body_millis: u64,
    /// Time between two requests.
    pub idle_millis: u64,
}
