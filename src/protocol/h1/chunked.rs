//! Chunked bodies (RFC 9112 §7.1): a decoder that works in place, and the writer of chunk headers.
//!
//! It takes any split of the input and allocates nothing but room for trailers in the caller's vector, which is
//! bounded. Extensions are checked and dropped. Every line end is CRLF, there is no whitespace anywhere, and the
//! first byte that breaks the grammar ends it for good.
//!
//! ```text
//!  Size ─;→ ExtensionName ─=→ ExtensionValue → ExtensionToken | Quoted ⇄ Escaped → QuotedEnd
//!    └──────────────┴───────────── CR ─────────────┴───────────────────────────────┘
//!                                  ↓
//!                 Size ←─ LF ─ DataLf ←─ CR ─ DataCr ←─ Data ←─ LF (size > 0) ─ SizeLf
//!                                                                                 │ LF (size = 0)
//!       TrailerName ─:→ TrailerValue ─CR→ TrailerLf ─LF→ TrailerStart ←───────────┘
//!            └───────────────────── token ───────────────────┴─ CR → EndLf ─LF→ End
//! ```

use super::trailer_writer::TrailerWriter;
use crate::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_OVERHEAD_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX};
use crate::protocol::http::{Class, is};
use crate::types::Reason;

/// Length of the longest chunk header: the digits of any length and CRLF.
pub const CHUNK_HEADER_MAX: usize = CHUNK_SIZE_DIGITS_MAX + 2;

/// What ends a chunked body that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Bytes that a chunk may spend on its size line without being charged: all digits, and both line ends.
const CHUNK_FREE_BYTES: u64 = CHUNK_SIZE_DIGITS_MAX as u64 + 4;

/// What one call made of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes at the front are now data.
    pub data: usize,
    /// How many bytes of input were taken: all of them, unless `end`.
    pub consumed: usize,
    /// Whether the body is over; what lies behind `consumed` was not moved and belongs to the next message.
    pub end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    ExtensionName { empty: bool },
    ExtensionValue,
    ExtensionToken,
    Quoted,
    Escaped,
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
    Broken,
}

/// The state of one chunked body.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    /// Digits in the current size line.
    digits: u8,
    /// Bytes of extensions in the current size line.
    extension: u16,
    /// Bytes of size lines beyond what the data so far allows.
    excess: u32,
    /// The size while it is read, then the data of the chunk still to come.
    remaining: u64,
    trailer: TrailerWriter,
}

impl Decoder {
    /// At the start of a body.
    pub const fn new() -> Self {
        Self {
            state: State::Size,
            digits: 0,
            extension: 0,
            excess: 0,
            remaining: 0,
            trailer: TrailerWriter::new(),
        }
    }

    /// Takes the next bytes of the body and moves the data among them together at the front.
    ///
    /// Trailers are appended to `trailers` as `Name: value` lines; leave it alone until `end`.
    pub fn decode(&mut self, bytes: &mut [u8], trailers: &mut Vec<u8>) -> Result<Decoded, Reason> {
        let (mut read, mut data) = (0, 0);
        while self.state != State::End {
            if self.state == State::Data {
                let taken = self.take_data(bytes, read, data);
                read += taken;
                data += taken;
            }
            let Some(&byte) = bytes.get(read) else { break };
            read += 1;
            let Some(next) = self.step(byte, trailers) else {
                self.state = State::Broken;
                return Err(Reason::ChunkInvalid);
            };
            self.state = next;
        }
        Ok(Decoded { data, consumed: read, end: self.state == State::End })
    }

    /// Moves what there is of the chunk's data from `from` to `to`, and leaves `Data` when that is all of it.
    #[inline]
    fn take_data(&mut self, bytes: &mut [u8], from: usize, to: usize) -> usize {
        let there = bytes.len() - from;
        let taken = usize::try_from(self.remaining).map_or(there, |remaining| remaining.min(there));
        if from != to {
            bytes.copy_within(from..from + taken, to);
        }
        self.remaining -= taken as u64;
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    /// The state after `byte`; `None` if the grammar has none.
    #[inline]
    fn step(&mut self, byte: u8, trailers: &mut Vec<u8>) -> Option<State> {
        match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (State::Size, _) if self.digits == 0 => None,
            (State::Size, b'\r') => Some(State::SizeLf),
            (State::Size, b';') => self.extension(State::ExtensionName { empty: true }),
            (
                State::ExtensionName { .. }
                | State::ExtensionValue
                | State::ExtensionToken
                | State::Quoted
                | State::Escaped
                | State::QuotedEnd,
                _,
            ) => extension_step(self.state, byte).and_then(|next| self.extension(next)),
            (State::SizeLf, b'\n') => self.size_line_end(),
            (State::DataCr, b'\r') => Some(State::DataLf),
            (State::DataLf, b'\n') => Some(State::Size),
            (State::TrailerStart, b'\r') => Some(State::EndLf),
            (State::TrailerStart, _) => self.trailer.start(byte, trailers).then_some(State::TrailerName),
            (State::TrailerName, b':') => self.trailer.colon(trailers).then_some(State::TrailerValue),
            (State::TrailerName, _) => self.trailer.name(byte, trailers).then_some(State::TrailerName),
            (State::TrailerValue, b'\r') => Some(State::TrailerLf),
            (State::TrailerValue, _) => self.trailer.value(byte, trailers).then_some(State::TrailerValue),
            (State::TrailerLf, b'\n') => self.trailer.end(trailers).then_some(State::TrailerStart),
            (State::EndLf, b'\n') => Some(State::End),
            _ => None,
        }
    }

    /// `chunk-size = 1*HEXDIG`, at most 16 of them, so that the size always fits.
    fn digit(&mut self, byte: u8) -> Option<State> {
        let digit = (byte as char).to_digit(16)?;
        self.digits += 1;
        self.remaining = self.remaining << 4 | u64::from(digit);
        (usize::from(self.digits) <= CHUNK_SIZE_DIGITS_MAX).then_some(State::Size)
    }

    /// RFC 9112 §7.1.1: the bytes of extensions are bounded in each line.
    fn extension(&mut self, next: State) -> Option<State> {
        self.extension += 1;
        (usize::from(self.extension) <= CHUNK_EXTENSION_BYTES_MAX).then_some(next)
    }

    /// Charges the line against its data, so that size lines alone cannot keep a body alive.
    fn size_line_end(&mut self) -> Option<State> {
        let line = u64::from(self.digits) + u64::from(self.extension) + 4;
        let excess =
            (u64::from(self.excess) + line).saturating_sub(self.remaining.saturating_add(CHUNK_FREE_BYTES));
        self.excess = u32::try_from(excess).ok()?;
        (self.digits, self.extension) = (0, 0);
        if excess > CHUNK_OVERHEAD_BYTES_MAX as u64 {
            return None;
        }
        Some(if self.remaining == 0 { State::TrailerStart } else { State::Data })
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )` without the whitespace that RFC 9112 §7.1.1 calls bad.
fn extension_step(state: State, byte: u8) -> Option<State> {
    let more = |byte| match byte {
        b';' => Some(State::ExtensionName { empty: true }),
        b'\r' => Some(State::SizeLf),
        _ => None,
    };
    match (state, byte) {
        (State::ExtensionName { .. }, _) if is(byte, Class::Token) => {
            Some(State::ExtensionName { empty: false })
        }
        (State::ExtensionName { empty: false }, b'=') => Some(State::ExtensionValue),
        (State::ExtensionName { empty: false }, _) => more(byte),
        (State::ExtensionValue, b'"') => Some(State::Quoted),
        (State::ExtensionValue | State::ExtensionToken, _) if is(byte, Class::Token) => {
            Some(State::ExtensionToken)
        }
        (State::ExtensionToken | State::QuotedEnd, _) => more(byte),
        (State::Quoted, b'"') => Some(State::QuotedEnd),
        (State::Quoted, b'\\') => Some(State::Escaped),
        (State::Quoted | State::Escaped, _) if is(byte, Class::Value) => Some(State::Quoted),
        _ => None,
    }
}

/// Writes the header of a chunk of `length` bytes to the front of `out`, and says how long it is.
///
/// Not for a length of zero: that would end the body.
pub fn write_chunk_header(length: usize, out: &mut [u8; CHUNK_HEADER_MAX]) -> usize {
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1) as usize;
    let hex = |place: usize| b"0123456789abcdef".get(length >> (4 * place) & 15).copied().unwrap_or(b'0');
    let places = (0..digits).rev().map(hex).chain(*b"\r\n");
    out.iter_mut().zip(places).for_each(|(slot, byte)| *slot = byte);
    digits + 2
}
