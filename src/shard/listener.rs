//! Listening sockets: one for each shard and address, sharing the port, so that the kernel spreads callers.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    rc::Rc,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    connection::{Connection, answer_style, problem},
    front,
    io::{Listener, spawn},
    state::Shard,
    stream::Stream,
    sys,
};
use crate::{
    limits::{LISTEN_BACKLOG, UNSENT_BYTES_MAX},
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
        configure(&socket)?;
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

/// Sets what is inherited by whatever a listening socket of TCP accepts.
pub fn configure(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // A caller that does not read costs a little memory of the kernel, and not four mebibytes.
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

/// Accepts and serves until the listener is stopped. The accept in flight is never dropped: what comes of it is
/// served, also in the moment when it is given up.
pub(super) async fn accept_all(listener: Rc<Listener>, door: usize, shard: Rc<Shard>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => admit(&shard, Stream::plain(socket), peer, door),
            Err(_) if listener.is_stopped() => break,
            // Out of descriptors, or the caller was gone already: nothing is lost by a moment's wait.
            Err(_) => shard.next_tick().await,
        }
    }
    end(&listener, door, &shard, shard.is_last_to_listen() && !listener.is_kept());
}

/// Lets a connection in that came through the listener with this number.
fn admit(shard: &Rc<Shard>, stream: Stream, peer: Option<IpAddr>, door: usize) {
    match shard.enter() {
        Some(presence) => front::begin(Connection::new(shard, stream, peer, door, presence)),
        None => turn_away(shard, stream, peer, door, Reason::Overloaded),
    }
}

/// Closes a connection for which there is no room, and says so where the caller can read it: what cannot be said in TLS
/// without a handshake is not said.
pub(super) fn turn_away(
    shard: &Rc<Shard>,
    stream: Stream,
    peer: Option<IpAddr>,
    door: usize,
    reason: Reason,
) {
    if shard.listener_tls(door).is_none() && shard.begin_refusal() {
        spawn(refuse(Rc::clone(shard), stream, peer, reason));
    } else {
        shard.record_headless(reason, peer, &shard.next_request_id());
    }
}

/// Tells a caller that there are too many. Only after [`Shard::begin_refusal`].
async fn refuse(shard: Rc<Shard>, mut stream: Stream, peer: Option<IpAddr>, reason: Reason) {
    tell(&shard, &mut stream, peer, reason).await;
    shard.end_refusal();
}

/// Ends a connection with an answer to whatever it asks.
pub(super) async fn tell(shard: &Shard, stream: &mut Stream, peer: Option<IpAddr>, reason: Reason) {
    let request_id = shard.next_request_id();
    shard.record_headless(reason, peer, &request_id);
    let style = answer_style(Method::Get, Version::Http11, true);
    let mut answer = problem(shard, reason, &request_id, style);
    let _ = stream.write_all(&mut answer.buffer).await; // fits the socket's own buffer
    stream.end_writing();
    shard.next_tick().await; // closing with its request unread would reset it, and the answer with it
}

/// Serves the callers that wait at a listener already, and ends it if nobody else serves from it: closing it would reset
/// them. Also where somebody else does: the accept that was given up may have been the only one that the kernel woke.
fn end(listener: &Listener, door: usize, shard: &Rc<Shard>, shut: bool) {
    sys::set_nonblocking(listener.fd());
    if shut && listener.is_unix() {
        sys::shutdown(listener.fd(), sys::Direction::Both); // nobody comes any more, and those who wait stay
    }
    while let Some(descriptor) = sys::accept_waiting(listener.fd()) {
        let Ok(stream) = Stream::from_descriptor(descriptor) else { continue };
        if listener.is_unix() {
            admit(shard, stream, None, door);
        } else if let Some(peer) = stream.peer() {
            admit(shard, stream, Some(peer.ip()), door);
        }
    }
    if shut {
        sys::shutdown(listener.fd(), sys::Direction::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, os::fd::AsFd};

    use socket2::SockRef;

    use super::{UNSENT_BYTES_MAX, bind};

    #[test]
    fn what_is_accepted_has_what_the_listener_was_given() {
        let listener = bind(([127, 0, 0, 1], 0).into(), 1).expect("a port is free").remove(0);
        let _caller = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let (accepted, _) = listener.accept().expect("somebody came");
        let accepted = accepted.as_fd();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("it is TCP"));
        assert_eq!(socket.tcp_notsent_lowat().expect("it is TCP"), UNSENT_BYTES_MAX);
    }
}
