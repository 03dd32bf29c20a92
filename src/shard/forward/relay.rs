//! Relays the answer of an API: heads, then the body, piece by piece.
//!
//! Outstanding: one read from the API, or one write to the caller. The next piece is read only when the one
//! before was taken by the caller, so that neither side can make the other's data pile up here.

use std::cell::Cell;

use super::{
    Failure, arm, await_first_byte, due,
    translate::{Final, Step, translate},
};
use crate::{
    limits::{BUFFER_MEDIUM_BYTES, HEAD_BYTES_MAX, INTERIM_RESPONSES_MAX},
    protocol::{h1::HeadScanner, http::Version},
    shard::{
        body::Body,
        buffer::{Buffer, Class},
        connection::{Connection, Forward},
        timer::OnExpiry,
        upstream::UpstreamConnection,
    },
    types::Reason,
};

/// How an answer was relayed.
pub(super) enum Relayed {
    /// To its end.
    Whole {
        /// Whether the API's connection can be kept.
        upstream_keeps: bool,
        /// Whether the caller was told that its connection is kept.
        caller_keeps: bool,
        /// Whether the caller has not sent all of its request.
        caller_is_sending: bool,
    },
    /// The API switched to another protocol; `first` is what it sent behind its head.
    Switched { first: Option<Buffer> },
    /// Not to its end.
    Cut(Reason),
}

/// How far an exchange has come, for two futures that work on it.
#[derive(Default)]
pub(super) struct Progress {
    /// The request has gone whole. While it has not, nobody is late and no connection is kept.
    pub(super) sent: Cell<bool>,
    /// The caller has a part of the answer: nothing else can be told any more.
    pub(super) begun: Cell<bool>,
    /// The answer is here whole: whatever becomes of the request, it can be told.
    pub(super) answered: Cell<bool>,
}

/// Awaits the answer and relays it.
pub(super) async fn relay(
    connection: &mut Connection,
    exchange: &Forward,
    upstream: &mut UpstreamConnection,
    progress: &Progress,
) -> Result<Relayed, Failure> {
    // A kept connection has a read in flight, with a buffer of its own.
    let mut response = match upstream.stream.is_armed() {
        true => Buffer::none(),
        false => Buffer::take(connection.shard.pools.response_class(exchange.upstream)),
    };
    let mut interim = 0;
    loop {
        let head_bytes = receive_head(connection, exchange, upstream, &mut response, interim > 0).await?;
        let step = translate(connection, exchange, &mut response, head_bytes, progress.sent.get())?;
        match step {
            Step::Interim { mut head } => {
                interim += 1;
                if interim > INTERIM_RESPONSES_MAX {
                    return Err(Failure::Final(Reason::ResponseInvalid));
                }
                progress.begun.set(true);
                write(connection, exchange, &mut head).await.map_err(Failure::Final)?;
                progress.begun.set(false); // another answer may still follow
                if progress.sent.get() {
                    await_first_byte(connection, exchange, upstream);
                }
            }
            Step::Switch { mut head } => {
                progress.begun.set(true);
                let first = (!response.is_empty()).then_some(response);
                return Ok(match write(connection, exchange, &mut head).await {
                    Ok(()) => Relayed::Switched { first },
                    Err(reason) => Relayed::Cut(reason),
                });
            }
            Step::Final(last) => {
                progress.begun.set(true);
                return Ok(relay_body(connection, exchange, upstream, response, last, progress).await);
            }
        }
    }
}

async fn receive_head(
    connection: &Connection,
    exchange: &Forward,
    upstream: &mut UpstreamConnection,
    response: &mut Buffer,
    not_the_first: bool,
) -> Result<usize, Failure> {
    let mut scanner = HeadScanner::default();
    loop {
        match scanner.find(response.filled(), HEAD_BYTES_MAX) {
            Ok(Some(head_bytes)) => return Ok(head_bytes),
            Ok(None) => {}
            Err(_) => return Err(Failure::Final(Reason::ResponseInvalid)),
        }
        if !upstream.stream.is_armed() && response.room() == 0 {
            *response = std::mem::replace(response, Buffer::none()).with_room();
            if response.room() == 0 {
                return Err(Failure::Final(Reason::ResponseInvalid));
            }
        }
        let nothing_yet = response.is_empty() && !not_the_first;
        if !response.is_empty() {
            arm(connection, exchange, upstream, exchange.timeouts.body);
        }
        let (received, ending) = read(upstream, response).await;
        match (received, ending) {
            (Some(_), _) => {}
            (None, Ending::Late) => return Err(Failure::Final(late(connection, exchange, nothing_yet))),
            (None, Ending::Unwanted) => return Err(Failure::Final(Reason::CallerGone)),
            // TLS 1.3 says only now that a client certificate is missing or not accepted.
            (None, _) if nothing_yet && !upstream.reused && upstream.stream.was_refused() => {
                return Err(Failure::Final(Reason::UpstreamTlsRefused));
            }
            (None, _) if nothing_yet && exchange.method.is_idempotent() => {
                return Err(Failure::Stale(Reason::UpstreamClosed));
            }
            (None, _) if nothing_yet => return Err(Failure::Final(Reason::UpstreamClosed)),
            (None, _) => return Err(Failure::Final(Reason::ResponseInvalid)), // half a head is none
        }
    }
}

/// How reading from an API ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It sent its end.
    Orderly,
    /// The connection broke.
    Broken,
    /// It took too long.
    Late,
    /// The caller is gone.
    Unwanted,
}

/// Reads from the API within what is armed. Afterwards nothing is armed: while the caller takes its time the API
/// is not late. `None` for no bytes, for the reason beside it.
async fn read(upstream: &mut UpstreamConnection, buffer: &mut Buffer) -> (Option<usize>, Ending) {
    let received = upstream.stream.read(buffer).await;
    upstream.deadline.disarm();
    let ending = match received {
        _ if upstream.deadline.expired() => Ending::Late,
        _ if upstream.deadline.is_unwanted() => Ending::Unwanted,
        Ok(_) => Ending::Orderly,
        Err(_) => Ending::Broken,
    };
    (received.ok().filter(|count| *count > 0), ending)
}

fn late(connection: &Connection, exchange: &Forward, nothing_yet: bool) -> Reason {
    match super::stalled(connection, exchange) {
        Reason::UpstreamStalled if nothing_yet => Reason::FirstByteTimeout,
        reason => reason,
    }
}

async fn relay_body(
    connection: &mut Connection,
    exchange: &Forward,
    upstream: &mut UpstreamConnection,
    mut piece: Buffer,
    last: Final,
    progress: &Progress,
) -> Relayed {
    let Final { mut body, upstream_keeps, caller_keeps } = last;
    let mut clean = true;
    let mut relayed = piece.len();
    loop {
        if body.is_done() {
            progress.answered.set(true);
            clean &= upstream.stream.is_armed() || !upstream.stream.has_something();
            let ready = upstream_keeps && clean && progress.sent.get() && !piece.is_empty();
            if ready && !upstream.stream.is_armed() {
                // Begun before the caller gets its answer, this read has been seen by the kernel when the connection
                // comes back to its pool.
                upstream.stream.arm(Buffer::take(connection.shard.pools.response_class(exchange.upstream)));
            }
        }
        if let Err(reason) = write(connection, exchange, &mut piece).await {
            return Relayed::Cut(reason);
        }
        if body.is_done() {
            break;
        }
        match next_piece(connection, exchange, upstream, &mut piece, &mut body).await {
            Ok(nothing_behind) => clean &= nothing_behind,
            Err(reason) => return Relayed::Cut(reason),
        }
        relayed += piece.len();
        connection.shard.after_piece(piece.len()).await;
    }
    connection.shard.pools.saw_large(exchange.upstream, relayed > BUFFER_MEDIUM_BYTES);
    let sent = progress.sent.get();
    clean &= !upstream.stream.has_something();
    Relayed::Whole { upstream_keeps: upstream_keeps && clean && sent, caller_keeps, caller_is_sending: !sent }
}

/// Fills `piece` with what the caller gets next. Whether nothing stood behind the end of the message.
async fn next_piece(
    connection: &Connection,
    exchange: &Forward,
    upstream: &mut UpstreamConnection,
    piece: &mut Buffer,
    body: &mut Body,
) -> Result<bool, Reason> {
    piece.clear_for_stream();
    if body.end_is_due() {
        *piece = Buffer::take(Class::Large); // the end of the chunks with its trailers, which fit there
        body.put_end(piece);
        return Ok(true);
    }
    if piece.class() != Class::Large && body.expects_at_least() > BUFFER_MEDIUM_BYTES as u64 {
        *piece = Buffer::take(Class::for_stream());
    }
    arm(connection, exchange, upstream, exchange.timeouts.body);
    match read(upstream, piece).await {
        (Some(_), _) => {
            let beyond = body.pass(piece).map_err(|_| Reason::UpstreamCut)?;
            Ok(beyond.is_none())
        }
        (None, Ending::Orderly) => {
            body.sender_ended().map_err(|_| Reason::UpstreamCut)?;
            body.put_end(piece);
            Ok(true)
        }
        (None, Ending::Late) => Err(super::stalled(connection, exchange)),
        (None, Ending::Broken | Ending::Unwanted) => Err(Reason::UpstreamCut),
    }
}

/// Writes to the caller, who has the time of a body's piece to take it.
async fn write(connection: &mut Connection, exchange: &Forward, piece: &mut Buffer) -> Result<(), Reason> {
    if piece.is_empty() {
        return Ok(());
    }
    let millis = connection.shard.callers().body_millis;
    connection.deadline.arm(due(connection, exchange, millis), OnExpiry::EndBoth);
    // An HTTP/1.0 caller may have nothing but the end of the connection to tell it that a body is whole: its
    // connection must not be ended in order by a deadline, but reset afterwards.
    let written = match exchange.version {
        Version::Http11 => connection.stream.write_all(piece).await,
        Version::Http10 => {
            connection.deadline.arm(due(connection, exchange, millis), OnExpiry::CancelRead);
            connection.stream.write_all_cancellable(piece, connection.deadline.canceller()).await
        }
    };
    connection.deadline.disarm();
    match written {
        Ok(()) => Ok(()),
        Err(_) if connection.deadline.expired() => Err(Reason::CallerStalled),
        Err(_) => Err(Reason::CallerGone),
    }
}
