//! The series of one shard: counters by outcome and two histograms each, made at their first use.
//!
//! Only the shard makes and writes them, so that a warm one costs loads and stores; the control thread reads them
//! whenever it wants totals.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use super::histogram::{Authentications, Counts, Latencies, add};
use crate::{
    limits::{SERIES_CHUNK, SERIES_MAX},
    types::{Reason, SeriesId},
};

const CHUNKS: usize = SERIES_MAX / SERIES_CHUNK;

/// First digits of a status, and none.
pub const STATUS_CLASSES: usize = 6;

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// What it is counted under.
    pub series: SeriesId,
    /// Why it ended.
    pub reason: Reason,
    /// The status that the caller saw, or would have seen.
    pub status: u16,
    /// Nanoseconds from the end of its head to the end of its answer; none if it never had a head, or became a
    /// tunnel, whose length says nothing of us.
    pub latency: Option<u64>,
    /// Nanoseconds that were spent authenticating, if it came to that.
    pub authentication: Option<u64>,
}

impl Ending {
    /// Of a request that never had a head.
    pub const fn headless(reason: Reason) -> Self {
        Self {
            series: SeriesId::UNROUTED,
            reason,
            status: reason.status(),
            latency: None,
            authentication: None,
        }
    }
}

/// What one shard has counted of one series.
#[derive(Debug)]
pub(super) struct Series {
    outcomes: [AtomicU64; Reason::COUNT],
    classes: [AtomicU64; STATUS_CLASSES],
    latency: Latencies,
    authentication: Authentications,
    /// Of all of the above; written last, so that who sees a number sees what it counts.
    recorded: AtomicU64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            outcomes: [const { AtomicU64::new(0) }; Reason::COUNT],
            classes: [const { AtomicU64::new(0) }; STATUS_CLASSES],
            latency: Latencies::default(),
            authentication: Authentications::default(),
            recorded: AtomicU64::new(0),
        }
    }
}

impl Series {
    #[inline]
    fn record(&self, ending: &Ending) {
        add(&self.outcomes[ending.reason.index()], 1);
        if let Some(class) = self.classes.get(usize::from(ending.status / 100)) {
            add(class, 1);
        }
        if let Some(nanos) = ending.latency {
            self.latency.record(nanos);
        }
        if let Some(nanos) = ending.authentication {
            self.authentication.record(nanos);
        }
        self.recorded.store(self.recorded.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// How often something was recorded.
    pub(super) fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Acquire)
    }

    /// Adds what was counted.
    pub(super) fn add_to(&self, totals: &mut SeriesTotals) {
        for (total, count) in totals.outcomes.iter_mut().zip(&self.outcomes) {
            *total += count.load(Ordering::Relaxed);
        }
        for (total, count) in totals.classes.iter_mut().zip(&self.classes) {
            *total += count.load(Ordering::Relaxed);
        }
        self.latency.add_to(&mut totals.latency);
        self.authentication.add_to(&mut totals.authentication);
    }
}

/// What all shards have counted of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesTotals {
    /// By `Reason::index`.
    pub outcomes: [u64; Reason::COUNT],
    /// By the first digit of the status.
    pub classes: [u64; STATUS_CLASSES],
    /// Whole requests.
    pub latency: Counts,
    /// Time spent authenticating.
    pub authentication: Counts,
}

impl Default for SeriesTotals {
    fn default() -> Self {
        let (latency, authentication) = Default::default();
        Self { outcomes: [0; Reason::COUNT], classes: [0; STATUS_CLASSES], latency, authentication }
    }
}

impl SeriesTotals {
    /// Requests.
    pub fn requests(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Adds those of another series.
    pub fn add(&mut self, other: &Self) {
        for (total, count) in self.outcomes.iter_mut().zip(&other.outcomes) {
            *total += count;
        }
        for (total, count) in self.classes.iter_mut().zip(&other.classes) {
            *total += count;
        }
        self.latency.add(&other.latency);
        self.authentication.add(&other.authentication);
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let outcomes = std::array::from_fn(|at| self.outcomes[at].saturating_sub(before.outcomes[at]));
        let classes = std::array::from_fn(|at| self.classes[at].saturating_sub(before.classes[at]));
        Self {
            outcomes,
            classes,
            latency: self.latency.since(&before.latency),
            authentication: self.authentication.since(&before.authentication),
        }
    }

    /// Forgets everything and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.outcomes.fill(0);
        self.classes.fill(0);
        self.latency.clear();
        self.authentication.clear();
    }
}

type Chunk = [OnceLock<Box<Series>>; SERIES_CHUNK];

/// All series of one shard.
#[derive(Debug)]
pub(super) struct SeriesTable {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

impl Default for SeriesTable {
    fn default() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect() }
    }
}

impl SeriesTable {
    /// Counts the end of a request. Only the shard may call it; its first call for a series takes memory.
    #[inline]
    pub(super) fn record(&self, ending: &Ending) {
        let number = ending.series.0 as usize;
        let series = match self.get(number) {
            Some(series) => Some(series),
            None => self.make(number),
        };
        if let Some(series) = series {
            series.record(ending);
        }
    }

    #[inline]
    fn get(&self, number: usize) -> Option<&Series> {
        let chunk = self.chunks.get(number / SERIES_CHUNK)?.get()?;
        Some(chunk[number % SERIES_CHUNK].get()?)
    }

    #[cold]
    fn make(&self, number: usize) -> Option<&Series> {
        let chunk = self.chunks.get(number / SERIES_CHUNK)?;
        let chunk = chunk.get_or_init(|| Box::new([const { OnceLock::new() }; SERIES_CHUNK]));
        Some(chunk[number % SERIES_CHUNK].get_or_init(Box::default))
    }

    /// Every series that was used, by number.
    pub(super) fn used(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.get()?))).flat_map(
            |(at, chunk)| {
                let used = chunk.iter().enumerate();
                used.filter_map(move |(within, one)| Some((at * SERIES_CHUNK + within, &**one.get()?)))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, SeriesTable, SeriesTotals};
    use crate::{
        limits::SERIES_MAX,
        types::{Reason, SeriesId},
    };

    fn ending(series: u32, latency: Option<u64>) -> Ending {
        let authentication = latency.map(|nanos| nanos / 2);
        Ending { series: SeriesId(series), reason: Reason::Forwarded, status: 404, latency, authentication }
    }

    #[test]
    fn a_series_that_is_not_used_is_not_there() {
        let table = SeriesTable::default();
        assert_eq!(table.used().count(), 0);
        for number in [0, 7, 64, SERIES_MAX as u32 - 1] {
            table.record(&ending(number, Some(1_000)));
            table.record(&ending(number, None));
        }
        let used: Vec<_> = table.used().map(|(number, series)| (number, series.recorded())).collect();
        assert_eq!(used, [(0, 2), (7, 2), (64, 2), (SERIES_MAX - 1, 2)]);
        let mut totals = SeriesTotals::default();
        table.used().for_each(|(_, series)| series.add_to(&mut totals));
        assert_eq!((totals.requests(), totals.classes), (8, [0, 0, 0, 0, 8, 0]));
        assert_eq!((totals.latency.count(), totals.authentication.sum()), (4, 2_000));
    }

    #[test]
    fn a_number_out_of_bounds_is_nobodys() {
        let table = SeriesTable::default();
        table.record(&ending(u32::MAX, Some(1)));
        assert_eq!(table.used().count(), 0);
    }
}
