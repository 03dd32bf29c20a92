//! Quantiles of what all shards measured, by `hdrhistogram`.
//!
//! A reader is made for one look and used for many series. Its own buckets lie within those of the shards, so that it
//! adds nothing to their error.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::histogram::Counts;

/// The longest time that is told apart, in nanoseconds; the shards' buckets end there too.
const NANOS_MAX: u64 = 1 << 42;
/// Digits that are told apart: finer than the shards' buckets.
const DIGITS: u8 = 2;

/// How long something took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half of all took no longer.
    pub p50: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    /// Ninety-nine of a hundred took no longer.
    pub p99: f64,
    /// None took longer.
    pub max: f64,
}

/// Reads quantiles.
pub struct Reader {
    histogram: Option<Histogram<u64>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { histogram: Histogram::new_with_bounds(1, NANOS_MAX, DIGITS).ok() }
    }
}

impl Reader {
    /// The quantiles of what was counted; none of nothing.
    pub fn read(&mut self, counts: &Counts) -> Option<Quantiles> {
        let histogram = self.histogram.as_mut()?;
        histogram.reset();
        for (nanos, count) in counts.values() {
            histogram.record_n(nanos.min(NANOS_MAX), count).ok()?;
        }
        let micros = |nanos| counts.nearest(nanos) as f64 / 1_000.0;
        let quantile = |share| micros(histogram.value_at_quantile(share));
        (!histogram.is_empty()).then(|| Quantiles {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: micros(histogram.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::histogram::Latencies, Reader};
    use crate::telemetry::Counts;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let histogram = Latencies::default();
        (1..=1_000_u64).for_each(|number| histogram.record(number * 10_000));
        let mut counts = Counts::default();
        histogram.add_to(&mut counts);
        let mut reader = Reader::default();
        for _ in 0..2 {
            let found = reader.read(&counts).unwrap();
            for (found, right) in
                [(found.p50, 5_000.0), (found.p90, 9_000.0), (found.p99, 9_900.0), (found.max, 10_000.0)]
            {
                assert!((found - right).abs() <= 0.032 * right, "{found}, not {right}");
            }
        }
        assert_eq!(reader.read(&Counts::default()), None);
    }

    #[test]
    fn the_longest_and_the_shortest_times_have_quantiles() {
        for nanos in [0, 1, 31, 32, 33, 1 << 41, (1 << 42) + 5, u64::MAX / 4] {
            let histogram = Latencies::default();
            histogram.record(nanos);
            let mut counts = Counts::default();
            histogram.add_to(&mut counts);
            let found = Reader::default().read(&counts).unwrap();
            let right = nanos.min((1 << 42) - 1) as f64 / 1_000.0;
            assert!((found.p50 - right).abs() <= 0.032 * right, "{nanos}: {found:?}");
            assert_eq!(found.p50, found.max);
        }
    }
}
