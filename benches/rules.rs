//! What rules cost a request, and what they cost a reload.
//!
//! Every figure of `decide` is a whole decision for a caller whose credential is taken for granted: route, path,
//! rules. What grows from one rule to a thousand is the rules' own.

mod common;

use std::{fmt::Write as _, hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use keyferry::{
    compile::{Compiler, Epoch, RuleCache},
    config::{parse_text, plan::Plan},
    policy::{Means, Now, RuleMemory, Unwatched, decide_as},
    protocol::{
        h1::parse_request,
        http::{FieldTable, HeadLimits},
    },
    snapshot::Snapshot,
};

const COUNTS: [usize; 4] = [1, 10, 100, 1_000];

/// A sort of rules: its name, the pattern with a number, and a path that the middle one matches.
type Sort = (&'static str, fn(usize) -> String, fn(usize) -> String);

const SORTS: [Sort; 3] = [
    (
        "literal prefixes",
        |n| format!("^/v{}/items/r{n}/", n % 7),
        |n| format!("/v{}/items/r{n}/details/42", n % 7),
    ),
    ("patterns", |n| format!("^/v[0-9]/items/r{n}/[a-z]+"), |n| format!("/v{}/items/r{n}/details/42", n % 7)),
    // In the middle of a path: what dense automata are too large for.
    ("infixes", |n| format!("^/.*/w{n}/.*"), |n| format!("/v1/items/w{n}/details/42")),
];

fn plan(count: usize, pattern: fn(usize) -> String) -> Plan {
    let mut text = String::from(
        "[[target]]\nname = \"t\"\nurl = \"http://127.0.0.1:3000\"\n\
         [[credential]]\nname = \"c\"\ntype = \"proxy\"\nauth = \"key\"\nkeys = []\n\
         [[proxy]]\nalias = \"crm\"\ntarget = \"t\"\nproxy_credentials = [\"c\"]\ndefault_rule_effect = \"deny\"\n",
    );
    for number in 0..count {
        let _ = write!(
            text,
            "[[proxy.rule]]\neffect = \"allow\"\nmethods = [\"GET\"]\npath = '{}'\n",
            pattern(number)
        );
    }
    parse_text(&text).expect("the configuration is right").plan
}

fn snapshot(plan: Plan) -> Snapshot {
    let compiled = Compiler::default().compile(&Arc::new(plan), Epoch::FIRST).expect("it compiles");
    compiled.snapshot(1, &common::addresses(), &Arc::default())
}

fn deciding(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    let none = snapshot(plan(0, |_| String::new()));
    decision(&mut group, "no rules", &none, "/v1/items/r0/details/42", true);
    for (name, pattern, path) in SORTS {
        for count in COUNTS {
            let snapshot = snapshot(plan(count, pattern));
            decision(&mut group, &format!("{count} {name}, hit"), &snapshot, &path(count / 2), true);
            decision(&mut group, &format!("{count} {name}, miss"), &snapshot, &path(5_000), false);
        }
    }
    group.finish();
}

type Group<'c> = criterion::BenchmarkGroup<'c, criterion::measurement::WallTime>;

fn decision(group: &mut Group<'_>, name: &str, snapshot: &Snapshot, path: &str, allowed: bool) {
    let bytes = format!("GET /crm{path} HTTP/1.1\r\nHost: gw\r\nAccept: */*\r\n\r\n");
    let (mut table, mut scratch, mut rules) = (FieldTable::new(), vec![0; 8192], RuleMemory::default());
    let head = parse_request(bytes.as_bytes(), &HeadLimits::default(), &mut table).expect("a head");
    let allowed = allowed && !snapshot.proxies[0].rules.proxy.rules.is_empty();
    group.bench_function(name, |b| {
        b.iter(|| {
            let means = Means {
                certificate: None,
                now: Now(0),
                source: Some([127, 0, 0, 1].into()),
                path: &mut scratch,
                rules: &mut rules,
                watch: &mut Unwatched,
            };
            let permitted = decide_as(snapshot, black_box(&head), 0, means).is_ok();
            assert_eq!(permitted, allowed);
        });
    });
}

fn building(c: &mut Criterion) {
    let mut group = c.benchmark_group("build rules");
    group.sample_size(10);
    for (name, pattern, _) in SORTS {
        for count in COUNTS {
            let plan = plan(count, pattern);
            group.bench_function(format!("{count} {name}"), |b| {
                b.iter_batched(
                    RuleCache::default,
                    |mut cache| {
                        let built = cache.compile(&plan);
                        (built, cache)
                    },
                    BatchSize::PerIteration,
                );
            });
            let mut cache = RuleCache::default();
            let before = cache.compile(&plan);
            group.bench_function(format!("{count} {name}, unchanged"), |b| b.iter(|| cache.compile(&plan)));
            drop(before);
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = common::criterion(); targets = deciding, building }
criterion_main!(benches);
