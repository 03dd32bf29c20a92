//! The counts of all shards, added up once a second, with those of the second before beside them.
//!
//! The control thread calls [`Telemetry::merge`]; whoever asks looks at the outcome. A series that did nothing since
//! the merge before costs one load on each shard.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    cells::{ShardCells, Totals},
    series::SeriesTotals,
};
use crate::types::{SeriesId, SeriesName};

/// Tells the names of all series that there are, by number.
pub type Names = Arc<dyn Fn() -> Arc<[SeriesName]> + Send + Sync>;

/// What all shards count.
pub struct Telemetry {
    shards: Vec<Arc<ShardCells>>,
    names: Names,
    merged: Mutex<Merged>,
    log: Arc<LogCounts>,
}

/// What became of lines of the access log behind the rings.
#[derive(Debug, Default)]
pub struct LogCounts {
    /// Written.
    pub written: AtomicU64,
    /// Not written, because the file could not be.
    pub lost: AtomicU64,
}

impl Telemetry {
    /// Of these shards.
    pub fn new(shards: Vec<Arc<ShardCells>>, names: Names) -> Self {
        Self { shards, names, merged: Mutex::default(), log: Arc::default() }
    }

    /// The cells of all shards.
    pub fn shards(&self) -> &[Arc<ShardCells>] {
        &self.shards
    }

    /// The totals at this moment.
    pub fn totals(&self) -> Totals {
        Totals::of(self.shards.iter().map(|cells| &**cells))
    }

    /// The names of all series, by number.
    pub fn names(&self) -> Arc<[SeriesName]> {
        (self.names)()
    }

    /// What the writer of the access log counts.
    pub fn log(&self) -> &Arc<LogCounts> {
        &self.log
    }

    /// Lines of the access log that nobody will ever read: there was no room in a ring, or none on the disk.
    pub fn lines_dropped(&self) -> u64 {
        let at_shards: u64 = self.shards.iter().map(|cells| cells.lines_dropped()).sum();
        at_shards + self.log.lost.load(Ordering::Relaxed)
    }

    /// When a key was last used, in milliseconds since the Unix epoch.
    pub fn last_used(&self, key: u32) -> Option<u64> {
        self.shards.iter().map(|cells| cells.last_used.of(key)).max().filter(|millis| *millis > 0)
    }

    /// Forgets when keys with these numbers were last used: they are other keys now. No shard may be using a number in
    /// its old meaning any more.
    pub fn forget_keys(&self, numbers: &[u32]) {
        for cells in &self.shards {
            numbers.iter().for_each(|number| cells.last_used.forget(*number));
        }
    }

    /// Adds up what all shards have counted; `elapsed` is the time since the call before.
    pub fn merge(&self, elapsed: Duration) {
        self.merged.lock().unwrap_or_else(PoisonError::into_inner).merge(&self.shards, elapsed);
    }

    /// Runs `look` with the outcome of the last merge.
    pub fn with_merged<R>(&self, look: impl FnOnce(&Merged) -> R) -> R {
        look(&self.merged.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The outcome of a merge.
#[derive(Debug, Default)]
pub struct Merged {
    series: BTreeMap<u32, SeriesState>,
    elapsed: Duration,
}

/// One series as of the last merge.
#[derive(Debug, Default)]
pub struct SeriesState {
    /// Since the start.
    pub totals: SeriesTotals,
    /// As of the merge before.
    before: SeriesTotals,
    recorded: u64,
    moved: bool,
}

impl SeriesState {
    /// What was counted between the last two merges, if anything was.
    pub fn latest(&self) -> Option<SeriesTotals> {
        self.moved.then(|| self.totals.since(&self.before))
    }
}

impl Merged {
    /// Every series that was ever used, in the order of their numbers.
    pub fn series(&self) -> impl Iterator<Item = (SeriesId, &SeriesState)> {
        self.series.iter().map(|(number, state)| (SeriesId(*number), state))
    }

    /// The time between the last two merges.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    fn merge(&mut self, shards: &[Arc<ShardCells>], elapsed: Duration) {
        self.elapsed = elapsed;
        let mut recorded = BTreeMap::<u32, u64>::new();
        for (number, series) in shards.iter().flat_map(|cells| cells.series.used()) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            *recorded.entry(number).or_default() += series.recorded();
        }
        for (number, recorded) in &recorded {
            let state = self.series.entry(*number).or_default();
            state.moved = state.recorded != *recorded;
            if state.moved {
                state.recorded = *recorded;
                std::mem::swap(&mut state.before, &mut state.totals);
                state.totals.clear();
            }
        }
        for (number, series) in shards.iter().flat_map(|cells| cells.series.used()) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if let Some(state) = self.series.get_mut(&number).filter(|state| state.moved) {
                series.add_to(&mut state.totals);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{super::Ending, Telemetry};
    use crate::types::{Reason, SeriesId, SeriesName};

    const SECOND: Duration = Duration::from_secs(1);

    fn ending(series: u32, reason: Reason, nanos: u64) -> Ending {
        let (latency, authentication) = (Some(nanos), Some(nanos / 10));
        Ending { series: SeriesId(series), reason, status: reason.status(), latency, authentication }
    }

    fn telemetry() -> Telemetry {
        let names = || SeriesName::first().into_iter().collect();
        Telemetry::new(vec![Arc::default(), Arc::default()], Arc::new(names))
    }

    #[test]
    fn shards_are_added_up_and_the_last_second_stands_apart() {
        let telemetry = telemetry();
        let [one, two] = telemetry.shards() else { panic!("two shards") };
        one.record(&ending(5, Reason::Forwarded, 1_000));
        two.record(&ending(5, Reason::Forwarded, 3_000));
        two.record(&ending(9, Reason::KeyUnknown, 100));
        telemetry.merge(SECOND);
        two.record(&ending(5, Reason::UpstreamClosed, 5_000));
        telemetry.merge(SECOND);
        telemetry.with_merged(|merged| {
            let found: Vec<_> = merged.series().map(|(id, state)| (id.0, state.totals.requests())).collect();
            assert_eq!(found, [(5, 3), (9, 1)]);
            let (_, five) = merged.series().next().unwrap();
            assert_eq!(five.totals.latency.sum(), 9_000);
            let latest = five.latest().unwrap();
            assert_eq!((latest.requests(), latest.latency.sum()), (1, 5_000));
            assert_eq!(latest.outcomes[Reason::UpstreamClosed.index()], 1);
            assert!(merged.series().nth(1).unwrap().1.latest().is_none(), "nothing came in this second");
        });
        assert_eq!(telemetry.totals().outcomes[Reason::Forwarded.index()], 2);
    }

    #[test]
    fn a_key_was_last_used_where_it_was_used_last() {
        let telemetry = telemetry();
        let [one, two] = telemetry.shards() else { panic!("two shards") };
        one.note_use(3, 2_000);
        two.note_use(3, 1_000);
        assert_eq!((telemetry.last_used(3), telemetry.last_used(4)), (Some(2_000), None));
        one.note_use(5, 3_000);
        telemetry.forget_keys(&[3, 4, u32::MAX]);
        assert_eq!((telemetry.last_used(3), telemetry.last_used(5)), (None, Some(3_000)));
    }
}
