//! All keys but the one in use are replaced by others: what callers feel of it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    client::request,
    figures::{Figures, millis, percentile, rounded},
    load::{AtEnd, Seen},
    scene::{Scene, family, key, line},
};

/// What comes of one replacement.
struct Replaced {
    from: Instant,
    to: Instant,
}

pub fn run(options: &Options) -> Figures {
    let used = key("used", 0);
    let scene = Scene::start(options, |n| if n == 0 { used.clone() } else { key("extra", n) });
    let families = ["b", "a"].map(|name| family(name, options.keys, options.files));
    let (seen, quiet_time) = (Seen::default(), Duration::from_secs(options.seconds as u64));
    let every = Duration::from_secs_f64(options.connections as f64 / options.rate as f64);
    let request = request(&used);
    let begin = Instant::now() + Duration::from_millis(500);
    let mut replaced = Vec::new();
    let times: Vec<(Instant, Duration)> = thread::scope(|scope| {
        let callers: Vec<_> = (0..options.connections)
            .map(|n| {
                let first = begin + every * n as u32 / options.connections as u32;
                let (scene, seen, request) = (&scene, &seen, &request);
                scope.spawn(move || seen.at_a_rate(scene, request, first, every))
            })
            .collect();
        {
            let _over = AtEnd(&seen.over);
            thread::sleep(quiet_time);
            for round in 0..options.rounds {
                replaced.push(replace(&scene, round + 1, &families[round % 2], &used));
                thread::sleep(Duration::from_secs(1));
            }
        }
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let quiet_from = begin + Duration::from_secs(1);
    let first = replaced[0].from;
    let quiet = of(&times, |due| due >= quiet_from && due < first);
    let busy = of(&times, |due| replaced.iter().any(|one| due >= one.from && due < one.to));
    let ratio = percentile(&busy, 0.99).as_secs_f64() / percentile(&quiet, 0.99).as_secs_f64();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let mut figures = Figures::default();
    figures.add("keys", options.keys);
    figures.add("requests/s", options.rate);
    figures.spread("a replacement, from the write to the answer of the forced reload", {
        replaced.iter().map(|one| one.to - one.from).collect()
    });
    figures.spread("latency, quiet", quiet.clone());
    figures.spread("latency, while it is replaced", busy.clone());
    figures.add("p99.9 quiet, ms", millis(percentile(&quiet, 0.999)));
    figures.add("p99.9 replaced, ms", millis(percentile(&busy, 0.999)));
    figures.add("ratio of the p99", rounded(ratio));
    figures.must_be_zero("failed requests", count(&seen.failed));
    figures.must_be_zero("connections that were ended", count(&seen.reconnects));
    figures.add("resident, MiB", scene.resident_mib());
    figures
}

/// Writes every file anew and forces it: without force it would be refused as an accident.
fn replace(scene: &Scene, round: usize, files: &[String], used: &str) -> Replaced {
    let texts: Vec<String> = files
        .iter()
        .enumerate()
        .map(|(n, lines)| match n {
            0 => format!("{lines}{}", line(used)),
            _ => lines.clone(),
        })
        .collect();
    let from = scene.put_all(round, &texts); // who writes them takes a core as well, and is not the gateway
    let (status, body) = scene.admin().post("/reload", r#"{"force":true}"#).unwrap();
    assert_eq!(status, 200, "{body}");
    Replaced { from, to: Instant::now() }
}

/// Sorted latencies of the requests that were due at such a time.
pub fn of(times: &[(Instant, Duration)], when: impl Fn(Instant) -> bool) -> Vec<Duration> {
    let mut found: Vec<_> = times.iter().filter(|(due, _)| when(*due)).map(|(_, time)| *time).collect();
    found.sort_unstable();
    found
}
