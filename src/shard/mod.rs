//! The data plane: one shard for each core, each a thread with its own event loop, listeners, connections,
//! pools, buffers, deadlines and counters. Shards share nothing but the snapshot, and the counts of connections by
//! address where those are bounded.
//!
//! `run` starts them; a [`Handle`] is all that the control plane holds of one.

mod addresses;
mod body;
mod buffer;
mod clock;
mod connection;
mod forward;
mod front;
mod io;
mod line;
mod listener;
mod record;
mod secure;
mod state;
mod stream;
mod sys;
mod timer;
mod tls;
mod tunnels;
mod upstream;

use std::{
    io as std_io,
    net::TcpListener as StdListener,
    os::fd::{OwnedFd, RawFd},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use arc_swap::ArcSwap;

pub use addresses::AddressCounts;
pub use io::Driver;
pub use listener::{bind, configure};
#[cfg(fuzzing)]
pub use tls::fuzz;

use io::{Event, Listener, spawn};
use state::{Parts, Shard};

use crate::{
    limits::TICK_MILLIS,
    snapshot::{Door, Snapshot},
    telemetry::{Ring, ShardCells},
};

/// Ticks between two looks at unused connections to targets.
const SWEEP_TICKS: u32 = 10;

/// The cores that the process may run on.
pub fn cores() -> Vec<usize> {
    sys::cores()
}

/// From here on the calling thread gives way to whatever else wants its core: for work in bulk beside the shards.
pub fn give_way() {
    sys::give_way();
}

/// Raises the limit on open files as far as the process may, and returns it.
pub fn raise_file_limit() -> usize {
    sys::raise_file_limit()
}

/// Takes over a descriptor that the process was started with: to be called once for each, before anything is opened
/// that could have its number.
pub fn adopt(fd: RawFd) -> std_io::Result<OwnedFd> {
    sys::adopt(fd)
}

/// Closes every descriptor but these and those of the standard streams: for a process that was just started and has
/// opened nothing yet.
pub fn close_all_but(kept: Vec<RawFd>) {
    sys::close_all_but(kept);
}

/// Microseconds of the monotonic clock.
pub fn monotonic_micros() -> u64 {
    sys::read_nanos() / 1000
}

/// What a shard needs to start.
pub struct Setup {
    /// Its position among the shards.
    pub index: u8,
    /// The core that it is bound to.
    pub core: Option<usize>,
    /// How it talks to the kernel.
    pub driver: Driver,
    /// Its own listening sockets.
    pub listeners: Vec<Listening>,
    /// Where the current snapshot is found.
    pub snapshots: Arc<ArcSwap<Snapshot>>,
    /// Callers that it serves at a time.
    pub connections_max: usize,
    /// Unused connections to all targets that it keeps.
    pub upstream_idle_max: usize,
    /// The listeners, by number.
    pub doors: Arc<[Door]>,
    /// Connections by address, if they are bounded: the same for all shards.
    pub address_counts: Option<Arc<AddressCounts>>,
    /// Where lines of the access log go, if there is one.
    pub ring: Option<Arc<Ring>>,
    /// Random, the same for all shards of a start.
    pub boot: [u8; 5],
}

/// A listening socket of a shard; one of Unix is carried as if it were one of TCP.
pub struct Listening {
    /// The position of its listener in the configuration.
    pub number: usize,
    /// The socket.
    pub socket: StdListener,
    /// Whether it outlives the process, because somebody else opened it: then it is closed, and never ended.
    pub kept: bool,
}

/// What the control plane holds of a running shard.
pub struct Handle {
    /// Its counters.
    pub cells: Arc<ShardCells>,
    wake: OwnedFd,
    orders: Arc<AtomicU8>,
    /// Listeners that still accept, or are to.
    listening: Arc<AtomicUsize>,
}

/// What a shard is told to do, in this order: [`Handle::accept`], then [`Handle::drain`] or [`Handle::hand_over`].
const WAIT: u8 = 0;
const ACCEPT: u8 = 1;
const DRAIN: u8 = 2;
const HAND_OVER: u8 = 3;

impl Handle {
    /// Makes the shard look at the snapshot and at what it is told.
    pub fn wake(&self) {
        sys::signal_event(&self.wake);
    }

    /// Makes the shard accept callers.
    pub fn accept(&self) {
        self.order(ACCEPT);
    }

    /// Makes the shard accept no more callers and end connections as they fall idle.
    pub fn drain(&self) {
        self.order(DRAIN);
    }

    /// Whether somebody may still be accepted who is not among the connections yet.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Acquire) > 0
    }

    /// The same as [`Self::drain`], for listening sockets that another process serves from now on: callers that wait at them are its.
    pub fn hand_over(&self) {
        self.order(HAND_OVER);
    }

    fn order(&self, order: u8) {
        self.orders.store(order, Ordering::Release);
        self.wake();
    }
}

/// Starts a shard on a thread of its own and waits until it has all that it needs. It accepts nobody yet; nothing can
/// fail when it is told to.
pub fn start(setup: Setup) -> std_io::Result<Handle> {
    let wake = sys::event()?;
    let handle = Handle {
        cells: Arc::default(),
        wake: wake.try_clone()?,
        orders: Arc::new(AtomicU8::new(WAIT)),
        listening: Arc::new(AtomicUsize::new(setup.listeners.len())),
    };
    let (cells, orders) = (Arc::clone(&handle.cells), Arc::clone(&handle.orders));
    let listening = Arc::clone(&handle.listening);
    let (started, ready) = mpsc::sync_channel(1);
    std::thread::Builder::new().name(format!("shard-{}", setup.index)).spawn(move || {
        if let Some(core) = setup.core {
            let _ = sys::pin_to_core(core); // an unpinned shard serves as well
        }
        let failed = started.clone();
        if let Err(error) = io::run(setup.driver, run(setup, cells, orders, listening, wake, started)) {
            let _ = failed.send(Err(error));
        }
    })?;
    ready.recv().unwrap_or_else(|_| Err(std_io::Error::other("the shard ended while it started")))?;
    Ok(handle)
}

type Started = mpsc::SyncSender<std_io::Result<()>>;

/// A shard's main task: starts the others, then waits for the control plane for ever.
async fn run(
    setup: Setup,
    cells: Arc<ShardCells>,
    orders: Arc<AtomicU8>,
    listening: Arc<AtomicUsize>,
    wake: OwnedFd,
    started: Started,
) {
    let result = prepare(setup, cells, wake);
    let Ready { shard, mut listeners, ticker, wake } = match result {
        Ok(ready) => ready,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    spawn(tick(Rc::clone(&shard), ticker));
    shard.look_at_snapshot();
    let _ = started.send(Ok(()));
    let mut accepts = false;
    loop {
        wake.wait().await;
        shard.begin_turn();
        shard.look_at_snapshot();
        let orders = orders.load(Ordering::Acquire);
        if orders != WAIT && !accepts {
            accepts = true;
            accept(&listeners, &listening, &shard);
        }
        if orders > ACCEPT && !shard.is_draining() {
            shard.start_draining(orders == HAND_OVER);
            // Those that are handed over are closed when the accept that is given up has returned.
            listeners.drain(..).for_each(|(_, listener)| listener.stop());
            shard.pools.clear();
        }
    }
}

fn accept(listeners: &[(usize, Rc<Listener>)], listening: &Arc<AtomicUsize>, shard: &Rc<Shard>) {
    for (number, listener) in listeners {
        let accepting = listener::accept_all(Rc::clone(listener), *number, Rc::clone(shard));
        let listening = Arc::clone(listening);
        spawn(async move {
            accepting.await;
            listening.fetch_sub(1, Ordering::Release); // whoever was accepted is counted by now
        });
    }
}

struct Ready {
    shard: Rc<Shard>,
    listeners: Vec<(usize, Rc<Listener>)>,
    ticker: Event,
    wake: Event,
}

fn prepare(setup: Setup, cells: Arc<ShardCells>, wake: OwnedFd) -> std_io::Result<Ready> {
    let shard = Shard::new(Parts {
        index: setup.index,
        boot: setup.boot,
        snapshots: setup.snapshots,
        cells,
        ring: setup.ring,
        connections_max: setup.connections_max,
        upstream_idle_max: setup.upstream_idle_max,
        doors: setup.doors,
        address_counts: setup.address_counts,
        wake: wake.try_clone()?,
    });
    let listener = |Listening { number, socket, kept }| {
        let listener = Listener::from_socket(socket, shard.door(number).unix, kept)?;
        Ok((number, Rc::new(listener)))
    };
    let listeners = setup.listeners.into_iter().map(listener).collect::<std_io::Result<_>>()?;
    Ok(Ready {
        shard,
        listeners,
        ticker: Event::new(sys::interval_timer(Duration::from_millis(TICK_MILLIS))?)?,
        wake: Event::new(wake)?,
    })
}

/// Does what is due, ten times a second.
async fn tick(shard: Rc<Shard>, ticker: Event) {
    let mut swept = 0;
    loop {
        ticker.wait().await;
        let now = shard.clock.advance();
        shard.cells.beat();
        shard.refresh_date();
        shard.look_at_snapshot();
        while shard.deadlines.expire(now) {
            shard.next_turn().await;
        }
        if now.wrapping_sub(swept) >= SWEEP_TICKS {
            swept = now;
            shard.pools.sweep(now);
        }
        shard.begin_tick();
        if shard.is_grace_over() {
            shard.deadlines.expire_idle(shard.clock.tick());
        }
    }
}
