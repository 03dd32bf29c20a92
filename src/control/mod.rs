//! The control thread: everything that changes a running gateway ends in one function, `Work::publish`: make the
//! next snapshot, swap it in, retire the old one off the shards.
//!
//! ```text
//!  file, signal, command ──▶ build (a thread of its own) ──▶ finish ──┐
//!  revocation ──▶ on the disk ────────────────────────────────────────┼──▶ publish ──▶ confirm ──▶ answer
//!  addresses of targets ──────────────────────────────────────────────┘
//! ```
//!
//! It runs on a tokio runtime of its own thread. The data plane imports nothing of it. What was loaded last goes on
//! serving until something better was compiled; a revocation never waits for a build.

mod certificates;
mod clock;
mod command;
mod follow;
mod free;
mod keys;
mod measure;
mod pace;
mod publish;
mod reload;
mod resolve;
mod revoke;
mod service;
mod shards;
mod status;
mod upgrade;
mod watch;
mod work;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

pub use certificates::CertificateReport;
pub use command::{
    Command, CommandQueue, Commands, ReloadReport, ReloadResult, Revoke, RevokeRefusal, RevokeReport,
    commands,
};
pub use free::Freer;
pub use keys::{KeyLine, KeyPage, KeyQuery};
pub use measure::measure;
pub use publish::{Publisher, ShardLink};
pub use reload::{Builder, Built, Outcome};
pub use resolve::{Resolver, resolve_all};
pub use service::Notifier;
pub use status::{Report, Status};
pub use upgrade::{Draining, Handover, Owner, Predecessor, READY, handed_over};

use certificates::ExpiryNotice;
use follow::{Before, Next};
pub use shards::After;
use shards::{StallWatch, drain};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{AbortHandle, JoinHandle},
    time::interval,
};
use tracing::{error, info};
use upgrade::{Successor, started};
use watch::Watch;
pub use work::keep_revoked;
use work::{Inner, Work};

use crate::{
    compile::{Addresses, Compiled},
    config::{Diagnostic, Stamp, Watched},
    store::Revocations,
};

/// How often the control thread looks after the shards.
const CARE_INTERVAL: Duration = Duration::from_millis(500);

/// What the control thread works with.
pub struct Control {
    /// What is served.
    pub compiled: Arc<Compiled>,
    /// Makes the next configuration; none where there is no file.
    pub builder: Option<Builder>,
    /// What the configuration was read from.
    pub watched: Watched,
    /// Hands snapshots to the shards.
    pub publisher: Publisher,
    /// Frees what was served before.
    pub freer: Freer,
    /// Where targets are.
    pub addresses: Addresses,
    /// What was revoked.
    pub revocations: Revocations,
    /// What the admin listener tells.
    pub status: Arc<Status>,
    /// What operators ask.
    pub commands: CommandQueue,
    /// What was found when the configuration was loaded.
    pub findings: Vec<Diagnostic>,
    /// The process before.
    pub before: Option<Draining>,
    /// What a successor gets.
    pub handover: Handover,
    /// Accepts for the admin listener.
    pub admin: Option<AbortHandle>,
    /// Tells the service manager.
    pub notifier: Notifier,
}

type Building = JoinHandle<(Built, Option<Addresses>)>;

impl Control {
    /// Looks after the gateway until it is told to end and has drained; says who serves from then on.
    pub async fn run(self, mut signals: Signals) -> After {
        let Self { compiled, mut builder, mut watched, publisher, addresses, revocations, .. } = self;
        let (freer, status, mut queue, findings) = (self.freer, self.status, self.commands, self.findings);
        let (handover, admin, mut notifier) = (self.handover, self.admin, self.notifier);
        let mut successor: Option<Successor> = None;
        let mut next: Option<Next> = None;
        let mut upgrade_wanted = false;
        let mut resolver = Resolver::new(&compiled.plan);
        let mut care = interval(CARE_INTERVAL);
        let mut stalls = StallWatch::default();
        let mut expiry = ExpiryNotice::new();
        let mut watch = Watch::new();
        if let Some(builder) = &builder {
            watch.follow(&watched, builder.seen(), true);
            if !builder.is_sure() {
                watch.make_sure();
            }
        }
        let revoked = compiled.revoked(&revocations);
        let inner = Inner { compiled, publisher, addresses, revocations, revoked, status, findings };
        let mut work = Work::new(inner, Before::new(self.before.map(|Draining(channel)| channel)));
        let mut building: Option<Building> = None;
        notifier.ready();
        let after = loop {
            if upgrade_wanted && building.is_none() && successor.is_none() {
                upgrade_wanted = false;
                successor = begin_upgrade(&handover);
            }
            // Nothing changes while a successor starts: it may have read already what is changed here.
            if building.is_none() && successor.is_none() && !work.wanted.is_empty() {
                building = work.begin_build(&mut builder);
                notifier.reloading();
            }
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Asked::End => break After::Nobody,
                    Asked::Upgrade => upgrade_wanted = true,
                    Asked::Reload if builder.is_some() || building.is_some() => work.want("signal", false, None),
                    Asked::Reload => info!("there is no file to load again"),
                },
                served = started(&mut successor) => match served {
                    Ok((pid, channel)) => {
                        info!(pid, "another process serves from here on");
                        notifier.handed_over(pid);
                        next = Some(Next::new(channel));
                        break After::Another;
                    }
                    Err(why) => error!("the upgrade failed, and this process goes on as before: {why}"),
                },
                Some(command) = queue.recv(), if successor.is_none() => work.command(command, builder.is_some() || building.is_some()).await,
                () = work.next_confirmation() => work.confirm(),
                (built, addresses) = finished(&mut building) => {
                    let seen: HashMap<PathBuf, Stamp> = built.builder.seen().clone();
                    let accepted = !matches!(built.outcome, Outcome::Refused(_));
                    if accepted {
                        watched = built.watched.clone();
                        watch.follow(&watched, &seen, true);
                    } else {
                        watch.follow(&both(&watched, &built.watched), &seen, false);
                    }
                    if !built.builder.is_sure() {
                        watch.make_sure();
                    }
                    let before = Arc::clone(&work.control.compiled);
                    builder = Some(work.finish(built, addresses));
                    if before.plan.targets != work.control.compiled.plan.targets {
                        resolver = Resolver::new(&work.control.compiled.plan);
                    }
                    freer.free(before);
                    notifier.ready();
                }
                () = watch.settled() => work.want("file", false, None),
                changed = resolver.next_change(&work.control.compiled.plan, &work.control.addresses) => {
                    work.control.addresses = changed;
                    let generation = work.publish();
                    info!(generation, "addresses of targets changed");
                }
                _ = care.tick() => {
                    let old = work.control.publisher.collect();
                    if !old.is_empty() {
                        freer.free(old);
                    }
                    if successor.is_none() {
                        work.keep_what_is_owed();
                    }
                    expiry.look(work.control.compiled.certificates());
                    stalls.look(&work.control.publisher, &work.control.status);
                    if work.control.status.is_ready() {
                        notifier.alive();
                    }
                }
            }
        };
        match after {
            After::Nobody => notifier.stopping(),
            After::Another => admin.iter().for_each(AbortHandle::abort),
        }
        if let Some(successor) = successor {
            successor.end();
        }
        drop(handover); // its sockets are the other process's now, or nobody's
        drop(queue); // whoever asks for something from here on is told that the gateway is ending
        drain(&mut work, &mut signals, next).await;
        after
    }
}

/// Starts a successor, or says why not.
fn begin_upgrade(handover: &Handover) -> Option<Successor> {
    match handover.start() {
        Ok(successor) => {
            info!(pid = successor.pid(), "a successor starts");
            Some(successor)
        }
        Err(error) => {
            error!("the upgrade failed, and this process goes on as before: {error}");
            None
        }
    }
}

/// The build that is under way, when it is over.
async fn finished(building: &mut Option<Building>) -> (Built, Option<Addresses>) {
    let outcome = match building {
        Some(task) => task.await,
        None => std::future::pending().await,
    };
    *building = None;
    match outcome {
        Ok(built) => built,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn both(one: &Watched, other: &Watched) -> Watched {
    Watched {
        files: one.files.iter().chain(&other.files).cloned().collect(),
        directories: one.directories.iter().chain(&other.directories).cloned().collect(),
    }
}

/// The signals that the gateway obeys.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    replace: Signal,
    /// A file at the limit of its size is an error of the write; without a handler it would end the process.
    _file_too_large: Signal,
}

impl Signals {
    /// From here on they end nothing by themselves. To be made before the first caller can come.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            replace: signal(SignalKind::user_defined2())?,
            _file_too_large: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    async fn next(&mut self) -> Asked {
        let Self { terminate, interrupt, hangup, replace, .. } = self;
        tokio::select! {
            _ = terminate.recv() => Asked::End,
            _ = interrupt.recv() => Asked::End,
            _ = hangup.recv() => Asked::Reload,
            _ = replace.recv() => Asked::Upgrade,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    End,
    Reload,
    Upgrade,
}
