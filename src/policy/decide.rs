//! The one function that judges a request, and the steps above authentication: which proxy, which path.

use std::net::IpAddr;

use super::{
    ClientCertificate, Denial, Identity, Permit, Proof, RuleMemory, Watch,
    authenticate::authenticate,
    authorise::{Asked, authorise},
};
use crate::{
    protocol::http::{
        Form, Method, RequestHead,
        path::{EncodedSlash, Normal, normalise, split_alias, valid_query},
    },
    snapshot::{Proxy, Serving, Snapshot},
    types::Reason,
};

/// The time of the decision, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub struct Now(pub i64);

/// Room for a path that has to be rewritten into its normal form, which is never longer.
pub type PathScratch = [u8];

/// What a decision rests on besides snapshot and head, and the memory that it works in.
pub struct Means<'b, W> {
    /// The time.
    pub now: Now,
    /// The caller's address, if it is known.
    pub source: Option<IpAddr>,
    /// The certificate that the caller showed, if it did.
    pub certificate: Option<&'b ClientCertificate>,
    /// Room for the path.
    pub path: &'b mut PathScratch,
    /// Memory of the rules' automata.
    pub rules: &'b mut RuleMemory,
    /// Who wants to know how the decision came about.
    pub watch: &'b mut W,
}

/// Judges a request whose head is complete, by one snapshot and at one moment.
pub fn decide<'s, 'b>(
    snapshot: &'s Snapshot,
    head: &RequestHead<'b>,
    means: Means<'b, impl Watch>,
) -> Result<Permit<'s, 'b>, Denial<'s>> {
    let (now, certificate) = (means.now, means.certificate);
    judge(snapshot, head, means, |proxy, watch| {
        authenticate(snapshot, proxy, &head.fields, certificate, now, watch)
    })
}

/// The same for a caller whose credential is taken for granted, together with those that the first branch which it
/// belongs to asks for: what an operator asks with `keyferry explain` and in `[[assert]]`. No shard calls it.
pub fn decide_as<'s, 'b>(
    snapshot: &'s Snapshot,
    head: &RequestHead<'b>,
    credential: u32,
    means: Means<'b, impl Watch>,
) -> Result<Permit<'s, 'b>, Denial<'s>> {
    judge(snapshot, head, means, |proxy, watch| {
        let mut branches = proxy.security.branches.iter().enumerate();
        let branch = branches.find(|(_, branch)| branch.members.contains(&credential));
        let (at, branch) = branch.ok_or(Reason::KeyUnknown)?;
        watch.branch_won(at);
        if branch.members.iter().any(|member| snapshot.revoked.credential(*member)) {
            return Err(Reason::KeyRevoked);
        }
        let members = branch.members.iter().filter_map(|member| snapshot.credential(*member));
        Ok(Identity::new(members.map(|credential| Proof { credential, key: None }), branch.identity))
    })
}

fn judge<'s, 'b, W: Watch>(
    snapshot: &'s Snapshot,
    head: &RequestHead<'b>,
    means: Means<'b, W>,
    authenticate: impl FnOnce(&'s Proxy, &mut W) -> Result<Identity<'s>, Reason>,
) -> Result<Permit<'s, 'b>, Denial<'s>> {
    let Means { source, path: scratch, rules, watch, .. } = means;
    let Routed { proxy, rest } = route(snapshot, head)?;
    let deny = |reason| Denial { reason, proxy: Some(proxy), identity: None };
    match proxy.serving {
        Serving::Yes => {}
        Serving::Inactive => return Err(deny(Reason::ProxyInactive)),
        Serving::Broken => return Err(deny(Reason::ProxyBroken)),
    }
    watch.authenticating();
    let preflight = proxy.security.pass_preflight && is_preflight(head);
    let authenticated = if preflight { Ok(Identity::default()) } else { authenticate(proxy, watch) };
    watch.authenticated();
    let identity = authenticated.map_err(deny)?;
    let deny = |reason| Denial { reason, proxy: Some(proxy), identity: Some(identity) };
    // After authentication, so that only those whom it concerns learn what a path is taken for.
    let path = normal_path(proxy, rest, scratch).map_err(deny)?;
    if head.target.query.is_some_and(|query| !valid_query(query)) {
        return Err(deny(Reason::TargetInvalid));
    }
    let asked = Asked { head, path, source, preflight };
    authorise(proxy, &identity, &asked, rules, watch).map_err(deny)?;
    let upstream = snapshot.upstreams.get(proxy.upstream_index as usize).ok_or(deny(Reason::ProxyBroken))?;
    if upstream.base_path.is_empty() && path.starts_with(b"//") {
        // At the front of a target it would be read as an authority by whoever resolves it as a reference.
        return Err(deny(Reason::PathInvalid));
    }
    if upstream.addresses.is_empty() {
        return Err(deny(Reason::UpstreamUnresolved));
    }
    Ok(Permit::new(proxy, upstream, identity, path, head.target.query, preflight))
}

/// Whether a browser asks what it may ask (Fetch §3.2.2, CORS-preflight request): it never sends credentials with it.
fn is_preflight(head: &RequestHead<'_>) -> bool {
    let has = |name: &[u8]| head.fields.by_name(name).next().is_some();
    head.method == Method::Options && has(b"origin") && has(b"access-control-request-method")
}

struct Routed<'s, 'b> {
    proxy: &'s Proxy,
    /// The path with the alias taken off, as received.
    rest: &'b [u8],
}

/// By host where the host is a proxy's own, else by the first path segment.
fn route<'s, 'b>(snapshot: &'s Snapshot, head: &RequestHead<'b>) -> Result<Routed<'s, 'b>, Denial<'s>> {
    if head.target.form == Form::Asterisk {
        return Err(Denial::unrouted(Reason::AliasUnknown)); // OPTIONS * is about no API in particular
    }
    let path = head.target.path;
    let by_host = head.host.and_then(|host| snapshot.routes.by_host(host));
    if let Some(proxy) = by_host.and_then(|index| snapshot.proxy(index)) {
        return Ok(Routed { proxy, rest: path });
    }
    let (alias, rest) = split_alias(path).map_err(Denial::unrouted)?;
    let by_alias = snapshot.routes.by_segment(alias).and_then(|index| snapshot.proxy(index));
    by_alias.map(|proxy| Routed { proxy, rest }).ok_or(Denial::unrouted(Reason::AliasUnknown))
}

/// The path in the one form that is judged and forwarded.
fn normal_path<'b>(proxy: &Proxy, rest: &'b [u8], scratch: &'b mut PathScratch) -> Result<&'b [u8], Reason> {
    if rest.is_empty() {
        return Ok(rest); // the alias alone leads to the base path itself
    }
    let slash = if proxy.keep_encoded_slash { EncodedSlash::Keep } else { EncodedSlash::Refuse };
    match normalise(rest, slash, scratch)? {
        Normal::Unchanged => Ok(rest),
        Normal::Written(length) => scratch.get(..length).ok_or(Reason::PathInvalid),
    }
}
