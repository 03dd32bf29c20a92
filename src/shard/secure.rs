//! Handshakes: with callers that connect to a listener with TLS, and with targets.
//!
//! A signature costs as much as many requests do. So a shard takes only a few steps of handshakes in one turn of its
//! loop, and whoever is connected is served between them, however many handshakes wait.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use rustls::ServerConfig;

use super::{
    connection::Connection,
    io::{Stream as Socket, spawn},
    state::{Presence, Shard},
    stream::Stream,
    timer::{Deadline, OnExpiry},
    tls::{Handshake, Step},
};
use crate::{limits::HANDSHAKE_MILLIS_MAX, snapshot::UpstreamTls, types::Reason};

/// Makes a connection to a caller secure, then serves it.
pub(super) async fn accept(
    shard: Rc<Shard>,
    mut socket: Socket,
    peer: SocketAddr,
    presence: Presence,
    config: Arc<ServerConfig>,
) {
    let deadline = shard.deadlines.register(socket.fd());
    deadline.arm(shard.in_millis(shard.callers().head_millis.min(HANDSHAKE_MILLIS_MAX)), OnExpiry::EndBoth);
    let outcome = match Handshake::accept(config) {
        Ok(handshake) => shake(&shard, &mut socket, handshake, true).await,
        Err(_) => Err(Broken::Refused),
    };
    drop(deadline); // before the descriptor is anybody else's
    match outcome {
        Ok(session) => {
            let stream = Stream::secure(socket, session);
            spawn(Connection::new(&shard, stream, peer, presence).serve());
        }
        // Somebody who only looks whether the port is open has asked for nothing.
        Err(Broken::Silent) => {}
        Err(Broken::Refused | Broken::Gone) => {
            shard.record_headless(Reason::TlsHandshake, peer.ip(), &shard.next_request_id());
        }
    }
}

/// Makes a connection to a target secure, within what is armed.
pub(super) async fn connect(
    shard: &Rc<Shard>,
    mut socket: Socket,
    tls: &UpstreamTls,
    deadline: &Deadline,
) -> Result<Stream, Reason> {
    let handshake = Handshake::connect(Arc::clone(&tls.client), tls.name.clone());
    let session = match handshake {
        Ok(handshake) => shake(shard, &mut socket, handshake, false).await,
        Err(_) => Err(Broken::Refused),
    };
    match session {
        Ok(session) => Ok(Stream::secure(socket, session)),
        Err(_) if deadline.expired() => Err(Reason::ConnectTimeout),
        Err(Broken::Refused) => Err(Reason::UpstreamTls),
        Err(Broken::Silent | Broken::Gone) => Err(Reason::UpstreamClosed),
    }
}

/// Why there is no session.
enum Broken {
    /// The other side went away before it sent anything.
    Silent,
    /// The other side went away, or was too slow.
    Gone,
    /// The two cannot come together.
    Refused,
}

async fn shake(
    shard: &Shard,
    socket: &mut Socket,
    mut handshake: Handshake,
    mut must_receive: bool,
) -> Result<Rc<super::tls::Session>, Broken> {
    let mut heard = false;
    loop {
        if must_receive {
            let room = handshake.room().ok_or(Broken::Refused)?;
            match socket.read(room).await {
                Ok(1..) => heard = true,
                _ if heard => return Err(Broken::Gone),
                _ => return Err(Broken::Silent),
            }
        }
        must_receive = true;
        shard.handshake_turn().await;
        match handshake.step() {
            Step::Done => return handshake.finish().ok_or(Broken::Refused),
            Step::Receive => {
                if !handshake.unsent().is_empty() {
                    socket.write_all(handshake.unsent()).await.map_err(|_| Broken::Gone)?;
                    handshake.unsent().clear();
                }
            }
            Step::Failed => {
                let _ = socket.write_all(handshake.unsent()).await;
                socket.end_writing();
                return Err(Broken::Refused);
            }
        }
    }
}
