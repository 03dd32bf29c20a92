//! Callers with TLS are served while others misuse the gateway: what they feel of it, and what stays behind.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    attack::{Attack, Kind},
    attackers::SPIN,
    client::{Stream, request},
    figures::{Figures, percentile, rounded},
    load::{AtEnd, Seen},
    process::descriptors_max,
    replace::of,
    scene::{Scene, Setting, key},
};

/// Callers that take their time are sent away early, so that an experiment is short; connections to the API go soon.
const SETTING: Setting = Setting {
    has_tls: true,
    // What is idle needs fewer descriptors than what "auto" gives everybody.
    server: "[server.timeouts]\nhead = \"3s\"\nbody = \"5s\"\n[server.limits]\nconnections = 8000\n",
    target: "[target.timeouts]\nidle = \"2s\"\n",
};
/// After an attack descriptors are back: the timeouts above, and some.
const BACK_LIMIT: Duration = Duration::from_secs(15);
/// By how much memory may grow from the last attack but one to the last, the larger of the two. The attacks before fill
/// what the gateway keeps for later: buffers, and the allocator's own.
const GROWTH_KIB_MAX: u64 = 2 * 1024;
const GROWTH_PERCENT_MAX: u64 = 5;

/// What the gateway holds.
#[derive(Clone, Copy, Default)]
struct Held {
    kib: u64,
    descriptors: u64,
}

impl Held {
    fn by(scene: &Scene) -> Self {
        let process = scene.process();
        Self { kib: process.resident_kib(), descriptors: process.descriptors() }
    }
}

/// A stretch of the experiment.
struct Phase {
    from: Instant,
    to: Instant,
    /// CPU time of the gateway.
    gateway: Duration,
}

/// What came of one attack.
struct Attacked {
    phase: Phase,
    cpu: Duration,
    events: usize,
    opened: usize,
    ended: usize,
    peak: Held,
    /// Once it was over and descriptors were back, if they ever were.
    back: Option<Duration>,
    end: Held,
}

pub fn run(options: &Options, kind: &Kind) -> Figures {
    let scene = Scene::set(options, |n| key("extra", n), &SETTING);
    let is_tls = options.is_tls || kind.name.ends_with("handshake") || kind.name.starts_with("handshake");
    let (hostile_key, seen) = (key("a", 1), Seen::default());
    let attack = |kind, rate: Option<usize>| {
        let mut attack = Attack::new(kind, &scene, &hostile_key, is_tls);
        attack.rate = rate.unwrap_or(attack.rate);
        attack.connections = options.attack_connections.unwrap_or(attack.connections);
        attack
    };
    let wanted = attack(kind, options.attack_rate);
    assert!(descriptors_max() > wanted.connections * 2 + 500, "raise the limit on open files (ulimit -n)");
    let request = request(&key("a", 0));
    let every = Duration::from_secs_f64(options.connections as f64 / options.rate as f64);
    let length = Duration::from_secs(options.seconds as u64);
    let begin = Instant::now() + Duration::from_millis(200);
    thread::scope(|scope| {
        let bystanders: Vec<_> = (0..options.connections)
            .map(|n| {
                let first = begin + every * n as u32 / options.connections as u32;
                let (scene, seen, request) = (&scene, &seen, &request);
                scope.spawn(move || seen.at_a_rate(scene, request, first, every))
            })
            .collect();
        let over = AtEnd(&seen.over);
        thread::sleep(Duration::from_secs(1));
        let quiet = rest(&scene, length);
        let before = Held::by(&scene);
        // Whoever asks may hold a connection to the API, or not.
        let back_at = before.descriptors + options.connections as u64;
        let attacked: Vec<_> = (0..options.rounds)
            .map(|_| go(&scene, &attack(kind, options.attack_rate), length, back_at))
            .collect();
        let share = share_of(&attacked);
        let control =
            go(&scene, &attack(SPIN, Some(share.round().max(1.0) as usize)), length, u64::MAX).phase;
        let after = rest(&scene, length);
        drop(over);
        let times: Vec<_> = bystanders.into_iter().flat_map(|one| one.join().unwrap()).collect();
        let within = |phase: &Phase| of(&times, |due| due >= phase.from && due < phase.to);
        let under = of(&times, |due| attacked.iter().any(|one| due >= one.phase.from && due < one.phase.to));

        let mut figures = Figures::default();
        figures.add("attackers speak TLS", is_tls);
        figures.add("bystanders' requests/s", options.rate);
        for (name, times) in [
            ("quiet", within(&quiet)),
            ("under attack", under.clone()),
            ("beside as much idle work", within(&control)),
            ("after it", within(&after)),
        ] {
            figures.spread(&format!("bystanders' latency, {name}"), times);
        }
        let p99 = |times: &[Duration]| percentile(times, 0.99).as_secs_f64();
        let ratio = p99(&under) / p99(&within(&quiet));
        figures.add("ratio of the p99 to quiet", rounded(ratio));
        figures.add("ratio of the p99 to idle work", rounded(p99(&under) / p99(&within(&control))));
        figures.must(
            "the ratio of the p99 is small enough",
            options.p99_max_ratio.is_none_or(|bound| ratio <= bound),
        );
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        figures.must_be_zero("failed requests of bystanders", count(&seen.failed));
        figures.must_be_zero("connections of bystanders that were ended", count(&seen.reconnects));
        figures.must_be_zero("errors in the log", scene.log.count("ERROR") + scene.log.count("panic"));
        figures.add("attack's bound, events/s", wanted.rate);
        figures.add("attack's connections at a time", wanted.connections);
        attackers(&mut figures, kind, &attacked, share);
        figures.add("gateway's CPU, quiet, %", rounded(percent(&quiet)));
        let gateway: f64 = attacked.iter().map(|one| percent(&one.phase)).sum();
        figures.add("gateway's CPU, under attack, %", rounded(gateway / attacked.len() as f64));
        remains(&mut figures, before, &attacked);
        figures
    })
}

/// What the attackers did and took.
fn attackers(figures: &mut Figures, kind: &Kind, attacked: &[Attacked], share: f64) {
    let sum = |of: fn(&Attacked) -> usize| attacked.iter().map(of).sum::<usize>();
    let seconds: f64 = attacked.iter().map(|one| (one.phase.to - one.phase.from).as_secs_f64()).sum();
    figures.add(&format!("attack's {}/s", kind.event), rounded(sum(|one| one.events) as f64 / seconds));
    figures.add("attack's connections", sum(|one| one.opened));
    figures.add("attack's connections that the gateway ended", sum(|one| one.ended));
    figures.add("attackers' CPU, %", rounded(share));
    figures.must("the attack took place", attacked.iter().all(|one| one.events > 0));
    if kind.name == "churn" {
        figures.must("each of the churning callers was answered", sum(|one| one.ended) == 0);
    }
}

/// What stays behind.
fn remains(figures: &mut Figures, before: Held, attacked: &[Attacked]) {
    let mib = |held: Held| rounded(held.kib as f64 / 1024.0);
    let list = |of: &dyn Fn(&Attacked) -> String| attacked.iter().map(of).collect::<Vec<_>>().join(", ");
    figures.add("descriptors before", before.descriptors);
    figures.add("descriptors at the peaks", list(&|one| one.peak.descriptors.to_string()));
    figures.add("descriptors after", list(&|one| one.end.descriptors.to_string()));
    figures.add(
        "descriptors back after, s",
        list(&|one| one.back.map_or("never".to_owned(), |time| rounded(time.as_secs_f64()).to_string())),
    );
    figures.must("descriptors are back in time", attacked.iter().all(|one| one.back.is_some()));
    figures.add("resident before, MiB", mib(before));
    figures.add("resident at the peaks, MiB", list(&|one| mib(one.peak).to_string()));
    figures.add("resident after, MiB", list(&|one| mib(one.end).to_string()));
    if let [.., one, last] = attacked {
        let bound = one.end.kib + GROWTH_KIB_MAX.max(one.end.kib * GROWTH_PERCENT_MAX / 100);
        let sentence = format!(
            "memory grows by at most {GROWTH_KIB_MAX} KiB or {GROWTH_PERCENT_MAX} % from the last but one"
        );
        figures.must(&sentence, last.end.kib <= bound);
    }
}

/// Nothing but bystanders for a while.
fn rest(scene: &Scene, length: Duration) -> Phase {
    let (from, before) = (Instant::now(), scene.process().cpu());
    thread::sleep(length);
    Phase { from, to: Instant::now(), gateway: scene.process().cpu().saturating_sub(before) }
}

/// One attack, and until nothing is left of it.
fn go(scene: &Scene, attack: &Attack<'_>, length: Duration, back_at: u64) -> Attacked {
    let (from, before) = (Instant::now(), scene.process().cpu());
    let mut peak = Held::default();
    let (to, gateway, left): (_, _, Vec<Stream>) = thread::scope(|scope| {
        let attacker = scope.spawn(|| attack.run());
        let _over = AtEnd(&attack.over);
        while from.elapsed() < length {
            thread::sleep(Duration::from_millis(50));
            let held = Held::by(scene);
            peak.kib = peak.kib.max(held.kib);
            peak.descriptors = peak.descriptors.max(held.descriptors);
        }
        let (to, gateway) = (Instant::now(), scene.process().cpu().saturating_sub(before));
        attack.over.store(true, Ordering::Relaxed);
        (to, gateway, attacker.join().unwrap())
    });
    let ended = Instant::now();
    let mut back = None;
    while back.is_none() && ended.elapsed() < BACK_LIMIT {
        back = (scene.process().descriptors() <= back_at).then(|| ended.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    drop(left); // not before: a peer that has vanished closes nothing
    thread::sleep(Duration::from_secs(1));
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (events, opened, closed) = (count(&attack.events), count(&attack.opened), count(&attack.ended));
    let phase = Phase { from, to, gateway };
    Attacked { phase, cpu: attack.cpu(), events, opened, ended: closed, peak, back, end: Held::by(scene) }
}

/// Of one CPU, in percent.
fn percent(phase: &Phase) -> f64 {
    100.0 * phase.gateway.as_secs_f64() / (phase.to - phase.from).as_secs_f64()
}

fn share_of(attacked: &[Attacked]) -> f64 {
    let cpu: f64 = attacked.iter().map(|one| one.cpu.as_secs_f64()).sum();
    let seconds: f64 = attacked.iter().map(|one| (one.phase.to - one.phase.from).as_secs_f64()).sum();
    100.0 * cpu / seconds
}
