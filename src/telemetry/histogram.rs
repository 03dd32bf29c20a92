//! A histogram that one thread writes and others read: log-linear buckets of plain counters.
//!
//! Each power of two is split into `2^BITS` buckets of the same width, so that the middle of a bucket is at most
//! `1 / 2^(BITS + 1)` away from what was recorded. Quantiles are not its matter: who reads adds up the buckets of all
//! shards and puts them into an `hdrhistogram`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets in which a power of two is split, as a power of two: at most 3.2 % of error.
const LATENCY_BITS: u32 = 4;
/// Enough for 73 minutes in nanoseconds; what takes longer is counted as that.
const LATENCY_BUCKETS: usize = buckets(LATENCY_BITS, 42);
/// At most 6.3 % of error.
const AUTHENTICATION_BITS: u32 = 3;
/// Enough for 17 seconds in nanoseconds.
const AUTHENTICATION_BUCKETS: usize = buckets(AUTHENTICATION_BITS, 34);

/// Of whole requests.
pub type Latencies = Histogram<LATENCY_BITS, LATENCY_BUCKETS>;
/// Of the time spent authenticating.
pub type Authentications = Histogram<AUTHENTICATION_BITS, AUTHENTICATION_BUCKETS>;

/// Buckets for all values of `width` bits.
const fn buckets(bits: u32, width: u32) -> usize {
    ((width - bits + 1) as usize) << bits
}

/// Counts of values in nanoseconds.
#[derive(Debug)]
pub struct Histogram<const BITS: u32, const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl<const BITS: u32, const BUCKETS: usize> Default for Histogram<BITS, BUCKETS> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl<const BITS: u32, const BUCKETS: usize> Histogram<BITS, BUCKETS> {
    /// Counts a value. Only one thread may call it.
    #[inline]
    pub fn record(&self, value: u64) {
        if let Some(count) = self.counts.get(bucket(BITS, value).min(BUCKETS - 1)) {
            add(count, 1);
        }
        add(&self.sum, value);
    }

    /// Adds what was counted.
    pub fn add_to(&self, counts: &mut Counts) {
        counts.bits = BITS;
        counts.buckets.resize(BUCKETS, 0);
        for (total, count) in counts.buckets.iter_mut().zip(&self.counts) {
            *total += count.load(Ordering::Relaxed);
        }
        counts.sum = counts.sum.wrapping_add(self.sum.load(Ordering::Relaxed));
    }
}

/// The bucket of a value, were there enough of them.
#[inline]
fn bucket(bits: u32, value: u64) -> usize {
    let shift = (u64::BITS - 1).saturating_sub(value.leading_zeros()).saturating_sub(bits);
    ((shift as usize) << bits) + (value >> shift) as usize
}

/// Adds to a counter that no other thread writes.
#[inline]
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// What histograms of one kind have counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    bits: u32,
    buckets: Vec<u64>,
    sum: u64,
}

impl Counts {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The value that stands for all that are counted together with this one.
    pub fn nearest(&self, value: u64) -> u64 {
        middle(self.bits, bucket(self.bits, value))
    }

    /// Each value that stands for some, and for how many; in ascending order.
    pub fn values(&self) -> impl Iterator<Item = (u64, u64)> {
        let counted = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(bucket, count)| (middle(self.bits, bucket), *count))
    }

    /// Adds what others have counted.
    pub fn add(&mut self, other: &Self) {
        self.bits = self.bits.max(other.bits);
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (total, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *total += count;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (count, old) in since.buckets.iter_mut().zip(&before.buckets) {
            *count = count.saturating_sub(*old);
        }
        since.sum = since.sum.wrapping_sub(before.sum);
        since
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        self.sum = 0;
    }
}

/// The middle of a bucket.
fn middle(bits: u32, bucket: usize) -> u64 {
    let shift = (bucket >> bits).saturating_sub(1);
    let lower = ((bucket - (shift << bits)) as u64) << shift;
    lower + ((1_u64 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::{Authentications, Counts, Histogram, LATENCY_BUCKETS, Latencies, middle};

    /// SplitMix64.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn counts<const B: u32, const N: usize>(histogram: &Histogram<B, N>) -> Counts {
        let mut counts = Counts::default();
        histogram.add_to(&mut counts);
        counts
    }

    /// The value at or below which this share of all lies.
    fn quantile(values: impl Iterator<Item = (u64, u64)>, count: u64, share: f64) -> u64 {
        let rank = ((count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let mut last = 0;
        for (value, times) in values {
            seen += times;
            last = value;
            if seen >= rank {
                break;
            }
        }
        last
    }

    fn check<const B: u32, const N: usize>(bound: f64) {
        let mut state = 17;
        for width in [6, 12, 20, 30, 33] {
            let histogram = Histogram::<B, N>::default();
            let mut exact: Vec<u64> =
                (0..20_000).map(|_| random(&mut state) >> (64 - 1 - random(&mut state) % width)).collect();
            exact.iter().for_each(|value| histogram.record(*value));
            exact.sort_unstable();
            let counts = counts(&histogram);
            assert_eq!(counts.count(), exact.len() as u64);
            assert_eq!(counts.sum(), exact.iter().sum::<u64>());
            for share in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let right = quantile(exact.iter().map(|value| (*value, 1)), counts.count(), share);
                let found = quantile(counts.values(), counts.count(), share);
                let error = right.abs_diff(found) as f64;
                assert!(error <= bound * right as f64, "{width} bits, {share}: {found}, not {right}");
            }
        }
    }

    #[test]
    fn quantiles_are_as_exact_as_promised() {
        check::<4, LATENCY_BUCKETS>(0.032);
        check::<3, { super::AUTHENTICATION_BUCKETS }>(0.063);
    }

    #[test]
    fn buckets_follow_one_another_and_hold_their_own_middle() {
        let mut before = None;
        for bucket in 0..LATENCY_BUCKETS {
            let value = middle(4, bucket);
            assert_eq!(super::bucket(4, value), bucket);
            assert!(before.is_none_or(|before| before < value), "{bucket}");
            before = Some(value);
        }
    }

    #[test]
    fn the_longest_times_are_counted_in_the_last_bucket() {
        let histogram = Latencies::default();
        for value in [(1 << 42) - 1, 1 << 42, u64::MAX / 2] {
            histogram.record(value);
        }
        assert_eq!(counts(&histogram).values().map(|(_, count)| count).collect::<Vec<_>>(), [3]);
        histogram.record(0);
        assert_eq!(counts(&histogram).values().next(), Some((0, 1)));
    }

    #[test]
    fn a_histogram_takes_a_few_kibibytes() {
        assert!(size_of::<Latencies>() <= 5 * 1024, "{}", size_of::<Latencies>());
        assert!(size_of::<Authentications>() <= 2560, "{}", size_of::<Authentications>());
    }

    #[test]
    fn counts_are_added_and_taken_apart() {
        let histogram = Latencies::default();
        histogram.record(100);
        let before = counts(&histogram);
        histogram.record(100);
        histogram.record(5_000);
        let after = counts(&histogram);
        let since = after.since(&before);
        assert_eq!((since.count(), since.sum()), (2, 5_100));
        let mut both = before;
        both.add(&since);
        assert_eq!(both, after);
    }
}
