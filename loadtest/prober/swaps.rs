//! Two keys change sides again and again, while callers with other keys must not notice.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    client::request,
    figures::{Figures, rounded},
    load::{AtEnd, Seen},
    reload::follow,
    scene::{Scene, key},
};

/// A disk that is busy may keep a write waiting for very long.
const STALL: Duration = Duration::from_secs(30);

pub fn run(options: &Options) -> Figures {
    let sides = [key("side", 0), key("side", 1)];
    let other = |n: usize| key("extra", n);
    let scene = Scene::start(options, |n| if n == 0 { sides[0].clone() } else { other(n) });
    let seen = Seen::default();
    let (mut writing, mut refused, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    let memory = scene.resident_mib();
    thread::scope(|scope| {
        for worker in 0..options.connections {
            let (scene, seen) = (&scene, &seen);
            scope.spawn(move || seen.closed_loop(scene, worker, options.keys));
        }
        let _over = AtEnd(&seen.over);
        let mut client = scene.connect();
        let requests = [request(&sides[0]), request(&sides[1])];
        for swap in 1..=options.count {
            let from = Instant::now();
            let written = scene.write(0, &sides[swap % 2]);
            writing.push(written - from);
            if from.elapsed() > STALL {
                client = scene.connect(); // the gateway may end one that was idle for so long
            }
            let (gone, there) = follow(&mut client, &requests[(swap + 1) % 2], &requests[swap % 2], written);
            refused.push(gone);
            accepted.push(there);
        }
    });
    let took = began.elapsed().as_secs_f64();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let mut figures = Figures::default();
    figures.add("keys", options.keys);
    figures.add("swaps, each seen on both sides", accepted.len());
    figures.add("seconds", rounded(took));
    figures.add("swaps/s", rounded(accepted.len() as f64 / took));
    figures.add("answers to untouched keys", count(&seen.answered));
    figures.add("slowest answer to them, ms", count(&seen.slowest) as f64 / 1000.0);
    figures.must_be_zero("failed requests of untouched keys", count(&seen.failed));
    figures.must_be_zero("connections that were ended", count(&seen.reconnects));
    figures.spread("writing the file (the disk's time)", writing);
    figures.spread("first refusal", refused);
    figures.spread("first acceptance", accepted);
    let (_, status) = scene.admin().get("/status").unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    for result in ["applied", "unchanged", "refused"] {
        figures.add(&format!("reloads {result}, by the status"), status["reloads"][result].clone());
    }
    figures.add("resident before, MiB", memory);
    figures.add("resident after, MiB", scene.resident_mib());
    figures
}
