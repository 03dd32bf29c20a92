//! What a caller shows as its certificate is read the same each time, or refused, and never a panic.

use keyferry::policy::ClientCertificate;
use rustls::pki_types::CertificateDer;

pub fn run(bytes: &[u8]) {
    let own = CertificateDer::from(bytes);
    let found = ClientCertificate::read(std::slice::from_ref(&own)).map(|found| format!("{found:?}"));
    // What comes along is not looked at here.
    let chain = [own, CertificateDer::from(&bytes[..bytes.len() / 2])];
    let again = ClientCertificate::read(&chain).map(|found| format!("{found:?}"));
    assert_eq!(found, again, "one certificate, two opinions");
    if let Some(shown) = found {
        assert_eq!(shown.len(), "ClientCertificate()".len() + 64, "a digest is all that is shown of it");
    }
}
