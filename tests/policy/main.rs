//! Compiled rules against rules as they are written: a million random requests, judged by the program and by a
//! reference that knows nothing of automata.
//!
//! Every configuration goes the whole way: TOML, plan, snapshot, head, decision. The numbers are the same in each
//! run; a difference prints the configuration and the request that show it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod random;
mod reference;

use std::{net::IpAddr, sync::Arc};

use keyferry::{
    compile::{Compiler, Epoch},
    config,
    policy::{Means, Now, RuleMemory, Unwatched, Watch, decide_as},
    protocol::{
        h1::parse_request,
        http::{FieldTable, HeadLimits},
    },
    snapshot::Snapshot,
    types::{Effect, Reason, RuleScope},
};

use random::Random;
use reference::{Reference, Request};

/// Configurations of each test, and requests of each configuration.
const CONFIGURATIONS: u64 = 1_000;
const REQUESTS: usize = 500;

#[test]
fn dense_automata_judge_as_the_reference_does() {
    judge_as_the_reference_does(0, Compiler::default);
}

#[test]
fn lazy_automata_judge_as_the_reference_does() {
    judge_as_the_reference_does(1 << 32, Compiler::with_lazy_rules);
}

fn judge_as_the_reference_does(seed: u64, compiler: fn() -> Compiler) {
    let mut rules = RuleMemory::default();
    let mut outcomes = [0_usize; 2];
    for number in 0..CONFIGURATIONS {
        let mut random = Random::new(seed + number);
        let reference = Reference::random(&mut random);
        let text = reference.to_toml();
        let plan = config::parse_text(&text).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}")).plan;
        let snapshot = compiler().compile(&Arc::new(plan), Epoch::FIRST).expect("it compiles").snapshot(
            1,
            &vec![vec![([127, 0, 0, 1], 9).into()]],
            &Arc::default(),
        );
        for _ in 0..REQUESTS {
            let request = Request::random(&mut random, &reference);
            let expected = reference.allows(&request);
            let found = decide(&snapshot, &request, &mut rules, &mut Unwatched);
            let watched = decide(&snapshot, &request, &mut rules, &mut Details);
            let word = if expected { Ok(()) } else { Err(Reason::Rule) };
            assert_eq!(found, word, "seed {number}\n{text}\n{}", request.head());
            assert_eq!(watched, word, "whoever watches changes nothing: {number}");
            outcomes[usize::from(expected)] += 1;
        }
    }
    let all = CONFIGURATIONS as usize * REQUESTS;
    assert!(outcomes.iter().all(|count| *count > all / 5), "too little of one kind: {outcomes:?}");
}

/// A hostile path must not keep a shard busy for seconds, nor get past the rules that it does that to.
#[test]
fn a_path_that_takes_too_long_is_denied_whatever_the_default_is() {
    let mut text = String::from(
        "[[target]]\nname = \"t\"\nurl = \"http://t.example/base\"\n\
         [[credential]]\nname = \"c\"\ntype = \"proxy\"\nauth = \"key\"\nkeys = []\n\
         [[proxy]]\nalias = \"p\"\ntarget = \"t\"\nproxy_credentials = [\"c\"]\n",
    );
    for least in 0..100 {
        text += &format!("[[proxy.rule]]\neffect = \"deny\"\npath = '[ab]{{{least},400}}c'\n");
    }
    let plan = config::parse_text(&text).unwrap().plan;
    let compiled = Compiler::default().compile(&Arc::new(plan), Epoch::FIRST).expect("it compiles");
    let snapshot = compiled.snapshot(1, &vec![vec![([127, 0, 0, 1], 9).into()]], &Arc::default());
    let mut rules = RuleMemory::default();
    let mut ask = |path: &str| {
        let head = format!("GET /p{path} HTTP/1.1\r\nHost: gw\r\n\r\n");
        let mut table = FieldTable::new();
        let head = parse_request(head.as_bytes(), &HeadLimits::default(), &mut table).unwrap();
        let source = IpAddr::from([127, 0, 0, 1]);
        let (path, rules) = (&mut [0; 8192][..], &mut rules);
        let means = Means {
            now: Now(0),
            source: Some(source),
            certificate: None,
            path,
            rules,
            watch: &mut Unwatched,
        };
        decide_as(&snapshot, &head, 0, means).map(drop).map_err(|denial| denial.reason)
    };
    assert_eq!(ask("/xyz"), Ok(()));
    assert_eq!(ask(&format!("/{}", "ab".repeat(3000))), Err(Reason::Rule));
    assert_eq!(ask("/xyz"), Ok(()));
}

struct Details;

impl Watch for Details {
    const DETAILS: bool = true;
    fn rule_matched(&mut self, _scope: RuleScope, _rule: usize) {}
    fn scope_said(&mut self, _scope: RuleScope, _effect: Option<Effect>, _by_default: bool) {}
}

fn decide(
    snapshot: &Snapshot,
    request: &Request,
    rules: &mut RuleMemory,
    watch: &mut impl Watch,
) -> Result<(), Reason> {
    let head = request.head();
    let mut table = FieldTable::new();
    let head = parse_request(head.as_bytes(), &HeadLimits::default(), &mut table).unwrap();
    let source: Option<IpAddr> = request.source.map(|address| address.parse().unwrap());
    let means = Means { now: Now(0), source, certificate: None, path: &mut [0; 256], rules, watch };
    decide_as(snapshot, &head, request.credential as u32, means).map(drop).map_err(|denial| denial.reason)
}
