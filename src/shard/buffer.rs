//! Buffers of three fixed sizes, kept by each shard, with room in front for a rewritten head.
//!
//! A buffer is owned by exactly one holder at a time: a connection, or the kernel while an operation is
//! in flight (`io.rs` passes the memory by value and gets it back). Dropping one returns its memory to the
//! shard's free list. No two messages ever share a buffer, and what is handed out is only what was filled
//! since: `filled` cannot reach older bytes.
//!
//! ```text
//! | headroom | consumed | filled          | room               | tailroom |
//! 0                     start             end                            capacity
//! ```

use std::cell::{Cell, RefCell};

use crate::limits::{
    BUFFER_HEADROOM_BYTES, BUFFER_LARGE_BYTES, BUFFER_MEDIUM_BYTES, BUFFER_SMALL_BYTES,
    BUFFER_TAILROOM_BYTES, BUFFERS_LARGE_KEPT, BUFFERS_MEDIUM_KEPT, BUFFERS_SMALL_KEPT,
};

/// The size of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// A head.
    Small,
    /// A response of ordinary size.
    Medium,
    /// A stream.
    Large,
}

impl Class {
    const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    const fn bytes(self) -> usize {
        match self {
            Self::Small => BUFFER_SMALL_BYTES,
            Self::Medium => BUFFER_MEDIUM_BYTES,
            Self::Large => BUFFER_LARGE_BYTES,
        }
    }

    const fn kept(self) -> usize {
        match self {
            Self::Small => BUFFERS_SMALL_KEPT,
            Self::Medium => BUFFERS_MEDIUM_KEPT,
            Self::Large => BUFFERS_LARGE_KEPT,
        }
    }

    /// The class for the next piece of a stream. Only so many streams of a shard have large ones at a time: those who
    /// read slowly would hold them for long.
    pub(super) fn for_stream() -> Self {
        if LARGE_USED.get() < BUFFERS_LARGE_KEPT { Self::Large } else { Self::Medium }
    }

    /// The class whose buffers have room for `bytes`, if there is one.
    pub(super) fn holding(bytes: usize) -> Option<Self> {
        let whole = bytes.checked_add(BUFFER_HEADROOM_BYTES + BUFFER_TAILROOM_BYTES)?;
        Self::ALL.into_iter().find(|class| class.bytes() >= whole)
    }
}

thread_local! {
    static LARGE_USED: Cell<usize> = const { Cell::new(0) };
    static FREE: RefCell<[Vec<Box<[u8]>>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// Memory of one class, and which part of it is filled.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Box<[u8]>,
    start: usize,
    end: usize,
    class: Class,
}

/// A place in a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

impl Buffer {
    /// An empty buffer from the shard's free list.
    pub(super) fn take(class: Class) -> Self {
        if class == Class::Large {
            LARGE_USED.set(LARGE_USED.get() + 1);
        }
        let memory = FREE
            .with_borrow_mut(|free| free[class as usize].pop())
            .unwrap_or_else(|| vec![0; class.bytes()].into_boxed_slice());
        Self { memory, start: BUFFER_HEADROOM_BYTES, end: BUFFER_HEADROOM_BYTES, class }
    }

    /// No memory at all: stands in for a buffer that an operation has.
    pub(super) fn none() -> Self {
        Self { memory: Box::default(), start: 0, end: 0, class: Class::Small }
    }

    /// What was received or written and not consumed yet.
    pub(super) fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// Bytes that can still be received.
    pub(super) fn room(&self) -> usize {
        self.memory.len().saturating_sub(BUFFER_TAILROOM_BYTES + self.end)
    }

    /// Forgets the content; gives memory up that is too much while it is scarce.
    pub(super) fn clear_for_stream(&mut self) {
        self.clear();
        if self.class == Class::Large && LARGE_USED.get() > BUFFERS_LARGE_KEPT {
            *self = Self::take(Class::Medium);
        }
    }

    /// Forgets the content.
    pub(super) fn clear(&mut self) {
        self.start = BUFFER_HEADROOM_BYTES;
        self.end = BUFFER_HEADROOM_BYTES;
    }

    /// Gives up the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Where the content begins, for [`Buffer::rewind`].
    pub(super) fn mark(&self) -> Mark {
        Mark(self.start)
    }

    /// Makes what was consumed since `mark` content again. The buffer must not have been rewritten since.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.start = mark.0.min(self.end);
    }

    /// Gives up all but the first `count` bytes.
    pub(super) fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start + count);
    }

    /// Puts bytes in front of the content, if the headroom holds them.
    #[must_use]
    pub(super) fn prepend(&mut self, bytes: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(bytes.len()) else { return false };
        self.memory[start..self.start].copy_from_slice(bytes);
        self.start = start;
        true
    }

    /// Puts bytes behind the content, if room and tailroom hold them.
    #[must_use]
    pub(super) fn append(&mut self, bytes: &[u8]) -> bool {
        let end = self.end + bytes.len();
        if end > self.memory.len() {
            return false;
        }
        self.memory[self.end..end].copy_from_slice(bytes);
        self.end = end;
        true
    }

    /// Lets `write` put bytes behind the content; it returns how many.
    pub(super) fn append_with(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let count = write(&mut self.memory[self.end..]);
        self.end = (self.end + count).min(self.memory.len());
    }

    /// A buffer with `head` followed by this one's content, this one itself where the headroom allows it.
    /// `None` when no class is large enough.
    pub(super) fn with_head(mut self, head: &[u8]) -> Option<Self> {
        if self.prepend(head) {
            return Some(self);
        }
        let mut larger = Self::take(Class::holding(head.len() + self.len())?);
        (larger.append(head) && larger.append(self.filled())).then_some(larger)
    }

    /// This content followed by another's, in one of the two buffers or a larger one. `None` when no class is large
    /// enough.
    pub(super) fn joined(mut self, other: Self) -> Option<Self> {
        if self.room() >= other.len() {
            return self.append(other.filled()).then_some(self);
        }
        other.with_head(self.filled())
    }

    /// Takes everything behind the first `count` bytes into a buffer of its own; `None` if there is nothing.
    pub(super) fn split_off(&mut self, count: usize) -> Option<Self> {
        let rest = self.filled().get(count..).filter(|rest| !rest.is_empty())?;
        let mut other = Self::take(Class::holding(rest.len()).unwrap_or(Class::Large));
        let fits = other.append(rest);
        debug_assert!(fits, "a part of a buffer fits one of its own class");
        self.truncate(count);
        Some(other)
    }

    /// The same content with room for at least one more byte: moved down, or into the next class. The buffer
    /// itself when it is of the largest class and full.
    pub(super) fn with_room(mut self) -> Self {
        if self.room() > 0 {
            return self;
        }
        if self.start > BUFFER_HEADROOM_BYTES {
            let length = self.len();
            self.memory.copy_within(self.start..self.end, BUFFER_HEADROOM_BYTES);
            self.start = BUFFER_HEADROOM_BYTES;
            self.end = BUFFER_HEADROOM_BYTES + length;
            return self;
        }
        let next = match self.class {
            Class::Small => Class::Medium,
            Class::Medium => Class::Large,
            Class::Large => return self,
        };
        let mut larger = Self::take(next);
        let fits = larger.append(self.filled());
        debug_assert!(fits, "the next class holds what this one holds");
        larger
    }

    /// Hands the memory to an operation, with the range that may be received into.
    pub(super) fn lend_room(&mut self) -> (Box<[u8]>, usize, usize) {
        let end = self.memory.len().saturating_sub(BUFFER_TAILROOM_BYTES).max(self.end);
        (std::mem::take(&mut self.memory), self.end, end)
    }

    /// Hands the memory to an operation, with the range that is filled.
    pub(super) fn lend_filled(&mut self) -> (Box<[u8]>, usize, usize) {
        (std::mem::take(&mut self.memory), self.start, self.end)
    }

    /// Takes the memory back from an operation that received `count` bytes.
    pub(super) fn give_back(&mut self, memory: Box<[u8]>, count: usize) {
        self.memory = memory;
        self.end = (self.end + count).min(self.memory.len());
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.class == Class::Large {
            let _ = LARGE_USED.try_with(|used| used.set(used.get().saturating_sub(1)));
        }
        let memory = std::mem::take(&mut self.memory);
        if memory.len() != self.class.bytes() {
            return; // it is with the kernel, which frees it
        }
        // While a thread ends its free list may be gone: then the memory is simply freed.
        let _ = FREE.try_with(|free| {
            let list = &mut free.borrow_mut()[self.class as usize];
            if list.len() < self.class.kept() {
                list.push(memory);
            }
        });
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
