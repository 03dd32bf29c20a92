//! Looking after the shards: letting them drain, and noticing when one stands still.

use std::time::Duration;

use tokio::time::{Instant, interval};
use tracing::{error, info, warn};

use super::{Publisher, Signals, Status, follow::Next, work::Work};

/// How often it is looked whether callers are left while the gateway drains.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);
/// How long a shard's loop may stand still before that is an error: deadlines come ten times a second.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// Who serves callers when this process does not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nobody: whoever balances load is told first.
    Nobody,
    /// Another process, from the same sockets.
    Another,
}

/// Lets requests that are under way finish, within bounds; `next` is who serves from here on, if somebody does.
pub(super) async fn drain(work: &mut Work, signals: &mut Signals, mut next: Option<Next>) {
    let control = &work.control;
    let server = &control.compiled.plan.server;
    let (delay, limit) = (server.drain_delay, server.drain_timeout);
    let publisher = &control.publisher;
    control.status.set_draining();
    match &next {
        None => {
            if !delay.is_zero() {
                info!(?delay, "not ready any more; callers are still accepted");
                tokio::select! {
                    () = signals.end() => warn!("a second signal ends the delay"),
                    () = tokio::time::sleep(delay) => {}
                }
            }
            publisher.drain();
        }
        Some(_) => publisher.hand_over(),
    }
    info!(connections = publisher.connections(), ?limit, "draining");
    let deadline = Instant::now() + limit;
    let mut look = interval(DRAIN_INTERVAL);
    // Until a listener has ended, somebody may come who is not counted yet.
    while work.control.publisher.is_listening() || work.control.publisher.connections() > 0 {
        tokio::select! {
            () = signals.end() => {
                warn!("ended by a second signal");
                break;
            }
            () = tokio::time::sleep_until(deadline) => {
                warn!(connections = work.control.publisher.connections(), "the time to drain is over");
                break;
            }
            _ = look.tick() => if let Some(next) = &mut next {
                next.follow(work);
            }
        }
    }
    // Whoever is left is served until the process is gone: its end is the end of the channel.
    std::mem::forget(next);
    info!("ended");
}

/// Notices shards whose loop does not turn: monoio hides persistent errors of the kernel interface, and one
/// task that never waits would stop a shard without a word.
#[derive(Default)]
pub(super) struct StallWatch {
    seen: Vec<(u64, Option<Instant>)>,
}

impl StallWatch {
    pub(super) fn look(&mut self, publisher: &Publisher, status: &Status) {
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
