//! From the API's head to the caller's: parsed, rewritten in front of what came of the body, in one step
//! without waiting.

use super::Failure;
use crate::{
    limits::{HEAD_BYTES_MAX, HEADERS_MAX},
    policy::write_response_fields,
    protocol::{
        h1::{HeadWriter, parse_response},
        http::{BodyLength, HeadLimits, Kind, Method, ResponseHead, Version},
    },
    shard::{
        body::Body,
        buffer::{Buffer, Class},
        connection::{Connection, Fields, Forward},
        state::DATE_BYTES,
    },
    types::Reason,
};

/// Bounds on the head of a response: the ceilings, since the API is the operator's own choice.
const LIMITS: HeadLimits =
    HeadLimits { head_bytes: HEAD_BYTES_MAX, headers: HEADERS_MAX, target_bytes: HEAD_BYTES_MAX };

/// What a head of the API means.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives for one step and the large variant is the ordinary one"
)]
pub(super) enum Step {
    /// It is followed by another one; `head` is empty when the caller does not understand it.
    Interim { head: Buffer },
    /// The connection is something else from here on.
    Switch { head: Buffer },
    /// It is the answer: the buffer now holds the caller's head and what came of the body.
    Final(Final),
}

/// The answer's properties.
pub(super) struct Final {
    /// What is still to come.
    pub(super) body: Body,
    /// Whether the API lets its connection be used again.
    pub(super) upstream_keeps: bool,
    /// Whether the caller was told that its connection is kept.
    pub(super) caller_keeps: bool,
}

/// Translates the head at the front of `response`.
pub(super) fn translate(
    connection: &Connection,
    exchange: &Forward,
    response: &mut Buffer,
    head_bytes: usize,
    request_sent: bool,
) -> Result<Step, Failure> {
    let shard = &connection.shard;
    let date = shard.date();
    let may_keep = exchange.keep_alive && request_sent && !shard.is_draining();
    let made = shard.with_scratch(|_, scratch| {
        let bytes = &response.filled()[..head_bytes];
        let head = parse_response(bytes, exchange.method, &LIMITS, &mut scratch.table)?;
        write(&head, exchange, may_keep, &date, &mut scratch.head)
    });
    let Made { length, kind } = made.map_err(Failure::Final)?;
    response.consume(head_bytes);
    let head = || {
        let mut buffer = Buffer::take(Class::holding(length).unwrap_or(Class::Large));
        let fits = shard.with_scratch(|_, scratch| buffer.append(&scratch.head[..length]));
        debug_assert!(fits, "a head fits the class that holds it");
        buffer
    };
    match kind {
        Meaning::Interim => Ok(Step::Interim { head: head() }),
        Meaning::Switch => Ok(Step::Switch { head: head() }),
        Meaning::Answer { mut body, mut upstream_keeps, caller_keeps } => {
            // Bytes behind the end belong to nobody: they are dropped here, and the connection after use.
            upstream_keeps &=
                body.pass(response).map_err(|_| Failure::Final(Reason::ResponseInvalid))?.is_none();
            let content = std::mem::replace(response, Buffer::none());
            let whole = shard.with_scratch(|_, scratch| content.with_head(&scratch.head[..length]));
            *response = whole.ok_or(Failure::Final(Reason::ResponseInvalid))?;
            Ok(Step::Final(Final { body, upstream_keeps, caller_keeps }))
        }
    }
}

/// A head that was written to the scratch memory.
struct Made {
    length: usize,
    kind: Meaning,
}

#[allow(
    clippy::large_enum_variant,
    reason = "it lives for one step and the large variant is the ordinary one"
)]
enum Meaning {
    Interim,
    Switch,
    Answer { body: Body, upstream_keeps: bool, caller_keeps: bool },
}

fn write(
    head: &ResponseHead<'_>,
    exchange: &Forward,
    may_keep: bool,
    date: &[u8; DATE_BYTES],
    out: &mut [u8],
) -> Result<Made, Reason> {
    let mut writer = HeadWriter::new(out);
    if !head.is_interim() {
        exchange.trace.set_status(head.status);
    }
    let kind = if head.is_interim() {
        write_interim(head, exchange, &mut writer);
        Meaning::Interim
    } else if head.status == 101 {
        write_switch(head, exchange, &mut writer)?;
        Meaning::Switch
    } else {
        write_answer(head, exchange, may_keep, date, &mut writer)
    };
    let length = writer.finish().map_err(|_| Reason::ResponseInvalid)?;
    Ok(Made { length, kind })
}

/// An HTTP/1.0 caller does not know interim responses (RFC 9110 §15.2): it gets nothing of it.
fn write_interim(head: &ResponseHead<'_>, exchange: &Forward, writer: &mut HeadWriter<'_>) {
    if exchange.version == Version::Http11 {
        writer.status_line(head.status, head.reason);
        write_response_fields(head, &mut Fields(writer));
        writer.end();
    }
}

/// Only to what was asked for and is tunnelled (RFC 9110 §7.8, §15.2.2).
fn write_switch(
    head: &ResponseHead<'_>,
    exchange: &Forward,
    writer: &mut HeadWriter<'_>,
) -> Result<(), Reason> {
    let agreed = head.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    if !exchange.websocket || !agreed {
        return Err(Reason::ResponseInvalid);
    }
    writer.status_line(head.status, head.reason);
    write_response_fields(head, &mut Fields(writer));
    writer.raw(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
    writer.end();
    Ok(())
}

fn write_answer(
    head: &ResponseHead<'_>,
    exchange: &Forward,
    may_keep: bool,
    date: &[u8; DATE_BYTES],
    writer: &mut HeadWriter<'_>,
) -> Meaning {
    writer.status_line(head.status, head.reason);
    write_response_fields(head, &mut Fields(writer));
    if head.fields.count(Kind::Date) == 0 {
        writer.field(b"Date", date); // RFC 9110 §6.6.1
    }
    let streams = matches!(head.body, BodyLength::Chunked | BodyLength::UntilClose);
    let to_chunks = streams && exchange.version == Version::Http11;
    match head.body {
        BodyLength::Fixed(length) => writer.number(b"Content-Length", length),
        BodyLength::None => write_bodiless_length(head, exchange.method, writer),
        BodyLength::Chunked | BodyLength::UntilClose if to_chunks => {
            writer.raw(b"Transfer-Encoding: chunked\r\n")
        }
        BodyLength::Chunked | BodyLength::UntilClose => {}
    }
    let caller_keeps = may_keep && (!streams || to_chunks);
    match (caller_keeps, exchange.version) {
        (false, _) => writer.raw(b"Connection: close\r\n"),
        (true, Version::Http10) => writer.raw(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    writer.end();
    Meaning::Answer {
        body: Body::new(head.body, to_chunks, u64::MAX),
        upstream_keeps: head.keep_alive,
        caller_keeps,
    }
}

/// HEAD and 304 tell how long the body would be; 204 must not (RFC 9110 §8.6).
fn write_bodiless_length(head: &ResponseHead<'_>, method: Method, writer: &mut HeadWriter<'_>) {
    if (method == Method::Head || head.status == 304)
        && let Some(length) = head.fields.first(Kind::ContentLength)
    {
        writer.field(b"Content-Length", length.value);
    }
}
