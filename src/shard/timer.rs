//! Deadlines of a shard: a flat table of the ticks at which they fall due.
//!
//! Arming one is a single store, whatever was armed before; each tick one pass over the table finds what
//! is due. At a hundred thousand connections that pass reads 400 KB ten times a second, less work than a
//! timer wheel's moving of entries at every phase of every request would be.
//!
//! What a deadline does is chosen when it is armed, so that no read or write needs a second future beside it:
//! it ends both directions of the connection (the operation in flight then completes), gives up the read in
//! flight, or wakes a task.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    os::fd::RawFd,
    pin::Pin,
    rc::Rc,
    task::{Poll, Waker},
};

use super::{
    clock::Ticks,
    io::Canceller,
    sys::{self, Direction, Peer},
};
use crate::limits::{EXPIRED_PER_TURN_MAX, HALF_CLOSED_TICKS, LOOK_TICKS};

const NEVER: Ticks = Ticks::MAX;

/// What happens when a deadline falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnExpiry {
    /// The waiting task looks for itself, because the connection was not used; it is woken early when the shard drains.
    WakeIdle,
    /// Both directions end.
    EndBoth,
    /// Both directions end; before that, now and then, it is seen whether somebody still waits for what comes.
    EndBothUnlessWanted,
    /// The read in flight is given up; the connection goes on.
    CancelRead,
    /// The waiting task looks for itself.
    Wake,
}

struct Entry {
    fd: RawFd,
    on_expiry: Cell<OnExpiry>,
    expired: Cell<bool>,
    canceller: Rc<Canceller>,
    waker: RefCell<Option<Waker>>,
    wanted: Cell<Wanted>,
}

/// Who waits for what a connection brings.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    by: RawFd,
    /// When it is too late all the same.
    until: Ticks,
    /// Since when they will send nothing more themselves.
    ended_since: Ticks,
    /// They are gone.
    gone: bool,
}

impl Wanted {
    const BY_NOBODY: Self = Self { by: -1, until: NEVER, ended_since: NEVER, gone: false };

    /// Looks at them. A caller that only ended its side may still read the answer, for a while.
    fn look(mut self, now: Ticks) -> Self {
        match sys::look_at_peer(self.by) {
            Peer::Present => {}
            Peer::Ended if self.ended_since == NEVER => self.ended_since = now,
            Peer::Ended => self.gone = now - self.ended_since >= HALF_CLOSED_TICKS,
            Peer::Gone => self.gone = true,
        }
        self
    }
}

impl Entry {
    /// Does what is due; returns when to come back.
    fn expire(&self, now: Ticks) -> Ticks {
        if self.on_expiry.get() == OnExpiry::EndBothUnlessWanted {
            let wanted = self.wanted.get();
            if now < wanted.until {
                let wanted = wanted.look(now);
                self.wanted.set(wanted);
                if wanted.gone {
                    sys::shutdown(self.fd, Direction::Both);
                    return NEVER;
                }
                return (now + LOOK_TICKS).min(wanted.until);
            }
        }
        self.expired.set(true);
        match self.on_expiry.get() {
            OnExpiry::EndBoth | OnExpiry::EndBothUnlessWanted => sys::shutdown(self.fd, Direction::Both),
            OnExpiry::CancelRead => self.canceller.cancel(),
            OnExpiry::Wake | OnExpiry::WakeIdle => {
                if let Some(waker) = self.waker.borrow_mut().take() {
                    waker.wake();
                }
            }
        }
        NEVER
    }
}

/// The table.
#[derive(Default)]
pub(super) struct Deadlines {
    due: RefCell<Vec<Ticks>>,
    entries: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<u32>>,
    /// Where the pass of this tick goes on.
    next: Cell<usize>,
}

impl Deadlines {
    /// A deadline for a connection, not armed. It must be dropped before the descriptor is closed.
    pub(super) fn register(self: &Rc<Self>, fd: RawFd) -> Deadline {
        let entry = Rc::new(Entry {
            fd,
            on_expiry: Cell::new(OnExpiry::EndBoth),
            expired: Cell::new(false),
            canceller: Rc::default(),
            waker: RefCell::new(None),
            wanted: Cell::new(Wanted::BY_NOBODY),
        });
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            self.due.borrow_mut().push(NEVER);
            let mut entries = self.entries.borrow_mut();
            entries.push(None);
            u32::try_from(entries.len() - 1).expect("far fewer descriptors exist than 32 bits count")
        });
        self.entries.borrow_mut()[slot as usize] = Some(Rc::clone(&entry));
        Deadline { table: Rc::clone(self), entry, slot }
    }

    /// Does some of what is due at `now`, going on where it left off; says whether that is not all. What falls due at one
    /// tick for thousands of connections would make everybody else wait for all of them.
    pub(super) fn expire(&self, now: Ticks) -> bool {
        let from = self.next.get();
        let stopped = self.expire_where(now, from, EXPIRED_PER_TURN_MAX, |due, _| due <= now);
        self.next.set(stopped.unwrap_or(0));
        stopped.is_some()
    }

    /// Wakes every connection that merely waits to be used.
    pub(super) fn expire_idle(&self, now: Ticks) {
        let waits = |due, entry: &Entry| due != NEVER && entry.on_expiry.get() == OnExpiry::WakeIdle;
        self.expire_where(now, 0, usize::MAX, waits);
    }

    /// Where it stopped, if it did so many.
    fn expire_where(
        &self,
        now: Ticks,
        from: usize,
        most: usize,
        is_due: impl Fn(Ticks, &Entry) -> bool,
    ) -> Option<usize> {
        let entries = self.entries.borrow();
        let mut left = most;
        for (at, (due, entry)) in self.due.borrow_mut().iter_mut().zip(entries.iter()).enumerate().skip(from)
        {
            if *due == NEVER {
                continue;
            }
            let Some(entry) = entry.as_ref().filter(|entry| is_due(*due, entry)) else { continue };
            if left == 0 {
                return Some(at);
            }
            left -= 1;
            *due = entry.expire(now);
        }
        None
    }

    fn set(&self, slot: u32, due: Ticks) {
        self.due.borrow_mut()[slot as usize] = due;
    }
}

/// One deadline. At most one thing is armed at a time.
pub(super) struct Deadline {
    table: Rc<Deadlines>,
    entry: Rc<Entry>,
    slot: u32,
}

impl Deadline {
    /// Falls due at `tick`; what was armed before is forgotten.
    pub(super) fn arm(&self, tick: Ticks, on_expiry: OnExpiry) {
        self.entry.expired.set(false);
        self.entry.on_expiry.set(on_expiry);
        self.table.set(self.slot, tick.min(NEVER - 1));
    }

    /// Ends both directions at `tick`, or a little after whoever waits on `by` for the outcome is gone.
    pub(super) fn arm_while_wanted(&self, now: Ticks, tick: Ticks, by: RawFd) {
        let until = tick.min(NEVER - 1);
        self.entry.wanted.set(Wanted { by, until, ..Wanted::BY_NOBODY });
        self.arm((now + LOOK_TICKS).min(until), OnExpiry::EndBothUnlessWanted);
    }

    /// Whether whoever waited is gone.
    pub(super) fn is_unwanted(&self) -> bool {
        self.entry.on_expiry.get() == OnExpiry::EndBothUnlessWanted && self.entry.wanted.get().gone
    }

    /// Nothing is armed.
    pub(super) fn disarm(&self) {
        self.table.set(self.slot, NEVER);
    }

    /// Whether what was armed last has fallen due.
    pub(super) fn expired(&self) -> bool {
        self.entry.expired.get()
    }

    /// For reads that [`OnExpiry::CancelRead`] gives up.
    pub(super) fn canceller(&self) -> &Rc<Canceller> {
        &self.entry.canceller
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.disarm();
        self.table.entries.borrow_mut()[self.slot as usize] = None;
        self.table.free.borrow_mut().push(self.slot);
    }
}

/// Awaits `future` until `deadline`, armed to wake, falls due; `None` then, and the future
/// is dropped: only for operations whose result nobody misses.
pub(super) async fn until<F: Future>(deadline: &Deadline, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = Pin::as_mut(&mut future).poll(context) {
            return Poll::Ready(Some(output));
        }
        if deadline.expired() {
            return Poll::Ready(None);
        }
        *deadline.entry.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
