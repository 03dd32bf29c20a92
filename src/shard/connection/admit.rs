//! From a whole head to what is done with it: parse, decide, and rewrite the request for the API, all in one
//! step without waiting.

use std::sync::Arc;

use super::{Answer, Connection, answer::Style, caller::Caller, problem, redirect::redirect};
use crate::{
    policy::{CallerFacts, Denial, FieldSink, Grant, Means, Now, Permit, decide, write_request_fields},
    protocol::{
        h1::{HeadWriter, parse_request},
        http::{BodyLength, Method, RequestHead, Version},
    },
    shard::{
        body::Body,
        buffer::Buffer,
        clock::Ticks,
        record::{Seen, Stopwatch, Trace},
        state::{RequestId, Scratch},
    },
    snapshot::{MILLIS_NEVER, Snapshot, UpstreamId, UpstreamTimeouts},
    types::Reason,
};

/// What is done with a request.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives for one call and the large variant is the ordinary one"
)]
pub(in crate::shard) enum Admission {
    /// We answer.
    Answer { answer: Answer, trace: Trace },
    /// The API does.
    Forward(Forward),
}

/// A permitted request on its way to the API. It holds nothing of the snapshot that judged it.
pub(in crate::shard) struct Forward {
    /// The head for the API, and as much of the body as came with it.
    pub(in crate::shard) request: Buffer,
    /// The rest of the body.
    pub(in crate::shard) body: Body,
    pub(in crate::shard) upstream: UpstreamId,
    pub(in crate::shard) timeouts: UpstreamTimeouts,
    /// When the exchange as a whole is over.
    pub(in crate::shard) total_due: Ticks,
    pub(in crate::shard) idle_connections: usize,
    pub(in crate::shard) method: Method,
    pub(in crate::shard) version: Version,
    /// Whether the caller's connection may be kept.
    pub(in crate::shard) keep_alive: bool,
    /// Whether the caller asked for WebSocket and the proxy tunnels it.
    pub(in crate::shard) websocket: bool,
    /// What a tunnel rests on.
    pub(in crate::shard) grant: Option<Box<Grant>>,
    /// Whether the caller sends its body only when it is told to.
    pub(in crate::shard) expects_continue: bool,
    pub(in crate::shard) request_id: RequestId,
    /// What is kept of it until it ends.
    pub(in crate::shard) trace: Trace,
}

/// Judges the request at the front of `inbound`.
pub(in crate::shard) fn admit(connection: &mut Connection, head_bytes: usize) -> Admission {
    let shard = std::rc::Rc::clone(&connection.shard);
    let request_id = shard.next_request_id();
    let Some(mut inbound) = connection.inbound.take() else {
        let answer = problem(&shard, Reason::RequestLineInvalid, &request_id, Style::CLOSE);
        return Admission::Answer { answer, trace: Trace::headless() };
    };
    let judged = shard.with_scratch(|snapshot, scratch| {
        let (head, behind) = inbound.filled().split_at(head_bytes);
        judge(connection, snapshot, scratch, Received { head, behind: behind.len() }, request_id)
    });
    inbound.consume(head_bytes);
    match judged {
        Judged::Refused { answer, trace, body } => {
            connection.inbound = after_unread(inbound, body);
            Admission::Answer { answer, trace }
        }
        Judged::Permitted(rewritten) => complete(connection, inbound, rewritten),
    }
}

/// What follows a refused request whose body of `length` bytes came with it; the connection is kept only then.
fn after_unread(mut inbound: Buffer, length: usize) -> Option<Buffer> {
    inbound.consume(length);
    (!inbound.is_empty()).then_some(inbound)
}

enum Judged {
    Refused { answer: Answer, trace: Trace, body: usize },
    Permitted(Rewritten),
}

/// A permitted request whose new head lies in the scratch memory.
struct Rewritten {
    head_length: usize,
    body: Body,
    forward: Facts,
}

/// What [`Forward`] copies out of the snapshot and the head.
struct Facts {
    upstream: UpstreamId,
    timeouts: UpstreamTimeouts,
    total_due: Ticks,
    idle_connections: usize,
    method: Method,
    version: Version,
    keep_alive: bool,
    websocket: bool,
    grant: Option<Box<Grant>>,
    expects_continue: bool,
    request_id: RequestId,
    trace: Trace,
}

/// The bytes of a whole head, and how many came behind it.
struct Received<'b> {
    head: &'b [u8],
    behind: usize,
}

fn judge(
    connection: &Connection,
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    received: Received<'_>,
    request_id: RequestId,
) -> Judged {
    let shard = &connection.shard;
    let refuse_whole = |reason, trace| {
        let answer = problem(shard, reason, &request_id, Style::CLOSE);
        Judged::Refused { answer, trace, body: 0 }
    };
    let Scratch { head: out, path, table, rules } = scratch;
    let head = match parse_request(received.head, &snapshot.callers.head, table) {
        Ok(head) => head,
        Err(reason) => {
            let source = connection.address.ip();
            return refuse_whole(reason, shard.trace_unread(snapshot, source, &request_id));
        }
    };
    let (caller, unreadable) = match Caller::of(connection, &head) {
        Ok(caller) => (caller, None),
        Err(reason) => (Caller::peer(connection, &head), Some(reason)),
    };
    let source = caller.address.ip();
    let time_millis = shard.clock.wall_millis();
    let seen = Seen {
        time_millis,
        request_id: &request_id,
        source,
        hidden: caller.hidden,
        head: Some(&head),
        generation: snapshot.generation,
    };
    let stopwatch = Stopwatch::new(&shard.clock);
    let answer_before_routing = |make: &dyn Fn(Style<'_>) -> Result<Answer, Reason>| {
        let trace = shard.trace(&stopwatch, None, None, &seen);
        let (style, body) = style_of(connection, &head, received.behind, true);
        let answer = make(style).unwrap_or_else(|reason| problem(shard, reason, &request_id, style));
        Judged::Refused { answer, trace, body }
    };
    if let Some(reason) = unreadable {
        return answer_before_routing(&|_| Err(reason));
    }
    if let Some(to) = &shard.door(connection.door).redirect {
        return answer_before_routing(&|style| redirect(shard, to, &head, &caller, &request_id, style));
    }
    if matches!(head.body, BodyLength::Fixed(length) if length > snapshot.callers.body_bytes) {
        return refuse_whole(Reason::BodyTooLarge, shard.trace(&stopwatch, None, None, &seen));
    }
    let mut watch = &stopwatch;
    let certificate = connection.certificate.as_deref();
    let means = Means { now: Now(time_millis), source, certificate, path, rules, watch: &mut watch };
    let permit = match decide(snapshot, &head, means) {
        Ok(permit) => permit,
        Err(denial) => {
            let trace = shard.trace(&stopwatch, denial.proxy, denial.identity, &seen);
            return refuse_routed(connection, &head, denial, trace, &request_id, received.behind);
        }
    };
    let trace = shard.trace(&stopwatch, Some(permit.proxy()), Some(permit.identity()), &seen);
    let websocket = permit.proxy().websocket && asks_for_websocket(&head);
    let caller = CallerFacts {
        address: caller.address.text(),
        scheme: caller.scheme,
        host: caller.host,
        request_id: &request_id,
    };
    let Some(head_length) = write_head(&permit, &head, &caller, websocket, out) else {
        return refuse_whole(Reason::HeadTooLarge, trace);
    };
    let mut body = Body::new(head.body, head.body == BodyLength::Chunked, snapshot.callers.body_bytes);
    if head.body == BodyLength::Chunked {
        body.strip(Arc::clone(&permit.proxy().stripped));
    }
    let upstream = permit.upstream();
    let forward = Facts {
        upstream: upstream.id,
        timeouts: upstream.timeouts,
        total_due: due(connection, upstream.timeouts.total),
        idle_connections: upstream.idle_connections,
        method: head.method,
        version: head.version,
        keep_alive: head.keep_alive,
        websocket,
        grant: websocket.then(|| Grant::of(&permit, connection.certificate.as_ref()).map(Box::new)).flatten(),
        expects_continue: head.expects_continue,
        request_id,
        trace,
    };
    Judged::Permitted(Rewritten { head_length, body, forward })
}

fn due(connection: &Connection, millis: u64) -> Ticks {
    if millis == MILLIS_NEVER { Ticks::MAX } else { connection.shard.in_millis(millis) }
}

/// Refuses a well-formed request. Its connection is kept if its body is here already and nothing is awaited.
fn refuse_routed(
    connection: &Connection,
    head: &RequestHead<'_>,
    denial: Denial<'_>,
    trace: Trace,
    request_id: &RequestId,
    behind: usize,
) -> Judged {
    let reason = denial.reason;
    let keeps_alive =
        !matches!(reason, Reason::PathInvalid | Reason::TargetInvalid | Reason::CredentialAmbiguous);
    let (style, body) = style_of(connection, head, behind, keeps_alive);
    let style = Style { challenge: denial.proxy.map_or(&[][..], |proxy| &proxy.challenge), ..style };
    let answer = problem(&connection.shard, reason, request_id, style);
    Judged::Refused { answer, trace, body }
}

/// How an answer of our own to a well-formed request looks, and how much of what follows the head is its body.
fn style_of(
    connection: &Connection,
    head: &RequestHead<'_>,
    behind: usize,
    keeps_alive: bool,
) -> (Style<'static>, usize) {
    let body = match head.body {
        BodyLength::None => Some(0),
        BodyLength::Fixed(length) if length <= behind as u64 && !head.expects_continue => {
            usize::try_from(length).ok()
        }
        _ => None,
    };
    let close = body.is_none() || !keeps_alive || !head.keep_alive || connection.shard.is_draining();
    let style = Style {
        challenge: &[],
        close,
        old_keep_alive: head.version == Version::Http10,
        without_body: head.method == Method::Head,
    };
    (style, body.unwrap_or(0))
}

/// Whether the caller asks for WebSocket (RFC 6455 §4.1): GET, HTTP/1.1, no body, this protocol alone.
fn asks_for_websocket(head: &RequestHead<'_>) -> bool {
    head.method == Method::Get
        && head.body == BodyLength::None
        && head.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

fn write_head(
    permit: &Permit<'_, '_>,
    head: &RequestHead<'_>,
    caller: &CallerFacts<'_>,
    websocket: bool,
    out: &mut [u8],
) -> Option<usize> {
    let upstream = permit.upstream();
    let path = permit.path();
    let base = &upstream.base_path;
    let slash: &[u8] = if path.is_empty() && base.is_empty() { b"/" } else { b"" };
    let (mark, query): (&[u8], &[u8]) = permit.query().map_or((b"", b""), |query| (b"?", query));
    let mut writer = HeadWriter::new(out);
    writer.request_line(head.method_bytes, &[base, slash, path, mark, query]);
    let host = if upstream.preserve_host { head.host } else { None };
    writer.field(b"Host", host.unwrap_or(&upstream.authority));
    write_request_fields(permit, head, caller, &mut Fields(&mut writer));
    if websocket {
        writer.raw(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
    }
    match head.body {
        BodyLength::Fixed(length) => writer.number(b"Content-Length", length),
        BodyLength::Chunked => writer.raw(b"Transfer-Encoding: chunked\r\n"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
    writer.end();
    writer.finish().ok()
}

/// Lets `policy` write into an HTTP/1.1 head.
pub(in crate::shard) struct Fields<'w, 'o>(pub(in crate::shard) &'w mut HeadWriter<'o>);

impl FieldSink for Fields<'_, '_> {
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.0.field(name, value);
    }

    #[inline]
    fn field_parts(&mut self, name: &[u8], parts: &[&[u8]]) {
        self.0.field_parts(name, parts);
    }

    #[inline]
    fn lines(&mut self, lines: &[u8]) {
        self.0.raw(lines);
    }
}

/// Puts the new head in front of what came of the body.
fn complete(connection: &mut Connection, mut inbound: Buffer, rewritten: Rewritten) -> Admission {
    let shard = std::rc::Rc::clone(&connection.shard);
    let Rewritten { head_length, mut body, forward } = rewritten;
    let request_id = forward.request_id;
    let refuse = |reason, trace| {
        let answer = problem(&shard, reason, &request_id, Style::CLOSE);
        Admission::Answer { answer, trace }
    };
    match body.pass(&mut inbound) {
        Ok(beyond) => connection.inbound = beyond,
        Err(reason) => return refuse(reason, forward.trace),
    }
    let with_head = shard.with_scratch(|_, scratch| inbound.with_head(&scratch.head[..head_length]));
    let Some(request) = with_head else { return refuse(Reason::HeadTooLarge, forward.trace) };
    Admission::Forward(Forward {
        request,
        body,
        upstream: forward.upstream,
        timeouts: forward.timeouts,
        total_due: forward.total_due,
        idle_connections: forward.idle_connections,
        method: forward.method,
        version: forward.version,
        keep_alive: forward.keep_alive,
        websocket: forward.websocket,
        grant: forward.grant,
        expects_continue: forward.expects_continue,
        request_id,
        trace: forward.trace,
    })
}
