//! Heads as every later stage sees them: parsed, judged, borrowed from the bytes received.
//!
//! `h1::parse_request` and `h1::parse_response` make them; nothing else should. A head is evidence that its
//! framing is beyond doubt and that each part has the grammar of its RFC.

use super::{BodyLength, Fields, Kind, Method, Target};
use crate::limits::{HEAD_BYTES_DEFAULT, HEADERS_DEFAULT, TARGET_BYTES_DEFAULT};

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Bounds on one head, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub head_bytes: usize,
    /// Number of fields.
    pub headers: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes: HEAD_BYTES_DEFAULT, headers: HEADERS_DEFAULT, target_bytes: TARGET_BYTES_DEFAULT }
    }
}

/// The options seen in `Connection` (RFC 9110 §7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connection {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// Something else: the name of a field that ends here.
    pub others: bool,
}

impl Connection {
    /// Whether the connection persists after this exchange (RFC 9112 §9.3).
    pub(crate) const fn persists(self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}

/// A request head.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'b> {
    /// The method.
    pub method: Method,
    /// The method as received: what is forwarded.
    pub method_bytes: &'b [u8],
    /// The request target.
    pub target: Target<'b>,
    /// The version.
    pub version: Version,
    /// The fields.
    pub fields: Fields<'b>,
    /// The authority asked for, valid; the same in target and `Host` where both say it.
    pub host: Option<&'b [u8]>,
    /// How long the body is.
    pub body: BodyLength,
    /// The connection options.
    pub connection: Connection,
    /// Whether the caller waits for `100 Continue` before it sends its body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The value of `Upgrade`, when `Connection` names it and the version is 1.1 (RFC 9110 §7.8).
    pub upgrade: Option<&'b [u8]>,
    /// Whether the connection persists after this exchange (RFC 9112 §9.3).
    pub keep_alive: bool,
}

impl RequestHead<'_> {
    /// Whether `Connection` names this field, which then ends here (RFC 9110 §7.6.1). Never true of a framing field.
    #[inline]
    pub fn is_nominated(&self, name: &[u8]) -> bool {
        nominated(self.connection, &self.fields, name)
    }
}

/// A response head.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'b> {
    /// The version.
    pub version: Version,
    /// The status code, 100 to 599.
    pub status: u16,
    /// The reason phrase as received, possibly empty.
    pub reason: &'b [u8],
    /// The fields.
    pub fields: Fields<'b>,
    /// How long the body is.
    pub body: BodyLength,
    /// The connection options.
    pub connection: Connection,
    /// Whether the connection can be used for another exchange.
    pub keep_alive: bool,
    /// The value of `Upgrade`, when `Connection` names it and the version is 1.1.
    pub upgrade: Option<&'b [u8]>,
}

impl ResponseHead<'_> {
    /// Whether another head follows for the same request; 101 is the last one (RFC 9110 §15.2).
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether `Connection` names this field, which then ends here (RFC 9110 §7.6.1). Never true of a framing field.
    #[inline]
    pub fn is_nominated(&self, name: &[u8]) -> bool {
        nominated(self.connection, &self.fields, name)
    }
}

#[inline]
fn nominated(connection: Connection, fields: &Fields<'_>, name: &[u8]) -> bool {
    if !connection.others {
        // `keep-alive` and `upgrade` name fields that never go on in any case.
        return connection.close && name.eq_ignore_ascii_case(b"close");
    }
    // What frames and routes the message is not the caller's to take away.
    if Kind::of(name).is_framing() {
        return false;
    }
    fields
        .of(Kind::Connection)
        .flat_map(|field| elements(field.value))
        .any(|option| option.eq_ignore_ascii_case(name))
}

/// The elements of a comma-separated list, without whitespace around them and without empty ones (RFC 9110 §5.6.1).
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Takes optional whitespace off both ends (RFC 9110 §5.6.3).
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
