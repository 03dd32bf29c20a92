//! What judging a request costs, and how that depends on how many keys there are.
//!
//! Every look-up is for another key, in random order, so that with a million keys it pays for memory that no cache
//! holds. Requests do not wait for each other, as a shard's requests do not: what a miss in the cache costs is
//! partly hidden behind the request before.

mod common;

use std::hint::black_box;

use common::KEY_BYTES;
use criterion::{Criterion, criterion_group, criterion_main};
use keyferry::{
    policy::{
        CallerFacts, FieldSink, Means, Now, Permit, RuleMemory, Unwatched, decide, write_request_fields,
    },
    protocol::{
        h1::{HeadWriter, parse_request},
        http::{FieldTable, RequestHead},
    },
    snapshot::Snapshot,
};

const SIZES: [usize; 3] = [1, 10_000, 1_000_000];
/// Keys that are asked for, one after the other.
const PROBES: usize = 1 << 20;
/// 2026-11-23, in milliseconds.
const NOW: Now = Now(1_795_392_000_000);

fn all(c: &mut Criterion) {
    for keys in SIZES {
        let snapshot = common::snapshot(keys);
        look_up(c, keys, &snapshot);
        judge(c, keys, &snapshot);
    }
}

/// The table alone: digest in, entry out.
fn look_up(c: &mut Criterion, keys: usize, snapshot: &Snapshot) {
    let mut group = c.benchmark_group(format!("look up one of {keys} keys"));
    for (name, numbers) in [("hit", common::hits(keys, PROBES)), ("miss", common::misses(PROBES))] {
        let digests: Vec<_> = numbers.into_iter().map(common::digest).collect();
        let found = digests.iter().filter(|digest| snapshot.keys.find(digest).next().is_some()).count();
        assert_eq!(found, if name == "hit" { PROBES } else { 0 });
        let mut next = digests.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| next.next().and_then(|digest| snapshot.keys.find(black_box(digest)).next()).is_some());
        });
    }
    group.finish();
}

/// From a whole head to the head that the API gets, or to a refusal: what a shard does without input and output,
/// a SHA-256 included.
fn judge(c: &mut Criterion, keys: usize, snapshot: &Snapshot) {
    let mut group = c.benchmark_group(format!("parse, decide, encode with {keys} keys"));
    let (mut table, mut path, mut out) = (FieldTable::new(), vec![0; 8192], vec![0; 4096]);
    let mut rules = RuleMemory::default();
    let mut bytes = common::request(0);
    let place = bytes.len() - KEY_BYTES - b"\r\n\r\n".len()..bytes.len() - b"\r\n\r\n".len();
    for (name, numbers) in [("accepted", common::hits(keys, PROBES)), ("refused", common::misses(PROBES))] {
        let presented: Vec<u8> =
            numbers.into_iter().flat_map(|number| common::key(number).into_bytes()).collect();
        let mut next = presented.chunks_exact(KEY_BYTES).cycle();
        group.bench_function(name, |b| {
            b.iter(|| {
                bytes[place.clone()].copy_from_slice(next.next().expect("it never ends"));
                let head = parse_request(black_box(&bytes), &snapshot.callers.head, &mut table)
                    .expect("the head is well-formed");
                let means = Means {
                    certificate: None,
                    now: NOW,
                    source: Some([127, 0, 0, 1].into()),
                    path: &mut path,
                    rules: &mut rules,
                    watch: &mut Unwatched,
                };
                let permit = decide(snapshot, &head, means).ok()?;
                Some(encode(&permit, &head, &mut out))
            });
        });
    }
    group.finish();
}

fn encode(permit: &Permit<'_, '_>, head: &RequestHead<'_>, out: &mut [u8]) -> usize {
    let caller = CallerFacts {
        address: b"127.0.0.1",
        scheme: b"http",
        host: None,
        request_id: b"00000000000000000000",
    };
    let query = permit.query().unwrap_or_default();
    let mut writer = HeadWriter::new(out);
    writer.request_line(head.method_bytes, &[&permit.upstream().base_path, permit.path(), b"?", query]);
    writer.field(b"Host", &permit.upstream().authority);
    write_request_fields(permit, head, &caller, &mut Fields(&mut writer));
    writer.end();
    writer.finish().expect("the head fits")
}

struct Fields<'w, 'o>(&'w mut HeadWriter<'o>);

impl FieldSink for Fields<'_, '_> {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.0.field(name, value);
    }

    fn field_parts(&mut self, name: &[u8], parts: &[&[u8]]) {
        self.0.field_parts(name, parts);
    }

    fn lines(&mut self, lines: &[u8]) {
        self.0.raw(lines);
    }
}

criterion_group! { name = benches; config = common::criterion(); targets = all }
criterion_main!(benches);
