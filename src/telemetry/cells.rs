//! Counters of one shard. Only that shard writes them, so that an increment is a load and a store; the control
//! thread reads them whenever it wants totals.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    histogram::add,
    last_used::LastUsed,
    series::{Ending, SeriesTable},
};
use crate::types::Reason;

/// The counters of one shard, on cache lines of their own.
#[repr(align(128))]
#[derive(Debug)]
pub struct ShardCells {
    outcomes: [AtomicU64; Reason::COUNT],
    connections: AtomicU64,
    heartbeat: AtomicU64,
    generation: AtomicU64,
    lines_dropped: AtomicU64,
    pub(super) series: SeriesTable,
    pub(super) last_used: LastUsed,
}

impl Default for ShardCells {
    fn default() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            connections: AtomicU64::new(0),
            heartbeat: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            lines_dropped: AtomicU64::new(0),
            series: SeriesTable::default(),
            last_used: LastUsed::default(),
        }
    }
}

impl ShardCells {
    /// Counts the end of a request.
    #[inline]
    pub fn record(&self, ending: &Ending) {
        add(&self.outcomes[ending.reason.index()], 1);
        self.series.record(ending);
    }

    /// Says that a key was accepted at a time in milliseconds since the Unix epoch.
    #[inline]
    pub fn note_use(&self, key: u32, millis: i64) {
        self.last_used.note(key, u64::try_from(millis).unwrap_or(0));
    }

    /// Counts a line of the access log for which there was no room.
    pub fn count_dropped_line(&self) {
        add(&self.lines_dropped, 1);
    }

    /// Lines of the access log for which there was no room.
    pub fn lines_dropped(&self) -> u64 {
        self.lines_dropped.load(Ordering::Relaxed)
    }

    /// Says how many callers are connected.
    pub fn set_connections(&self, count: usize) {
        self.connections.store(count as u64, Ordering::Relaxed);
    }

    /// Callers that are connected.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Says that the shard's loop turns.
    pub fn beat(&self) {
        self.heartbeat.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts up with every tick of the shard: one that stands still is stuck.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat.load(Ordering::Relaxed)
    }

    /// Says that no snapshot older than `generation` is in use on the shard any more.
    pub fn acknowledge(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// The generation that the shard acknowledged last.
    pub fn acknowledged(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// The counters of all shards, added up.
#[derive(Debug, Clone)]
pub struct Totals {
    /// By `Reason::index`.
    pub outcomes: [u64; Reason::COUNT],
    /// Callers that are connected.
    pub connections: u64,
}

impl Totals {
    /// Adds up the cells of all shards.
    pub fn of<'c>(cells: impl IntoIterator<Item = &'c ShardCells>) -> Self {
        let mut totals = Self { outcomes: [0; Reason::COUNT], connections: 0 };
        for shard in cells {
            for (total, cell) in totals.outcomes.iter_mut().zip(&shard.outcomes) {
                *total += cell.load(Ordering::Relaxed);
            }
            totals.connections += shard.connections();
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Ending, ShardCells, Totals};
    use crate::types::Reason;

    #[test]
    fn totals_add_up() {
        let (one, two) = (ShardCells::default(), ShardCells::default());
        one.record(&Ending::headless(Reason::Forwarded));
        two.record(&Ending::headless(Reason::Forwarded));
        two.record(&Ending::headless(Reason::KeyUnknown));
        two.set_connections(3);
        let totals = Totals::of([&one, &two]);
        assert_eq!(totals.outcomes[Reason::Forwarded.index()], 2);
        assert_eq!(totals.outcomes[Reason::KeyUnknown.index()], 1);
        assert_eq!(totals.connections, 3);
    }
}
