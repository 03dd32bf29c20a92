//! What is asked of a target's certificate beyond what rustls asks by itself: pins, or nothing at all.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::types::Digest;

/// Checks as rustls does, unless anybody is accepted, and that a pinned key is in the chain.
///
/// Only the chain that leads from the certificate to an authority counts: whoever answers may send any certificate
/// beside its own, and everybody has the pinned ones.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None if any certificate is accepted.
    usual: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<Digest>,
    /// Authorities whose keys are pinned.
    pinned: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(
        usual: Option<Arc<WebPkiServerVerifier>>,
        roots: &[CertificateDer<'static>],
        pins: &[Digest],
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        let mut pinned = RootCertStore::empty();
        let roots = roots.iter().filter(|root| is_pinned(root, pins));
        pinned.add_parsable_certificates(roots.cloned());
        Self { usual, pins: pins.to_vec(), pinned, provider: Arc::clone(provider) }
    }

    fn leads_to_a_pin(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<bool, Error> {
        if is_pinned(own, &self.pins) {
            return Ok(true);
        }
        if self.usual.is_none() {
            return Ok(false); // there is no authority that a chain could lead to
        }
        let mut anchors = self.pinned.clone();
        let pinned = others.iter().filter(|one| is_pinned(one, &self.pins));
        anchors.add_parsable_certificates(pinned.map(|one| one.clone().into_owned()));
        if anchors.is_empty() {
            return Ok(false);
        }
        let parsed = ParsedCertificate::try_from(own)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        Ok(verify_server_cert_signed_by_trust_anchor(&parsed, &anchors, others, now, algorithms).is_ok())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(usual) = &self.usual {
            usual.verify_server_cert(own, others, name, ocsp, now)?;
        }
        if !self.pins.is_empty() && !self.leads_to_a_pin(own, others, now)? {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the public key of a certificate is one of the pins.
fn is_pinned(certificate: &CertificateDer<'_>, pins: &[Digest]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let found = digest(&SHA256, parsed.public_key().raw);
    pins.iter().any(|pin| pin == found.as_ref())
}
