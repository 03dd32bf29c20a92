//! What the API and the caller get to see of each other's fields.
//!
//! Field by field: what belongs to one connection ends here (RFC 9110 §7.6.1), what a caller may not say is
//! taken out, what the operator wants said is put in. Framing is not decided here: the shard writes
//! `Content-Length` or `Transfer-Encoding` itself.

use super::Permit;
use crate::protocol::http::{FieldRef, Kind, RequestHead, ResponseHead, Version};

/// Takes the fields of a head that is being written.
pub trait FieldSink {
    /// One field.
    fn field(&mut self, name: &[u8], value: &[u8]);
    /// One field whose value has parts.
    fn field_parts(&mut self, name: &[u8], parts: &[&[u8]]);
    /// Fields that are lines already.
    fn lines(&mut self, lines: &[u8]);
}

/// What is known of a caller besides its request.
#[derive(Debug, Clone, Copy)]
pub struct CallerFacts<'a> {
    /// Its address, as text.
    pub address: &'a [u8],
    /// The scheme that it used.
    pub scheme: &'a [u8],
    /// The host that it asked for.
    pub host: Option<&'a [u8]>,
    /// The number of this request.
    pub request_id: &'a [u8],
}

/// Writes the fields of a request to the API, without framing and without `Host`.
pub fn write_request_fields(
    permit: &Permit<'_, '_>,
    head: &RequestHead<'_>,
    caller: &CallerFacts<'_>,
    sink: &mut impl FieldSink,
) {
    let stripped = &permit.proxy().stripped;
    for field in head.fields.iter() {
        if request_field_passes(head, &field) && !stripped.contains(field.name) {
            sink.field(field.name, field.value);
        }
    }
    // RFC 9110 §7.6.3: the version that was received, and a name.
    let via: &[u8] = match head.version {
        Version::Http11 => b"1.1 keyferry",
        Version::Http10 => b"1.0 keyferry",
    };
    sink.field(b"Via", via);
    if !permit.is_preflight() {
        sink.lines(permit.proxy().injected.expose());
    }
    if let Some(credential) = permit.identity().credential() {
        sink.lines(&credential.identity);
    }
    sink.field(b"X-Request-Id", caller.request_id);
    sink.field(b"X-Forwarded-For", caller.address);
    sink.field(b"X-Forwarded-Proto", caller.scheme);
    if let Some(host) = caller.host {
        sink.field(b"X-Forwarded-Host", host);
    }
}

#[inline]
fn request_field_passes(head: &RequestHead<'_>, field: &FieldRef<'_>) -> bool {
    match field.kind {
        Kind::ContentLength | Kind::Host => false,
        // RFC 9110 §10.1.1: the expectation goes on to the API, whose 100 comes back.
        Kind::Expect => head.expects_continue,
        kind => !kind.is_hop_by_hop() && !head.is_nominated(field.name),
    }
}

/// Writes the fields of a response to the caller, without framing.
pub fn write_response_fields(head: &ResponseHead<'_>, sink: &mut impl FieldSink) {
    for field in head.fields.iter() {
        if response_field_passes(head, &field) {
            sink.field(field.name, field.value);
        }
    }
}

/// Whether a field of a response goes to the caller.
#[inline]
pub fn response_field_passes(head: &ResponseHead<'_>, field: &FieldRef<'_>) -> bool {
    match field.kind {
        Kind::ContentLength => false,
        // A challenge for a proxy on the way is not the API's to send through a gateway, but callers of an API
        // that does would miss it: it is dropped with the other fields of one connection.
        kind => !kind.is_hop_by_hop() && !head.is_nominated(field.name),
    }
}

/// Whether a field of a trailer section goes on: never one that frames, routes, authenticates or controls the
/// connection (RFC 9110 §6.5.1), and never one that a head could not have carried.
pub fn trailer_passes(field: &FieldRef<'_>, stripped: impl Fn(&[u8]) -> bool) -> bool {
    let refused = field.kind.is_framing()
        || field.kind.is_hop_by_hop()
        || matches!(
            field.kind,
            Kind::Authorization
                | Kind::Cookie
                | Kind::SetCookie
                | Kind::WwwAuthenticate
                | Kind::Expect
                | Kind::Via
                | Kind::Forwarded
                | Kind::Trailer
                | Kind::Location
                | Kind::ContentType
        );
    !refused && !stripped(field.name)
}
