//! Who calls: what the connection says of that, or what a proxy in front does whom the listener trusts.

use super::{Address, Connection};
use crate::{
    protocol::http::{
        RequestHead,
        forwarded::{Node, Said, said},
    },
    types::Reason,
};

/// The caller of one request.
pub(super) struct Caller<'b> {
    pub(super) address: Address,
    /// Whether a trusted proxy does not tell its address.
    pub(super) hidden: bool,
    /// The scheme that it used.
    pub(super) scheme: &'static [u8],
    /// The host that it asked for.
    pub(super) host: Option<&'b [u8]>,
}

impl<'b> Caller<'b> {
    /// Whoever is at the other side of the connection.
    pub(super) fn peer(connection: &Connection, head: &RequestHead<'b>) -> Self {
        Self { address: connection.address, hidden: false, scheme: connection.scheme(), host: head.host }
    }

    /// The same, or whom that names, if the listener trusts it.
    pub(super) fn of(connection: &Connection, head: &RequestHead<'b>) -> Result<Self, Reason> {
        let peer = Self::peer(connection, head);
        let door = connection.shard.door(connection.door);
        let trusted = &door.trusted_proxies;
        if !trusted.contains(peer.address.ip()) {
            return Ok(peer);
        }
        let is_trusted = |address| trusted.contains(Some(address));
        let Said { node, scheme, host } = said(door.trusted_header, &head.fields, is_trusted)?;
        let address = match node {
            Node::Unsaid => peer.address,
            Node::Address(address) => Address::new(Some(address)),
            Node::Hidden => Address::new(None),
        };
        Ok(Self {
            address,
            hidden: node == Node::Hidden,
            scheme: scheme.unwrap_or(peer.scheme),
            host: host.or(peer.host),
        })
    }
}
