//! The control thread: everything that changes a running gateway ends in one function here,
//! [`Control::apply`]: build the next snapshot, swap it in, retire the old one off the shards.
//!
//! It runs on a tokio runtime of its own thread. The data plane imports nothing of it.

mod measure;
mod publish;
mod resolve;
mod status;

use std::{sync::Arc, time::Duration};

pub use measure::measure;
pub use publish::{Publisher, ShardLink};
pub use resolve::{Resolver, resolve_all};
pub use status::{Report, Status};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, interval},
};
use tracing::{error, info, warn};

use crate::{
    compile::{Addresses, Compiler},
    config::plan::Plan,
};

/// How often the control thread looks after the shards.
const CARE_INTERVAL: Duration = Duration::from_millis(500);
/// How often it looks while the gateway drains.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);
/// How long a shard's loop may stand still before that is an error: deadlines come ten times a second.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// What the control thread works with.
pub struct Control {
    /// What the operator wants.
    pub plan: Plan,
    /// Makes snapshots.
    pub compiler: Compiler,
    /// Hands them to the shards.
    pub publisher: Publisher,
    /// Where targets are.
    pub addresses: Addresses,
    /// What the admin listener tells.
    pub status: Arc<Status>,
}

impl Control {
    /// Looks after the gateway until it is told to end and has drained.
    pub async fn run(mut self, mut signals: Signals) {
        let mut resolver = Resolver::new(&self.plan);
        let mut care = interval(CARE_INTERVAL);
        let mut watch = StallWatch::default();
        loop {
            tokio::select! {
                () = signals.end() => break,
                changed = resolver.next_change(&self.plan, &self.addresses) => self.apply(changed),
                _ = care.tick() => {
                    self.publisher.collect();
                    watch.look(&self.publisher, &self.status);
                }
            }
        }
        self.drain(&mut signals).await;
    }

    /// Makes new addresses current.
    fn apply(&mut self, addresses: Addresses) {
        self.addresses = addresses;
        let snapshot = self.compiler.compile_addresses(&self.plan, &self.addresses);
        info!(generation = snapshot.generation, "addresses of targets changed");
        self.status.set_generation(snapshot.generation);
        self.publisher.publish(snapshot);
    }

    /// Lets requests that are under way finish, within bounds.
    async fn drain(&mut self, signals: &mut Signals) {
        let limit = self.plan.server.drain_timeout;
        info!(connections = self.publisher.connections(), limit = ?limit, "draining");
        self.status.set_draining();
        self.publisher.drain();
        let deadline = Instant::now() + limit;
        let mut look = interval(DRAIN_INTERVAL);
        while self.publisher.connections() > 0 {
            tokio::select! {
                () = signals.end() => {
                    warn!("ended by a second signal");
                    break;
                }
                () = tokio::time::sleep_until(deadline) => {
                    warn!(connections = self.publisher.connections(), "the time to drain is over");
                    break;
                }
                _ = look.tick() => {}
            }
        }
        info!("ended");
    }
}

/// The signals that end the gateway.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they end nothing by themselves. To be made before the first caller can come.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Notices shards whose loop does not turn: monoio hides persistent errors of the kernel interface, and one
/// task that never waits would stop a shard without a word.
#[derive(Default)]
struct StallWatch {
    seen: Vec<(u64, Option<Instant>)>,
}

impl StallWatch {
    fn look(&mut self, publisher: &Publisher, status: &Status) {
        let beats = publisher.heartbeats();
        self.seen.resize(beats.len(), (0, None));
        let now = Instant::now();
        let mut stalled = false;
        for (shard, (beat, seen)) in beats.into_iter().zip(&mut self.seen).enumerate() {
            let since = match seen.1 {
                Some(since) if seen.0 == beat => since,
                _ => now,
            };
            *seen = (beat, Some(since));
            if now - since >= STALL_LIMIT {
                stalled = true;
                error!(shard, seconds = (now - since).as_secs(), "a shard does not respond");
            }
        }
        status.set_stalled(stalled);
    }
}
