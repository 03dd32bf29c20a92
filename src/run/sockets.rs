//! Listening sockets: made here, or taken over from the process before or from the service manager.
//!
//! A socket that is made anew loses nobody, but one that is closed resets those who wait at it: a successor serves
//! from the very sockets of its predecessor. Whose a socket is goes with it: one of the service manager is never
//! ended here, and the file of a Unix socket is removed by the last process that serves from it.

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
    os::fd::{OwnedFd, RawFd},
    path::{self, PathBuf},
    process,
};

use socket2::{Socket, Type};
use tracing::warn;

use super::unix::{self, Identity, SocketFile};
use crate::{
    config::plan::Plan,
    control::{self, Handover, Owner, Predecessor, READY},
    shard::{self, Listening},
    types::Endpoint,
};

/// The first descriptor that a service manager passes (sd_listen_fds(3)).
const ACTIVATED_FIRST: RawFd = 3;
/// More descriptors than anybody passes.
const ACTIVATED_MAX: RawFd = 1024;

/// What the environment says is open already.
#[derive(Default)]
pub(super) struct Inherited {
    /// By the names that the process before gave them.
    sockets: Vec<(String, Found)>,
    /// From the service manager.
    activated: Vec<Socket>,
    /// The way to the process before.
    before: Option<OwnedFd>,
}

/// Sockets of one listener, and whose they are.
struct Found {
    sockets: Vec<Socket>,
    owner: Owner,
}

/// The sockets of each shard, and what else is known of them.
pub(super) struct Bound {
    pub(super) of_shards: Vec<Vec<Listening>>,
    /// In the order of the configuration.
    pub(super) addresses: Vec<Endpoint>,
    pub(super) admin: Option<Socket>,
    /// The same sockets, for the next process.
    pub(super) handover: Handover,
    pub(super) files: Files,
    pub(super) before: Option<Predecessor>,
}

/// The files of Unix sockets.
#[derive(Default)]
pub(super) struct Files {
    own: Vec<SocketFile>,
    /// Those of the process before, until it is this one's turn, each with its mode. Without a mode nobody
    /// wants the socket any more.
    expected: Vec<Expected>,
}

struct Expected {
    path: PathBuf,
    identity: Identity,
    mode: Option<u32>,
    wanted: bool,
}

impl Files {
    /// From here on the files of the process before are this one's.
    pub(super) fn take_over(&mut self) {
        for Expected { path, identity, mode, wanted } in self.expected.drain(..) {
            let file = SocketFile::take_over(path, identity, mode);
            self.own.extend(Some(file).filter(|_| wanted));
        }
    }

    /// From here on they are another process's.
    pub(super) fn leave(self) {
        self.own.into_iter().for_each(SocketFile::leave);
    }
}

/// Closes what came by accident from the process before: what a ring accepts is open to whatever is started before it
/// is marked, and a caller whose connection stays open here would never see its end. To be called before anything else
/// is opened.
pub(super) fn close_strays() {
    let Ok(passed) = control::handed_over() else { return };
    if !passed.is_empty() {
        shard::close_all_but(passed.into_iter().flat_map(|part| part.descriptors).collect());
    }
}

impl Inherited {
    /// Takes over what the environment names.
    pub(super) fn take() -> io::Result<Self> {
        let mut inherited = Self::default();
        for part in control::handed_over()? {
            if part.name == READY {
                inherited.before = part.descriptors.first().map(|fd| shard::adopt(*fd)).transpose()?;
                continue;
            }
            let sockets = part.descriptors.into_iter().map(listener).collect::<io::Result<_>>()?;
            inherited.sockets.push((part.name, Found { sockets, owner: part.owner }));
        }
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        if number("LISTEN_PID") == Some(process::id()) {
            let count = number("LISTEN_FDS").and_then(|count| RawFd::try_from(count).ok()).unwrap_or(0);
            for fd in ACTIVATED_FIRST..ACTIVATED_FIRST.saturating_add(count.min(ACTIVATED_MAX)) {
                inherited.activated.push(listener(fd)?);
            }
        }
        Ok(inherited)
    }

    /// Those of one address, if there are any.
    fn find(&mut self, name: &str, address: &Endpoint) -> Option<Found> {
        if let Some(at) = self.sockets.iter().position(|(one, _)| one == name) {
            return Some(self.sockets.remove(at).1);
        }
        let here = |socket: &mut Socket| is_at(socket, address);
        let sockets: Vec<_> = self.activated.extract_if(.., here).collect();
        (!sockets.is_empty()).then_some(Found { sockets, owner: Owner::Manager })
    }
}

/// Opens what the plan wants, from what is open already and anew.
pub(super) fn bind(plan: &Plan, shards: usize, mut inherited: Inherited) -> io::Result<Bound> {
    let mut handover = Handover::new()?;
    let mut files = Files::default();
    let mut of_shards: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for (number, listener) in plan.listeners.iter().enumerate() {
        let address = &listener.address;
        let name = address.to_string();
        let tcp = |address| Ok(shard::bind(address, shards)?.into_iter().map(Socket::from).collect());
        let found = open(&mut inherited, &name, address, listener.edge.mode, tcp, &mut files)
            .map_err(|error| io::Error::new(error.kind(), format!("listener {address}: {error}")))?;
        addresses.extend(found.sockets.first().map(|socket| own_address(socket, address)));
        handover.add(&name, found.owner, &found.sockets)?;
        spread(number, found, &mut of_shards)?;
    }
    let admin = match &plan.admin {
        Some(admin) => {
            let (address, name) = (&admin.address, format!("admin@{}", admin.address));
            let tcp = |address| Ok(vec![TcpListener::bind::<SocketAddr>(address)?.into()]);
            let mut found =
                open(&mut inherited, &name, address, Some(admin.mode), tcp, &mut files).map_err(|error| {
                    io::Error::new(error.kind(), format!("admin listener {address}: {error}"))
                })?;
            found.sockets.truncate(1);
            handover.add(&name, found.owner, &found.sockets)?;
            found.sockets.pop()
        }
        None => None,
    };
    for (_, Found { sockets, owner }) in inherited.sockets {
        if let (Owner::File(identity), Some(path)) = (owner, sockets.first().and_then(path_of)) {
            files.expected.push(Expected { path, identity, mode: None, wanted: false });
        }
        inherited.activated.extend(sockets);
    }
    for socket in &inherited.activated {
        warn!(address = %shown(socket), "a socket was passed that no listener wants; it is closed");
    }
    let before = inherited.before.map(Predecessor::from);
    Ok(Bound { of_shards, addresses, admin, handover, files, before })
}

/// The sockets of one listener; `tcp` makes those that are not open already. A Unix socket is one for all shards.
fn open(
    inherited: &mut Inherited,
    name: &str,
    address: &Endpoint,
    mode: Option<u32>,
    tcp: impl FnOnce(SocketAddr) -> io::Result<Vec<Socket>>,
    files: &mut Files,
) -> io::Result<Found> {
    if let Some(found) = inherited.find(name, address) {
        if let (Owner::File(identity), Endpoint::Unix(path)) = (found.owner, address) {
            files.expected.push(Expected { path: path.clone(), identity, mode, wanted: true });
        }
        return Ok(found);
    }
    match address {
        Endpoint::Tcp(address) => Ok(Found { sockets: tcp(*address)?, owner: Owner::Process }),
        Endpoint::Unix(path) => {
            let (socket, file) = unix::listen(path, mode)?;
            let owner = Owner::File(file.identity());
            files.own.push(file);
            Ok(Found { sockets: vec![socket], owner })
        }
    }
}

/// Every socket gets a shard and every shard a socket; where there are too few, shards share.
fn spread(number: usize, found: Found, of_shards: &mut [Vec<Listening>]) -> io::Result<()> {
    let kept = found.owner == Owner::Manager;
    let listening = |socket| Listening { number, socket: TcpListener::from(socket), kept };
    let (count, shards) = (found.sockets.len(), of_shards.len());
    for (at, of_shard) in of_shards.iter_mut().enumerate().skip(count) {
        of_shard.push(listening(found.sockets[at % count].try_clone()?));
    }
    for (at, socket) in found.sockets.into_iter().enumerate() {
        of_shards[at % shards].push(listening(socket));
    }
    Ok(())
}

/// A descriptor that must be a listening stream socket of TCP or Unix.
fn listener(fd: RawFd) -> io::Result<Socket> {
    let socket = Socket::from(shard::adopt(fd)?);
    let is_stream = socket.r#type().is_ok_and(|found| found == Type::STREAM);
    if !is_stream || !socket.is_listener().unwrap_or(false) {
        return Err(io::Error::other(format!("descriptor {fd} was passed and is no listening socket")));
    }
    let address = socket.local_addr()?;
    if address.as_socket().is_some() {
        shard::configure(&socket)?;
    } else if address.as_pathname().is_none() {
        return Err(io::Error::other(format!("descriptor {fd} was passed and has no address that we know")));
    }
    Ok(socket)
}

fn is_at(socket: &Socket, address: &Endpoint) -> bool {
    match address {
        Endpoint::Tcp(address) => socket.local_addr().is_ok_and(|found| found.as_socket() == Some(*address)),
        Endpoint::Unix(path) => {
            let wanted = path::absolute(path).ok();
            wanted.is_some() && wanted == path_of(socket).and_then(|path| path::absolute(path).ok())
        }
    }
}

fn path_of(socket: &Socket) -> Option<PathBuf> {
    socket.local_addr().ok()?.as_pathname().map(PathBuf::from)
}

/// The address that a socket has, where the system chose the port.
pub(super) fn own_address(socket: &Socket, configured: &Endpoint) -> Endpoint {
    let found = socket.local_addr().ok().and_then(|address| address.as_socket());
    found.map_or_else(|| configured.clone(), Endpoint::Tcp)
}

fn shown(socket: &Socket) -> String {
    let tcp = socket.local_addr().ok().and_then(|address| address.as_socket()).map(Endpoint::Tcp);
    let found = tcp.or_else(|| path_of(socket).map(Endpoint::Unix));
    found.map_or_else(String::new, |address| address.to_string())
}
