//! What a change costs the control thread: compiling a plan into the tables that shards read.
//!
//! Reading files and freeing the snapshot before are not in it.

mod common;

use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use keyferry::compile::Compiler;

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for keys in [10_000, 1_000_000] {
        let (plan, addresses) = (common::plan(keys), common::addresses());
        group.bench_function(format!("{keys} keys"), |b| {
            b.iter_batched(
                Compiler::default,
                |mut compiler| {
                    let snapshot = compiler.compile(&plan, &addresses);
                    (snapshot, compiler)
                },
                BatchSize::PerIteration,
            );
        });
        // A target's address changed: the keys are shared with the snapshot before.
        let mut compiler = Compiler::default();
        let before = compiler.compile(&plan, &addresses);
        group.bench_function(format!("{keys} keys, other addresses"), |b| {
            b.iter_with_large_drop(|| compiler.compile_addresses(&plan, &addresses));
        });
        drop(before);
    }
    group.finish();
}

criterion_group! { name = benches; config = common::criterion(); targets = compile }
criterion_main!(benches);
