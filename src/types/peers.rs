//! Who is at the other side of a connection, as a set: networks, and whoever comes over a Unix socket.

use std::net::IpAddr;

use super::Cidr;

/// A set of peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    /// Their networks.
    pub networks: Vec<Cidr>,
    /// Whether those who come over a Unix socket, and have no address, belong to it.
    pub unix: bool,
}

impl Peers {
    /// Nobody.
    pub const NOBODY: Self = Self { networks: Vec::new(), unix: false };

    /// Whether a peer belongs to it; one without an address came over a Unix socket.
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => self.networks.iter().any(|network| network.contains(address)),
            None => self.unix,
        }
    }

    /// Whether nobody belongs to it.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }
}
