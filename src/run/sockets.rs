//! Listening sockets: made here, or taken over from the process before or from the service manager.
//!
//! A socket that is made anew loses nobody, but one that is closed resets those who wait at it: a successor serves
//! from the very sockets of its predecessor.

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
    os::fd::{OwnedFd, RawFd},
    process,
};

use socket2::SockRef;
use tracing::warn;

use crate::{
    config::plan::Plan,
    control::{ADMIN, HANDED_OVER, Handover, READY, ReadyPipe},
    shard,
};

/// The first descriptor that a service manager passes (sd_listen_fds(3)).
const ACTIVATED_FIRST: RawFd = 3;
/// More descriptors than anybody passes.
const ACTIVATED_MAX: RawFd = 1024;

/// What the environment says is open already.
#[derive(Default)]
pub(super) struct Inherited {
    /// By the address that the configuration of the process before gave them.
    sockets: Vec<(String, Vec<TcpListener>)>,
    /// From the service manager.
    activated: Vec<TcpListener>,
    /// Where the process before waits to hear that this one serves.
    ready: Option<OwnedFd>,
}

/// A listening socket, and the position of its listener in the configuration.
type Numbered = (usize, TcpListener);

/// The sockets of each shard, and what else is known of them.
pub(super) struct Bound {
    pub(super) of_shards: Vec<Vec<Numbered>>,
    /// In the order of the configuration.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) admin: Option<TcpListener>,
    /// The same sockets, for the next process.
    pub(super) handover: Handover,
    /// Tells the process before.
    pub(super) ready: Option<ReadyPipe>,
}

impl Inherited {
    /// Takes over what the environment names.
    pub(super) fn take() -> io::Result<Self> {
        let mut inherited = Self::default();
        if let Ok(text) = env::var(HANDED_OVER) {
            inherited.handed_over(&text)?;
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

    /// Such as `127.0.0.1:8080=5,7;admin=9;ready=11`.
    fn handed_over(&mut self, text: &str) -> io::Result<()> {
        let wrong = || io::Error::other(format!("{HANDED_OVER}={text:?} names no descriptors"));
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, list) = part.rsplit_once('=').ok_or_else(wrong)?;
            let mut sockets = Vec::new();
            for fd in list.split(',') {
                let fd = fd.parse().map_err(|_| wrong())?;
                if name == READY {
                    self.ready = Some(shard::adopt(fd)?);
                } else {
                    sockets.push(listener(fd)?);
                }
            }
            if name != READY {
                self.sockets.push((name.to_owned(), sockets));
            }
        }
        Ok(())
    }

    /// Those of one address, if there are any.
    fn find(&mut self, name: &str, address: SocketAddr) -> Vec<TcpListener> {
        if let Some(at) = self.sockets.iter().position(|(one, _)| one == name) {
            return self.sockets.remove(at).1;
        }
        let here = |socket: &mut TcpListener| socket.local_addr().is_ok_and(|found| found == address);
        self.activated.extract_if(.., here).collect()
    }
}

/// Opens what the plan wants, from what is open already and anew.
pub(super) fn bind(plan: &Plan, shards: usize, mut inherited: Inherited) -> io::Result<Bound> {
    let mut handover = Handover::new()?;
    let mut of_shards: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for (number, listener) in plan.listeners.iter().enumerate() {
        let name = listener.address.to_string();
        let mut sockets = inherited.find(&name, listener.address);
        if sockets.is_empty() {
            sockets = shard::bind(listener.address, shards).map_err(|error| {
                io::Error::new(error.kind(), format!("listener {}: {error}", listener.address))
            })?;
        }
        addresses.extend(sockets.first().map(TcpListener::local_addr).transpose()?);
        handover.add(&name, &sockets)?;
        spread(number, sockets, &mut of_shards)?;
    }
    let admin = match &plan.admin {
        Some(admin) => {
            let found = inherited.find(ADMIN, admin.address).pop();
            let socket = found.map_or_else(|| TcpListener::bind(admin.address), Ok).map_err(|error| {
                io::Error::new(error.kind(), format!("admin listener {}: {error}", admin.address))
            })?;
            handover.add(ADMIN, std::slice::from_ref(&socket))?;
            Some(socket)
        }
        None => None,
    };
    let left = inherited.sockets.iter().flat_map(|(_, sockets)| sockets).chain(&inherited.activated);
    for address in left.filter_map(|socket| socket.local_addr().ok()) {
        warn!(%address, "a socket was passed that no listener wants; it is closed");
    }
    let ready = inherited.ready.map(ReadyPipe::from);
    Ok(Bound { of_shards, addresses, admin, handover, ready })
}

/// Every socket gets a shard and every shard a socket; where there are too few, shards share.
fn spread(number: usize, sockets: Vec<TcpListener>, of_shards: &mut [Vec<Numbered>]) -> io::Result<()> {
    let (count, shards) = (sockets.len(), of_shards.len());
    for at in count..shards {
        of_shards[at].push((number, sockets[at % count].try_clone()?));
    }
    for (at, socket) in sockets.into_iter().enumerate() {
        of_shards[at % shards].push((number, socket));
    }
    Ok(())
}

/// A descriptor that must be a listening TCP socket.
fn listener(fd: RawFd) -> io::Result<TcpListener> {
    let socket = shard::adopt(fd)?;
    let is_listening = SockRef::from(&socket).is_listener();
    if !is_listening.unwrap_or(false) {
        return Err(io::Error::other(format!("descriptor {fd} was passed and is no listening socket")));
    }
    let socket = TcpListener::from(socket);
    socket.local_addr()?; // an address of another family has none that we know
    SockRef::from(&socket).set_tcp_nodelay(true)?;
    Ok(socket)
}
