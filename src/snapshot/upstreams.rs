//! Targets as the data plane sees them: addresses, what goes into the request line, deadlines.

use std::{net::SocketAddr, sync::Arc};

use super::UpstreamTls;

/// A target's number, the same in every snapshot of a process, so that pooled connections outlive a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub u32);

/// A time that never comes, in milliseconds.
pub const MILLIS_NEVER: u64 = u64::MAX;

/// One target.
#[derive(Debug)]
pub struct Upstream {
    /// Its number.
    pub id: UpstreamId,
    /// Its name.
    pub name: Box<str>,
    /// Where it is; empty when its name has no address.
    pub addresses: Box<[SocketAddr]>,
    /// What stands in front of every path: empty, or `/base`.
    pub base_path: Box<[u8]>,
    /// What goes into `Host`.
    pub authority: Box<[u8]>,
    /// Whether the caller's `Host` goes there instead, where it sent one.
    pub preserve_host: bool,
    /// How it is spoken to with TLS; none for plain HTTP.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Unused connections that a shard keeps.
    pub idle_connections: usize,
    /// Deadlines.
    pub timeouts: UpstreamTimeouts,
}

/// Deadlines for a target, in milliseconds; [`MILLIS_NEVER`] for none.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// For a connection to be made.
    pub connect: u64,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: u64,
    /// Between two pieces of a body.
    pub body: u64,
    /// For the whole exchange.
    pub total: u64,
    /// For which an unused connection is kept.
    pub idle: u64,
    /// For which a tunnel may last.
    pub tunnel: u64,
    /// For which a tunnel may carry nothing.
    pub tunnel_idle: u64,
}
