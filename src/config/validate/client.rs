//! `auth = "mtls"`: `ca`, and `clients` by what their certificates are known by.

use std::sync::Arc;

use super::{
    super::{
        Severity,
        outside::Outside,
        plan::{Authorities, KeyList},
        raw::{Table, Value},
        report::{Problem, Report},
    },
    certificate,
    keys::{self, Keys, Verifier},
};
use crate::types::{ClientName, Digest, digest_from_hex};

/// What is read of such a credential.
pub(super) struct Clients {
    pub authorities: Option<Arc<Authorities>>,
    /// By the digests of their names.
    pub list: Option<Arc<KeyList>>,
}

/// Reads `ca` and `clients`.
pub(super) fn clients(table: &mut Table<'_>, outside: &dyn Outside, report: &mut Report) -> Clients {
    let place = table.whole();
    for key in ["keys", "key_files", "locations"] {
        if let Some(value) = table.take_secret(key) {
            let help = r#"write clients = [{ id = "…", san = "dns:…" }], or auth = "key""#;
            value.error(Problem::new("a credential of client certificates has none", help), report);
        }
    }
    let ca = table.take("ca");
    let authorities = ca.as_ref().and_then(|value| certificate::authorities(value, outside, report));
    let mut found = Keys::default();
    let listed = table.take("clients").map(|value| value.list(report)).unwrap_or_default();
    if listed.is_empty() {
        let help = r#"write clients = [{ id = "batch", san = "dns:batch.partner.example" }]"#;
        let problem = Problem::new("the credential has no clients: nobody can use it", help);
        table.add(Severity::Warning, problem, report);
    }
    let mut named = None;
    for value in listed {
        let Some(client) = value.table(report) else { continue };
        if ["subject", "san"].iter().any(|key| value.inner().get(*key).is_some()) {
            named.get_or_insert(value);
        }
        keys::read_with(verifier, client, &mut found, outside, report);
    }
    if let (None, Some(named)) = (&ca, named) {
        let help = r#"write ca = "partner-ca.pem" in the credential, or fingerprint here"#;
        let message = "nobody is named who vouches for this name: anybody could have it in a certificate";
        named.error(Problem::new(message, help), report);
    }
    let list = (!found.is_empty()).then(|| Arc::new(found.into_list(&report.locate(place))));
    Clients { authorities: authorities.map(Arc::new), list }
}

fn verifier(table: &mut Table<'_>, _: &dyn Outside, report: &mut Report) -> Verifier {
    let found = ["fingerprint", "san", "subject"].map(|key| table.take(key));
    let read = |value: &Value<'_>, read: fn(&str) -> Result<ClientName, Problem>, report: &mut Report| {
        value.convert(report, read).map_or(Verifier::Wrong, |name| Verifier::Digest(name.digest()))
    };
    match &found {
        [Some(value), None, None] => read(value, fingerprint, report),
        [None, Some(value), None] => read(value, san, report),
        [None, None, Some(value)] => read(value, subject, report),
        _ => {
            let help = r#"write one of san = "dns:NAME", subject = "CN=NAME,O=NAME" and fingerprint = "SHA-256 of the certificate""#;
            table.error(Problem::new("a client is known by exactly one name", help), report);
            Verifier::Wrong
        }
    }
}

/// Also as openssl writes it, with colons.
fn fingerprint(text: &str) -> Result<ClientName, Problem> {
    let digits: String = text.strip_prefix("sha256:").unwrap_or(text).split(':').collect();
    let digest: Option<Digest> = digest_from_hex(digits.as_bytes());
    digest.map(ClientName::Fingerprint).ok_or_else(|| {
        let help =
            "write what `openssl x509 -in CERT -noout -fingerprint -sha256` prints behind the equals sign";
        Problem::new("not the SHA-256 of a certificate", help)
    })
}

fn san(text: &str) -> Result<ClientName, Problem> {
    let help = r#"write "dns:NAME", "uri:URI", "email:ADDRESS" or "ip:ADDRESS""#;
    let refused = || Problem::new("not a name as subjectAltName has it", help);
    let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(refused)?;
    Ok(ClientName::San(match kind {
        "dns" if name.contains('*') => {
            let help = "write each name; a wildcard in a certificate stands for nobody in particular";
            return Err(Problem::new("a client is not known by a wildcard", help));
        }
        "dns" => text.to_ascii_lowercase(),
        "uri" | "email" => text.to_owned(),
        "ip" => format!("ip:{}", name.parse::<std::net::IpAddr>().map_err(|_| refused())?),
        _ => return Err(refused()),
    }))
}

fn subject(text: &str) -> Result<ClientName, Problem> {
    // A comma that belongs to a value stands behind a backslash.
    let spaced = text.replace("\\,", "").contains(", ") || text.contains(" = ");
    if spaced || text.starts_with('/') || !text.contains('=') {
        let help = "write what `openssl x509 -in CERT -noout -subject -nameopt RFC2253,-esc_msb` prints behind `subject=`";
        return Err(Problem::new("not a subject in the form of RFC 4514, such as CN=batch,O=Partner", help));
    }
    Ok(ClientName::Subject(text.to_owned()))
}
