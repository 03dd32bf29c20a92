//! Files of certificates and keys: what can be read of them, what fits together, and what is still valid.
//!
//! No diagnostic shows what is in such a file, except names and dates of certificates.

use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer},
    sign::CertifiedKey,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use super::super::{
    Severity,
    outside::Outside,
    pem::{self, Section},
    plan::{Authorities, Identity},
    raw::{Table, Value},
    report::{Problem, Report},
};
use crate::limits;

/// What others may not do with the file of a key; reading by its group is left to the operator.
const MODE_REFUSED: u32 = 0o037;
const DAY_SECONDS: i64 = 86_400;

/// What a certificate says of itself.
struct Facts {
    names: Vec<String>,
    /// Whether it is for an address.
    addressed: bool,
    subject: String,
    not_before: i64,
    not_after: i64,
}

/// Reads `cert` and `key` of a table. A certificate that callers see must have a name.
pub(super) fn identity(
    table: &mut Table<'_>,
    named: bool,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<Identity> {
    let cert = table.require("cert", r#"write cert = "tls/name.pem""#, report);
    let key = table.require("key", r#"write key = "tls/name.key""#, report);
    let cert = cert.and_then(|value| Some((chain(&value, outside, report)?, value)));
    let key = key.and_then(|value| Some((private_key(&value, outside, report)?, value)));
    let ((chain, cert), (der, key)) = (cert?, key?);
    let facts = facts(chain.first()?, &cert, report)?;
    let signs = match any_supported_type(&der.parsed()?) {
        Ok(signs) => signs,
        Err(_) => {
            let problem = Problem::new(
                "the key is of a kind that is not supported, or damaged",
                "use one for ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits",
            );
            key.error(problem, report);
            return None;
        }
    };
    let certified = CertifiedKey::new(chain, signs);
    if certified.keys_match().is_err() {
        let message = format!("the key does not belong to the certificate in {}", named_file(&cert));
        key.error(Problem::new(message, "name the key that the certificate was requested with"), report);
        return None;
    }
    if named && facts.names.is_empty() && !facts.addressed {
        let help =
            "have it issued with subjectAltName: callers look for their host's name there and nowhere else";
        cert.error(Problem::new("the certificate has no name", help), report);
    }
    check_dates(&facts, &cert, outside, report);
    Some(Identity {
        path: cert.source().base.join(cert.text(report)?),
        label: facts.names.first().cloned().unwrap_or(facts.subject),
        names: facts.names,
        expires: facts.not_after,
        certified: certified.into(),
        key_digest: digest(&SHA256, &der.bytes).as_ref().try_into().ok()?,
    })
}

/// Reads a file of certificates of authorities.
pub(super) fn authorities(
    value: &Value<'_>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<Authorities> {
    let (authorities, unusable) = Authorities::new(chain(value, outside, report)?);
    if unusable > 0 {
        let message = format!("{unusable} of the certificates in the file cannot be used");
        value.error(Problem::new(message, "take them out, or have them issued again"), report);
        return None;
    }
    Some(authorities)
}

/// A key as it stood in its file.
struct KeyBytes {
    label: &'static str,
    bytes: Zeroizing<Vec<u8>>,
}

impl KeyBytes {
    const LABELS: [&'static str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

    fn parsed(&self) -> Option<PrivateKeyDer<'_>> {
        let bytes: &[u8] = &self.bytes;
        Some(match self.label {
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes)),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(bytes)),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(bytes)),
            _ => return None,
        })
    }
}

fn private_key(value: &Value<'_>, outside: &dyn Outside, report: &mut Report) -> Option<KeyBytes> {
    let (path, text) = read(value, outside, report)?;
    if let Some(mode) = outside.mode(&path).filter(|mode| mode & MODE_REFUSED != 0) {
        let message = format!("others may read or write the key: its mode is {:o}", mode & 0o777);
        value.error(Problem::new(message, format!("chmod 600 {}", named_file(value))), report);
    }
    let sections = sections(value, &text, report)?;
    let is_key = |section: &&Section<'_>| section.label.ends_with("PRIVATE KEY");
    let mut keys = sections.iter().filter(is_key);
    let Some(key) = keys.next() else {
        let help = if sections.iter().any(|section| section.label == "CERTIFICATE") {
            "there are certificates: name the file that the key was written to"
        } else {
            "name the file that the key was written to"
        };
        value.error(Problem::new("there is no private key in the file", help), report);
        return None;
    };
    let refused = if keys.next().is_some() {
        Problem::new("there is more than one private key in the file", "leave the one of the certificate")
    } else if key.encrypted || key.label == "ENCRYPTED PRIVATE KEY" {
        let help = format!("decrypt it: openssl pkey -in {} -out NEW, and chmod 600 NEW", named_file(value));
        Problem::new("the key is encrypted, and nobody is there to type its password", help)
    } else {
        let label = KeyBytes::LABELS.into_iter().find(|label| *label == key.label);
        match (label, &key.bytes) {
            (Some(label), Some(bytes)) => return Some(KeyBytes { label, bytes: bytes.clone() }),
            (None, _) => Problem::new(
                "the key is in a form that is not supported",
                "convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW",
            ),
            (_, None) => damaged(),
        }
    };
    value.error(refused, report);
    None
}

fn chain(
    value: &Value<'_>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<Vec<CertificateDer<'static>>> {
    let (_, text) = read(value, outside, report)?;
    let sections = sections(value, &text, report)?;
    let mut chain = Vec::new();
    for section in sections.iter().filter(|section| section.label == "CERTIFICATE") {
        let Some(bytes) = &section.bytes else {
            value.error(damaged(), report);
            return None;
        };
        chain.push(CertificateDer::from(bytes.to_vec()));
    }
    if chain.is_empty() {
        let help = if sections.iter().any(|section| section.label.ends_with("PRIVATE KEY")) {
            "there is a key: were the two files taken for one another?"
        } else {
            "name a file with -----BEGIN CERTIFICATE-----"
        };
        value.error(Problem::new("there is no certificate in the file", help), report);
        return None;
    }
    Some(chain)
}

fn read(
    value: &Value<'_>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
    let text = value.text(report)?;
    if text.is_empty() || text.contains(['\n', '\0']) || text.contains("-----BEGIN") {
        let problem = Problem::new("not the path of a file", r#"write one such as "tls/api.pem""#);
        value.clone().masked().error(problem, report);
        return None;
    }
    let path = value.source().base.join(text);
    report.files.push(path.clone());
    match outside.read(&path, limits::CERTIFICATE_FILE_BYTES_MAX) {
        Ok(bytes) => Some((path, bytes)),
        Err(sentence) => {
            let help =
                "put it there so that this user may read it, or name another; paths begin where this file is";
            value.error(Problem::new(sentence, help), report);
            None
        }
    }
}

fn sections<'t>(value: &Value<'_>, text: &'t [u8], report: &mut Report) -> Option<Vec<Section<'t>>> {
    let sections = pem::sections(text);
    if sections.is_empty() {
        let help =
            "convert it (openssl x509 -inform der, or openssl pkey -inform der), or see whether it is whole";
        value.error(Problem::new("the file is not PEM", help), report);
        return None;
    }
    Some(sections)
}

fn damaged() -> Problem {
    Problem::new("the file is damaged: what it holds is not base64", "write it anew")
}

fn facts(certificate: &CertificateDer<'_>, value: &Value<'_>, report: &mut Report) -> Option<Facts> {
    let found = read_facts(certificate);
    if found.is_none() {
        value.error(Problem::new("the certificate cannot be understood", "write the file anew"), report);
    }
    found
}

fn read_facts(certificate: &CertificateDer<'_>) -> Option<Facts> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut facts = Facts {
        names: Vec::new(),
        addressed: false,
        subject: parsed.subject().to_string(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    };
    if let Some(extension) = parsed.subject_alternative_name().ok()? {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => facts.names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(_) => facts.addressed = true,
                _ => {}
            }
        }
    }
    Some(facts)
}

fn check_dates(facts: &Facts, cert: &Value<'_>, outside: &dyn Outside, report: &mut Report) {
    let now = outside.now_millis().div_euclid(1_000);
    if now > facts.not_after {
        let message = format!("the certificate expired on {}", date(facts.not_after));
        cert.error(Problem::new(message, "put a renewed one there"), report);
    } else if now < facts.not_before {
        let message = format!("the certificate is not valid before {}", date(facts.not_before));
        cert.error(Problem::new(message, "see whether this machine's clock is right, or wait"), report);
    } else if facts.not_after - now < limits::EXPIRY_NOTICE_DAYS * DAY_SECONDS {
        let message = format!("the certificate expires on {}", date(facts.not_after));
        cert.add(Severity::Warning, Problem::new(message, "put a renewed one there before"), report);
    }
}

fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "?".to_owned(), |at| at.date().to_string())
}

/// The path as it is written; only after it was read.
fn named_file<'a>(value: &Value<'a>) -> &'a str {
    value.inner().as_str().unwrap_or_default()
}
