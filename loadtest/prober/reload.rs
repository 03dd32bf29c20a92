//! One key of one file gives way to another: how long until the one is refused and the other is accepted.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    client::{Client, request},
    figures::{Figures, rounded},
    load::Dice,
    scene::{Scene, key},
};

const LIMIT: Duration = Duration::from_secs(30);

pub fn run(options: &Options) -> Figures {
    let extra = |n: usize, round: usize| key("extra", n * 1_000_000 + round);
    let scene = Scene::start(options, |n| extra(n, 0));
    let (mut client, mut dice) = (scene.connect(), Dice(0x9e37_79b9));
    let mut rounds_of = vec![0; options.files];
    let (mut refused, mut accepted) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let file = round % options.files;
        let old = request(&extra(file, rounds_of[file]));
        rounds_of[file] += 1;
        let new = extra(file, rounds_of[file]);
        assert_eq!(client.ask(&old).unwrap(), 200);
        let written = scene.write(file, &new);
        let (gone, there) = follow(&mut client, &old, &request(&new), written);
        refused.push(gone);
        accepted.push(there);
        // Not in step with anything that the gateway does at intervals.
        thread::sleep(Duration::from_millis(20 + dice.below(180) as u64));
    }
    let mut figures = Figures::default();
    figures.add("keys", options.keys);
    figures.add("files", options.files);
    figures.add("how", if options.in_place { "in-place" } else { "rename" });
    figures.add("start, s", rounded(scene.began_in.as_secs_f64()));
    figures.spread("first refusal of the removed key", refused);
    figures.spread("first acceptance of the added key", accepted);
    figures.add("resident, MiB", scene.resident_mib());
    figures
}

/// Asks with both keys in turn, on one kept connection, until both have changed sides.
pub fn follow(client: &mut Client, old: &[u8], new: &[u8], written: Instant) -> (Duration, Duration) {
    let (mut gone, mut there) = (None, None);
    loop {
        if gone.is_none() && client.ask(old).unwrap() == 401 {
            gone = Some(written.elapsed());
        }
        if there.is_none() && client.ask(new).unwrap() == 200 {
            there = Some(written.elapsed());
        }
        if let (Some(gone), Some(there)) = (gone, there) {
            return (gone, there);
        }
        assert!(written.elapsed() < LIMIT, "the change is not taken");
    }
}
