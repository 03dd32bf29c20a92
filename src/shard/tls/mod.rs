//! TLS on a connection: the handshake is rustls's, the records behind it are sealed and opened in the shard's buffers.
//!
//! ```text
//!  received ──▶ Session::receive ──▶ plaintext          plaintext ──▶ Session::send ──▶ one write
//!               (opened in place)                                     (sealed in one buffer)
//! ```
//!
//! rustls hands its keys over when the handshake is done (`kernel::KernelConnection`, made for kTLS) and goes on
//! managing secrets and tickets. That leaves a session with two small halves and no buffer of its own while it is
//! idle, and costs neither an allocation nor a copy that its own record layer would.

#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub, reason = "it leaves the crate only to be fuzzed"))]
pub mod fuzz;
mod handshake;
mod record;

use std::{
    cell::{Cell, RefCell},
    io,
};

pub(super) use handshake::{Handshake, Step};
use record::{BadRecord, Cipher, Content, OVERHEAD_MAX, PLAINTEXT_MAX, record_length};
use rustls::{client::ClientConnectionData, kernel::KernelConnection, server::ServerConnectionData};

use super::buffer::{Buffer, Class};

/// Records without data that are taken in a row: more are an attack, not a protocol.
const EMPTY_RECORDS_MAX: u32 = 32;
/// Records after which the keys of a direction are replaced, well before what RFC 8446 §5.5 allows AES-GCM.
const RECORDS_PER_KEY_MAX: u64 = 1 << 23;
/// The longest message of a handshake that is done: a ticket.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
// Alerts (RFC 8446 §6).
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const BAD_CERTIFICATE: u8 = 42;
const USER_CANCELED: u8 = 90;
const NO_RENEGOTIATION: u8 = 100;
// Messages of a handshake (RFC 8446 §4).
const KEY_UPDATE: u8 = 24;
const NEW_SESSION_TICKET: u8 = 4;

/// What rustls still has to do with a connection.
enum Kernel {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

/// The TLS of one connection, shared by those who read from it and those who write to it.
pub(super) struct Session {
    sending: RefCell<Sending>,
    receiving: RefCell<Receiving>,
    kernel: RefCell<Kernel>,
    /// The other side wants other keys of us, or ours are worn.
    update_due: Cell<bool>,
}

struct Sending {
    cipher: Cipher,
    /// Records of the handshake that go with the next write.
    pending: Vec<u8>,
    over: bool,
}

struct Receiving {
    cipher: Cipher,
    /// What was received and not opened; no memory while there is nothing.
    sealed: Option<Buffer>,
    /// What was opened and found no room.
    plain: Option<Buffer>,
    over: bool,
    /// Nothing that comes can be believed any more: the alert that says why.
    failed: Option<u8>,
    /// The other side gave up, with a word for it.
    refused: bool,
    empty: u32,
    /// A message of the handshake that goes on in the next record.
    message: Vec<u8>,
}

/// What a look at what was received shows.
pub(super) enum Received {
    /// So many bytes of plaintext.
    Bytes(usize),
    /// The other side will send nothing more.
    End,
    /// More must be received first.
    Nothing,
}

impl Session {
    /// Whether plaintext, an end or an error can be had without receiving anything.
    pub(super) fn has_something(&self) -> bool {
        let receiving = self.receiving.borrow();
        receiving.over
            || receiving.failed.is_some()
            || receiving.plain.is_some()
            || receiving.sealed.as_ref().is_some_and(|sealed| match record_length(sealed.filled()) {
                Ok(Some(length)) => sealed.len() >= length,
                Ok(None) => false,
                Err(BadRecord) => true,
            })
    }

    /// The buffer to receive into next, with what it holds already.
    pub(super) fn take_sealed(&self, class: Class) -> Buffer {
        let Some(held) = self.receiving.borrow_mut().sealed.take() else { return Buffer::take(class) };
        let length = record_length(held.filled()).ok().flatten().unwrap_or(0);
        if held.len() + held.room() >= length {
            return held.with_room();
        }
        let mut larger = Buffer::take(Class::holding(length).unwrap_or(Class::Large));
        let fits = larger.append(held.filled());
        debug_assert!(fits, "a larger buffer holds it");
        larger
    }

    /// Whether the other side has said that it wants nothing to do with us.
    pub(super) fn was_refused(&self) -> bool {
        self.receiving.borrow().refused
    }

    /// Whether a part of a record is here.
    pub(super) fn has_part(&self) -> bool {
        self.receiving.borrow().sealed.is_some()
    }

    /// Gives it back.
    pub(super) fn put_sealed(&self, buffer: Buffer) {
        self.receiving.borrow_mut().sealed = Some(buffer).filter(|buffer| !buffer.is_empty());
    }

    /// Opens what was received, as far as `buffer` has room.
    pub(super) fn receive(&self, buffer: &mut Buffer) -> io::Result<Received> {
        let mut receiving = self.receiving.borrow_mut();
        let mut count = receiving.take_plain(buffer);
        while receiving.plain.is_none() && !receiving.over && receiving.failed.is_none() {
            match receiving.open_next(buffer) {
                Ok(Opened::Data(bytes)) => {
                    count += bytes;
                    receiving.empty = if bytes == 0 { receiving.empty + 1 } else { 0 };
                    receiving.failed = (receiving.empty > EMPTY_RECORDS_MAX).then_some(UNEXPECTED_MESSAGE);
                }
                Ok(Opened::Message) => {
                    let handled = self.handle_messages(&mut receiving);
                    receiving.failed = handled.err().map(|_| UNEXPECTED_MESSAGE);
                }
                Ok(Opened::End) => receiving.over = true,
                Ok(Opened::Nothing) => break,
                Ok(Opened::Fatal) => {
                    (receiving.refused, receiving.failed) = (true, Some(CLOSE_NOTIFY)); // it wants to hear nothing
                }
                Err(BadRecord) => receiving.failed = Some(BAD_RECORD_MAC),
            }
        }
        match count {
            0 if receiving.refused => Err(io::ErrorKind::ConnectionAborted.into()),
            0 if receiving.failed.is_some() => Err(bad_data()),
            0 if receiving.over => Ok(Received::End),
            0 => Ok(Received::Nothing),
            count => Ok(Received::Bytes(count)), // what came before a failure is good
        }
    }

    /// Messages of the handshake that come after it (RFC 8446 §4.6).
    fn handle_messages(&self, receiving: &mut Receiving) -> io::Result<()> {
        receiving.empty += 1;
        if !receiving.cipher.is_tls13() || receiving.empty > EMPTY_RECORDS_MAX {
            return Err(bad_data()); // no renegotiation, and no flood of updates
        }
        while let Some((kind, length)) = message_header(&receiving.message) {
            if length > MESSAGE_BYTES_MAX {
                return Err(bad_data());
            }
            let Some(content) = receiving.message.get(4..4 + length) else { return Ok(()) };
            match (kind, &mut *self.kernel.borrow_mut()) {
                (NEW_SESSION_TICKET, Kernel::Client(kernel)) => {
                    kernel.handle_new_session_ticket(content).map_err(|_| bad_data())?;
                }
                (KEY_UPDATE, kernel) => {
                    let wants_ours = match content {
                        [0] => false,
                        [1] => true,
                        _ => return Err(bad_data()),
                    };
                    if receiving.message.len() != 4 + length {
                        return Err(bad_data()); // it must be the last under its keys
                    }
                    let (secrets, version) = match kernel {
                        Kernel::Server(kernel) => (kernel.update_rx_secret(), kernel.protocol_version()),
                        Kernel::Client(kernel) => (kernel.update_rx_secret(), kernel.protocol_version()),
                    };
                    receiving.cipher = secrets
                        .ok()
                        .and_then(|secrets| Cipher::new(secrets, version))
                        .ok_or_else(bad_data)?;
                    if wants_ours {
                        self.update_due.set(true);
                    }
                }
                _ => return Err(bad_data()),
            }
            receiving.message.drain(..4 + length);
        }
        Ok(())
    }

    /// Seals as much of `plain` as one buffer takes, and gives it up there. The result is to be sent, in this order.
    pub(super) fn seal(&self, plain: &mut Buffer) -> io::Result<Buffer> {
        let mut sending = self.sending.borrow_mut();
        if sending.over {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let records = plain.len().div_ceil(PLAINTEXT_MAX);
        let wanted = sending.pending.len() + plain.len() + (records + 1) * OVERHEAD_MAX;
        let whole = Class::holding(wanted).unwrap_or(Class::Large);
        let class = if sending.pending.is_empty() { whole.min(Class::for_stream()) } else { whole };
        let mut out = Buffer::take(class);
        if !sending.pending.is_empty() {
            if !out.append(&sending.pending) {
                return Err(bad_data());
            }
            sending.pending = Vec::new();
        }
        if sending.cipher.is_tls13() {
            if sending.cipher.sequence() >= RECORDS_PER_KEY_MAX || self.update_due.get() {
                self.update_keys(&mut sending, &mut out)?;
            }
        } else if sending.cipher.sequence() >= RECORDS_PER_KEY_MAX * 2 {
            return Err(io::ErrorKind::BrokenPipe.into()); // TLS 1.2 has no other keys without a new handshake
        }
        while !plain.is_empty() {
            let count = plain.len().min(PLAINTEXT_MAX).min(out.room().saturating_sub(OVERHEAD_MAX));
            if count == 0 {
                break;
            }
            let piece = plain.filled().get(..count).unwrap_or_default();
            sending.cipher.seal(Content::Data, piece, &mut out).map_err(|BadRecord| bad_data())?;
            plain.consume(count);
        }
        Ok(out)
    }

    /// Tells the other side that other keys follow, and takes them (RFC 8446 §4.6.3).
    fn update_keys(&self, sending: &mut Sending, out: &mut Buffer) -> io::Result<()> {
        let message = [KEY_UPDATE, 0, 0, 1, 0];
        sending.cipher.seal(Content::Handshake, &message, out).map_err(|BadRecord| bad_data())?;
        let (secrets, version) = match &mut *self.kernel.borrow_mut() {
            Kernel::Server(kernel) => (kernel.update_tx_secret(), kernel.protocol_version()),
            Kernel::Client(kernel) => (kernel.update_tx_secret(), kernel.protocol_version()),
        };
        sending.cipher =
            secrets.ok().and_then(|secrets| Cipher::new(secrets, version)).ok_or_else(bad_data)?;
        self.update_due.set(false);
        Ok(())
    }

    /// Records of the handshake that no write has taken along yet.
    pub(super) fn take_pending(&self) -> Option<Buffer> {
        let mut sending = self.sending.borrow_mut();
        let pending = std::mem::take(&mut sending.pending);
        let mut out = Buffer::take(Class::holding(pending.len()).unwrap_or(Class::Large));
        (!pending.is_empty() && out.append(&pending)).then_some(out)
    }

    /// The last record: nothing more will be sent (RFC 8446 §6.1), or why nothing that came is believed (§6.2). `None`
    /// if that was said before.
    pub(super) fn close_notify(&self) -> Option<Buffer> {
        let failed = self.receiving.borrow().failed;
        self.say_last(failed.unwrap_or(CLOSE_NOTIFY))
    }

    /// The alert that says why nothing that came is believed, if that is so and was not said before.
    pub(super) fn complaint(&self) -> Option<Buffer> {
        let failed = self.receiving.borrow().failed;
        failed.filter(|alert| *alert != CLOSE_NOTIFY).and_then(|alert| self.say_last(alert))
    }

    /// The alert that says that the other side's certificate is of no use, as the last record.
    pub(super) fn refuse_certificate(&self) -> Option<Buffer> {
        self.say_last(BAD_CERTIFICATE)
    }

    fn say_last(&self, alert: u8) -> Option<Buffer> {
        let mut sending = self.sending.borrow_mut();
        if std::mem::replace(&mut sending.over, true) {
            return None;
        }
        let level = if alert == CLOSE_NOTIFY { WARNING } else { FATAL };
        let mut out = Buffer::take(Class::Small);
        let pending = std::mem::take(&mut sending.pending);
        let sealed =
            out.append(&pending) && sending.cipher.seal(Content::Alert, &[level, alert], &mut out).is_ok();
        sealed.then_some(out)
    }
}

/// What a record was.
enum Opened {
    Data(usize),
    /// A message of the handshake was added to `message`.
    Message,
    End,
    /// The other side gave up.
    Fatal,
    Nothing,
}

impl Receiving {
    /// Moves what found no room before.
    fn take_plain(&mut self, buffer: &mut Buffer) -> usize {
        let Some(mut plain) = self.plain.take() else { return 0 };
        let count = plain.len().min(buffer.room());
        let moved = buffer.append(plain.filled().get(..count).unwrap_or_default());
        debug_assert!(moved, "there is room for it");
        plain.consume(count);
        self.plain = Some(plain).filter(|plain| !plain.is_empty());
        count
    }

    /// Opens the next record, if it is here whole.
    fn open_next(&mut self, buffer: &mut Buffer) -> Result<Opened, BadRecord> {
        let Some(mut sealed) = self.sealed.take() else { return Ok(Opened::Nothing) };
        let whole =
            record_length(sealed.filled()).map(|length| length.filter(|length| *length <= sealed.len()));
        let Ok(Some(length)) = whole else {
            self.sealed = Some(sealed);
            return whole.map(|_| Opened::Nothing);
        };
        let record = sealed.filled_mut().get_mut(..length).ok_or(BadRecord)?;
        let (content, range) = self.cipher.open(record)?;
        let data = record.get(range).ok_or(BadRecord)?;
        let opened = match content {
            Content::Data => {
                let count = data.len().min(buffer.room());
                let (now, later) = data.split_at(count);
                let fits = buffer.append(now);
                debug_assert!(fits, "there is room for it");
                if !later.is_empty() {
                    let mut plain = Buffer::take(Class::holding(later.len()).unwrap_or(Class::Large));
                    let fits = plain.append(later);
                    debug_assert!(fits, "a record fits a large buffer");
                    self.plain = Some(plain);
                }
                Opened::Data(count)
            }
            Content::Handshake => {
                self.message.extend_from_slice(data);
                Opened::Message
            }
            Content::Alert => match data {
                [_, CLOSE_NOTIFY] => Opened::End,
                // What calls itself a warning and means nothing to us: the end follows, or nobody renegotiates.
                [_, USER_CANCELED] | [WARNING, NO_RENEGOTIATION] => Opened::Data(0),
                _ => Opened::Fatal,
            },
        };
        sealed.consume(length);
        self.sealed = Some(sealed).filter(|sealed| !sealed.is_empty());
        Ok(opened)
    }
}

fn message_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, length @ ..] = bytes.first_chunk::<4>()?;
    let [high, middle, low] = *length;
    Some((*kind, usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)))
}

fn bad_data() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
