//! Certificates for the gateway of an experiment: one authority, whose certificates are told apart by their numbers.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, client::Resumption, crypto::ring::default_provider,
    pki_types::CertificateDer,
};
use x509_parser::parse_x509_certificate;

use super::client::name;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Of callers that trust this authority and nobody else; each of their handshakes is a whole one.
    pub callers: Arc<ClientConfig>,
}

/// A certificate and its key.
pub struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::default()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let mut roots = RootCertStore::empty();
        let certificate = params.self_signed(&key).unwrap();
        roots.add(CertificateDer::from(certificate.der().to_vec())).unwrap();
        let callers = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let callers = callers.with_safe_default_protocol_versions().unwrap();
        let mut callers = callers.with_root_certificates(roots).with_no_client_auth();
        callers.resumption = Resumption::disabled();
        Self { issuer: Issuer::new(params, key), callers: Arc::new(callers) }
    }

    pub fn issue(&self, number: u64) -> Pair {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(number));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// What a caller says first.
    pub fn client_hello(&self) -> Vec<u8> {
        let mut session = ClientConnection::new(Arc::clone(&self.callers), name()).unwrap();
        let mut hello = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut hello).unwrap();
        }
        hello
    }
}

/// The number of a certificate.
pub fn serial(certificate: &[u8]) -> u64 {
    let (_, parsed) = parse_x509_certificate(certificate).unwrap();
    parsed.raw_serial().iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

impl Pair {
    /// Puts the certificate beside the one that is served, where it is not looked at yet.
    pub fn write(&self, directory: &Path, certificate: &str, key: &str) {
        fs::write(directory.join(certificate), &self.certificate).unwrap();
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(directory.join(key)).unwrap().write_all(self.key.as_bytes()).unwrap();
    }
}
