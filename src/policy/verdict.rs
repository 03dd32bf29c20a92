//! What a decision yields: evidence that a request may be forwarded, or the reason why not.

use std::fmt;

use crate::{
    snapshot::{Credential, KeyEntry, Proxy, Upstream},
    types::Reason,
};

/// Who calls, proved by a key.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'s> {
    /// The credential whose key it was.
    pub credential: &'s Credential,
    /// The key itself; none where an operator only asks what a credential may do.
    pub key: Option<&'s KeyEntry>,
}

/// Evidence that a request may be forwarded, and how. Only [`super::decide`] makes one.
pub struct Permit<'s, 'b> {
    proxy: &'s Proxy,
    upstream: &'s Upstream,
    identity: Identity<'s>,
    path: &'b [u8],
    query: Option<&'b [u8]>,
}

impl fmt::Debug for Permit<'_, '_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proxy, credential) = (&self.proxy.label, &self.identity.credential.name);
        write!(formatter, "Permit({proxy}, {credential}, {})", self.path.escape_ascii())
    }
}

impl<'s, 'b> Permit<'s, 'b> {
    pub(super) fn new(
        proxy: &'s Proxy,
        upstream: &'s Upstream,
        identity: Identity<'s>,
        path: &'b [u8],
        query: Option<&'b [u8]>,
    ) -> Self {
        Self { proxy, upstream, identity, path, query }
    }

    /// The proxy that lets it through.
    pub fn proxy(&self) -> &'s Proxy {
        self.proxy
    }

    /// Where it goes.
    pub fn upstream(&self) -> &'s Upstream {
        self.upstream
    }

    /// Who calls.
    pub fn identity(&self) -> Identity<'s> {
        self.identity
    }

    /// The path that was judged, without alias and base, normalised: empty, or beginning with `/`.
    pub fn path(&self) -> &'b [u8] {
        self.path
    }

    /// The query as received.
    pub fn query(&self) -> Option<&'b [u8]> {
        self.query
    }
}

/// The reason why a request is not forwarded.
#[derive(Debug, Clone, Copy)]
pub struct Denial<'s> {
    /// The reason.
    pub reason: Reason,
    /// The proxy that it was meant for, if that is known.
    pub proxy: Option<&'s Proxy>,
    /// Who called, if that was proved before the request was refused.
    pub identity: Option<Identity<'s>>,
}

impl Denial<'_> {
    /// Before a proxy was found.
    pub const fn unrouted(reason: Reason) -> Self {
        Self { reason, proxy: None, identity: None }
    }
}
