//! Finds where a head ends, over as many reads as it takes.
//!
//! It judges line ends and nothing else: a head that arrives byte by byte costs linear time, and bytes that can
//! never become a head are refused before the rest arrives. `leading` comes first; the parsers come after.
//!
//! Invariant: the answer does not depend on how the bytes were split.

use memchr::{memchr, memchr_iter, memchr3};

use crate::limits::EMPTY_LINES_MAX;
use crate::types::Reason;

const _: () = assert!(EMPTY_LINES_MAX == 1, "`leading` skips one");

/// How many bytes to drop in front of a request line: one CRLF at most (RFC 9112 §2.2).
///
/// Ask again while a lone CR is all there is.
#[inline]
pub fn leading(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 0 }
}

/// How far one head was searched. Start each head with a new one.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScanner {
    /// Everything before was looked at and is in order; never between a CR and its LF.
    looked: u32,
    /// Where the line at `looked` begins.
    line: u32,
}

const _: () = assert!(size_of::<HeadScanner>() <= 16);

impl HeadScanner {
    /// Looks on in `bytes`, which begin where they began before and may have grown.
    ///
    /// `Some(n)`: `bytes[..n]` is the head with its empty line. `HeadTooLarge` as soon as a head of `limit` bytes
    /// is out of reach. NUL, LF without CR and CR without LF (RFC 9112 §2.2, RFC 9110 §5.5) are `RequestLineInvalid`
    /// in the first line and `FieldInvalid` behind it; in a response a shard takes every refusal for
    /// `ResponseInvalid`.
    #[inline]
    pub fn find(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, Reason> {
        let limit = limit.min(u32::MAX as usize);
        let window = bytes.get(..limit).unwrap_or(bytes);
        let fresh = window.get(self.looked as usize..).unwrap_or_default();
        let mut line = (self.line as usize).wrapping_sub(self.looked as usize);
        let mut lines = 0;
        for at in memchr_iter(b'\n', fresh) {
            lines += 1;
            if at == 0 || fresh.get(at - 1) != Some(&b'\r') {
                return Err(first_fault(window));
            }
            if at == line.wrapping_add(1) {
                let end = self.looked as usize + at + 1;
                return if in_order(fresh.get(..=at).unwrap_or_default(), lines) {
                    Ok(Some(end))
                } else {
                    Err(first_fault(window))
                };
            }
            line = at + 1;
        }
        if !self.wait(fresh, lines, line) {
            return Err(first_fault(window));
        }
        if bytes.len() >= limit { Err(Reason::HeadTooLarge) } else { Ok(None) }
    }

    /// Notes how far it came, if all is in order; a CR at the end is looked at again with what follows it.
    fn wait(&mut self, fresh: &[u8], lines: usize, line: usize) -> bool {
        let settled = fresh.strip_suffix(b"\r").unwrap_or(fresh);
        self.line = (self.looked as usize).wrapping_add(line) as u32;
        self.looked += settled.len() as u32;
        in_order(settled, lines)
    }
}

/// Whether there is no NUL, and no CR besides those of the line ends counted before.
#[inline]
fn in_order(bytes: &[u8], lines: usize) -> bool {
    memchr_iter(b'\r', bytes).count() == lines && memchr(0, bytes).is_none()
}

/// The reason for the first byte that is not in order, so that it is the same however the bytes were split.
#[cold]
fn first_fault(bytes: &[u8]) -> Reason {
    let mut rest = bytes;
    let mut reason = Reason::RequestLineInvalid;
    while let Some(at) = memchr3(0, b'\r', b'\n', rest) {
        match rest.get(at..).and_then(|rest| rest.strip_prefix(b"\r\n")) {
            Some(after) => (rest, reason) = (after, Reason::FieldInvalid),
            None => break,
        }
    }
    reason
}
