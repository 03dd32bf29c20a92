//! One meaning for every path: what is judged is what is forwarded (RFC 3986 §6.2.2).
//!
//! `normalise` turns the part behind the alias into the only form that rules see and targets get, or refuses it.
//! A path that some server might read differently, by decoding twice, dropping parameters or taking `\` for `/`,
//! so that it leaves its place, is refused rather than guessed at. `//` and `;` stay as they are. Shards call it
//! once for each request. Invariant: the result is in normal form itself, and never longer than its input, but
//! for the empty path, which is `/`.

use super::dots::Reading;
use super::{Class, is, span};
use crate::types::Reason;

/// What to do with `%2F`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedSlash {
    /// Refuse it: some servers take it for `/`.
    Refuse,
    /// Keep it as it is, judged and forwarded encoded.
    Keep,
}

/// Where the normal form of a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normal {
    /// The input is in normal form already.
    Unchanged,
    /// It was written to `out[..n]`.
    Written(usize),
}

impl Normal {
    /// The normal form itself, given what went into `normalise`.
    pub fn of<'p>(self, path: &'p [u8], out: &'p [u8]) -> &'p [u8] {
        match self {
            Self::Unchanged => path,
            Self::Written(length) => out.get(..length).unwrap_or_default(),
        }
    }
}

/// Brings a path into its normal form; `out` must be as long as the path, and 1 at least.
///
/// The path is empty or begins with `/`. Everything refused is `PathInvalid`; only an `out` that is too short is
/// `TargetTooLong`.
#[inline]
pub fn normalise(path: &[u8], slash: EncodedSlash, out: &mut [u8]) -> Result<Normal, Reason> {
    if is_plain(path) {
        return Ok(Normal::Unchanged);
    }
    rewrite(path, slash, out)
}

/// One pass: nothing but path bytes, no percent, and no segment that begins with a dot.
#[inline]
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    let plain = |&byte: &u8| {
        let hidden = byte == b'.' && before == b'/';
        before = byte;
        is(byte, Class::Path) && !hidden
    };
    path.first() == Some(&b'/') && path.iter().all(plain)
}

fn rewrite(path: &[u8], slash: EncodedSlash, out: &mut [u8]) -> Result<Normal, Reason> {
    let mut writer = Writer { out, len: 0 };
    let Some(rest) = path.strip_prefix(b"/") else {
        let empty = path.is_empty().then(|| writer.push(b'/')).ok_or(Reason::PathInvalid)?;
        return empty.map(|()| Normal::Written(1));
    };
    let mut segments = rest.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let start = writer.len;
        writer.push(b'/')?;
        writer.segment(segment, slash)?;
        let last = segments.peek().is_none();
        match writer.out.get(start + 1..writer.len).unwrap_or_default() {
            b"." => writer.leave(start, last)?,
            b".." => writer.leave_parent(start, last)?,
            written => Reading::judge(written)?,
        }
    }
    let unchanged = writer.out.get(..writer.len) == Some(path);
    Ok(if unchanged { Normal::Unchanged } else { Normal::Written(writer.len) })
}

/// The normal form so far: whole segments, each with its `/` in front.
struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn push(&mut self, byte: u8) -> Result<(), Reason> {
        let slot = self.out.get_mut(self.len).ok_or(Reason::TargetTooLong)?;
        *slot = byte;
        self.len += 1;
        Ok(())
    }

    /// Writes one segment, decoded as far as its meaning stays the same (RFC 3986 §6.2.2.1, §6.2.2.2).
    fn segment(&mut self, segment: &[u8], slash: EncodedSlash) -> Result<(), Reason> {
        let mut rest = segment;
        while let Some((&byte, after)) = rest.split_first() {
            rest = if byte == b'%' {
                self.encoded(rest, slash)?
            } else if is(byte, Class::Path) {
                self.push(byte)?;
                after
            } else {
                // Controls, space, `\`, non-ASCII, and all else that RFC 3986 §3.3 leaves out.
                return Err(Reason::PathInvalid);
            };
        }
        Ok(())
    }

    /// Writes the percent-encoded character at the front, and gives what follows it.
    fn encoded<'s>(&mut self, segment: &'s [u8], slash: EncodedSlash) -> Result<&'s [u8], Reason> {
        let (first, rest) = decode(segment).ok_or(Reason::PathInvalid)?;
        match first {
            0..=0x1F | 0x7F | b'\\' => Err(Reason::PathInvalid),
            b'/' if slash == EncodedSlash::Refuse => Err(Reason::PathInvalid),
            0x80..=0xFF => self.encoded_text(first, rest),
            _ if is(first, Class::Unreserved) => self.push(first).map(|()| rest),
            _ => self.push_encoded(first).map(|()| rest),
        }
    }

    /// Writes one encoded character beyond ASCII: well-formed UTF-8, so neither overlong nor cut (RFC 3629 §4).
    fn encoded_text<'s>(&mut self, first: u8, mut rest: &'s [u8]) -> Result<&'s [u8], Reason> {
        let mut text = [first, 0, 0, 0];
        let length = match first {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => return Err(Reason::PathInvalid),
        };
        for slot in text.iter_mut().take(length).skip(1) {
            (*slot, rest) = decode(rest).ok_or(Reason::PathInvalid)?;
        }
        let text = text.get(..length).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| Reason::PathInvalid)?;
        text.iter().try_for_each(|&byte| self.push_encoded(byte))?;
        Ok(rest)
    }

    fn push_encoded(&mut self, byte: u8) -> Result<(), Reason> {
        let digit = |value: u8| b"0123456789ABCDEF".get(usize::from(value)).copied().unwrap_or(b'0');
        self.push(b'%')?;
        self.push(digit(byte >> 4))?;
        self.push(digit(byte & 15))
    }

    /// Takes a `.` back (RFC 3986 §5.2.4); at the end its `/` stays.
    fn leave(&mut self, start: usize, last: bool) -> Result<(), Reason> {
        self.len = start;
        if last { self.push(b'/') } else { Ok(()) }
    }

    /// Takes a `..` back, and the segment before it; above the root there is nothing.
    fn leave_parent(&mut self, start: usize, last: bool) -> Result<(), Reason> {
        let before = self.out.get(..start).unwrap_or_default();
        let parent = memchr::memrchr(b'/', before).ok_or(Reason::PathInvalid)?;
        self.leave(parent, last)
    }
}

/// Reads `%` and two hexadecimal digits.
pub(super) fn decode(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [b'%', high, low, rest @ ..] => Some((hex(*high)? << 4 | hex(*low)?, rest)),
        _ => None,
    }
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// Splits the first segment, the alias, from the rest, which is empty or begins with `/`.
///
/// An alias stands there as it is: anything but `[A-Za-z0-9._~-]`, and a dot segment, is `PathInvalid`. `/` has the
/// empty alias and the rest `/`.
#[inline]
pub fn split_alias(path: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let behind = path.strip_prefix(b"/").ok_or(Reason::PathInvalid)?;
    let (alias, rest) =
        behind.split_at_checked(span(behind, Class::Unreserved)).ok_or(Reason::PathInvalid)?;
    match (alias, rest) {
        (b"." | b"..", _) => Err(Reason::PathInvalid),
        (b"", b"") => Ok((alias, path)),
        (_, [] | [b'/', ..]) => Ok((alias, rest)),
        _ => Err(Reason::PathInvalid),
    }
}

/// Whether a query can be forwarded as it is (RFC 3986 §3.4): every percent begins an encoded byte.
///
/// Wider than the RFC by what browsers send unencoded: `[ ] { } | \ ^` and the backtick. A query has no segments,
/// so they cannot change where it leads.
#[inline]
pub fn valid_query(query: &[u8]) -> bool {
    let mut rest = query;
    loop {
        rest = rest.get(span(rest, Class::Query)..).unwrap_or_default();
        match decode(rest) {
            Some((_, after)) => rest = after,
            None => return rest.is_empty(),
        }
    }
}
