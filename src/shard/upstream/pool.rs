//! The unused connections of a shard, by target; the one used last is used next.
//!
//! A connection comes back only after a message that was delimited beyond doubt, with nothing behind it, and
//! both sides willing to go on; the caller of [`Pools::put`] has seen to that. While it lies here nothing may
//! arrive on it: bytes would be the answer to nobody's request, and an end or an error makes it useless. So it
//! is looked at before it is handed out, and now and then in between.

use std::{cell::RefCell, rc::Rc};

use crate::{
    shard::{
        clock::Ticks,
        io::Stream,
        sys::{self, Waiting},
        timer::Deadline,
    },
    snapshot::UpstreamId,
};

/// A connection to a target.
pub(in crate::shard) struct UpstreamConnection {
    /// Dropped before the descriptor that it watches is closed.
    pub(in crate::shard) deadline: Rc<Deadline>,
    pub(in crate::shard) stream: Stream,
    /// Whether an exchange before this one used it.
    pub(in crate::shard) reused: bool,
}

struct Idle {
    connection: UpstreamConnection,
    until: Ticks,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Idle>,
    /// Which address a new connection goes to.
    turn: usize,
    /// Whether the last response was larger than an ordinary buffer.
    large_responses: bool,
}

/// All pools of a shard.
#[derive(Default)]
pub(in crate::shard) struct Pools(RefCell<Vec<Pool>>);

impl Pools {
    fn with<R>(&self, id: UpstreamId, work: impl FnOnce(&mut Pool) -> R) -> R {
        let mut pools = self.0.borrow_mut();
        let at = id.0 as usize;
        if at >= pools.len() {
            pools.resize_with(at + 1, Pool::default);
        }
        work(&mut pools[at])
    }

    /// A kept connection to a target, fit for use.
    pub(in crate::shard) fn take(&self, id: UpstreamId, now: Ticks) -> Option<UpstreamConnection> {
        self.with(id, |pool| {
            while let Some(idle) = pool.idle.pop() {
                if idle.until > now && is_quiet(&idle.connection) {
                    return Some(idle.connection);
                }
            }
            None
        })
    }

    /// Keeps a connection until a tick, unless `max` are kept already.
    pub(in crate::shard) fn put(
        &self,
        id: UpstreamId,
        mut connection: UpstreamConnection,
        until: Ticks,
        max: usize,
    ) {
        connection.deadline.disarm();
        connection.reused = true;
        self.with(id, |pool| {
            if pool.idle.len() < max {
                pool.idle.push(Idle { connection, until });
            }
        });
    }

    /// Lets go of connections that are too old or that the target has ended.
    pub(in crate::shard) fn sweep(&self, now: Ticks) {
        for pool in self.0.borrow_mut().iter_mut() {
            pool.idle.retain(|idle| idle.until > now && is_quiet(&idle.connection));
        }
    }

    /// Lets go of all of them.
    pub(in crate::shard) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// A number that is one higher each time, for taking turns among addresses.
    pub(in crate::shard) fn next_turn(&self, id: UpstreamId) -> usize {
        self.with(id, |pool| {
            pool.turn = pool.turn.wrapping_add(1);
            pool.turn
        })
    }

    /// Whether the target's responses have been large lately.
    pub(in crate::shard) fn expects_large(&self, id: UpstreamId) -> bool {
        self.with(id, |pool| pool.large_responses)
    }

    /// Remembers how large a response was.
    pub(in crate::shard) fn saw_large(&self, id: UpstreamId, large: bool) {
        self.with(id, |pool| pool.large_responses = large);
    }
}

fn is_quiet(connection: &UpstreamConnection) -> bool {
    sys::peek(connection.stream.fd()) == Waiting::Nothing
}
