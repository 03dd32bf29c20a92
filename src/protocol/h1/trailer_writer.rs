//! The trailer section while it is decoded (RFC 9112 §7.1.2): byte by byte into `Name: value` lines.
//!
//! It holds trailers to the grammar of fields and to their bounds, and drops those that would decide framing or
//! routing or concern one connection only (RFC 9110 §6.5.1). Only `Decoder` uses it; which of the others are
//! forwarded is decided later.

use crate::limits::{FIELD_NAME_BYTES_MAX, TRAILER_BYTES_MAX, TRAILERS_MAX};
use crate::protocol::http::{Class, Kind, is, is_disguised};

/// Where in the caller's vector the current line stands, and what was spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrailerWriter {
    name: u32,
    value: u32,
    bytes: u16,
    fields: u16,
}

const _: () = assert!(TRAILER_BYTES_MAX < u16::MAX as usize && FIELD_NAME_BYTES_MAX < TRAILER_BYTES_MAX);

impl TrailerWriter {
    pub(super) const fn new() -> Self {
        Self { name: 0, value: 0, bytes: 0, fields: 0 }
    }

    /// The first byte of a line. As every step: `false` if the byte, or one more, is refused.
    pub(super) fn start(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        self.fields += 1;
        self.name = out.len() as u32;
        usize::from(self.fields) <= TRAILERS_MAX && self.name(byte, out)
    }

    pub(super) fn name(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        let fits = out.len().saturating_sub(self.name as usize) < FIELD_NAME_BYTES_MAX;
        fits && is(byte, Class::Token) && self.push(byte, out)
    }

    pub(super) fn colon(&mut self, out: &mut Vec<u8>) -> bool {
        let whole = self.push(b':', out) && self.push(b' ', out);
        self.value = out.len() as u32;
        whole
    }

    /// A byte of the value or of the whitespace around it, which is counted but not kept in front.
    pub(super) fn value(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        let leading = out.len() <= self.value as usize && matches!(byte, b' ' | b'\t');
        if leading { self.charge() } else { is(byte, Class::Value) && self.push(byte, out) }
    }

    /// The end of the line: whitespace behind the value goes, and so does the line if no trailer may have its name.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> bool {
        while out.len() > self.value as usize && matches!(out.last(), Some(b' ' | b'\t')) {
            out.pop();
        }
        let colon = (self.value as usize).saturating_sub(2);
        let name = out.get(self.name as usize..colon).unwrap_or_default();
        let kind = Kind::of(name);
        if kind.is_framing() || kind.is_hop_by_hop() || is_disguised(name) {
            out.truncate(self.name as usize);
            return true;
        }
        self.push(b'\r', out) && self.push(b'\n', out)
    }

    fn push(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        let fits = self.charge();
        if fits {
            out.push(byte);
        }
        fits
    }

    fn charge(&mut self) -> bool {
        self.bytes += 1;
        usize::from(self.bytes) <= TRAILER_BYTES_MAX
    }
}
