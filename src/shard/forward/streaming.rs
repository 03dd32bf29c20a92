//! An exchange whose request body still streams: it is pumped to the API while the answer is awaited and
//! relayed, because an API may answer before it has read everything.
//!
//! Two futures, polled in one task: `pump` (reads from the caller, writes to the API, on descriptors of its own)
//! and `relay` (reads from the API, writes to the caller). The exchange is over when `relay` is; what `pump` has
//! in flight then is given up together with both connections.

use std::{
    cell::Cell,
    future::Future,
    os::fd::RawFd,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
};

use super::{
    Failure,
    relay::{Progress, Relayed, relay},
};
use crate::{
    shard::{
        body::Body,
        buffer::{Buffer, Class},
        clock::Ticks,
        connection::{Connection, Forward},
        state::Shard,
        stream::Stream,
        timer::{Deadline, OnExpiry},
        upstream::UpstreamConnection,
    },
    types::Reason,
};

/// Sends the head, then pumps the body while it relays the answer.
pub(super) async fn exchange(
    connection: &mut Connection,
    exchange: &mut Forward,
    upstream: &mut UpstreamConnection,
) -> Result<Relayed, Failure> {
    let pump =
        Pump::new(connection, exchange, upstream).map_err(|_| Failure::Final(Reason::UpstreamClosed))?;
    let beyond = Rc::new(Cell::new(None));
    let progress = Progress::default();
    let patience = Patience {
        deadline: Rc::clone(&upstream.deadline),
        shard: Rc::clone(&connection.shard),
        millis: exchange.timeouts.first_byte,
        total: exchange.total_due,
        caller: connection.stream.fd(),
    };
    let result = {
        let pumping = pin!(pump.run(Rc::clone(&beyond)));
        let relaying = pin!(relay(connection, exchange, upstream, &progress));
        both(pumping, relaying, &progress, &patience).await
    };
    if let Some(next) = beyond.take() {
        connection.inbound = Some(next);
    }
    if progress.sent.get() {
        exchange.body = Body::new(crate::protocol::http::BodyLength::None, false, 0);
    }
    result
}

/// When the answer is late, once the request has gone.
struct Patience {
    deadline: Rc<Deadline>,
    shard: Rc<Shard>,
    millis: u64,
    total: Ticks,
    caller: RawFd,
}

impl Patience {
    /// Unless an answer has begun, or it was too late already.
    fn begin(&self, progress: &Progress) {
        if !progress.begun.get() && !self.deadline.expired() {
            let due = self.shard.in_millis(self.millis).min(self.total);
            self.deadline.arm_while_wanted(self.shard.clock.tick(), due, self.caller);
        }
    }
}

/// Polls both until `relaying` is over, or `pumping` failed in a way that no answer can change.
async fn both(
    mut pumping: Pin<&mut impl Future<Output = Result<(), PumpEnd>>>,
    mut relaying: Pin<&mut impl Future<Output = Result<Relayed, Failure>>>,
    progress: &Progress,
    patience: &Patience,
) -> Result<Relayed, Failure> {
    let mut pump_over = false;
    std::future::poll_fn(|context| {
        if !pump_over && let Poll::Ready(end) = pumping.as_mut().poll(context) {
            pump_over = true;
            match end {
                Ok(()) => {
                    progress.sent.set(true);
                    patience.begin(progress);
                }
                // It may have answered and ended its side: the answer decides.
                Err(PumpEnd::Api) => patience.begin(progress),
                Err(PumpEnd::Final(_)) if progress.answered.get() => {}
                Err(PumpEnd::Final(reason)) if progress.begun.get() => {
                    return Poll::Ready(Ok(Relayed::Cut(reason)));
                }
                Err(PumpEnd::Final(reason)) => return Poll::Ready(Err(Failure::Final(reason))),
            }
        }
        // A kept connection that turns out to be stale is not replaced: part of the body may have gone.
        relaying.as_mut().poll(context).map_err(|failure| match failure {
            Failure::Stale(reason) | Failure::Final(reason) => Failure::Final(reason),
        })
    })
    .await
}

/// Why a body was not pumped to its end.
enum PumpEnd {
    /// The API takes no more: its answer decides.
    Api,
    /// Nothing more is to be expected.
    Final(Reason),
}

/// The way of a request body, on descriptors of its own.
struct Pump {
    caller_deadline: Deadline,
    caller: Stream,
    api_deadline: Deadline,
    api: Stream,
    shard: Rc<Shard>,
    piece: Buffer,
    body: Body,
    api_millis: u64,
    total_due: Ticks,
}

impl Pump {
    fn new(
        connection: &Connection,
        exchange: &mut Forward,
        upstream: &UpstreamConnection,
    ) -> std::io::Result<Self> {
        let (caller, api) = (connection.stream.duplicate()?, upstream.stream.duplicate()?);
        let nothing = Body::new(crate::protocol::http::BodyLength::Fixed(1), false, 0);
        Ok(Self {
            caller_deadline: connection.shard.deadlines.register(caller.fd()),
            caller,
            api_deadline: connection.shard.deadlines.register(api.fd()),
            api,
            shard: Rc::clone(&connection.shard),
            piece: std::mem::replace(&mut exchange.request, Buffer::take(Class::Small)),
            body: std::mem::replace(&mut exchange.body, nothing),
            api_millis: exchange.timeouts.body,
            total_due: exchange.total_due,
        })
    }

    /// Pumps to the end of the body; what the caller sent behind it goes to `beyond`.
    async fn run(mut self, beyond: Rc<Cell<Option<Buffer>>>) -> Result<(), PumpEnd> {
        loop {
            let bytes = self.piece.len();
            self.write().await?;
            self.shard.after_piece(bytes).await;
            if self.body.is_done() {
                return Ok(());
            }
            self.piece.clear();
            if self.body.end_is_due() {
                self.piece = Buffer::take(Class::Large);
                self.body.put_end(&mut self.piece);
                continue;
            }
            self.read(&beyond).await?;
        }
    }

    async fn write(&mut self) -> Result<(), PumpEnd> {
        self.api_deadline.arm(self.shard.in_millis(self.api_millis).min(self.total_due), OnExpiry::EndBoth);
        let written = self.api.write_all(&mut self.piece).await;
        self.api_deadline.disarm();
        match written {
            Ok(()) => Ok(()),
            Err(_) if !self.api_deadline.expired() => Err(PumpEnd::Api),
            Err(_) if self.shard.clock.tick() >= self.total_due => Err(PumpEnd::Final(Reason::TotalTimeout)),
            Err(_) => Err(PumpEnd::Final(Reason::UpstreamStalled)),
        }
    }

    async fn read(&mut self, beyond: &Cell<Option<Buffer>>) -> Result<(), PumpEnd> {
        let class = Class::holding(usize::try_from(self.body.expects_at_least()).unwrap_or(0).max(1));
        let unknown = self.body.expects_at_least() == 0;
        let class = if unknown { Class::Large } else { class.unwrap_or(Class::Large) };
        self.piece.clear_for_stream();
        if self.piece.class() != class {
            self.piece = Buffer::take(class.min(Class::for_stream()));
        }
        let due = self.shard.in_millis(self.shard.callers().body_millis).min(self.total_due);
        self.caller_deadline.arm(due, OnExpiry::CancelRead);
        let received = self.caller.read_cancellable(&mut self.piece, self.caller_deadline.canceller()).await;
        self.caller_deadline.disarm();
        match received {
            Ok(count) if count > 0 => {
                beyond.set(self.body.pass(&mut self.piece).map_err(PumpEnd::Final)?);
                Ok(())
            }
            _ if self.caller_deadline.expired() => Err(PumpEnd::Final(Reason::BodyTimeout)),
            _ => Err(PumpEnd::Final(Reason::CallerGone)),
        }
    }
}
