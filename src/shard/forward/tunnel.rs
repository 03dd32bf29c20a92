//! A connection that was switched to WebSocket: bytes in both directions until both sides have ended.
//!
//! Each direction waits for readability without a buffer, so that an idle tunnel holds none. Outstanding in
//! each: one poll, one read, or one write. An end on one side is passed on, and the other direction goes on.

use std::{
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
};

use crate::{
    shard::{
        buffer::{Buffer, Class},
        clock::Ticks,
        connection::{Connection, Forward},
        state::Shard,
        stream::Stream,
        sys::{self, Direction},
        timer::{Deadline, OnExpiry},
        upstream::UpstreamConnection,
    },
    snapshot::MILLIS_NEVER,
    types::Reason,
};

/// Carries bytes until the end of both directions, of the tunnel's time, or of its patience.
pub(super) async fn tunnel(
    connection: &mut Connection,
    exchange: &Forward,
    upstream: UpstreamConnection,
    first: Option<Buffer>,
) -> Reason {
    let api = (upstream.stream.duplicate(), upstream.stream.duplicate());
    let (Ok(to_caller), (Ok(mut from_api), Ok(to_api))) = (connection.stream.duplicate(), api) else {
        return Reason::UpstreamClosed;
    };
    let ends = [connection.stream.fd(), upstream.stream.fd()];
    let grant = exchange.grant.as_deref();
    let membership = grant.map(|grant| connection.shard.enter_tunnel(grant.clone(), ends));
    let Connection { deadline: caller_deadline, stream: caller, shard, inbound, .. } = connection;
    let watch = Watch {
        shard,
        deadlines: [caller_deadline, &upstream.deadline],
        idle_millis: exchange.timeouts.tunnel_idle,
        ends_at: match exchange.timeouts.tunnel {
            MILLIS_NEVER => Ticks::MAX,
            millis => shard.in_millis(millis),
        },
    };
    watch.touch();
    let up = pin!(carry(caller, to_api, inbound.take(), &watch));
    let down = pin!(carry(&mut from_api, to_caller, first, &watch));
    join(up, down).await;
    if membership.is_some_and(|membership| membership.was_cut()) {
        return Reason::TunnelCut;
    }
    if watch.gave_up() { Reason::UpstreamStalled } else { Reason::Tunnelled }
}

/// Ends the tunnel when nothing was carried for too long, or when its time is over.
struct Watch<'a> {
    shard: &'a Rc<Shard>,
    deadlines: [&'a Deadline; 2],
    idle_millis: u64,
    ends_at: Ticks,
}

impl Watch<'_> {
    fn touch(&self) {
        let due = self.shard.in_millis(self.idle_millis).min(self.ends_at);
        for deadline in self.deadlines {
            deadline.arm(due, OnExpiry::EndBoth);
        }
    }

    fn gave_up(&self) -> bool {
        self.deadlines.iter().any(|deadline| deadline.expired())
    }
}

/// Carries one direction to its end and passes the end on. An error ends the other direction as well.
async fn carry(from: &mut Stream, mut to: Stream, first: Option<Buffer>, watch: &Watch<'_>) {
    let whole = match first {
        Some(mut piece) => to.write_all(&mut piece).await.is_ok(),
        None => true,
    };
    if whole && carry_all(from, &mut to, watch).await.is_ok() {
        to.end_writing();
        return;
    }
    sys::shutdown(from.fd(), Direction::Both);
    sys::shutdown(to.fd(), Direction::Both);
}

struct Broken;

async fn carry_all(from: &mut Stream, to: &mut Stream, watch: &Watch<'_>) -> Result<(), Broken> {
    let mut class = Class::Small;
    loop {
        from.readable().await.map_err(|_| Broken)?;
        let mut piece = Buffer::take(class);
        match from.read(&mut piece).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(_) => return Err(Broken),
        }
        watch.touch();
        class = if piece.room() == 0 { Class::for_stream() } else { Class::Small };
        let bytes = piece.len();
        to.write_all(&mut piece).await.map_err(|_| Broken)?;
        watch.shard.after_piece(bytes).await;
    }
}

/// Polls both until both are over.
async fn join(mut up: Pin<&mut impl Future<Output = ()>>, mut down: Pin<&mut impl Future<Output = ()>>) {
    let (mut up_over, mut down_over) = (false, false);
    std::future::poll_fn(|context| {
        up_over = up_over || up.as_mut().poll(context).is_ready();
        down_over = down_over || down.as_mut().poll(context).is_ready();
        if up_over && down_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
