//! Whether a segment could turn into `.` or `..` in a server that reads it less carefully than we do.
//!
//! It decodes to any depth, takes decoded `/` and `\` for separators, and drops parameters. It changes nothing;
//! `path` asks it about every segment that is not plain. Linear time, and a stack of fixed size: what nests deeper
//! than that is refused, since nobody writes it in good faith.

use super::path::hex;
use crate::types::Reason;

/// Undecoded bytes that may be pending: 14 levels of an encoded digit within an encoded digit.
const PENDING_MAX: usize = 32;

/// A segment as a careless reader would see it, so far.
#[derive(Debug)]
pub(super) struct Reading {
    name: Name,
    /// An encoded byte that is not whole yet: begins with `%`.
    pending: [u8; PENDING_MAX],
    len: usize,
}

/// What the part between two separators, without parameters, is so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Empty,
    Dot,
    DotDot,
    /// Something that no reading makes a dot segment; also what stands behind a `;`.
    Ordinary,
}

impl Reading {
    /// Refuses a segment, itself no dot segment, that would become one.
    pub(super) fn judge(segment: &[u8]) -> Result<(), Reason> {
        // Only what holds a dot, or an encoded percent that may hide one, can become a dot segment.
        if memchr::memchr2(b'.', b'%', segment).is_none() {
            return Ok(());
        }
        let mut reading = Self { name: Name::Empty, pending: [0; PENDING_MAX], len: 0 };
        segment.iter().try_for_each(|&byte| reading.take(byte))?;
        reading.flush()?;
        reading.end()
    }

    fn take(&mut self, byte: u8) -> Result<(), Reason> {
        if byte != b'%' && self.len == 0 {
            return self.decoded(byte);
        }
        if byte != b'%' && hex(byte).is_none() {
            self.flush()?;
            return self.decoded(byte);
        }
        *self.pending.get_mut(self.len).ok_or(Reason::PathInvalid)? = byte;
        self.len += 1;
        self.reduce()
    }

    /// Decodes what is whole at the end of `pending`, again and again; a byte that is certain leaves it.
    fn reduce(&mut self) -> Result<(), Reason> {
        while let Some([b'%', high, low]) = self.pending.get(self.len.saturating_sub(3)..self.len) {
            let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return Ok(()) };
            self.len -= 3;
            let byte = high << 4 | low;
            if self.len == 0 && byte != b'%' {
                return self.decoded(byte);
            }
            if byte != b'%' && hex(byte).is_none() {
                self.flush()?;
                return self.decoded(byte);
            }
            *self.pending.get_mut(self.len).ok_or(Reason::PathInvalid)? = byte;
            self.len += 1;
        }
        Ok(())
    }

    /// What is pending stays as it is.
    fn flush(&mut self) -> Result<(), Reason> {
        let (pending, len) = (self.pending, self.len);
        self.len = 0;
        pending.iter().take(len).try_for_each(|&byte| self.decoded(byte))
    }

    fn decoded(&mut self, byte: u8) -> Result<(), Reason> {
        self.name = match (byte, self.name) {
            (b'/' | b'\\', _) => {
                self.end()?;
                Name::Empty
            }
            (b';', _) => {
                self.end()?;
                Name::Ordinary
            }
            (b'.', Name::Empty) => Name::Dot,
            (b'.', Name::Dot) => Name::DotDot,
            _ => Name::Ordinary,
        };
        Ok(())
    }

    /// The end of a name, by separator, parameter or the end of the segment.
    fn end(&self) -> Result<(), Reason> {
        match self.name {
            Name::Dot | Name::DotDot => Err(Reason::PathInvalid),
            Name::Empty | Name::Ordinary => Ok(()),
        }
    }
}
