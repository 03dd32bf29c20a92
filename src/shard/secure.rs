//! Handshakes: with callers that connect to a listener with TLS, and with targets.
//!
//! A signature costs as much as many requests do. So a shard takes only a few steps of handshakes in one turn of its
//! loop, and whoever is connected is served between them, however many handshakes wait. They wait in two lines that
//! share a turn, one of those with targets: somebody who was let in already waits for them.

use std::{rc::Rc, sync::Arc};

use rustls::{CertificateError, Error, ServerConfig};

use super::{
    connection::Connection,
    io::{Stream as Socket, spawn},
    listener::tell,
    state::Shard,
    stream::Stream,
    timer::{Deadline, OnExpiry},
    tls::{Handshake, Session, Step},
};
use crate::{
    limits::HANDSHAKE_MILLIS_MAX,
    policy::{ClientCertificate, Now},
    snapshot::UpstreamTls,
    types::Reason,
};

/// Makes a connection to a caller secure, then serves it. What was received already begins the handshake.
pub(super) fn accept(connection: Connection, config: Arc<ServerConfig>) -> impl Future<Output = ()> {
    let mut connection = connection;
    async move {
        let shard = Rc::clone(&connection.shard);
        let millis = shard.callers().head_millis.min(HANDSHAKE_MILLIS_MAX);
        connection.deadline.arm(shard.in_millis(millis), OnExpiry::EndBoth);
        let outcome = match Handshake::accept(config) {
            Ok(mut handshake) => {
                connection.inbound.take().into_iter().for_each(|early| handshake.begin_with(early));
                let Connection { stream, deadline, .. } = &mut connection;
                shake(&shard, stream.socket(), handshake, deadline, Peer::Caller).await
            }
            Err(error) => Err(Broken::Refused(Some(error))),
        };
        connection.deadline.disarm();
        let address = connection.address.ip();
        let reason = match outcome {
            Ok((session, shown)) => {
                connection.stream.seal(session);
                let now = Now(shard.clock.wall_millis());
                match shown {
                    Shown::Nothing => return spawn(connection.serve()),
                    // A session that is resumed brings the certificate that it was opened with.
                    Shown::Certificate(certificate) if certificate.is_valid(now) => {
                        connection.certificate = Some(Rc::new(*certificate));
                        return spawn(connection.serve());
                    }
                    Shown::Certificate(_) | Shown::Unreadable => connection.stream.refuse_certificate(),
                }
                Reason::ClientCertificateInvalid
            }
            // Somebody who only looks whether the port is open has asked for nothing.
            Err(Broken::Silent) => return,
            Err(Broken::Text) => {
                return tell(&shard, &mut connection.stream, address, Reason::TlsExpected).await;
            }
            Err(Broken::Refused(Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)))) => {
                Reason::ClientCertificateInvalid
            }
            Err(Broken::Refused(_) | Broken::Gone) => Reason::TlsHandshake,
        };
        shard.record_headless(reason, address, &shard.next_request_id());
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
        Ok(handshake) => shake(shard, &mut socket, handshake, deadline, Peer::Target).await,
        Err(error) => Err(Broken::Refused(Some(error))),
    };
    match session {
        Ok((session, _)) => Ok(Stream::secure(socket, session)),
        Err(_) if deadline.expired() => Err(Reason::ConnectTimeout),
        Err(Broken::Refused(error)) => Err(error.as_ref().map_or(Reason::UpstreamTls, why)),
        Err(Broken::Silent | Broken::Gone | Broken::Text) => Err(Reason::UpstreamClosed),
    }
}

/// What an operator has to look for when a handshake with a target has failed.
fn why(error: &Error) -> Reason {
    use CertificateError::{
        ApplicationVerificationFailure, Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
        NotValidYet, NotValidYetContext,
    };
    match error {
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            Reason::UpstreamCertificateName
        }
        Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => Reason::UpstreamCertificateExpired,
        Error::InvalidCertificate(ApplicationVerificationFailure) => Reason::UpstreamCertificatePin,
        Error::InvalidCertificate(_) => Reason::UpstreamCertificateIssuer,
        Error::AlertReceived(_) => Reason::UpstreamTlsRefused,
        _ => Reason::UpstreamTls,
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Caller,
    Target,
}

/// Why there is no session.
enum Broken {
    /// The other side went away before it sent anything.
    Silent,
    /// The other side went away, or was too slow.
    Gone,
    /// The caller does not speak TLS.
    Text,
    /// The two cannot come together.
    Refused(Option<Error>),
}

/// What a caller showed of itself.
enum Shown {
    Nothing,
    Certificate(Box<ClientCertificate>),
    /// It cannot be understood, or has too many names.
    Unreadable,
}

impl Shown {
    fn by(handshake: &Handshake) -> Self {
        match handshake.peer_certificates().map(ClientCertificate::read) {
            None => Self::Nothing,
            Some(None) => Self::Unreadable,
            Some(Some(certificate)) => Self::Certificate(Box::new(certificate)),
        }
    }
}

async fn shake(
    shard: &Shard,
    socket: &mut Socket,
    mut handshake: Handshake,
    deadline: &Deadline,
    peer: Peer,
) -> Result<(Rc<Session>, Shown), Broken> {
    let mut heard = handshake.has_begun();
    let mut must_receive = peer == Peer::Caller && !handshake.has_record();
    let mut text_is_told = peer == Peer::Caller;
    loop {
        while must_receive {
            let room = handshake.room().ok_or(Broken::Refused(None))?;
            match socket.read(room).await {
                Ok(1..) => heard = true,
                _ if heard => return Err(Broken::Gone),
                _ => return Err(Broken::Silent),
            }
            must_receive = !handshake.has_record(); // bytes by ones do not take a turn each
        }
        must_receive = true;
        if std::mem::take(&mut text_is_told) && handshake.is_text() {
            return Err(Broken::Text);
        }
        shard.handshake_turn(peer == Peer::Target).await;
        if deadline.expired() {
            shard.pass_handshake_turn(); // nobody waits for the outcome
            return Err(Broken::Gone);
        }
        match handshake.step() {
            Step::Done => {
                let shown = if peer == Peer::Caller { Shown::by(&handshake) } else { Shown::Nothing };
                // The last flight of TLS 1.2 is ours, and the caller waits for it; tickets of TLS 1.3 may wait for an answer.
                if peer == Peer::Caller && handshake.is_awaited() {
                    socket.write_all(handshake.unsent()).await.map_err(|_| Broken::Gone)?;
                    handshake.unsent().clear();
                }
                let session = handshake.finish().ok_or(Broken::Refused(None))?;
                return Ok((session, shown));
            }
            Step::Receive => {
                if !handshake.unsent().is_empty() {
                    socket.write_all(handshake.unsent()).await.map_err(|_| Broken::Gone)?;
                    handshake.unsent().clear();
                }
            }
            Step::Failed(error) => {
                let _ = socket.write_all(handshake.unsent()).await;
                socket.end_writing();
                return Err(Broken::Refused(error));
            }
        }
    }
}
