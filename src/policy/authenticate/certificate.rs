//! Client certificates: what one is known by, and whether it still counts.
//!
//! The handshake has shown that the caller holds the key of the certificate, or of the session that was opened with it,
//! and nothing more: who that is, and whether they may, is asked at every request.

use std::{cell::RefCell, fmt, sync::Arc, time::Duration};

use ring::digest::{SHA256, digest};
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier,
};
use x509_parser::{
    der_parser::oid::Oid,
    prelude::{FromDer, GeneralName, X509Certificate},
    x509::X509Name,
};

use super::{
    Now,
    found::Found,
    key::{usable, verify_digest},
};
use crate::{
    limits::{CLIENT_AUTHORITIES_KEPT_MAX, CLIENT_CHECK_MILLIS, CLIENT_NAMES_MAX},
    snapshot::{Location, Snapshot},
    types::{ClientName, Digest, KeyState, Reason, SubjectText},
};

/// The certificate that a caller showed.
pub struct ClientCertificate {
    /// It first, then what came with it.
    chain: Vec<CertificateDer<'static>>,
    /// What it is known by, the most certain first.
    names: Box<[Digest]>,
    fingerprint: Digest,
    /// First and last moment of its validity, in milliseconds since the Unix epoch.
    not_before: i64,
    not_after: i64,
    checked: RefCell<Vec<Checked>>,
}

/// Whether some authorities were found to stand behind a certificate, and when.
struct Checked {
    authorities: Arc<dyn ClientCertVerifier>,
    at: i64,
    leads: bool,
}

impl ClientCertificate {
    /// Reads what a caller showed. `None` if it cannot be understood, or has too many names.
    pub fn read(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let own = chain.first()?;
        let (_, parsed) = X509Certificate::from_der(own).ok()?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, own).as_ref());
        let mut names = vec![ClientName::Fingerprint(fingerprint)];
        if let Some(extension) = parsed.subject_alternative_name().ok()? {
            names.extend(extension.value.general_names.iter().filter_map(alternative));
        }
        names.extend(subject(parsed.subject()).map(ClientName::Subject));
        if names.len() > CLIENT_NAMES_MAX {
            return None;
        }
        Some(Self {
            names: names.iter().map(ClientName::digest).collect(),
            fingerprint,
            not_before: parsed.validity().not_before.timestamp().saturating_mul(1_000),
            not_after: parsed.validity().not_after.timestamp().saturating_mul(1_000).saturating_add(999),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            checked: RefCell::default(),
        })
    }

    /// Whether a name with this digest is among its own.
    pub(super) fn is_known_by(&self, name: &Digest) -> bool {
        self.names.contains(name)
    }

    /// Whether any of its names is revoked, for everybody or in a credential of those that count.
    pub(super) fn is_revoked(&self, snapshot: &Snapshot, counts: impl Fn(u32) -> bool) -> bool {
        self.names.iter().any(|name| {
            let mut entries = snapshot.keys.find(name).filter(|entry| counts(entry.credential));
            let revoked = &snapshot.revoked;
            revoked.key(name)
                || entries
                    .any(|entry| entry.state == KeyState::Revoked || revoked.key_of(name, entry.credential))
        })
    }

    /// First moment at which it is no longer valid, in milliseconds since the Unix epoch.
    pub(super) fn expires(&self) -> i64 {
        self.not_after.saturating_add(1)
    }

    /// Whether it is valid at a moment, whoever stands behind it.
    pub fn is_valid(&self, now: Now) -> bool {
        self.counts(None, now).is_ok()
    }

    /// Whether it is valid at a moment and leads to one of the authorities, where any are asked for.
    pub(super) fn counts(
        &self,
        authorities: Option<&Arc<dyn ClientCertVerifier>>,
        Now(now): Now,
    ) -> Result<(), Reason> {
        if now < self.not_before {
            return Err(Reason::KeyNotYetValid);
        }
        if now > self.not_after {
            return Err(Reason::KeyExpired);
        }
        match authorities {
            Some(authorities) if !self.leads_to(authorities, now) => Err(Reason::ClientCertificateUntrusted),
            _ => Ok(()),
        }
    }

    /// Checking signatures takes as long as a hundred requests: what was found holds for a minute, unless other
    /// authorities are asked for.
    fn leads_to(&self, authorities: &Arc<dyn ClientCertVerifier>, now: i64) -> bool {
        let mut checked = self.checked.borrow_mut();
        checked.retain(|known| (known.at..known.at.saturating_add(CLIENT_CHECK_MILLIS)).contains(&now));
        if let Some(known) = checked.iter().find(|known| Arc::ptr_eq(&known.authorities, authorities)) {
            return known.leads;
        }
        let Some((own, others)) = self.chain.split_first() else { return false };
        let time = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(now).unwrap_or(0)));
        let leads = authorities.verify_client_cert(own, others, time).is_ok();
        if checked.len() < CLIENT_AUTHORITIES_KEPT_MAX {
            checked.push(Checked { authorities: Arc::clone(authorities), at: now, leads });
        }
        leads
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientCertificate(")?;
        self.fingerprint.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
        formatter.write_str(")")
    }
}

/// Looks the names up, unless any is revoked: a fingerprint that is stops the one certificate that was stolen, whatever
/// else its owner is known by.
pub(super) fn verify<'s>(
    snapshot: &'s Snapshot,
    location: &Location,
    certificate: &ClientCertificate,
    now: Now,
    found: &mut Found<'s>,
) {
    if certificate.is_revoked(snapshot, |credential| location.counts(credential)) {
        return found.refuse_all(location, Reason::KeyRevoked);
    }
    for name in &certificate.names {
        verify_digest(snapshot, location, name, found, |credential, entry| {
            usable(entry, now.0)?;
            certificate.counts(credential.authorities.as_ref(), now)
        });
    }
}

fn alternative(name: &GeneralName<'_>) -> Option<ClientName> {
    Some(ClientName::San(match name {
        GeneralName::DNSName(name) => format!("dns:{}", name.to_ascii_lowercase()),
        GeneralName::URI(name) => format!("uri:{name}"),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => format!("ip:{}", std::net::IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?)),
            _ => format!("ip:{}", std::net::IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?)),
        },
        _ => return None,
    }))
}

/// The subject as text. `None` if it is empty, or has an attribute that has no short name everybody knows.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut text = SubjectText::default();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.iter().rev() {
        let attributes: Vec<_> = part.iter().collect();
        for (at, attribute) in attributes.iter().rev().enumerate() {
            text.push(short_name(attribute.attr_type())?, attribute.as_str().ok()?, at > 0);
        }
    }
    (!parts.is_empty()).then(|| text.to_string())
}

/// Names of attributes as RFC 4514 §3 and openssl write them.
fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    Some(match kind.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;

    use super::ClientCertificate;
    use crate::types::ClientName;

    #[test]
    fn subjects_are_written_as_openssl_prints_them() {
        // openssl req -x509 -multivalue-rdn -subj "/O=Acme/CN=a+OU=b/L=x"
        let der = include_bytes!("../../../tests/data/tls/several-names-in-a-part.der");
        let certificate = ClientCertificate::read(&[CertificateDer::from_slice(der)]).expect("a certificate");
        // openssl x509 -noout -subject -nameopt RFC2253,-esc_msb
        let subject = ClientName::Subject("L=x,OU=b+CN=a,O=Acme".to_owned());
        assert!(certificate.is_known_by(&subject.digest()));
    }
}
