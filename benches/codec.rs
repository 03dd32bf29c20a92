//! What finding, parsing and writing heads costs. All of it is warm: the same bytes and tables again and again.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyferry::{
    limits::HEAD_BYTES_DEFAULT,
    protocol::{
        h1::{HeadScanner, HeadWriter, parse_request, parse_response, reason_phrase},
        http::{FieldTable, HeadLimits, Method},
    },
};
use std::hint::black_box;

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find the end of a head");
    for head in [common::short_request(0), common::request(0)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(format!("request of {} B", head.len()), |b| {
            b.iter(|| HeadScanner::default().find(black_box(&head), HEAD_BYTES_DEFAULT));
        });
    }
    group.finish();
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let limits = HeadLimits::default();
    let mut table = FieldTable::new();
    for head in [common::short_request(0), common::request(0)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(format!("request of {} B", head.len()), |b| {
            b.iter(|| {
                let parsed = parse_request(black_box(&head), &limits, &mut table).expect("a good head");
                black_box(&parsed).keep_alive
            });
        });
    }
    let head = common::response();
    group.throughput(Throughput::Bytes(head.len() as u64));
    group.bench_function(format!("response of {} B", head.len()), |b| {
        b.iter(|| {
            let parsed =
                parse_response(black_box(&head), Method::Get, &limits, &mut table).expect("a good head");
            black_box(&parsed).status
        });
    });
    group.finish();
}

/// Writes what was parsed again, without judging or editing it: `decide` measures that.
fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let limits = HeadLimits::default();
    let mut out = vec![0; 4096];

    let (bytes, mut table) = (common::request(0), FieldTable::new());
    let head = parse_request(&bytes, &limits, &mut table).expect("a good head");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function(format!("request of {} B", bytes.len()), |b| {
        b.iter(|| {
            let head = black_box(&head);
            let mut writer = HeadWriter::new(&mut out);
            writer.request_line(head.method_bytes, &[head.target.path]);
            head.fields.iter().for_each(|field| writer.field(field.name, field.value));
            writer.end();
            writer.finish()
        });
    });

    let (bytes, mut table) = (common::response(), FieldTable::new());
    let head = parse_response(&bytes, Method::Get, &limits, &mut table).expect("a good head");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function(format!("response of {} B", bytes.len()), |b| {
        b.iter(|| {
            let head = black_box(&head);
            let mut writer = HeadWriter::new(&mut out);
            writer.status_line(head.status, reason_phrase(head.status).as_bytes());
            head.fields.iter().for_each(|field| writer.field(field.name, field.value));
            writer.end();
            writer.finish()
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = common::criterion(); targets = find, parse, encode }
criterion_main!(benches);
