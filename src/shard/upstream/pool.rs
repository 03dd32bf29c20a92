//! The unused connections of a shard, by target; the one used last is used next.
//!
//! A connection comes back only after a message that was delimited beyond doubt, with nothing behind it, and
//! both sides willing to go on; the caller of [`Pools::put`] has seen to that. While it lies here nothing may
//! arrive on it: bytes would be the answer to nobody's request, and an end or an error makes it useless. So the
//! read for the next answer is in flight from the moment the last one is here whole, and has received nothing when
//! the connection is handed out. One that was not used for a second gives up that read and its buffer, and is looked at
//! with a system call instead.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use crate::{
    limits::IDLE_BUFFER_TICKS,
    shard::{
        buffer::{Buffer, Class},
        clock::Ticks,
        io::{self, Look},
        stream::UpstreamStream,
        sys,
        timer::Deadline,
    },
    snapshot::UpstreamId,
};

/// A connection to a target.
pub(in crate::shard) struct UpstreamConnection {
    /// Dropped before the descriptor that it watches is closed.
    pub(in crate::shard) deadline: Rc<Deadline>,
    pub(in crate::shard) stream: UpstreamStream,
    /// Whether an exchange before this one used it.
    pub(in crate::shard) reused: bool,
}

struct Idle {
    connection: UpstreamConnection,
    since: Ticks,
    until: Ticks,
    /// Whether the kernel has seen the read in flight.
    seen: bool,
}

impl Idle {
    /// Whether nothing has arrived. Of a read that the kernel has not seen yet nothing can be learned, and on epoll
    /// a read in flight is none: then a system call tells.
    fn is_quiet(&mut self) -> bool {
        match self.connection.stream.look() {
            Look::Quiet if self.seen && !io::is_epoll() => true,
            Look::Quiet | Look::Unarmed => sys::is_quiet(self.connection.stream.fd()),
            Look::Arrived => false,
        }
    }
}

#[derive(Default)]
struct Pool {
    idle: Vec<Idle>,
    /// Which address a new connection goes to.
    turn: usize,
    /// Whether the last response was larger than an ordinary buffer.
    large_responses: bool,
}

impl Pool {
    fn response_class(&self) -> Class {
        if self.large_responses { Class::for_stream() } else { Class::Medium }
    }
}

/// All pools of a shard.
pub(in crate::shard) struct Pools {
    pools: RefCell<Vec<Pool>>,
    /// Connections in all of them.
    idle: Cell<usize>,
    idle_max: usize,
}

impl Pools {
    /// Pools that keep so many connections together.
    pub(in crate::shard) fn new(idle_max: usize) -> Self {
        Self { pools: RefCell::default(), idle: Cell::new(0), idle_max }
    }

    fn with<R>(&self, id: UpstreamId, work: impl FnOnce(&mut Pool) -> R) -> R {
        let mut pools = self.pools.borrow_mut();
        let at = id.0 as usize;
        if at >= pools.len() {
            pools.resize_with(at + 1, Pool::default);
        }
        work(&mut pools[at])
    }

    /// A kept connection to a target, fit for use.
    pub(in crate::shard) fn take(&self, id: UpstreamId, now: Ticks) -> Option<UpstreamConnection> {
        self.with(id, |pool| {
            while let Some(mut idle) = pool.idle.pop() {
                self.idle.update(|count| count - 1);
                if idle.until > now && idle.is_quiet() {
                    return Some(idle.connection);
                }
            }
            None
        })
    }

    /// Keeps a connection from tick `since` until another, unless `max` of the target are kept already, or as many of
    /// all targets as there are descriptors for.
    pub(in crate::shard) fn put(
        &self,
        id: UpstreamId,
        mut connection: UpstreamConnection,
        since: Ticks,
        until: Ticks,
        max: usize,
    ) {
        connection.deadline.disarm();
        connection.reused = true;
        self.with(id, |pool| {
            if pool.idle.len() < max && self.idle.get() < self.idle_max {
                // A read begun before the caller's answer was written went to the kernel with it.
                let seen = connection.stream.is_armed();
                if !seen {
                    connection.stream.arm(Buffer::take(pool.response_class()));
                }
                pool.idle.push(Idle { connection, since, until, seen });
                self.idle.update(|count| count + 1);
            }
        });
    }

    /// Lets go of connections that are too old or that the target has ended, and of buffers that wait for long.
    pub(in crate::shard) fn sweep(&self, now: Ticks) {
        for pool in self.pools.borrow_mut().iter_mut() {
            let before = pool.idle.len();
            pool.idle.retain_mut(|idle| idle.until > now && idle.is_quiet());
            self.idle.update(|count| count + pool.idle.len() - before);
            let waiting = pool.idle.iter().take_while(|idle| idle.since + IDLE_BUFFER_TICKS < now);
            for idle in waiting.filter(|idle| idle.connection.stream.is_armed()) {
                idle.connection.deadline.canceller().cancel();
            }
        }
    }

    /// Lets go of all of them.
    pub(in crate::shard) fn clear(&self) {
        self.pools.borrow_mut().clear();
        self.idle.set(0);
    }

    /// A number that is one higher each time, for taking turns among addresses.
    pub(in crate::shard) fn next_turn(&self, id: UpstreamId) -> usize {
        self.with(id, |pool| {
            pool.turn = pool.turn.wrapping_add(1);
            pool.turn
        })
    }

    /// The class of buffer that the target's next response is received into.
    pub(in crate::shard) fn response_class(&self, id: UpstreamId) -> Class {
        self.with(id, |pool| pool.response_class())
    }

    /// Remembers how large a response was.
    pub(in crate::shard) fn saw_large(&self, id: UpstreamId, large: bool) {
        self.with(id, |pool| pool.large_responses = large);
    }
}
