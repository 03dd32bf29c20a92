//! What a tunnel was let in for, so that it can be asked later whether that still holds.

use std::rc::Rc;

use super::{ClientCertificate, Now, key::usable};
use crate::{
    policy::{Permit, Proof},
    snapshot::{Proxy, Serving, Snapshot},
    types::{Digest, Reason},
};

/// The keys and certificates that a tunnel was opened with, and the proxy that took them.
#[derive(Debug, Clone)]
pub struct Grant {
    proxy: Box<str>,
    proofs: Box<[Shown]>,
}

/// One of them.
#[derive(Debug, Clone)]
struct Shown {
    digest: Digest,
    credential: u32,
    certificate: Option<Rc<ClientCertificate>>,
}

impl Grant {
    /// What a permit rests on, `certificate` being that of its connection; none if it rests on nothing.
    pub fn of(permit: &Permit<'_, '_>, certificate: Option<&Rc<ClientCertificate>>) -> Option<Self> {
        let shown = |proof: &Proof<'_>| {
            let key = proof.key?;
            Some(Shown {
                digest: key.digest,
                credential: key.credential,
                certificate: certificate.filter(|one| one.is_known_by(&key.digest)).cloned(),
            })
        };
        let proofs: Box<[_]> = permit.identity().proofs().filter_map(shown).collect();
        (!proofs.is_empty()).then(|| Self { proxy: permit.proxy().label.clone(), proofs })
    }

    /// Whether the proxy would let their holder in now by one of its branches; until when, in milliseconds since the
    /// Unix epoch, it will if nothing else changes.
    ///
    /// # Errors
    ///
    /// The reason why a request with them would be refused.
    pub fn holds(&self, snapshot: &Snapshot, now: i64) -> Result<i64, Reason> {
        // What is revoked is told first, whatever became of the proxy.
        let revoked = |shown: &Shown| snapshot.revoked.key_of(&shown.digest, shown.credential);
        if self.proofs.iter().any(revoked) {
            return Err(Reason::KeyRevoked);
        }
        let name = self.proxy.as_bytes();
        let routed = [snapshot.routes.by_segment(name), snapshot.routes.by_host(name)];
        let mut proxies = routed.into_iter().flatten().filter_map(|index| snapshot.proxy(index));
        let proxy = proxies.find(|proxy| proxy.label == self.proxy).ok_or(Reason::AliasUnknown)?;
        if proxy.serving != Serving::Yes {
            return Err(Reason::ProxyInactive);
        }
        let credentials = self.proofs.iter().map(|shown| shown.credential);
        if !proxy.security.is_public() && proxy.security.first_proved(credentials).is_none() {
            return Err(Reason::KeyUnknown);
        }
        self.proofs
            .iter()
            .try_fold(i64::MAX, |until, shown| Ok(until.min(shown.holds(proxy, snapshot, now)?)))
    }
}

impl Shown {
    fn holds(&self, proxy: &Proxy, snapshot: &Snapshot, now: i64) -> Result<i64, Reason> {
        let entry = snapshot.keys.find(&self.digest).find(|entry| entry.credential == self.credential);
        let entry = entry.ok_or(Reason::KeyUnknown)?;
        usable(entry, now)?;
        let Some(certificate) = &self.certificate else { return Ok(entry.window.expires) };
        if certificate.is_revoked(snapshot, |credential| proxy.security.accepts(credential)) {
            return Err(Reason::KeyRevoked);
        }
        let credential = snapshot.credential(self.credential).ok_or(Reason::KeyUnknown)?;
        certificate.counts(credential.authorities.as_ref(), Now(now))?;
        Ok(entry.window.expires.min(certificate.expires()))
    }
}
