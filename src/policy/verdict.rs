//! What a decision yields: evidence that a request may be forwarded, or the reason why not.

use std::fmt;

use crate::{
    limits::BRANCH_MEMBERS_MAX,
    snapshot::{Credential, KeyEntry, Proxy, Upstream},
    types::Reason,
};

/// What one credential of a request amounts to.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'s> {
    /// The credential.
    pub credential: &'s Credential,
    /// The key of it that was presented; none where an operator only asks what a credential may do.
    pub key: Option<&'s KeyEntry>,
}

/// Who calls: the proofs of the branch that let them in. Nobody in particular where a proxy is public.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity<'s> {
    proofs: [Option<Proof<'s>>; BRANCH_MEMBERS_MAX],
    /// The one whose consumer calls.
    own: usize,
}

impl<'s> Identity<'s> {
    /// The proofs of a branch, and which of them says who calls.
    pub(super) fn new(proofs: impl Iterator<Item = Proof<'s>>, own: usize) -> Self {
        let mut identity = Self { own, ..Self::default() };
        for (place, proof) in identity.proofs.iter_mut().zip(proofs) {
            *place = Some(proof);
        }
        identity
    }

    /// The credential whose consumer calls.
    pub fn credential(&self) -> Option<&'s Credential> {
        self.proofs.get(self.own)?.map(|proof| proof.credential)
    }

    /// Everything that was proved.
    pub fn proofs(&self) -> impl Iterator<Item = &Proof<'s>> {
        self.proofs.iter().flatten()
    }
}

/// Evidence that a request may be forwarded, and how. Only [`super::decide`] makes one.
pub struct Permit<'s, 'b> {
    proxy: &'s Proxy,
    upstream: &'s Upstream,
    identity: Identity<'s>,
    path: &'b [u8],
    query: Option<&'b [u8]>,
    preflight: bool,
}

impl fmt::Debug for Permit<'_, '_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = &self.proxy.label;
        let credential = self.identity.credential().map_or("nobody", |credential| &credential.name);
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
        preflight: bool,
    ) -> Self {
        Self { proxy, upstream, identity, path, query, preflight }
    }

    /// Whether it is a browser's preflight that passes without credentials: the API does not get ours for it either.
    pub fn is_preflight(&self) -> bool {
        self.preflight
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
