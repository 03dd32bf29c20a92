//! What a tunnel was let in for, so that it can be asked later whether that still holds.

use std::rc::Rc;

use super::{ClientCertificate, Now, key::usable};
use crate::{
    policy::Permit,
    snapshot::{Serving, Snapshot},
    types::{Digest, Reason},
};

/// The key or certificate that a tunnel was opened with, and the proxy that took it.
#[derive(Debug, Clone)]
pub struct Grant {
    digest: Digest,
    credential: u32,
    proxy: Box<str>,
    certificate: Option<Rc<ClientCertificate>>,
}

impl Grant {
    /// What a permit rests on, `certificate` being that of its connection; none if it rests on no key.
    pub fn of(permit: &Permit<'_, '_>, certificate: Option<&Rc<ClientCertificate>>) -> Option<Self> {
        let key = permit.identity().key?;
        Some(Self {
            digest: key.digest,
            credential: key.credential,
            proxy: permit.proxy().label.clone(),
            certificate: certificate.filter(|one| one.is_known_by(&key.digest)).cloned(),
        })
    }

    /// Whether the key would be accepted by the proxy now; until when, in milliseconds since the Unix epoch, it will
    /// be if nothing else changes.
    ///
    /// # Errors
    ///
    /// The reason why a request with it would be refused.
    pub fn holds(&self, snapshot: &Snapshot, now: i64) -> Result<i64, Reason> {
        if snapshot.revoked.key_of(&self.digest, self.credential) {
            return Err(Reason::KeyRevoked);
        }
        let name = self.proxy.as_bytes();
        let routed = [snapshot.routes.by_segment(name), snapshot.routes.by_host(name)];
        let mut proxies = routed.into_iter().flatten().filter_map(|index| snapshot.proxy(index));
        let proxy = proxies.find(|proxy| proxy.label == self.proxy).ok_or(Reason::AliasUnknown)?;
        if proxy.serving != Serving::Yes {
            return Err(Reason::ProxyInactive);
        }
        if !proxy.accepts(self.credential) {
            return Err(Reason::KeyUnknown);
        }
        let entry = snapshot.keys.find(&self.digest).find(|entry| entry.credential == self.credential);
        let entry = entry.ok_or(Reason::KeyUnknown)?;
        usable(entry, now)?;
        let Some(certificate) = &self.certificate else { return Ok(entry.window.expires) };
        if certificate.is_revoked(snapshot, |credential| proxy.accepts(credential)) {
            return Err(Reason::KeyRevoked);
        }
        let credential = snapshot.credential(self.credential).ok_or(Reason::KeyUnknown)?;
        certificate.counts(credential.authorities.as_ref(), Now(now))?;
        Ok(entry.window.expires.min(certificate.expires()))
    }
}
