//! The composition root: the only file that connects the rooms to a running gateway.

mod descriptors;
mod sockets;
mod unix;

use std::{io, path::Path, process::ExitCode, sync::Arc};

use arc_swap::ArcSwap;
use ring::rand::{SecureRandom, SystemRandom};
use socket2::Socket;
use tracing::{info, warn};

use crate::{
    admin,
    compile::{Compiled, Compiler, Epoch, doors},
    config::{
        Diagnostic, Loaded, Watched,
        plan::{Driver as PlannedDriver, LogSink, Plan},
    },
    control::{
        After, Builder, Built, Control, Draining, Freer, Handover, Notifier, Outcome, Predecessor, Publisher,
        ShardLink, Signals, Status, commands, keep_revoked, measure, resolve_all,
    },
    limits::SHARDS_MAX,
    shard::{self, AddressCounts, Driver, Handle, Listening, Setup, give_way},
    snapshot::Snapshot,
    store::Revocations,
    telemetry::{LogFile, LogWriter, Names, Ring, ShardCells, Sink, Telemetry},
    types::Endpoint,
};

use descriptors::Budget;
use sockets::{Files, Inherited};

/// Callers at a time below which the operator is told.
const CONNECTIONS_FEW: usize = 256;

/// What is listening.
#[derive(Debug)]
pub struct Running {
    /// The addresses of the listeners, in the order of the configuration.
    pub listeners: Vec<Endpoint>,
    /// The address of the admin listener.
    pub admin: Option<Endpoint>,
}

/// A configuration that can be served, and how to load it again.
pub struct Start {
    compiled: Arc<Compiled>,
    findings: Vec<Diagnostic>,
    builder: Option<Builder>,
    watched: Watched,
}

/// Loads and compiles a configuration, the environment included. The first thing that a process does.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Start, Vec<Diagnostic>> {
    sockets::close_strays();
    let Built { builder, outcome, watched, .. } = Builder::new(path, give_way).first();
    match outcome {
        Outcome::New(compiled, findings) => Ok(Start { compiled, findings, builder: Some(builder), watched }),
        Outcome::Same(findings) | Outcome::Refused(findings) => Err(findings),
    }
}

/// Compiles a configuration that stands in no file.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn without_file(loaded: Loaded) -> Result<Start, Vec<Diagnostic>> {
    let compiled = Compiler::default().compile(&Arc::new(loaded.plan), Epoch::FIRST)?;
    Ok(Start {
        compiled: Arc::new(compiled),
        findings: loaded.diagnostics,
        builder: None,
        watched: Watched::default(),
    })
}

/// Runs a gateway until it is told to end; `on_ready` is called when it accepts callers. Whatever can fail comes before
/// that: until then a process that this one replaces serves, and nobody has come here.
pub fn run(start: Start, on_ready: impl FnOnce(&Running)) -> ExitCode {
    for diagnostic in &start.findings {
        warn!("{diagnostic}");
    }
    let result = Inherited::take().and_then(|inherited| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(start_and_run(start, inherited, on_ready))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn start_and_run(
    start: Start,
    inherited: Inherited,
    on_ready: impl FnOnce(&Running),
) -> io::Result<()> {
    let signals = Signals::new()?;
    let notifier = Notifier::from_environment(shard::monotonic_micros);
    let Start { compiled, findings, builder, watched } = start;
    let plan = &compiled.plan;
    let data_dir = plan.server.data_dir.as_deref();
    let mut revocations = Revocations::open(data_dir)
        .map_err(|error| io::Error::new(error.kind(), format!("server.data_dir: {error}")))?;
    keep_revoked(&mut revocations, &compiled);
    let addresses = resolve_all(plan).await;
    let log = plan.access_log.as_ref().map(|log| open_log(&log.sink)).transpose()?;
    let first = compiled.snapshot(1, &addresses, &compiled.revoked(&revocations));
    let mut started = Started::new(plan, first, inherited)?;
    let cells: Vec<Arc<ShardCells>> =
        started.handles.iter().map(|handle| Arc::clone(&handle.cells)).collect();
    let snapshots = Arc::clone(&started.snapshots);
    let names: Names = Arc::new(move || Arc::clone(&snapshots.load().series));
    let telemetry = Arc::new(Telemetry::new(cells, Arc::clone(&names)));
    let counts = Arc::clone(telemetry.log());
    let writer = log.map(|file| LogWriter::start(file, started.rings.clone(), names, counts)).transpose()?;
    tokio::spawn(measure(Arc::clone(&telemetry)));
    let status = Arc::new(Status::new(started.driver.word(), started.generation, telemetry));
    status.set_revocations(revocations.counts());
    status.set_certificates(compiled.certificates());
    let (commands, queue) = commands();
    let state = admin::State { status: Arc::clone(&status), commands };
    // It answers when something is awaited for the first time, which is after the turn of this process has come.
    let (admin, admin_task) = match (&plan.admin, started.admin.take()) {
        (Some(planned), Some(socket)) => {
            let address = sockets::own_address(&socket, &planned.address);
            (Some(address), Some(admin::serve(admin_listener(&planned.address, socket), state)?))
        }
        _ => (None, None),
    };
    let freer = Freer::start(give_way)?;
    let before = started.accept(admin.as_ref());
    let files = started.files;
    on_ready(&Running { listeners: std::mem::take(&mut started.listeners), admin });
    let links = started.handles.into_iter().map(|handle| Box::new(handle) as Box<dyn ShardLink>).collect();
    let control = Control {
        compiled,
        builder,
        watched,
        publisher: Publisher::new(started.snapshots, links),
        freer,
        addresses,
        revocations,
        status,
        commands: queue,
        findings,
        before,
        handover: started.handover,
        admin: admin_task,
        notifier,
    };
    match control.run(signals).await {
        After::Nobody => drop(files),
        After::Another => files.leave(),
    }
    if let Some(writer) = writer {
        writer.finish();
    }
    Ok(())
}

/// Where lines of the access log go, so that it is known before anything starts whether they can.
fn open_log(sink: &LogSink) -> io::Result<LogFile> {
    let (sink, name) = match sink {
        LogSink::StandardOutput => (Sink::StandardOutput, "-".into()),
        LogSink::Path(path) => (Sink::Path(path.clone()), path.to_string_lossy()),
    };
    let refused = |error: io::Error| {
        io::Error::new(error.kind(), format!("access_log.path = {name:?} cannot be written: {error}"))
    };
    LogFile::open(sink).map_err(refused)
}

impl ShardLink for Handle {
    fn cells(&self) -> &Arc<ShardCells> {
        &self.cells
    }

    fn wake(&self) {
        Self::wake(self);
    }

    fn drain(&self) {
        Self::drain(self);
    }

    fn hand_over(&self) {
        Self::hand_over(self);
    }

    fn is_listening(&self) -> bool {
        Self::is_listening(self)
    }
}

/// The shards, and what goes with them.
struct Started {
    snapshots: Arc<ArcSwap<Snapshot>>,
    generation: u64,
    driver: Driver,
    /// Callers at a time, in all.
    connections: usize,
    listeners: Vec<Endpoint>,
    /// The files of Unix sockets.
    files: Files,
    handles: Vec<Handle>,
    /// One for each shard, if there is an access log.
    rings: Vec<Arc<Ring>>,
    admin: Option<Socket>,
    /// For the process that replaces this one.
    handover: Handover,
    /// The process that this one replaces.
    before: Option<Predecessor>,
}

impl Started {
    fn new(plan: &Plan, snapshot: Snapshot, inherited: Inherited) -> io::Result<Self> {
        let generation = snapshot.generation;
        let snapshots = Arc::new(ArcSwap::from_pointee(snapshot));
        let driver = choose_driver(plan.server.driver)?;
        let cores = shard::cores();
        let count = plan.server.shards.unwrap_or(cores.len()).clamp(1, SHARDS_MAX.min(255));
        let budget = Budget::new(plan, count);
        let bound = sockets::bind(plan, count, inherited)?;
        let doors = doors(plan);
        let address_counts = plan.server.limits.connections_per_address.map(AddressCounts::new);
        let mut boot = [0; 5];
        SystemRandom::new()
            .fill(&mut boot)
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let ring_entries = plan.access_log.as_ref().map(|log| log.ring_entries);
        let rings: Vec<_> = ring_entries
            .into_iter()
            .flat_map(|entries| (0..count).map(move |_| Arc::new(Ring::new(entries))))
            .collect();
        let start = |(index, listeners): (usize, Vec<Listening>)| {
            shard::start(Setup {
                index: u8::try_from(index).unwrap_or(u8::MAX),
                // More shards than cores would fight for them: then the scheduler decides.
                core: (count <= cores.len()).then(|| cores.get(index).copied()).flatten(),
                driver,
                listeners,
                snapshots: Arc::clone(&snapshots),
                connections_max: budget.connections,
                upstream_idle_max: budget.upstream_idle,
                doors: Arc::clone(&doors),
                address_counts: address_counts.clone(),
                ring: rings.get(index).map(Arc::clone),
                boot,
            })
        };
        let handles = bound.of_shards.into_iter().enumerate().map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            snapshots,
            generation,
            driver,
            connections: budget.connections * count,
            listeners: bound.addresses,
            files: bound.files,
            handles,
            rings,
            admin: bound.admin,
            handover: bound.handover,
            before: bound.before,
        })
    }

    /// Accepts callers, when the process before lets go of them. Nothing here can fail.
    fn accept(&mut self, admin: Option<&Endpoint>) -> Option<Draining> {
        let replaces = self.before.is_some();
        let before = self.before.take().and_then(Predecessor::take_turn);
        if replaces && before.is_none() {
            warn!("the process before is gone already");
        }
        self.files.take_over();
        self.handles.iter().for_each(Handle::accept);
        for address in &self.listeners {
            info!(%address, "listening");
        }
        if let Some(address) = admin {
            info!(%address, "admin listening");
        }
        let connections = self.connections;
        if connections < CONNECTIONS_FEW {
            warn!(
                connections,
                "few callers can connect at a time; raise the limit on open files or server.limits.connections"
            );
        }
        let (generation, shards) = (self.generation, self.handles.len());
        info!(generation, shards, driver = %self.driver.word(), connections, "ready");
        before
    }
}

/// The admin listener's socket, as what it was configured.
fn admin_listener(address: &Endpoint, socket: Socket) -> admin::Listener {
    match address {
        Endpoint::Tcp(_) => admin::Listener::Tcp(socket.into()),
        Endpoint::Unix(_) => admin::Listener::Unix(socket.into()),
    }
}

/// The configured driver, or the first that the kernel allows.
fn choose_driver(planned: PlannedDriver) -> io::Result<Driver> {
    let forced = match planned {
        PlannedDriver::Auto => None,
        PlannedDriver::UringDefer => Some(Driver::UringDefer),
        PlannedDriver::UringCoop => Some(Driver::UringCoop),
        PlannedDriver::Epoll => Some(Driver::Epoll),
    };
    if let Some(driver) = forced {
        let refused = |error| {
            io::Error::other(format!("server.driver = {:?} is not available: {error}", driver.word()))
        };
        return driver.probe().map_err(refused).map(|()| driver);
    }
    for driver in Driver::LADDER {
        match driver.probe() {
            Ok(()) => return Ok(driver),
            Err(error) => warn!(driver = %driver.word(), %error, "not available, trying the next driver"),
        }
    }
    Err(io::Error::other("no driver is available"))
}
