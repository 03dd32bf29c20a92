//! What a change costs the control thread: compiling a plan into the tables that shards read.
//!
//! Reading files and freeing the snapshot before are not in it.

mod common;

use std::{sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use keyferry::{
    compile::{Compiler, Epoch},
    config::plan::{KeyList, Plan},
};

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for keys in [10_000, 1_000_000] {
        let plan = common::plan(keys);
        group.bench_function(format!("{keys} keys, from nothing"), |b| {
            b.iter_batched(
                Compiler::default,
                |mut compiler| (compiler.compile(&plan, Epoch::FIRST).ok(), compiler),
                BatchSize::PerIteration,
            );
        });
        let mut compiler = Compiler::default();
        let before = compiler.compile(&plan, Epoch::FIRST).expect("it compiles");
        // One key is another: every part of the table but two is shared.
        let changed = with_one_changed(&plan, keys);
        group.bench_function(format!("{keys} keys, one changed"), |b| {
            b.iter_batched(
                || compiler.clone(),
                |mut compiler| (compiler.compile(&changed, Epoch::FIRST).ok(), compiler),
                BatchSize::PerIteration,
            );
        });
        // A target's address changed, or a key was revoked: the tables are shared.
        group.bench_function(format!("{keys} keys, other addresses"), |b| {
            b.iter_with_large_drop(|| before.snapshot(2, &common::addresses(), &Arc::default()));
        });
    }
    group.finish();
}

fn with_one_changed(plan: &Plan, keys: usize) -> Arc<Plan> {
    let mut changed = common::plan(1);
    let mut digests: Vec<_> = plan.proxy_credentials[0].keys().map(|key| *key.digest).collect();
    digests[keys / 2] = common::digest(1);
    let list = Arc::new(KeyList::of_digests("keys", digests));
    Arc::get_mut(&mut changed).expect("nobody else has it").proxy_credentials[0].keys = vec![list];
    changed
}

criterion_group! { name = benches; config = common::criterion(); targets = compile }
criterion_main!(benches);
