//! Who calls: finds the credentials that a request presents, and the first branch of its proxy that they satisfy.

mod certificate;
mod found;
mod grant;
mod key;
mod present;

pub use certificate::ClientCertificate;
pub use grant::Grant;

use found::Found;
use present::Presented;

use super::{Identity, Now, Watch};
use crate::{
    protocol::http::Fields,
    snapshot::{LocationKind, Proxy, Snapshot},
    types::Reason,
};

/// The identity behind a request. Every location is looked at, also when it is known who calls: an ambiguous request is
/// refused whole. Where no branch is satisfied, the reason is that of the credential that came closest.
pub(super) fn authenticate<'s>(
    snapshot: &'s Snapshot,
    proxy: &'s Proxy,
    fields: &Fields<'_>,
    certificate: Option<&ClientCertificate>,
    now: Now,
    watch: &mut impl Watch,
) -> Result<Identity<'s>, Reason> {
    let security = &proxy.security;
    let mut found = Found::new(security);
    for location in &security.locations {
        match (location.kind, certificate) {
            (LocationKind::Certificate, Some(certificate)) if !found.is_enough() => {
                certificate::verify(snapshot, location, certificate, now, &mut found);
            }
            (LocationKind::Certificate, _) => {}
            _ => match present::find(location, fields)? {
                Presented::Key(key) if !found.is_enough() => {
                    key::verify(snapshot, location, key, now, &mut found);
                }
                _ => {}
            },
        }
    }
    found.decide(watch)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
