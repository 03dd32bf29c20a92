//! The tunnels of a shard. A tunnel outlives the snapshot that let it in, so it is asked after each change, and when
//! the window of its key ends, whether its key still counts; if not, both its ends are shut.

use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
    rc::Rc,
};

use super::sys::{self, Direction};
use crate::{limits::TUNNELS_REVIEWED_MAX, policy::Grant, snapshot::Snapshot};

struct Entry {
    grant: Grant,
    ends: [RawFd; 2],
    /// When the window of its key ends.
    until: Cell<i64>,
    cut: Cell<bool>,
}

impl Entry {
    fn review(&self, snapshot: &Snapshot, now: i64) {
        match self.grant.holds(snapshot, now) {
            Ok(until) => self.until.set(until),
            Err(_) => {
                self.cut.set(true);
                self.until.set(i64::MAX);
                self.ends.iter().for_each(|end| sys::shutdown(*end, Direction::Both));
            }
        }
    }
}

/// Every tunnel that rests on a key.
pub(super) struct Tunnels {
    entries: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
    /// The snapshot that the last review began with.
    generation: Cell<u64>,
    /// Where the review goes on, and how many places it has left.
    next: Cell<usize>,
    left: Cell<usize>,
    /// When the first window ends; never too late.
    earliest: Cell<i64>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            entries: RefCell::default(),
            free: RefCell::default(),
            generation: Cell::new(0),
            next: Cell::new(0),
            left: Cell::new(0),
            earliest: Cell::new(i64::MAX),
        }
    }
}

impl Tunnels {
    /// Adds a tunnel between two descriptors, which must stay open until the membership is dropped. It is asked at
    /// once: the snapshot may have changed since the request was judged.
    pub(super) fn enter(
        self: &Rc<Self>,
        grant: Grant,
        ends: [RawFd; 2],
        snapshot: &Snapshot,
        now: i64,
    ) -> Membership {
        let entry = Rc::new(Entry { grant, ends, until: Cell::new(i64::MAX), cut: Cell::new(false) });
        self.ask(&entry, snapshot, now);
        let mut entries = self.entries.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            entries.push(None);
            entries.len() - 1
        });
        entries[place] = Some(Rc::clone(&entry));
        Membership { tunnels: Rc::clone(self), entry, place }
    }

    /// Asks those whose time is over, and after a change the others, as many as one turn of the shard allows. A
    /// further change lets the round begin again where it is, so that every tunnel has its turn.
    pub(super) fn review(&self, snapshot: &Snapshot, now: i64) {
        let entries = self.entries.borrow();
        if self.generation.replace(snapshot.generation) != snapshot.generation {
            self.left.set(entries.len());
        }
        let turn = self.left.get().min(TUNNELS_REVIEWED_MAX);
        self.left.update(|left| left - turn);
        for _ in 0..turn {
            let at = self.next.get() % entries.len();
            self.next.set(at + 1);
            if let Some(entry) = &entries[at] {
                self.ask(entry, snapshot, now);
            }
        }
        if self.earliest.get() <= now {
            self.ask_those_due(&entries, snapshot, now);
        }
    }

    fn ask_those_due(&self, entries: &[Option<Rc<Entry>>], snapshot: &Snapshot, now: i64) {
        let mut room = TUNNELS_REVIEWED_MAX;
        let mut earliest = i64::MAX;
        for entry in entries.iter().flatten() {
            if entry.until.get() <= now && room > 0 {
                room -= 1;
                entry.review(snapshot, now);
            }
            earliest = earliest.min(entry.until.get());
        }
        self.earliest.set(earliest);
    }

    fn ask(&self, entry: &Entry, snapshot: &Snapshot, now: i64) {
        entry.review(snapshot, now);
        self.earliest.set(self.earliest.get().min(entry.until.get()));
    }
}

/// A tunnel's place among the others.
pub(super) struct Membership {
    tunnels: Rc<Tunnels>,
    entry: Rc<Entry>,
    place: usize,
}

impl Membership {
    /// Whether it was shut because its key no longer counts.
    pub(super) fn was_cut(&self) -> bool {
        self.entry.cut.get()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.tunnels.entries.borrow_mut()[self.place] = None;
        self.tunnels.free.borrow_mut().push(self.place);
    }
}
