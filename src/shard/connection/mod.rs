//! One caller's connection, from accept to close.
//!
//! ```text
//!          ┌──────────────── kept alive ────────────────┐
//!          ▼                                            │
//!   waiting ──first byte──▶ receiving ──head──▶ admit ──┼─▶ forward ──▶ answered
//!    │   ▲                     │ slow, bad       │      │       │ switched
//!    ▼   │ readable            ▼                 ▼      │       ▼
//!   resting               answer+linger        answer ──┘     tunnel ──▶ close
//!    │ idle, drain (after a grace, in which what is asked is answered for the last time)
//!    ▼
//!   part ──▶ close
//! ```
//!
//! Outstanding operations: one read while waiting or receiving, one write while answering; what `forward` has
//! outstanding is said there. In `waiting` the read is given up after a moment; the connection then rests in a
//! small task of its own, with neither a buffer nor the room that an exchange needs, and waits for readability.

mod address;
mod admit;
mod answer;
mod caller;
mod redirect;

use std::{net::IpAddr, rc::Rc};

pub(super) use address::Address;
pub(super) use admit::{Admission, Fields, Forward, admit};
pub(super) use answer::{Answer, answer_style, problem};

use super::{
    buffer::{Buffer, Class},
    clock::Ticks,
    forward,
    io::{self, spawn},
    record::Trace,
    state::{Presence, Shard},
    stream::Stream,
    sys,
    timer::{Deadline, OnExpiry, until},
};
use crate::{
    limits::{EMPTY_LINES_MAX, LINGER_BYTES_MAX, LINGER_MILLIS, REQUESTS_PER_TURN_MAX},
    policy::ClientCertificate,
    protocol::{
        h1::{HeadScanner, leading},
        http::HeadLimits,
    },
    types::Reason,
};

/// What an exchange leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another request may follow.
    Request,
    /// The connection ends; what the caller still sends is read for a moment, so that it gets its answer.
    Linger,
    /// The connection ends at once.
    Close,
}

/// One caller's connection.
pub(super) struct Connection {
    /// Dropped before the descriptor that it watches is closed.
    pub(super) deadline: Deadline,
    pub(super) stream: Stream,
    pub(super) shard: Rc<Shard>,
    pub(super) address: Address,
    /// What the caller showed in its handshake.
    pub(super) certificate: Option<Rc<ClientCertificate>>,
    /// The number of its listener.
    pub(super) door: usize,
    /// What was received and belongs to no request yet.
    pub(super) inbound: Option<Buffer>,
    pub(super) presence: Presence,
}

/// How serving a connection ended.
enum Ended {
    /// It is closed.
    Now,
    /// It is closed once the caller has had its answer.
    Lingering,
    /// It waits for a request, until this tick.
    Resting(Ticks),
}

/// Why no request came.
enum NoRequest {
    /// The connection ended between requests.
    Over,
    /// Nothing came for a moment; it may until this tick.
    Resting(Ticks),
    /// The request that came is refused.
    Refused(Reason),
    /// The caller went away in the middle.
    Gone,
}

impl Connection {
    /// A connection that came through the listener with a number, from somewhere or over a Unix socket.
    pub(super) fn new(
        shard: &Rc<Shard>,
        stream: Stream,
        peer: Option<IpAddr>,
        door: usize,
        presence: Presence,
    ) -> Self {
        Self {
            deadline: shard.deadlines.register(stream.fd()),
            stream,
            shard: Rc::clone(shard),
            address: Address::new(peer),
            door,
            certificate: None,
            inbound: None,
            presence,
        }
    }

    /// Takes another address for the caller's than the one that the socket has.
    pub(super) fn set_address(&mut self, address: IpAddr) {
        self.address = Address::new(Some(address));
    }

    /// The scheme that the caller used.
    pub(super) fn scheme(&self) -> &'static [u8] {
        if self.stream.is_secure() { b"https" } else { b"http" }
    }

    /// Serves the connection to its end, or until it rests. (A block, because an async function would keep
    /// room for its argument twice.)
    pub(super) fn serve(self) -> impl Future<Output = ()> {
        let mut connection = self;
        async move {
            match connection.serve_requests().await {
                Ended::Now => connection.stream.complain(),
                Ended::Lingering => Box::pin(connection.linger()).await,
                Ended::Resting(due) => spawn(connection.rest(due)),
            }
        }
    }

    async fn serve_requests(&mut self) -> Ended {
        // A new connection has the time of a head for its first byte; one that rested has sent something.
        let mut wait_millis = self.shard.callers().head_millis;
        let mut answered_at_once = 0;
        loop {
            let next = match self.receive_head(wait_millis).await {
                Ok(head_bytes) => match admit(self, head_bytes) {
                    Admission::Answer { answer, mut trace } => self.answer(answer, &mut trace).await,
                    Admission::Forward(mut exchange) => forward::forward(self, &mut exchange).await,
                },
                Err(NoRequest::Over) => {
                    self.stream.say_end(); // nothing is cut off here, and TLS can say so
                    Next::Close
                }
                Err(NoRequest::Resting(due)) => return Ended::Resting(due),
                Err(NoRequest::Refused(reason)) => self.refuse(reason).await,
                Err(NoRequest::Gone) => {
                    let request_id = self.shard.next_request_id();
                    self.shard.record_headless(Reason::CallerGone, self.address.ip(), &request_id);
                    Next::Close
                }
            };
            match next {
                Next::Request => {}
                Next::Linger => return Ended::Lingering,
                Next::Close => return Ended::Now,
            }
            answered_at_once += 1;
            if self.inbound.is_none() {
                answered_at_once = 0;
            } else if answered_at_once >= REQUESTS_PER_TURN_MAX {
                answered_at_once = 0;
                self.shard.next_turn().await;
            }
            wait_millis = self.shard.callers().idle_millis;
        }
    }

    /// Receives until a whole head is in `inbound`, and returns its length.
    async fn receive_head(&mut self, wait_millis: u64) -> Result<usize, NoRequest> {
        let callers = self.shard.callers();
        if self.inbound.is_none() {
            self.wait(wait_millis).await?;
        }
        self.deadline.arm(self.shard.in_millis(callers.head_millis), OnExpiry::CancelRead);
        let mut scanner = HeadScanner::default();
        let mut skipped = 0;
        loop {
            let buffer = self.inbound.get_or_insert_with(|| Buffer::take(Class::Small));
            if skipped < EMPTY_LINES_MAX {
                match leading(buffer.filled()) {
                    0 => {}
                    length => {
                        buffer.consume(length);
                        skipped += 1;
                        if buffer.is_empty() {
                            // It belongs to the request before: nothing has begun, and nothing is late.
                            self.inbound = None;
                            self.wait(wait_millis).await?;
                            self.deadline
                                .arm(self.shard.in_millis(callers.head_millis), OnExpiry::CancelRead);
                            continue;
                        }
                    }
                }
            }
            match scanner.find(buffer.filled(), callers.head.head_bytes) {
                Ok(Some(bytes)) => {
                    self.deadline.disarm();
                    return Ok(bytes);
                }
                Ok(None) => {}
                Err(reason) => return Err(NoRequest::Refused(which_is_long(reason, buffer, &callers.head))),
            }
            self.receive_more(&callers.head).await?;
        }
    }

    async fn receive_more(&mut self, limits: &HeadLimits) -> Result<(), NoRequest> {
        let mut buffer = self.inbound.take().unwrap_or_else(|| Buffer::take(Class::Small)).with_room();
        if buffer.room() == 0 {
            return Err(NoRequest::Refused(which_is_long(Reason::HeadTooLarge, &buffer, limits)));
        }
        // Given up when it takes too long, rather than ended: the caller is listened to while it gets its 408.
        let received = self.stream.read_cancellable(&mut buffer, self.deadline.canceller()).await;
        let nothing_yet = buffer.is_empty();
        self.inbound = Some(buffer);
        match received {
            // Bytes that came in the moment of the deadline do not lift it.
            Ok(count) if count > 0 && !self.deadline.expired() => Ok(()),
            _ if self.deadline.expired() => Err(NoRequest::Refused(Reason::HeadTimeout)),
            _ if nothing_yet => Err(NoRequest::Over),
            _ => Err(NoRequest::Gone),
        }
    }

    /// Waits for the first bytes of a request.
    async fn wait(&mut self, millis: u64) -> Result<(), NoRequest> {
        let due = self.shard.in_millis(millis);
        let mut buffer = Buffer::take(Class::Small);
        let hold = self.shard.clock.tick() + self.shard.begin_waiting();
        self.deadline.arm(hold.min(due), OnExpiry::CancelRead);
        let received = self.stream.read_cancellable(&mut buffer, self.deadline.canceller()).await;
        self.shard.end_waiting();
        match received {
            Ok(count) if count > 0 => {
                self.inbound = Some(buffer);
                Ok(())
            }
            Err(error) if io::was_cancelled(&error) => {
                self.deadline.arm(due, OnExpiry::EndBoth);
                self.stream.flush().await.map_err(|_| NoRequest::Over)?;
                Err(NoRequest::Resting(due))
            }
            _ => Err(NoRequest::Over),
        }
    }

    /// Waits for readability until a tick, then goes on serving.
    fn rest(self, due: Ticks) -> impl Future<Output = ()> {
        let connection = self;
        async move {
            connection.deadline.arm(due, OnExpiry::WakeIdle);
            match until(&connection.deadline, connection.stream.readable()).await {
                Some(Ok(())) => spawn(connection.serve()),
                Some(Err(_)) => {}
                // A request that came in the same moment is answered all the same.
                None if !sys::is_quiet(connection.stream.fd()) => spawn(connection.serve()),
                None => connection.part().await,
            }
        }
    }

    /// Ends a connection on which nothing was asked. What the caller sends before it sees the end would make the close
    /// a reset, so it is waited for, without a buffer.
    async fn part(self) {
        self.stream.end_writing();
        self.deadline.arm(self.shard.in_millis(LINGER_MILLIS), OnExpiry::Wake);
        let readable = until(&self.deadline, self.stream.readable()).await;
        if readable.is_some() {
            spawn(async move {
                let mut connection = self;
                connection.linger().await;
            });
        }
    }

    /// Answers a head that never became a request.
    async fn refuse(&mut self, reason: Reason) -> Next {
        let request_id = self.shard.next_request_id();
        let answer = problem(&self.shard, reason, &request_id, answer::Style::CLOSE);
        let next = self.send(answer).await;
        self.shard.record_headless(reason, self.address.ip(), &request_id);
        next
    }

    /// Sends an answer of our own, with which a request ends.
    pub(super) async fn answer(&mut self, answer: Answer, trace: &mut Trace) -> Next {
        let reason = answer.reason;
        let next = self.send(answer).await;
        self.shard.record(trace, reason);
        next
    }

    async fn send(&mut self, mut answer: Answer) -> Next {
        self.deadline.arm(self.shard.in_millis(self.shard.callers().body_millis), OnExpiry::EndBoth);
        match self.stream.write_all(&mut answer.buffer).await {
            Err(_) => Next::Close,
            Ok(()) if answer.close => Next::Linger,
            Ok(()) => Next::Request,
        }
    }

    /// Ends our side and reads what the caller still sends, up to a bound: closing with unread bytes would
    /// reset the connection, and the caller could lose the answer (RFC 9112 §9.6).
    async fn linger(&mut self) {
        self.stream.end_writing();
        self.deadline.arm(self.shard.in_millis(LINGER_MILLIS), OnExpiry::EndBoth);
        let mut buffer = Buffer::take(Class::Small);
        let mut left = LINGER_BYTES_MAX;
        while let Ok(count) = self.stream.read(&mut buffer).await {
            if count == 0 || count > left {
                return;
            }
            left -= count;
            buffer.clear();
        }
    }
}

/// A head that is too large because of its first line has a target that is too long (RFC 9112 §3).
fn which_is_long(reason: Reason, buffer: &Buffer, limits: &HeadLimits) -> Reason {
    let first_line = memchr::memchr(b'\n', buffer.filled()).unwrap_or(buffer.len());
    let long = reason == Reason::HeadTooLarge && first_line > limits.target_bytes;
    if long { Reason::TargetTooLong } else { reason }
}
