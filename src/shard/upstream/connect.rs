//! Makes a connection to a target: its addresses in turn, within the target's time.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use super::UpstreamConnection;
use crate::{
    shard::{
        clock::Ticks,
        io::Stream as Socket,
        secure,
        state::Shard,
        stream::{Stream, UpstreamStream},
        timer::{self, Deadline, OnExpiry},
    },
    snapshot::{UpstreamId, UpstreamTls},
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
    let first = shard.pools.next_turn(id);
    let mut late = false;
    let mut tried = 0;
    let result = loop {
        let Some(Choice { address, tls, left }) = choose(shard, id, first, tried) else {
            break Err(match (tried, late) {
                (0, _) => Reason::UpstreamUnresolved,
                (_, true) => Reason::ConnectTimeout,
                (_, false) => Reason::UpstreamUnreachable,
            });
        };
        // An address that does not answer must not use up the time of the others.
        let now = shard.clock.tick();
        deadline.arm(now + due.saturating_sub(now).div_ceil(left), OnExpiry::Wake);
        match timer::until(deadline, Socket::connect(address)).await {
            Some(Ok(stream)) => break Ok((stream, tls)),
            outcome => late = outcome.is_none(),
        }
        tried += 1;
    };
    deadline.disarm();
    let (stream, tls) = result?;
    let stream = match tls {
        None => Stream::plain(stream),
        Some(tls) => {
            let deadline = shard.deadlines.register(stream.fd());
            deadline.arm(due, OnExpiry::EndBoth);
            secure::connect(shard, stream, &tls, &deadline).await?
        }
    };
    let watch = Rc::new(shard.deadlines.register(stream.fd()));
    let stream = UpstreamStream::new(stream, Rc::clone(watch.canceller()));
    Ok(UpstreamConnection { deadline: watch, stream, reused: false })
}

/// An address to try.
struct Choice {
    address: SocketAddr,
    /// Read along with the address: by the time the connection is made the target may have left the snapshot, and what
    /// was meant for TLS must never go out without.
    tls: Option<Arc<UpstreamTls>>,
    /// How many attempts are left with this one.
    left: Ticks,
}

/// What the `tried`-th attempt of the exchange whose turn is `first` goes to.
fn choose(shard: &Shard, id: UpstreamId, first: usize, tried: usize) -> Option<Choice> {
    shard.with_snapshot(|snapshot| {
        let upstream = snapshot.upstream(id)?;
        let addresses = &upstream.addresses;
        let left = addresses.len().min(ADDRESSES_TRIED_MAX).checked_sub(tried).filter(|left| *left > 0)?;
        let address = *addresses.get(first.wrapping_add(tried) % addresses.len())?;
        Some(Choice { address, tls: upstream.tls.clone(), left: Ticks::try_from(left).unwrap_or(1) })
    })
}
