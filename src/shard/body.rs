//! The body of one message on its way through, in either direction: taken from the sender's framing, put into
//! the receiver's, in the buffer that it arrived in.
//!
//! Pure: the connection reads into a buffer, [`Body::pass`] rewrites its content, the connection writes it.

use std::sync::Arc;

use super::buffer::Buffer;
use crate::{
    policy::trailer_passes,
    protocol::{
        h1::{CHUNK_HEADER_MAX, Decoder, parse_trailers, write_chunk_header},
        http::BodyLength,
    },
    snapshot::NameSet,
    types::Reason,
};

enum Source {
    Nothing,
    Fixed(u64),
    Chunked(Decoder),
    UntilClose,
}

/// A body, and how much of it has passed.
pub(super) struct Body {
    source: Source,
    /// Whether the receiver gets chunks (RFC 9112 §7.1); otherwise it gets the bytes as they are.
    to_chunks: bool,
    /// The last piece was passed.
    over: bool,
    /// What ends the chunks did not fit behind the last piece.
    end_is_due: bool,
    passed: u64,
    limit: u64,
    trailers: Vec<u8>,
    /// Fields that a trailer section may not hold either.
    stripped: Option<Arc<NameSet>>,
}

impl Body {
    /// A body of this length that may have at most `limit` bytes.
    pub(super) fn new(length: BodyLength, to_chunks: bool, limit: u64) -> Self {
        let (source, over) = match length {
            BodyLength::None | BodyLength::Fixed(0) => (Source::Nothing, true),
            BodyLength::Fixed(bytes) => (Source::Fixed(bytes), false),
            BodyLength::Chunked => (Source::Chunked(Decoder::new()), false),
            BodyLength::UntilClose => (Source::UntilClose, false),
        };
        Self {
            source,
            to_chunks,
            over,
            end_is_due: false,
            passed: 0,
            limit,
            trailers: Vec::new(),
            stripped: None,
        }
    }

    /// Takes these fields out of the trailer section.
    pub(super) fn strip(&mut self, names: Arc<NameSet>) {
        self.stripped = Some(names);
    }

    /// Whether nothing more has to be read or written.
    pub(super) fn is_done(&self) -> bool {
        self.over && !self.end_is_due
    }

    /// Bytes that are known to come.
    pub(super) fn expects_at_least(&self) -> u64 {
        if let Source::Fixed(left) = self.source { left } else { 0 }
    }

    /// Rewrites what was received into what is sent on. Bytes behind the message's end come back.
    pub(super) fn pass(&mut self, buffer: &mut Buffer) -> Result<Option<Buffer>, Reason> {
        let beyond = match &mut self.source {
            Source::Nothing => buffer.split_off(0),
            Source::UntilClose => None,
            Source::Fixed(left) => {
                let here = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                *left -= here as u64;
                self.over = *left == 0;
                buffer.split_off(here)
            }
            Source::Chunked(decoder) => {
                let decoded = decoder.decode(buffer.filled_mut(), &mut self.trailers)?;
                self.over = decoded.end;
                let beyond = if decoded.end { buffer.split_off(decoded.consumed) } else { None };
                buffer.truncate(decoded.data);
                beyond
            }
        };
        self.passed += buffer.len() as u64;
        if self.passed > self.limit {
            return Err(Reason::BodyTooLarge);
        }
        if self.to_chunks && !matches!(self.source, Source::Nothing) {
            self.put_into_chunk(buffer);
        }
        Ok(beyond)
    }

    fn put_into_chunk(&mut self, buffer: &mut Buffer) {
        if !buffer.is_empty() {
            let mut header = [0; CHUNK_HEADER_MAX];
            let length = write_chunk_header(buffer.len(), &mut header);
            let fits = buffer.prepend(&header[..length]) && buffer.append(b"\r\n");
            debug_assert!(fits, "headroom and tailroom hold what surrounds a chunk");
        }
        if self.over {
            self.end_is_due = true;
            self.put_end(buffer);
        }
    }

    /// Appends what ends the chunks, if there is room; otherwise it stays due.
    pub(super) fn put_end(&mut self, buffer: &mut Buffer) {
        if !self.end_is_due {
            return;
        }
        if self.trailers.is_empty() {
            self.end_is_due = !buffer.append(b"0\r\n\r\n");
            return;
        }
        let mut end = b"0\r\n".to_vec();
        for field in parse_trailers(&self.trailers) {
            if trailer_passes(&field, |name| self.stripped.as_ref().is_some_and(|names| names.contains(name)))
            {
                end.extend_from_slice(field.name);
                end.extend_from_slice(b": ");
                end.extend_from_slice(field.value);
                end.extend_from_slice(b"\r\n");
            }
        }
        end.extend_from_slice(b"\r\n");
        self.end_is_due = !buffer.append(&end);
    }

    /// Whether only what ends the chunks is left to write, into an empty buffer.
    pub(super) fn end_is_due(&self) -> bool {
        self.end_is_due
    }

    /// The sender has ended the connection in order. Only a body that is delimited by that is whole then
    /// (RFC 9112 §6.3, §8).
    pub(super) fn sender_ended(&mut self) -> Result<(), Cut> {
        match self.source {
            Source::UntilClose => {
                self.over = true;
                self.end_is_due = self.to_chunks;
                Ok(())
            }
            _ => Err(Cut),
        }
    }
}

/// The message stopped before its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut;

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
