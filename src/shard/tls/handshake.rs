//! A handshake, step by step: what to send, what to wait for. It moves no byte itself.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use rustls::{
    ClientConfig, ServerConfig,
    client::{ClientConnectionData, UnbufferedClientConnection},
    pki_types::{CertificateDer, ServerName},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedConnectionCommon, UnbufferedStatus},
};

use super::{
    Kernel, Receiving, Sending, Session,
    record::{Cipher, record_length},
};
use crate::shard::buffer::{Buffer, Class};

/// Steps of one handshake: no real one takes as many.
const STEPS_MAX: usize = 64;

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What must happen before a handshake can go on.
pub(in crate::shard) enum Step {
    /// More must be received.
    Receive,
    /// It is done.
    Done,
    /// It cannot succeed. What is there to send tells the other side why, and the error us, where rustls has one.
    Failed(Option<rustls::Error>),
}

/// A handshake under way.
pub(in crate::shard) struct Handshake {
    side: Box<Side>,
    received: Buffer,
    to_send: Buffer,
    plain: Option<Buffer>,
    /// The other side has said that it sends nothing more.
    ended: bool,
}

impl Handshake {
    /// Of a caller that connected to us.
    pub(in crate::shard) fn accept(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        UnbufferedServerConnection::new(config).map(|side| Self::new(Side::Server(side)))
    }

    /// Of ours with a target.
    pub(in crate::shard) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        UnbufferedClientConnection::new(config, name).map(|side| Self::new(Side::Client(side)))
    }

    fn new(side: Side) -> Self {
        let buffer = || Buffer::take(Class::Small);
        Self { side: Box::new(side), received: buffer(), to_send: buffer(), plain: None, ended: false }
    }

    /// Begins with what was received before there was a handshake.
    pub(in crate::shard) fn begin_with(&mut self, received: Buffer) {
        self.received = received;
    }

    /// Where to put what was received. `None` if it is too much.
    pub(in crate::shard) fn room(&mut self) -> Option<&mut Buffer> {
        let received = std::mem::replace(&mut self.received, Buffer::none());
        self.received = received.with_room();
        (self.received.room() > 0).then_some(&mut self.received)
    }

    /// Whether a step can do anything with what was received: there is a whole record, or nothing like one.
    pub(in crate::shard) fn has_record(&self) -> bool {
        let received = self.received.filled();
        record_length(received).map_or(true, |length| length.is_some_and(|length| received.len() >= length))
    }

    /// Whether anything was received that is not used up.
    pub(in crate::shard) fn has_begun(&self) -> bool {
        !self.received.is_empty()
    }

    /// Whether the other side speaks HTTP, or something else in letters: a handshake begins with another byte.
    pub(in crate::shard) fn is_text(&self) -> bool {
        self.received.filled().first().is_some_and(u8::is_ascii_alphabetic)
    }

    /// What to send before the next step.
    pub(in crate::shard) fn unsent(&mut self) -> &mut Buffer {
        &mut self.to_send
    }

    /// Goes on as far as possible with what was received.
    pub(in crate::shard) fn step(&mut self) -> Step {
        let Self { side, received, to_send, plain, ended } = self;
        match &mut **side {
            Side::Server(side) => {
                let process = UnbufferedConnectionCommon::<ServerConnectionData>::process_tls_records;
                drive(side, process, received, to_send, plain, ended)
            }
            Side::Client(side) => {
                let process = UnbufferedConnectionCommon::<ClientConnectionData>::process_tls_records;
                drive(side, process, received, to_send, plain, ended)
            }
        }
    }

    /// Whether the other side cannot go on without what is to be sent at the end.
    pub(in crate::shard) fn is_awaited(&self) -> bool {
        let version = match &*self.side {
            Side::Server(side) => side.protocol_version(),
            Side::Client(side) => side.protocol_version(),
        };
        version == Some(rustls::ProtocolVersion::TLSv1_2)
    }

    /// The certificates that the other side showed, its own first.
    pub(in crate::shard) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match &*self.side {
            Side::Server(side) => side.peer_certificates(),
            Side::Client(side) => side.peer_certificates(),
        }
    }

    /// The session that came of it. `None` if the suite is not one of ours.
    pub(in crate::shard) fn finish(self) -> Option<Rc<Session>> {
        let Self { side, received, to_send, plain, ended } = self;
        let (secrets, version, kernel) = match *side {
            Side::Server(side) => {
                let (secrets, kernel) = side.dangerous_into_kernel_connection().ok()?;
                (secrets, kernel.protocol_version(), Kernel::Server(kernel))
            }
            Side::Client(side) => {
                let (secrets, kernel) = side.dangerous_into_kernel_connection().ok()?;
                (secrets, kernel.protocol_version(), Kernel::Client(kernel))
            }
        };
        let session = Session {
            sending: RefCell::new(Sending {
                cipher: Cipher::new(secrets.tx, version)?,
                pending: to_send.filled().to_vec(),
                over: false,
            }),
            receiving: RefCell::new(Receiving {
                cipher: Cipher::new(secrets.rx, version)?,
                sealed: Some(received).filter(|received| !received.is_empty()),
                plain,
                over: ended,
                failed: None,
                refused: false,
                empty: 0,
                message: Vec::new(),
            }),
            kernel: RefCell::new(kernel),
            update_due: Cell::new(false),
        };
        Some(Rc::new(session))
    }
}

/// What reads records on one of the two sides of rustls.
type Process<Data> =
    for<'c, 'i> fn(&'c mut UnbufferedConnectionCommon<Data>, &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Data>;

/// What one turn of rustls asked for.
enum Turn {
    Again,
    Receive,
    Writable,
    Failed,
}

/// Until it is done, has failed, or needs more.
fn drive<Data>(
    side: &mut UnbufferedConnectionCommon<Data>,
    process: Process<Data>,
    received: &mut Buffer,
    to_send: &mut Buffer,
    plain: &mut Option<Buffer>,
    ended: &mut bool,
) -> Step {
    let mut failed = false;
    let mut error = None;
    for _ in 0..STEPS_MAX {
        if !side.is_handshaking() && !side.wants_write() {
            return Step::Done; // what came behind it is opened as everything that comes later
        }
        let bytes = received.filled_mut();
        let status = process(side, bytes);
        let mut used = status.discard;
        let turn = match status.state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => match encode(&mut data, to_send) {
                true => Turn::Again,
                false => Turn::Failed,
            },
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done(); // it is sent before anything is received
                Turn::Again
            }
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        used += record.discard;
                        let fits = keep(plain, record.payload);
                        if !fits {
                            break Turn::Failed;
                        }
                    }
                    Some(Err(why)) => {
                        error.get_or_insert(why);
                        break Turn::Failed;
                    }
                    None => break Turn::Again,
                }
            },
            // Somebody who asks and has nothing more to say may end its side at once.
            Ok(ConnectionState::PeerClosed) => {
                *ended = true;
                Turn::Again
            }
            Ok(ConnectionState::BlockedHandshake) if *ended => Turn::Failed,
            Ok(ConnectionState::BlockedHandshake) => Turn::Receive,
            Ok(ConnectionState::WriteTraffic(_)) => Turn::Writable,
            Ok(_) => Turn::Failed,
            Err(why) => {
                error.get_or_insert(why);
                Turn::Failed
            }
        };
        received.consume(used);
        match turn {
            // Further turns write what was to be sent, the alert last. Another would read on where rustls has stopped,
            // which it does not expect: it can panic.
            _ if failed && !side.wants_write() => break,
            Turn::Failed if side.wants_write() => failed = true,
            Turn::Failed => break,
            Turn::Again => {}
            Turn::Writable if !side.is_handshaking() => return Step::Done,
            Turn::Receive | Turn::Writable => return Step::Receive,
        }
    }
    Step::Failed(error)
}

/// Writes a record behind what is to be sent, in a larger buffer if need be.
fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, to_send: &mut Buffer) -> bool {
    for class in [Class::Medium, Class::Large] {
        let mut wanted = 0;
        to_send.append_with(|room| match data.encode(room) {
            Ok(count) => count,
            Err(EncodeError::InsufficientSize(size)) => {
                wanted = size.required_size;
                0
            }
            Err(EncodeError::AlreadyEncoded) => 0,
        });
        if wanted == 0 {
            return true;
        }
        let mut larger = Buffer::take(class.max(Class::holding(to_send.len() + wanted).unwrap_or(class)));
        if !larger.append(to_send.filled()) {
            return false;
        }
        *to_send = larger;
    }
    false
}

/// Keeps data that came with the end of the handshake.
fn keep(plain: &mut Option<Buffer>, payload: &[u8]) -> bool {
    let held = plain.take().unwrap_or_else(|| Buffer::take(Class::Large));
    let held = plain.insert(held);
    held.room() >= payload.len() && held.append(payload)
}
