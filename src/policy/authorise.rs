//! Whether who calls may do what is asked: rules of four scopes.

use std::net::IpAddr;

use super::{Identity, Watch};
use crate::{protocol::http::RequestHead, snapshot::Proxy, types::Reason};

/// Memory of automata that are built while they run; one for each thread that decides.
#[derive(Debug, Default)]
pub struct RuleMemory {}

/// Refuses what the rules do not allow.
pub(super) fn authorise(
    _proxy: &Proxy,
    _identity: Identity<'_>,
    _head: &RequestHead<'_>,
    _path: &[u8],
    _source: IpAddr,
    _memory: &mut RuleMemory,
    _watch: &mut impl Watch,
) -> Result<(), Reason> {
    Ok(())
}
