//! What the tasks of one shard share: clock, deadlines, snapshot, pools, counters, scratch memory.
//!
//! Everything here belongs to one thread. No borrow of a cell is held across an `await`: the closures that
//! get the snapshot or the scratch memory are not async.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    net::IpAddr,
    os::fd::{OwnedFd, RawFd},
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, Cache};
use rustls::ServerConfig;

use super::{
    addresses::{AddressCounts, Counted},
    clock::{Clock, Ticks},
    line::{Line, Place},
    record::Log,
    sys,
    timer::Deadlines,
    tunnels::{Membership, Tunnels},
    upstream::Pools,
};
use crate::{
    limits::{
        BUFFER_LARGE_BYTES, BULK_BYTES_PER_TURN, BULK_PIECE_BYTES_MIN, DRAIN_GRACE_MILLIS,
        HANDSHAKES_PER_TURN_MAX, HEAD_BYTES_MAX, IDLE_BUFFER_TICKS, IDLE_BUFFER_TICKS_CROWDED, REFUSALS_MAX,
        WAITING_CROWD,
    },
    policy::{Grant, RuleMemory},
    protocol::http::FieldTable,
    snapshot::{Callers, Door, Snapshot},
    telemetry::{Ring, ShardCells},
};

/// Length of a date as HTTP writes it (RFC 9110 §5.6.7).
pub(super) const DATE_BYTES: usize = 29;
/// Length of a request id.
pub(super) const REQUEST_ID_BYTES: usize = 24;

/// The number of one request, unique among all shards and starts: hexadecimal.
pub(super) type RequestId = [u8; REQUEST_ID_BYTES];

/// Memory for work that begins and ends between two awaits.
pub(super) struct Scratch {
    /// The head that is being written.
    pub(super) head: Box<[u8]>,
    /// The path that is being normalised.
    pub(super) path: Box<[u8]>,
    /// The fields of the head that is being read.
    pub(super) table: Box<FieldTable>,
    /// Memory of the rules' automata.
    pub(super) rules: RuleMemory,
}

/// One shard.
pub(super) struct Shard {
    pub(super) clock: Clock,
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) cells: Arc<ShardCells>,
    pub(super) pools: Pools,
    pub(super) tunnels: Rc<Tunnels>,
    pub(super) log: Option<Log>,
    snapshots: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    scratch: RefCell<Scratch>,
    date: Cell<[u8; DATE_BYTES]>,
    date_second: Cell<i64>,
    ids: RequestIds,
    draining: Cell<Option<Draining>>,
    connections: Cell<usize>,
    waiting: Cell<usize>,
    refusals: Cell<usize>,
    connections_max: usize,
    /// Steps of handshakes.
    handshakes: Line,
    /// Bytes of bodies and tunnels.
    bulk: Line,
    doors: Arc<[Door]>,
    address_counts: Option<Arc<AddressCounts>>,
    turns: RefCell<Vec<Waker>>,
    ticks: RefCell<Vec<Waker>>,
    wake: OwnedFd,
}

/// How a shard comes to its end.
#[derive(Debug, Clone, Copy)]
struct Draining {
    /// Until then a request may still come on a connection that was kept.
    grace_until: Ticks,
    /// Another process accepts from the same sockets.
    handed_over: bool,
}

/// What a shard is made of.
pub(super) struct Parts {
    pub(super) index: u8,
    /// Random, the same for all shards of a start.
    pub(super) boot: [u8; 5],
    pub(super) snapshots: Arc<ArcSwap<Snapshot>>,
    pub(super) cells: Arc<ShardCells>,
    /// Where lines of the access log go, if there is one.
    pub(super) ring: Option<Arc<Ring>>,
    pub(super) connections_max: usize,
    pub(super) upstream_idle_max: usize,
    /// The listeners, by number.
    pub(super) doors: Arc<[Door]>,
    /// Connections by address, if they are bounded.
    pub(super) address_counts: Option<Arc<AddressCounts>>,
    /// Wakes this shard's own loop.
    pub(super) wake: OwnedFd,
}

impl Shard {
    pub(super) fn new(parts: Parts) -> Rc<Self> {
        let shard = Self {
            clock: Clock::new(),
            deadlines: Rc::default(),
            cells: parts.cells,
            pools: Pools::new(parts.upstream_idle_max),
            tunnels: Rc::default(),
            log: parts.ring.map(|ring| Log::new(ring, parts.index)),
            snapshots: RefCell::new(Cache::new(parts.snapshots)),
            scratch: RefCell::new(Scratch {
                head: vec![0; BUFFER_LARGE_BYTES].into_boxed_slice(),
                path: vec![0; HEAD_BYTES_MAX].into_boxed_slice(),
                table: Box::default(),
                rules: RuleMemory::default(),
            }),
            date: Cell::new([b' '; DATE_BYTES]),
            date_second: Cell::new(i64::MIN),
            ids: RequestIds { boot: parts.boot, shard: parts.index, next: Cell::new(0) },
            draining: Cell::new(None),
            connections: Cell::new(0),
            waiting: Cell::new(0),
            refusals: Cell::new(0),
            connections_max: parts.connections_max,
            handshakes: Line::new(HANDSHAKES_PER_TURN_MAX),
            bulk: Line::new(BULK_BYTES_PER_TURN),
            doors: parts.doors,
            address_counts: parts.address_counts,
            turns: RefCell::default(),
            ticks: RefCell::default(),
            wake: parts.wake,
        };
        shard.refresh_date();
        Rc::new(shard)
    }

    /// Runs `work` with the current snapshot.
    #[inline]
    pub(super) fn with_snapshot<R>(&self, work: impl FnOnce(&Snapshot) -> R) -> R {
        work(self.snapshots.borrow_mut().load())
    }

    /// Runs `work` with the current snapshot and the scratch memory.
    #[inline]
    pub(super) fn with_scratch<R>(&self, work: impl FnOnce(&Snapshot, &mut Scratch) -> R) -> R {
        work(self.snapshots.borrow_mut().load(), &mut self.scratch.borrow_mut())
    }

    /// The listener with a number.
    pub(super) fn door(&self, number: usize) -> &Door {
        static PLAIN: Door = Door::PLAIN;
        self.doors.get(number).unwrap_or(&PLAIN)
    }

    /// How the listener with a number speaks TLS, if it does.
    pub(super) fn listener_tls(&self, number: usize) -> Option<Arc<ServerConfig>> {
        self.with_snapshot(|snapshot| snapshot.listener_tls(number).cloned())
    }

    /// Bounds and deadlines for callers.
    #[inline]
    pub(super) fn callers(&self) -> Callers {
        self.with_snapshot(|snapshot| snapshot.callers)
    }

    /// Cuts tunnels whose keys no longer count, and says which snapshot is looked at.
    pub(super) fn look_at_snapshot(&self) {
        let now = self.clock.wall_millis();
        let generation = self.with_snapshot(|snapshot| {
            self.tunnels.review(snapshot, now);
            snapshot.generation
        });
        self.cells.acknowledge(generation);
    }

    /// Counts a tunnel in that rests on a key.
    pub(super) fn enter_tunnel(&self, grant: Grant, ends: [RawFd; 2]) -> Membership {
        let now = self.clock.wall_millis();
        self.with_snapshot(|snapshot| self.tunnels.enter(grant, ends, snapshot, now))
    }

    /// The tick that is `millis` from now.
    pub(super) fn in_millis(&self, millis: u64) -> Ticks {
        self.clock.tick().saturating_add(super::clock::ticks(Duration::from_millis(millis)))
    }

    /// The date as of the last tick.
    pub(super) fn date(&self) -> [u8; DATE_BYTES] {
        self.date.get()
    }

    /// Formats the date anew when the second has changed.
    pub(super) fn refresh_date(&self) {
        let second = self.clock.wall_millis().div_euclid(1000);
        if self.date_second.replace(second) == second {
            return;
        }
        let mut date = [b' '; DATE_BYTES];
        let since_epoch = Duration::from_secs(u64::try_from(second).unwrap_or(0));
        let written = write!(&mut date[..], "{}", httpdate::HttpDate::from(UNIX_EPOCH + since_epoch));
        debug_assert!(written.is_ok(), "a date has 29 bytes (RFC 9110 §5.6.7)");
        self.date.set(date);
    }

    pub(super) fn next_request_id(&self) -> RequestId {
        self.ids.next()
    }

    /// Counts a connection that waits with a buffer, and says for how many ticks it may.
    pub(super) fn begin_waiting(&self) -> Ticks {
        let waiting = self.waiting.get();
        self.waiting.set(waiting + 1);
        if waiting < WAITING_CROWD { IDLE_BUFFER_TICKS } else { IDLE_BUFFER_TICKS_CROWDED }
    }

    pub(super) fn end_waiting(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
    }

    /// Whether one more caller can be told that there are too many.
    pub(super) fn begin_refusal(&self) -> bool {
        let may = self.refusals.get() < REFUSALS_MAX;
        self.refusals.update(|count| count + usize::from(may));
        may
    }

    pub(super) fn end_refusal(&self) {
        self.refusals.update(|count| count - 1);
    }

    /// Whether no more requests than those under way are wanted.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }

    pub(super) fn start_draining(&self, handed_over: bool) {
        let grace_until = self.in_millis(DRAIN_GRACE_MILLIS);
        self.draining.set(Some(Draining { grace_until, handed_over }));
    }

    /// Whether nobody else accepts callers from the sockets that this shard listened at.
    pub(super) fn is_last_to_listen(&self) -> bool {
        self.draining.get().is_some_and(|draining| !draining.handed_over)
    }

    /// Whether connections that merely wait for a request are to end.
    pub(super) fn is_grace_over(&self) -> bool {
        self.draining.get().is_some_and(|draining| self.clock.tick() >= draining.grace_until)
    }

    /// Counts a caller in, unless there are too many.
    pub(super) fn enter(self: &Rc<Self>) -> Option<Presence> {
        let count = self.connections.get();
        if count >= self.connections_max {
            return None;
        }
        self.set_connections(count + 1);
        Some(Presence { shard: Rc::clone(self), counted: None })
    }

    fn set_connections(&self, count: usize) {
        self.connections.set(count);
        self.cells.set_connections(count);
    }

    /// Lets every other task and the kernel have a turn. A task that woke itself instead would starve them:
    /// monoio runs it before anything else.
    pub(super) async fn next_turn(&self) {
        sys::signal_event(&self.wake);
        wait_in(&self.turns).await;
    }

    /// Waits until a step of a handshake may be taken: whoever came first goes first, those in a hurry in a line of
    /// their own. When no more may in this turn, everybody else's turn comes first.
    pub(super) async fn handshake_turn(&self, in_a_hurry: bool) {
        self.stand_in(&self.handshakes, 1, in_a_hurry).await;
    }

    /// Gives a turn to the next in line, because there is nothing to do with it.
    pub(super) fn pass_handshake_turn(&self) {
        self.handshakes.pass_on(1);
    }

    /// Counts a piece that a stream carried. When many are carried, those who only ask something come first.
    pub(super) async fn after_piece(&self, bytes: usize) {
        self.stand_in(&self.bulk, bytes.max(BULK_PIECE_BYTES_MIN), false).await;
    }

    async fn stand_in(&self, line: &Line, weight: usize, in_a_hurry: bool) {
        match line.enter(weight) {
            Place::Free => {}
            Place::Last => sys::signal_event(&self.wake), // the turn has an end also when nobody waits for it
            Place::Behind => line.wait(weight, in_a_hurry).await,
        }
    }

    /// Waits for the next tick.
    pub(super) async fn next_tick(&self) {
        wait_in(&self.ticks).await;
    }

    /// Wakes those who waited for the next turn.
    pub(super) fn begin_turn(&self) {
        let full = [&self.handshakes, &self.bulk].map(Line::begin_turn);
        if full.contains(&true) {
            sys::signal_event(&self.wake); // so that there is another one for the rest
        }
        wake_all(&self.turns);
    }

    /// Wakes those who waited for the next tick.
    pub(super) fn begin_tick(&self) {
        wake_all(&self.ticks);
    }
}

async fn wait_in(queue: &RefCell<Vec<Waker>>) {
    let mut waits = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waits, true) {
            return Poll::Ready(());
        }
        queue.borrow_mut().push(context.waker().clone());
        Poll::Pending
    })
    .await;
}

fn wake_all(queue: &RefCell<Vec<Waker>>) {
    queue.borrow_mut().drain(..).for_each(Waker::wake);
}

/// A caller that is counted.
pub(super) struct Presence {
    shard: Rc<Shard>,
    /// Its place among those of its address.
    counted: Option<Counted>,
}

impl Presence {
    /// Counts it under its caller's address as well, if that is known; says whether it may stay.
    pub(super) fn count(&mut self, address: Option<IpAddr>) -> bool {
        let (Some(counts), Some(address)) = (&self.shard.address_counts, address) else { return true };
        self.counted = counts.enter(address);
        self.counted.is_some()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.shard.set_connections(self.shard.connections.get() - 1);
    }
}

struct RequestIds {
    boot: [u8; 5],
    shard: u8,
    next: Cell<u64>,
}

impl RequestIds {
    fn next(&self) -> RequestId {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let [_, _, count @ ..] = number.to_be_bytes();
        let bytes = self.boot.iter().chain(std::iter::once(&self.shard)).chain(&count);
        let mut id = [0; REQUEST_ID_BYTES];
        for (pair, byte) in id.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        id
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
