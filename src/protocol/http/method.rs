//! Request methods (RFC 9110 §9).
//!
//! Only what changes how a message is read or retried has a name; every other token is `Other`.

use super::{Class, span};
use crate::limits::METHOD_BYTES_MAX;

/// A request method. Names are case-sensitive: `get` is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`: the answer has no body.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`: the only one that may be asked of `*`.
    Options,
    /// `PATCH`.
    Patch,
    /// `TRACE`: refused.
    Trace,
    /// `CONNECT`: not implemented.
    Connect,
    /// Any other token.
    Other,
}

impl Method {
    /// Reads a method; `None` if it is no token or longer than `METHOD_BYTES_MAX`.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => return Self::other(bytes),
        })
    }

    fn other(bytes: &[u8]) -> Option<Self> {
        let fits = (1..=METHOD_BYTES_MAX).contains(&bytes.len());
        (fits && span(bytes, Class::Token) == bytes.len()).then_some(Self::Other)
    }

    /// Whether the same request sent twice asks for no more than sent once (RFC 9110 §9.2.2).
    pub const fn is_idempotent(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace => true,
            Self::Post | Self::Patch | Self::Connect | Self::Other => false,
        }
    }

    /// Whether the request asks for no change at all (RFC 9110 §9.2.1).
    pub const fn is_safe(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options | Self::Trace => true,
            Self::Post | Self::Put | Self::Delete | Self::Patch | Self::Connect | Self::Other => false,
        }
    }
}
