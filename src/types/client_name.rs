//! What a client certificate is known by.
//!
//! A credential lists such names as another lists keys: each has a digest, and with it an id, a state and a time in
//! which it counts. Kinds are kept apart, so that a name of one is never taken for one of another, nor for a key.

use std::fmt;

use ring::digest::{Context, SHA256};

use super::Digest;

/// One name of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientName {
    /// SHA-256 of the certificate: this one and no other.
    Fingerprint(Digest),
    /// A name of the extension subjectAltName (RFC 5280 §4.2.1.6), behind its kind: `dns:`, `uri:`, `email:` or `ip:`.
    San(String),
    /// The subject as RFC 4514 writes it.
    Subject(String),
}

impl ClientName {
    /// What it is found by.
    pub fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(b"keyferry client certificate ");
        match self {
            Self::Fingerprint(digest) => {
                context.update(b"fingerprint ");
                context.update(digest);
            }
            Self::San(name) => {
                context.update(b"san ");
                context.update(name.as_bytes());
            }
            Self::Subject(name) => {
                context.update(b"subject ");
                context.update(name.as_bytes());
            }
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// A distinguished name in the form of RFC 4514, built from its last part to its first.
#[derive(Debug, Default)]
pub struct SubjectText(String);

impl SubjectText {
    /// Adds an attribute; `joined` says that it belongs to the same part as the one before.
    pub fn push(&mut self, kind: &str, value: &str, joined: bool) {
        if !self.0.is_empty() {
            self.0.push(if joined { '+' } else { ',' });
        }
        self.0.push_str(kind);
        self.0.push('=');
        let last = value.chars().count().saturating_sub(1);
        for (at, sign) in value.chars().enumerate() {
            match sign {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => self.0.extend(['\\', sign]),
                '#' if at == 0 => self.0.push_str("\\#"),
                ' ' if at == 0 || at == last => self.0.push_str("\\ "),
                sign if sign.is_ascii_control() => self.0.push_str(&format!("\\{:02X}", u32::from(sign))),
                sign => self.0.push(sign),
            }
        }
    }
}

impl fmt::Display for SubjectText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientName, SubjectText};

    #[test]
    fn no_name_is_taken_for_one_of_another_kind() {
        let names = [
            ClientName::Fingerprint([b'a'; 32]),
            ClientName::San("a".repeat(32)),
            ClientName::Subject("a".repeat(32)),
            ClientName::San("dns:a".into()),
            ClientName::San("uri:a".into()),
        ];
        for (at, name) in names.iter().enumerate() {
            let same = names.iter().filter(|other| other.digest() == name.digest()).count();
            assert_eq!(same, 1, "{at}");
        }
    }

    #[test]
    fn subjects_are_escaped() {
        let mut subject = SubjectText::default();
        subject.push("CN", "a+b,c\\\"<>;=", false);
        subject.push("OU", " #x ", true);
        subject.push("O", "#1 é\n", false);
        assert_eq!(subject.to_string(), r#"CN=a\+b\,c\\\"\<\>\;=+OU=\ #x\ ,O=\#1 é\0A"#);
    }
}
