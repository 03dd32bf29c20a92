//! Which certificate a caller sees: by the name that it asks for, exact before wildcard, or else the first one.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::plan::Identity;

/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 253;

/// The certificates of one listener.
#[derive(Debug)]
pub(super) struct Certificates {
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// The names are in lower case; where two certificates have one, the first has it.
    pub(super) fn new(identities: &[Identity]) -> Self {
        let first = identities.first().map(|one| Arc::clone(&one.certified));
        let mut found = Self { exact: HashMap::new(), wildcard: HashMap::new(), first };
        for identity in identities {
            for name in &identity.names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut found.wildcard, rest),
                    None => (&mut found.exact, name.as_str()),
                };
                table.entry(name.into()).or_insert_with(|| Arc::clone(&identity.certified));
            }
        }
        found
    }

    /// The certificate for a name, as a caller wrote it.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let mut room = [0; NAME_BYTES_MAX];
        name.and_then(|name| self.named(lower(name, &mut room)?)).or(self.first.as_ref())
    }

    fn named(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}

/// The name in lower case, without the dot that may end it.
fn lower<'r>(name: &str, room: &'r mut [u8; NAME_BYTES_MAX]) -> Option<&'r str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let room = room.get_mut(..name.len())?;
    room.copy_from_slice(name.as_bytes());
    room.make_ascii_lowercase();
    std::str::from_utf8(room).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Certificates;
    use crate::compile::tls::tests::identity;

    #[test]
    fn exact_names_come_before_wildcards_and_the_first_is_for_the_rest() {
        let first = identity(&["first.example"]);
        let wildcard = identity(&["*.wild.example", "both.example"]);
        let exact = identity(&["a.wild.example", "both.example"]);
        let identities = [first, wildcard, exact];
        let certificates = Certificates::new(&identities);
        for (name, expected) in [
            (None, 0),
            (Some("first.example"), 0),
            (Some("elsewhere.example"), 0),
            (Some("b.wild.example"), 1),
            (Some("B.Wild.EXAMPLE"), 1),
            (Some("b.wild.example."), 1),
            (Some("a.wild.example"), 2),
            (Some("A.wild.example"), 2),
            (Some("a.b.wild.example"), 0),
            (Some("wild.example"), 0),
            (Some("*.wild.example"), 1),
            (Some("both.example"), 1),
            (Some(""), 0),
            (Some("."), 0),
            (Some(&"a".repeat(300)), 0),
        ] {
            let found = certificates.find(name).expect("there is a first one");
            assert!(Arc::ptr_eq(found, &identities[expected].certified), "{name:?}");
        }
    }
}
