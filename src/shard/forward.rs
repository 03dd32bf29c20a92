//! One exchange with an API: the request to it, its answer to the caller.
//!
//! Takes a [`Forward`], which only a permit leads to. A request that came whole is sent, then the answer is
//! relayed; nothing but one operation at a time is outstanding. A request whose body still streams goes
//! through `streaming`, where a second future pumps the body while the answer is awaited.
//!
//! A request is sent a second time only where that is safe: the connection was a kept one, it ended before a
//! byte of the answer, and the method may be repeated (RFC 9110 §9.2.2) or nothing of the request had gone.

mod relay;
mod streaming;
mod translate;
mod tunnel;

use relay::{Progress, Relayed};

use super::{
    buffer::{Buffer, Class},
    clock::Ticks,
    connection::{Connection, Forward, Next, answer_style, problem},
    timer::OnExpiry,
    upstream::{UpstreamConnection, connect},
};
use crate::{
    limits::{GATHER_TICKS, GATHERED_BYTES_MAX},
    types::Reason,
};

/// Why an exchange with the API failed before the caller saw anything of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// For good.
    Final(Reason),
    /// The kept connection had ended; another one may do.
    Stale(Reason),
}

/// Forwards a request and relays its answer.
pub(super) async fn forward(connection: &mut Connection, exchange: &mut Forward) -> Next {
    let shard = std::rc::Rc::clone(&connection.shard);
    if let Err(reason) = gather(connection, exchange).await {
        return fail(connection, exchange, reason).await;
    }
    let mut kept_allowed = true;
    loop {
        let kept = kept_allowed.then(|| shard.pools.take(exchange.upstream, shard.clock.tick())).flatten();
        let mut upstream = match kept {
            Some(upstream) => upstream,
            None => match open(connection, exchange).await {
                Ok(upstream) => upstream,
                Err(reason) => return fail(connection, exchange, reason).await,
            },
        };
        let result = if exchange.body.is_done() {
            send_whole(connection, exchange, &mut upstream).await
        } else {
            Box::pin(streaming::exchange(connection, exchange, &mut upstream)).await
        };
        match result {
            Ok(relayed) => return finish(connection, exchange, upstream, relayed).await,
            Err(Failure::Stale(_)) if kept_allowed && upstream.reused => kept_allowed = false,
            Err(Failure::Stale(reason) | Failure::Final(reason)) => {
                drop(upstream);
                return fail(connection, exchange, reason).await;
            }
        }
    }
}

/// Awaits, for a moment, the rest of a small body that came apart from its head, as many clients send it. What takes
/// longer streams.
async fn gather(connection: &mut Connection, exchange: &mut Forward) -> Result<(), Reason> {
    while !exchange.body.is_done() && !exchange.expects_continue {
        let rest = exchange.body.expects_at_least();
        if rest == 0 || rest > GATHERED_BYTES_MAX {
            return Ok(());
        }
        let mut piece = Buffer::take(Class::Medium);
        let due = connection.shard.clock.tick() + GATHER_TICKS;
        connection.deadline.arm(due.min(exchange.total_due), OnExpiry::CancelRead);
        let received = connection.stream.read_cancellable(&mut piece, connection.deadline.canceller()).await;
        connection.deadline.disarm();
        match received {
            Ok(count) if count > 0 => {}
            _ if connection.deadline.expired() => return Ok(()),
            _ => return Err(Reason::CallerGone),
        }
        connection.inbound = exchange.body.pass(&mut piece)?;
        let request = std::mem::replace(&mut exchange.request, Buffer::none());
        exchange.request = request.joined(piece).ok_or(Reason::BodyTooLarge)?;
    }
    Ok(())
}

async fn open(connection: &Connection, exchange: &Forward) -> Result<UpstreamConnection, Reason> {
    let shard = &connection.shard;
    let due = shard.in_millis(exchange.timeouts.connect).min(exchange.total_due);
    Box::pin(connect(shard, exchange.upstream, &connection.deadline, due)).await
}

/// Sends a request that is whole, then relays the answer.
async fn send_whole(
    connection: &mut Connection,
    exchange: &mut Forward,
    upstream: &mut UpstreamConnection,
) -> Result<Relayed, Failure> {
    let mark = exchange.request.mark();
    arm(connection, exchange, upstream, exchange.timeouts.body);
    if let Err(error) = upstream.stream.write_all(&mut exchange.request).await {
        let reason =
            if upstream.deadline.expired() { stalled(connection, exchange) } else { Reason::UpstreamClosed };
        let repeatable = exchange.method.is_idempotent() || error.written == 0;
        exchange.request.rewind(mark);
        return Err(if repeatable { Failure::Stale(reason) } else { Failure::Final(reason) });
    }
    await_first_byte(connection, exchange, upstream);
    let progress = Progress::default();
    progress.sent.set(true);
    let result = relay::relay(connection, exchange, upstream, &progress).await;
    if result.is_err() {
        exchange.request.rewind(mark);
    }
    result
}

fn stalled(connection: &Connection, exchange: &Forward) -> Reason {
    if connection.shard.clock.tick() >= exchange.total_due {
        Reason::TotalTimeout
    } else {
        Reason::UpstreamStalled
    }
}

/// Gives the API until `millis` from now, or to the end of the exchange's time.
fn arm(connection: &Connection, exchange: &Forward, upstream: &UpstreamConnection, millis: u64) {
    upstream.deadline.arm(due(connection, exchange, millis), OnExpiry::EndBoth);
}

/// Gives the API its time for the first byte of an answer, for as long as the caller waits for it.
fn await_first_byte(connection: &Connection, exchange: &Forward, upstream: &UpstreamConnection) {
    let due = due(connection, exchange, exchange.timeouts.first_byte);
    upstream.deadline.arm_while_wanted(connection.shard.clock.tick(), due, connection.stream.fd());
}

fn due(connection: &Connection, exchange: &Forward, millis: u64) -> Ticks {
    connection.shard.in_millis(millis).min(exchange.total_due)
}

/// Ends an exchange whose answer was relayed, in one way or another.
async fn finish(
    connection: &mut Connection,
    exchange: &mut Forward,
    upstream: UpstreamConnection,
    relayed: Relayed,
) -> Next {
    let shard = std::rc::Rc::clone(&connection.shard);
    match relayed {
        Relayed::Whole { upstream_keeps, caller_keeps, caller_is_sending } => {
            shard.record(&mut exchange.trace, Reason::Forwarded);
            if upstream_keeps && !shard.is_draining() {
                let (since, until) = (shard.clock.tick(), shard.in_millis(exchange.timeouts.idle));
                shard.pools.put(exchange.upstream, upstream, since, until, exchange.idle_connections);
            }
            match (caller_keeps, caller_is_sending) {
                (true, _) => Next::Request,
                (false, true) => Next::Linger,
                (false, false) => {
                    connection.stream.end_writing();
                    Next::Linger
                }
            }
        }
        Relayed::Switched { first } => {
            let reason = Box::pin(tunnel::tunnel(connection, exchange, upstream, first)).await;
            shard.record(&mut exchange.trace, reason);
            Next::Close
        }
        Relayed::Cut(reason) => {
            shard.record(&mut exchange.trace, reason);
            super::sys::reset_on_close(connection.stream.fd());
            Next::Close
        }
    }
}

/// Answers for an API that did not.
async fn fail(connection: &mut Connection, exchange: &mut Forward, reason: Reason) -> Next {
    if matches!(reason, Reason::CallerGone | Reason::CallerStalled) {
        connection.shard.record(&mut exchange.trace, reason);
        return Next::Close; // there is nobody to tell
    }
    // What is left of a body that streams would be read as the next request.
    let keep = exchange.keep_alive && exchange.body.is_done() && !connection.shard.is_draining();
    let style = answer_style(exchange.method, exchange.version, !keep);
    let answer = problem(&connection.shard, reason, &exchange.request_id, style);
    connection.answer(answer, &mut exchange.trace).await
}
