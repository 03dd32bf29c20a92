//! What comes before a connection is served: the PROXY header of its listener, then the bound on its address, then TLS.
//!
//! Called by `listener` for each accepted connection. A peer that has to send a header has the time of a head for it;
//! what follows the header in the same segment, a request or a TLS handshake, stays in `inbound`. A caller is counted
//! before its handshake, which costs more than anything else that it can ask for. Proxies carry many callers, and are
//! not counted.

use std::{net::IpAddr, rc::Rc};

use super::{
    buffer::{Buffer, Class},
    connection::Connection,
    io::spawn,
    listener, secure,
    timer::OnExpiry,
};
use crate::{protocol::proxy_protocol, types::Reason};

/// Serves a connection, or gets to know first who it is.
pub(super) fn begin(connection: Connection) {
    let address = connection.address.ip();
    let shard = Rc::clone(&connection.shard);
    match &shard.door(connection.door).proxy_protocol {
        None => serve(connection, address),
        Some(senders) if senders.contains(address) => spawn(introduce(connection)),
        // Never believed, and never taken for a caller of its own either.
        Some(_) => close(&connection, Reason::ProxySenderUnknown),
    }
}

/// Serves a connection, unless its caller's address is known and has too many.
fn serve(mut connection: Connection, caller: Option<IpAddr>) {
    let proxies = &connection.shard.door(connection.door).trusted_proxies;
    let counted = caller.filter(|caller| !proxies.contains(Some(*caller)));
    if !connection.presence.count(counted) {
        let address = connection.address.ip();
        let Connection { deadline, shard, stream, door, .. } = connection;
        drop(deadline); // before the descriptor is anybody else's
        return listener::turn_away(&shard, stream, address, door, Reason::AddressCrowded);
    }
    match connection.shard.listener_tls(connection.door) {
        Some(tls) => spawn(secure::accept(connection, tls)),
        None => spawn(connection.serve()),
    }
}

/// Closes a connection without a word.
fn close(connection: &Connection, reason: Reason) {
    let shard = &connection.shard;
    shard.record_headless(reason, connection.address.ip(), &shard.next_request_id());
}

/// Receives the header, and serves the caller that it names.
async fn introduce(mut connection: Connection) {
    match receive(&mut connection).await {
        Ok(named) => {
            if let Some(address) = named {
                connection.set_address(address);
            }
            // Where the header names nobody, the address is that of who sent it.
            let caller = named.and_then(|_| connection.address.ip());
            serve(connection, caller);
        }
        Err(Some(reason)) => close(&connection, reason),
        Err(None) => {}
    }
}

/// The address in the header; the error is empty where nothing came at all, as when somebody looks whether we listen.
async fn receive(connection: &mut Connection) -> Result<Option<IpAddr>, Option<Reason>> {
    let shard = Rc::clone(&connection.shard);
    connection.deadline.arm(shard.in_millis(shard.callers().head_millis), OnExpiry::CancelRead);
    let mut buffer = Buffer::take(Class::Small);
    loop {
        match proxy_protocol::parse(buffer.filled()) {
            Err(_) => return Err(Some(Reason::ProxyHeaderInvalid)),
            Ok(None) if buffer.room() == 0 => return Err(Some(Reason::ProxyHeaderInvalid)),
            Ok(None) => {}
            Ok(Some(header)) => {
                connection.deadline.disarm();
                buffer.consume(header.bytes);
                connection.inbound = (!buffer.is_empty()).then_some(buffer);
                return Ok(header.source);
            }
        }
        let received = connection.stream.read_cancellable(&mut buffer, connection.deadline.canceller()).await;
        match received {
            Ok(count) if count > 0 && !connection.deadline.expired() => {}
            _ if connection.deadline.expired() => return Err(Some(Reason::ProxyHeaderTimeout)),
            _ if buffer.is_empty() => return Err(None),
            _ => return Err(Some(Reason::ProxyHeaderInvalid)),
        }
    }
}
