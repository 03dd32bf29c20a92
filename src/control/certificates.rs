//! When certificates of ours expire: what is told of them, and once a day a word about those that will soon.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tokio::time::Instant;
use tracing::warn;

use super::clock;
use crate::{
    compile::{CertificateInUse, CertificateRole},
    limits::EXPIRY_NOTICE_DAYS,
};

/// How often the log says that a certificate expires soon.
const NOTICE_INTERVAL: Duration = Duration::from_secs(DAY_SECONDS.unsigned_abs());
const DAY_SECONDS: i64 = 86_400;

/// A certificate of ours, and until when it is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateReport {
    /// The listener at which callers see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The target that sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Its first name, or else its subject.
    pub name: String,
    /// Its file.
    pub file: String,
    /// When it expires.
    pub expires: String,
    /// The same, in seconds since the Unix epoch.
    pub expires_seconds: i64,
}

/// What is told of certificates: of several with one name in one place, the one that expires first.
pub(super) fn report(certificates: &[CertificateInUse]) -> Vec<CertificateReport> {
    let mut found = BTreeMap::<_, CertificateReport>::new();
    for one in certificates {
        let (listener, target) = match &one.role {
            CertificateRole::Listener(address) => (Some(address.to_string()), None),
            CertificateRole::Target(name) => (None, Some(name.clone())),
        };
        let key = (listener.clone(), target.clone(), one.name.clone());
        if found.get(&key).is_some_and(|known| known.expires_seconds <= one.expires) {
            continue;
        }
        let report = CertificateReport {
            listener,
            target,
            name: one.name.clone(),
            file: one.path.display().to_string(),
            expires: clock::moment(one.expires.saturating_mul(1_000)),
            expires_seconds: one.expires,
        };
        found.insert(key, report);
    }
    found.into_values().collect()
}

/// Says once a day what expires soon. A load says it by itself.
pub(super) struct ExpiryNotice {
    next: Instant,
}

impl ExpiryNotice {
    pub(super) fn new() -> Self {
        Self { next: Instant::now() + NOTICE_INTERVAL }
    }

    pub(super) fn look(&mut self, certificates: &[CertificateInUse]) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + NOTICE_INTERVAL;
        let now = clock::seconds();
        for one in report(certificates).iter().filter(|one| is_soon(one.expires_seconds, now)) {
            let place = one.listener.as_ref().or(one.target.as_ref()).map_or("", String::as_str);
            let said = if one.expires_seconds < now {
                "a certificate expired"
            } else {
                "a certificate expires soon"
            };
            warn!(file = one.file, name = one.name, of = place, expires = one.expires, "{said}");
        }
    }
}

fn is_soon(expires: i64, now: i64) -> bool {
    expires - now < EXPIRY_NOTICE_DAYS * DAY_SECONDS
}

#[cfg(test)]
mod tests {
    use super::{CertificateInUse, CertificateRole, is_soon, report};

    #[test]
    fn of_several_with_one_name_the_first_to_expire_is_told() {
        let certificate = |role: &CertificateRole, expires| CertificateInUse {
            role: role.clone(),
            name: "api.example".to_owned(),
            path: format!("{expires}.pem").into(),
            expires,
        };
        let listener = CertificateRole::Listener("127.0.0.1:8443".parse().expect("an address"));
        let target = CertificateRole::Target("hubspot".to_owned());
        let found = report(&[
            certificate(&listener, 200),
            certificate(&listener, 100),
            certificate(&listener, 300),
            certificate(&target, 400),
        ]);
        let told: Vec<_> = found.iter().map(|one| (one.listener.as_deref(), one.target.as_deref())).collect();
        assert_eq!(told, [(None, Some("hubspot")), (Some("127.0.0.1:8443"), None)]);
        assert_eq!((found[1].file.as_str(), found[1].expires.as_str()), ("100.pem", "1970-01-01T00:01:40Z"));
    }

    #[test]
    fn soon_is_a_month() {
        assert!(is_soon(29 * 86_400, 0) && is_soon(0, 1));
        assert!(!is_soon(31 * 86_400, 0));
    }
}
