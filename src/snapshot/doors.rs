//! Listeners as the data plane sees them: whom they believe, and whether they only redirect.
//!
//! They count from the start on and stay as they are: a listener's number is its position in the configuration that
//! the process started with. How a listener speaks TLS is in the snapshot, because certificates change.

use crate::types::{Peers, TrustedHeader};

/// What one listener does before requests are judged.
#[derive(Debug, Clone, Default)]
pub struct Door {
    /// Whether it is a Unix socket, whose callers have no address.
    pub unix: bool,
    /// Who has to begin with a PROXY header; nobody else is served then.
    pub proxy_protocol: Option<Peers>,
    /// Whose word on the caller's address is taken.
    pub trusted_proxies: Peers,
    /// The fields in which they say it.
    pub trusted_header: TrustedHeader,
    /// Where every request is sent instead of being judged.
    pub redirect: Option<RedirectTo>,
}

impl Door {
    /// A listener that believes nobody anything.
    pub const PLAIN: Self = Self {
        unix: false,
        proxy_protocol: None,
        trusted_proxies: Peers::NOBODY,
        trusted_header: TrustedHeader::XForwardedFor,
        redirect: None,
    };
}

/// Where a listener sends every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectTo {
    /// To the host that was asked for, with https.
    SameHost,
    /// To this origin, such as `https://api.example:8443`.
    Origin(Box<str>),
}
