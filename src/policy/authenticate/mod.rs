//! Who calls: finds the keys that a request presents and the one that its proxy accepts.

mod certificate;
mod grant;
mod key;
mod present;

pub use certificate::ClientCertificate;
pub use grant::Grant;

use key::Verdict;
use present::Presented;

use super::{Identity, Now};
use crate::{
    protocol::http::Fields,
    snapshot::{LocationKind, Proxy, Snapshot},
    types::Reason,
};

/// The identity behind a request. Locations are tried in the proxy's order; the first whose key is accepted
/// decides. Where none is, the reason is that of the key that came closest.
pub(super) fn authenticate<'s>(
    snapshot: &'s Snapshot,
    proxy: &'s Proxy,
    fields: &Fields<'_>,
    certificate: Option<&ClientCertificate>,
    now: Now,
) -> Result<Identity<'s>, Reason> {
    let mut closest = Reason::CredentialMissing;
    let mut accepted = None;
    for location in &proxy.locations {
        // Every location is looked at, also behind one that decided: an ambiguous request is refused whole.
        let verdict = match (location.kind, certificate) {
            (LocationKind::Certificate, Some(certificate)) if accepted.is_none() => {
                certificate::verify(snapshot, location, certificate, now)
            }
            (LocationKind::Certificate, _) => continue,
            _ => match present::find(location, fields)? {
                Presented::Key(key) if accepted.is_none() => key::verify(snapshot, location, key, now),
                _ => continue,
            },
        };
        match verdict {
            Verdict::Accepted(identity) => accepted = Some(identity),
            Verdict::Refused(reason) => closest = closer(closest, reason),
        }
    }
    accepted.ok_or(closest)
}

/// The more telling one of two refusals: a key that exists says more than one that does not.
fn closer(before: Reason, after: Reason) -> Reason {
    let rank = |reason| match reason {
        Reason::CredentialMissing => 0,
        Reason::KeyUnknown => 1,
        _ => 2,
    };
    if rank(after) > rank(before) { after } else { before }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
