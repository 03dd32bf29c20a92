//! Makes a connection to a target: its addresses in turn, within the target's time.

use std::{net::SocketAddr, rc::Rc};

use super::UpstreamConnection;
use crate::{
    shard::{
        clock::Ticks,
        io::{ArmedStream, Stream},
        state::Shard,
        timer::{self, Deadline, OnExpiry},
    },
    snapshot::UpstreamId,
    types::Reason,
};

/// Addresses that are tried before an exchange is given up.
const ADDRESSES_TRIED_MAX: usize = 3;

/// Connects by tick `due`. `deadline` is one that the caller does not need meanwhile.
pub(in crate::shard) async fn connect(
    shard: &Rc<Shard>,
    id: UpstreamId,
    deadline: &Deadline,
    due: Ticks,
) -> Result<UpstreamConnection, Reason> {
    deadline.arm(due, OnExpiry::Wake);
    let first = shard.pools.next_turn(id);
    let mut tried = 0;
    let result = loop {
        let Some(address) = address(shard, id, first, tried) else {
            break Err(if tried == 0 { Reason::UpstreamUnresolved } else { Reason::UpstreamUnreachable });
        };
        match timer::until(deadline, Stream::connect(address)).await {
            None => break Err(Reason::ConnectTimeout),
            Some(Ok(stream)) => break Ok(stream),
            Some(Err(_)) => tried += 1,
        }
    };
    deadline.disarm();
    let stream = result?;
    let watch = Rc::new(shard.deadlines.register(stream.fd()));
    let stream = ArmedStream::new(stream, Rc::clone(watch.canceller()));
    Ok(UpstreamConnection { deadline: watch, stream, reused: false })
}

/// The address for the `tried`-th attempt of the exchange whose turn is `first`.
fn address(shard: &Shard, id: UpstreamId, first: usize, tried: usize) -> Option<SocketAddr> {
    shard.with_snapshot(|snapshot| {
        let addresses = &snapshot.upstream(id)?.addresses;
        if tried >= addresses.len().min(ADDRESSES_TRIED_MAX) {
            return None;
        }
        addresses.get(first.wrapping_add(tried) % addresses.len()).copied()
    })
}
