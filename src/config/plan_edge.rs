//! What a listener does before requests are judged: whom it believes, and whether it only redirects.

use crate::types::{Peers, TrustedHeader};

/// Settings of one `[[listener]]` beside its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    /// `mode` of its Unix socket; `None` leaves it to the umask.
    pub mode: Option<u32>,
    /// `proxy_protocol.from`: who has to begin with a PROXY header; nobody else is served then.
    pub proxy_protocol: Option<Peers>,
    /// `trusted_proxies`: whose word on the caller's address is taken.
    pub trusted_proxies: Peers,
    /// `trusted_header`: the fields in which they say it.
    pub trusted_header: TrustedHeader,
    /// `redirect`: every request is sent elsewhere.
    pub redirect: Option<Redirect>,
}

/// `redirect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// `"https"`: the same host, at the port of HTTPS.
    Https,
    /// `"https://host[:port]"`.
    Origin(String),
}
