//! What counting costs: the end of a request on a shard, and adding up what all shards counted.
//!
//! Endings go to 1,000 series in turn with times that vary, so that the buckets are not all in the nearest cache.

mod common;

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use keyferry::{
    telemetry::{Ending, Entry, Names, Reader, Ring, ShardCells, Telemetry},
    types::{Reason, SeriesId, SeriesName},
};

const SERIES: u32 = 1_000;
const SHARDS: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

fn all(c: &mut Criterion) {
    record(c);
    merge(c);
}

/// An ending like the others before and after it.
fn ending(at: u64) -> Ending {
    Ending {
        series: SeriesId(u32::try_from(at % u64::from(SERIES)).unwrap_or(0)),
        reason: if at.is_multiple_of(20) { Reason::KeyUnknown } else { Reason::Forwarded },
        status: 200,
        latency: Some(400_000 + at * 7_919 % 5_000_000),
        authentication: Some(180 + at * 31 % 900),
    }
}

/// What a shard does when a request ends.
fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let cells = ShardCells::default();
    let mut at = 0;
    group.bench_function("an ending, one series", |b| {
        b.iter(|| {
            at += 1;
            cells.record(black_box(&Ending { series: SeriesId(3), ..ending(at) }));
        });
    });
    group.bench_function("an ending, 1,000 series", |b| {
        b.iter(|| {
            at += 1;
            cells.record(black_box(&ending(at)));
        });
    });
    let mut key = 0_u32;
    group.bench_function("the use of one of 1,000,000 keys", |b| {
        b.iter(|| {
            key = key.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            cells.note_use(black_box(key % 1_000_000), 1_795_392_000_000);
        });
    });
    let ring = Ring::new(8192);
    let entry = Entry::default();
    group.bench_function("a line of the access log, in and out of the ring", |b| {
        b.iter(|| {
            ring.push(black_box(&entry).clone());
            ring.pop()
        });
    });
    group.finish();
}

/// What the control thread does each second, and when somebody asks.
fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge");
    let names: Names = Arc::new(|| SeriesName::first().into_iter().collect());
    let shards: Vec<Arc<ShardCells>> = (0..SHARDS).map(|_| Arc::default()).collect();
    let telemetry = Telemetry::new(shards, names);
    let touch = |count: u64| {
        for cells in telemetry.shards() {
            (0..u64::from(SERIES) * count).for_each(|at| cells.record(&ending(at * 13)));
        }
    };
    touch(50);
    group.bench_function("1,000 series of 2 shards, all active", |b| {
        b.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                touch(1);
                took += timed(|| telemetry.merge(SECOND));
            }
            took
        });
    });
    group.bench_function("1,000 series of 2 shards, none active", |b| b.iter(|| telemetry.merge(SECOND)));
    let mut reader = Reader::default();
    let counts = telemetry.with_merged(|merged| merged.series().next().map(|(_, one)| one.totals.clone()));
    let counts = counts.unwrap_or_default();
    group
        .bench_function("quantiles of one histogram", |b| b.iter(|| reader.read(black_box(&counts.latency))));
    group.finish();
}

#[allow(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn timed(work: impl FnOnce()) -> Duration {
    let before = std::time::Instant::now();
    work();
    before.elapsed()
}

criterion_group! { name = benches; config = common::criterion(); targets = all }
criterion_main!(benches);
