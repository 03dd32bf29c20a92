//! Field lines (RFC 9112 §5): their grammar, and what a proxy must know of them, in one pass.
//!
//! It fills the table and gathers framing, `Host`, `Connection`, `Expect` and `Upgrade`; judging these together
//! is left to `request` and `response`. Trailers use the same grammar.

use crate::limits::{CONNECTION_OPTIONS_MAX, FIELD_NAME_BYTES_MAX};
use crate::protocol::http::{Class, Connection, Field, FieldTable, Framing, HeadLimits, Kind, Version};
use crate::protocol::http::{elements, is, is_disguised, span};
use crate::types::Reason;

/// A field that at most one line may carry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Single<'b> {
    value: Option<&'b [u8]>,
    repeated: bool,
}

impl<'b> Single<'b> {
    fn take(&mut self, value: &'b [u8]) {
        self.repeated |= self.value.is_some();
        self.value = Some(value);
    }

    /// The value, or nothing; an error if there were two.
    pub(super) fn once(self) -> Result<Option<&'b [u8]>, Repeated> {
        if self.repeated { Err(Repeated) } else { Ok(self.value) }
    }
}

/// More than one line carried the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated;

/// What the field lines say about the message and the connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen<'b> {
    connection_options: usize,
    pub(super) framing: Framing,
    pub(super) connection: Connection,
    pub(super) host: Single<'b>,
    pub(super) expect: Single<'b>,
    upgrade: Single<'b>,
}

impl<'b> Seen<'b> {
    /// `Upgrade`, where it counts: named by `Connection` and not in 1.0 (RFC 9110 §7.8). A repeated one is
    /// ignored, as any may be.
    #[inline]
    pub(super) fn upgrade(&self, version: Version) -> Option<&'b [u8]> {
        let counts = self.connection.upgrade && version == Version::Http11;
        if counts { self.upgrade.once().ok().flatten() } else { None }
    }

    #[inline]
    fn take(&mut self, kind: Kind, name: &[u8], value: &'b [u8]) -> Result<(), Reason> {
        match kind {
            Kind::Other if is_disguised(name) => self.framing.doubt(),
            Kind::Host => self.host.take(value),
            Kind::ContentLength => self.framing.content_length(value),
            Kind::TransferEncoding => self.framing.transfer_encoding(value),
            Kind::Connection => self.options(value)?,
            Kind::Expect => self.expect.take(value),
            Kind::Upgrade => self.upgrade.take(value),
            // Every other kind is for later stages to judge.
            _ => {}
        }
        Ok(())
    }

    /// RFC 9110 §7.6.1: a list of tokens.
    fn options(&mut self, value: &[u8]) -> Result<(), Reason> {
        for option in elements(value) {
            if span(option, Class::Token) != option.len() {
                return Err(Reason::FieldInvalid);
            }
            self.connection_options += 1;
            if self.connection_options > CONNECTION_OPTIONS_MAX {
                return Err(Reason::FieldInvalid); // each is compared with every field
            }
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.connection.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.connection.upgrade = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.connection.keep_alive = true,
                _ => self.connection.others = true,
            }
        }
        Ok(())
    }
}

/// Reads the field lines of `head` from `start` to its empty line, which must be its end.
///
/// `head` is at most `HEAD_BYTES_MAX` long: the caller saw to it.
#[inline]
pub(super) fn parse_fields<'b>(
    head: &'b [u8],
    start: usize,
    limits: &HeadLimits,
    table: &mut FieldTable,
) -> Result<Seen<'b>, Reason> {
    let mut seen = Seen::default();
    let mut rest = head.get(start..).unwrap_or_default();
    table.restart();
    while rest != b"\r\n" {
        let line = Line::parse(rest)?;
        let at = head.len() - rest.len();
        let kind = Kind::of(line.name);
        if table.len() >= limits.headers || !table.push(line.field(at, kind)) {
            return Err(Reason::HeadTooLarge);
        }
        seen.take(kind, line.name, line.value)?;
        rest = line.rest;
    }
    Ok(seen)
}

/// One field line, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'b> {
    pub(super) name: &'b [u8],
    pub(super) value: &'b [u8],
    /// What stands between the colon and the value, and the colon.
    gap: usize,
    /// What follows the line.
    pub(super) rest: &'b [u8],
}

impl<'b> Line<'b> {
    /// `name ":" OWS value OWS CRLF` (RFC 9112 §5): no whitespace in front of the colon (§5.1), no folding (§5.2).
    #[inline]
    pub(super) fn parse(bytes: &'b [u8]) -> Result<Self, Reason> {
        let invalid = Reason::FieldInvalid;
        let (name, after) = bytes.split_at_checked(span(bytes, Class::Token)).ok_or(invalid)?;
        if name.is_empty() || after.first() != Some(&b':') {
            return Err(invalid);
        }
        if name.len() > FIELD_NAME_BYTES_MAX {
            return Err(Reason::HeadTooLarge);
        }
        let gap = 1 + after.iter().skip(1).take_while(|&&byte| is_space(byte)).count();
        let (value, rest) =
            after.get(gap..).and_then(|bytes| bytes.split_at_checked(value_span(bytes))).ok_or(invalid)?;
        let rest = rest.strip_prefix(b"\r\n").ok_or(invalid)?;
        Ok(Self { name, value: trim_end(value), gap, rest })
    }

    #[inline]
    fn field(&self, at: usize, kind: Kind) -> Field {
        let name_end = at + self.name.len();
        let value = name_end + self.gap;
        let position = |at: usize| at as u16;
        Field {
            name: position(at),
            name_end: position(name_end),
            value: position(value),
            value_end: position(value + self.value.len()),
            kind,
        }
    }
}

#[inline(always)]
fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[inline]
fn trim_end(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// How many bytes at the front may stand in a field value (RFC 9110 §5.5), eight at a time.
#[inline]
pub(super) fn value_span(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // The lowest high bit set marks the first byte below SP, or DEL: borrows only disturb what is above it.
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let deletes = (word ^ (ONES * 0x7F)).wrapping_sub(ONES) & !(word ^ (ONES * 0x7F));
        let found = (controls | deletes) & HIGH;
        if found != 0 {
            at += (found.trailing_zeros() / 8) as usize;
            break;
        }
        at += 8;
    }
    // HTAB stopped it, or fewer than eight bytes are left.
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| is(byte, Class::Value)).count()
}
