//! SIGTERM under load, each time to a fresh gateway: what was begun is finished.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    crowd::{Crowd, Failed},
    figures::Figures,
    load::Dice,
    scene::{Scene, Setting, key},
};

/// The gateway's own is 30 s, and nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(20);
const SETTING: Setting = Setting { has_tls: true, server: "", target: "" };

pub fn run(options: &Options) -> Figures {
    let (mut failed, mut times, mut ended_well) = (Failed::default(), Vec::new(), true);
    let (mut answered, mut afterwards, mut told, mut dice) = (0, 0, 0, Dice(0x5bd1_e995));
    for round in 0..options.rounds {
        let mut scene = Scene::set(options, |n| key("extra", n), &SETTING);
        let crowd = Crowd::default();
        let before = thread::scope(|scope| {
            for n in 0..options.connections {
                let (scene, crowd) = (&scene, &crowd);
                scope.spawn(move || crowd.call(scene, &key("a", n), n));
            }
            crowd.await_answers(300);
            thread::sleep(Duration::from_millis(dice.below(300) as u64));
            crowd.may_end.store(true, Ordering::SeqCst);
            let before = crowd.answered.load(Ordering::Relaxed);
            scene.process().signal("TERM");
            before
        });
        let all = crowd.answered.load(Ordering::Relaxed);
        let began = Instant::now(); // the last caller has just gone
        let mut code = scene.ended();
        while code.is_none() && began.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(1));
            code = scene.ended();
        }
        times.push(began.elapsed());
        if code != Some(0) {
            eprintln!("round {round}: the gateway ended with {code:?}");
            ended_well = false;
        }
        failed.add(&crowd.failed());
        answered += all;
        afterwards += all - before;
        told += crowd.told_to_close.load(Ordering::Relaxed);
    }
    let mut figures = Figures::default();
    figures.add("rounds", options.rounds);
    figures.add("callers", options.connections);
    figures.add("answers", answered);
    figures.add("of these after SIGTERM", afterwards);
    figures.add("answers that say close", told);
    failed.report(&mut figures);
    figures.add("reset as the socket ended, never accepted", failed.never_accepted);
    figures.spread("from the last caller to the end of the process", times);
    figures.must("every gateway ends with 0", ended_well);
    figures.must("requests were under way", afterwards >= options.rounds);
    figures
}
