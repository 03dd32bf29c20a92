//! Listening sockets: one for each shard and address, sharing the port, so that the kernel spreads callers.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    connection::{Connection, answer_style, problem},
    io::{Listener, spawn},
    secure,
    state::Shard,
    stream::Stream,
    sys,
};
use crate::{
    limits::LISTEN_BACKLOG,
    protocol::http::{Method, Version},
    types::Reason,
};

/// Makes `count` sockets that listen at one address. With port 0 the system chooses one port for all of them.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<StdListener>> {
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?; // inherited by what it accepts
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        let socket = StdListener::from(socket);
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Accepts and serves until the listener is stopped. The accept in flight is never dropped: what comes of it is
/// served, also in the moment when it is given up.
pub(super) async fn accept_all(listener: Rc<Listener>, number: usize, shard: Rc<Shard>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => admit(&shard, number, Stream::plain(socket), peer),
            Err(_) if listener.is_stopped() => break,
            // Out of descriptors, or the caller was gone already: nothing is lost by a moment's wait.
            Err(_) => shard.next_tick().await,
        }
    }
    if shard.is_last_to_listen() {
        end(&listener, number, &shard);
    }
}

fn admit(shard: &Rc<Shard>, number: usize, stream: Stream, peer: SocketAddr) {
    let tls = shard.with_snapshot(|snapshot| snapshot.listener_tls(number).cloned());
    match (shard.enter(), tls) {
        (Some(presence), None) => spawn(Connection::new(shard, stream, peer, presence).serve()),
        (Some(presence), Some(tls)) => {
            let accepting = secure::accept(Rc::clone(shard), stream.into_socket(), peer, presence, tls);
            spawn(accepting);
        }
        // What cannot be said in TLS without a handshake is not said.
        (None, Some(_)) => shard.record_headless(Reason::Overloaded, peer.ip(), &shard.next_request_id()),
        (None, None) if shard.begin_refusal() => spawn(refuse(Rc::clone(shard), stream, peer)),
        (None, None) => shard.record_headless(Reason::Overloaded, peer.ip(), &shard.next_request_id()),
    }
}

/// Tells a caller that there are too many.
async fn refuse(shard: Rc<Shard>, stream: Stream, peer: SocketAddr) {
    tell(&shard, stream, peer, Reason::Overloaded).await;
    shard.end_refusal();
}

/// Ends a connection with an answer to whatever it asks.
pub(super) async fn tell(shard: &Shard, mut stream: Stream, peer: SocketAddr, reason: Reason) {
    let request_id = shard.next_request_id();
    shard.record_headless(reason, peer.ip(), &request_id);
    let style = answer_style(Method::Get, Version::Http11, true);
    let mut answer = problem(shard, reason, &request_id, style);
    let _ = stream.write_all(&mut answer.buffer).await; // fits the socket's own buffer
    stream.end_writing();
    shard.next_tick().await; // closing with its request unread would reset it, and the answer with it
}

/// Serves the callers that wait at a listener already, then ends it: closing it would reset them.
fn end(listener: &Listener, number: usize, shard: &Rc<Shard>) {
    sys::set_nonblocking(listener.fd());
    while let Some(descriptor) = sys::accept_waiting(listener.fd()) {
        let Ok(stream) = Stream::from_descriptor(descriptor) else { continue };
        if let Some(peer) = stream.peer() {
            admit(shard, number, stream, peer);
        }
    }
    sys::shutdown(listener.fd(), sys::Direction::Both);
}
