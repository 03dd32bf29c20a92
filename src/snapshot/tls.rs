//! How connections to targets are encrypted. What listeners need is rustls' own and stands in the snapshot itself.
//!
//! `compile/` makes these, shards hand them to rustls; that is all they know of certificates.

use std::{fmt, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};

/// How a target is spoken to with TLS.
pub struct UpstreamTls {
    /// Versions, roots, certificate of our own, and the sessions to resume: the same value for as long as nothing of
    /// it changes, so that sessions outlive a reload.
    pub client: Arc<ClientConfig>,
    /// Whose certificate is expected.
    pub name: ServerName<'static>,
}

/// Nothing of the configuration: it holds keys.
impl fmt::Debug for UpstreamTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UpstreamTls").field("name", &self.name).finish_non_exhaustive()
    }
}
