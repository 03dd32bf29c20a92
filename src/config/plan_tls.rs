//! The part of a plan that is about TLS: certificates, whom we trust, and what is asked of the other side.
//!
//! Certificates are held as they were in their files, so that two plans differ when a file does. A private key is not:
//! it stands there as something that signs, and as a digest.

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName},
    sign::CertifiedKey,
};

use crate::types::Digest;

/// `min_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `"1.2"`.
    Tls12,
    /// `"1.3"`.
    Tls13,
}

/// `tls` of a listener.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// `certificates`, at least one; the first is for callers that name no host, or one that no certificate has.
    pub certificates: Vec<Identity>,
    /// `min_version`.
    pub min_version: TlsVersion,
    /// `client_ca` and `client_certificate`; none if callers are not asked for a certificate.
    pub client: Option<ClientCa>,
}

/// Whose certificates callers may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// `client_ca`.
    pub authorities: Arc<Authorities>,
    /// Whether `client_certificate` is `"required"`.
    pub required: bool,
}

/// `tls` of a target whose URL begins with `https`.
#[derive(Debug, PartialEq, Eq)]
pub struct TargetTls {
    /// `server_name`, or the host of `url`.
    pub server_name: ServerName<'static>,
    /// `roots`, or the system's, or anybody.
    pub roots: Roots,
    /// `pins`: SHA-256 of public keys, one of which must be in the chain.
    pub pins: Vec<Digest>,
    /// `client_certificate`.
    pub identity: Option<Identity>,
    /// `min_version`.
    pub min_version: TlsVersion,
}

/// From whom the certificate of a target must come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// One of these.
    Authorities(Arc<Authorities>),
    /// `dangerous_accept_any_certificate`.
    Anybody,
}

/// A certificate of ours and its key.
pub struct Identity {
    /// File of the certificate.
    pub path: PathBuf,
    /// What people call it: its first name, or else its subject.
    pub label: String,
    /// Host names in it, in lower case; a wildcard begins with `*.`.
    pub names: Vec<String>,
    /// When it expires, in seconds since the Unix epoch.
    pub expires: i64,
    /// The chain, and what signs.
    pub certified: Arc<CertifiedKey>,
    /// SHA-256 of the key.
    pub key_digest: Digest,
}

/// Certificates of those who may issue others.
pub struct Authorities {
    /// As they were found.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The same, as certificates are checked against them.
    pub store: Arc<RootCertStore>,
}

impl Authorities {
    /// Takes certificates over; the second value tells how many could not be used.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> (Self, usize) {
        let mut store = RootCertStore::empty();
        let unusable = certificates.iter().filter(|one| store.add((*one).clone()).is_err()).count();
        (Self { certificates, store: Arc::new(store) }, unusable)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.certified.cert, self.key_digest)
            == (&other.path, &other.certified.cert, other.key_digest)
    }
}

impl Eq for Identity {}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl Eq for Authorities {}

/// Nothing of the key.
impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("path", &self.path)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Authorities({})", self.certificates.len())
    }
}
