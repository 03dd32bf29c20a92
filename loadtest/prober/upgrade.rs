//! SIGUSR2 under load, again and again: another process takes the sockets over and nobody notices.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    crowd::Crowd,
    figures::Figures,
    load::AtEnd,
    process::Process,
    scene::{Scene, Setting, key},
};

const LIMIT: Duration = Duration::from_secs(40);
const SETTING: Setting = Setting { has_tls: true, server: "", target: "" };

pub fn run(options: &Options) -> Figures {
    let scene = Scene::set(options, |n| key("extra", n), &SETTING);
    let (crowd, mut serving) = (Crowd::default(), scene.process());
    let (mut taking_over, mut draining, mut stuck) = (Vec::new(), Vec::new(), 0);
    thread::scope(|scope| {
        for n in 0..options.connections {
            let (scene, crowd) = (&scene, &crowd);
            scope.spawn(move || crowd.call(scene, &key("a", n), n));
        }
        let _over = AtEnd(&crowd.over);
        for n in 0..options.count {
            crowd.await_answers(200);
            let began = Instant::now();
            let Some(next) = replace(&scene, serving, n) else { return };
            taking_over.push(began.elapsed());
            let began = Instant::now();
            while serving.is_alive() && began.elapsed() < LIMIT {
                thread::sleep(Duration::from_millis(1));
            }
            draining.push(began.elapsed());
            stuck += usize::from(serving.is_alive());
            serving = next;
        }
        crowd.await_answers(200);
    });
    let failed = crowd.failed();
    let mut figures = Figures::default();
    figures.must("every replacement took place", draining.len() == options.count);
    figures.add("replacements", draining.len());
    figures.add("callers", options.connections);
    figures.add("answers", crowd.answered.load(Ordering::Relaxed));
    figures.add("answers that say close", crowd.told_to_close.load(Ordering::Relaxed));
    failed.report(&mut figures);
    figures.must_be_zero("new connections that were reset", failed.never_accepted);
    figures.must_be_zero("processes that did not end", stuck);
    figures.spread("from SIGUSR2 to where the successor serves", taking_over);
    figures.spread("from there to the end of the one before", draining);
    figures.must("the last process is another one", serving != scene.process() && serving.is_alive());
    figures
}

/// The process that takes over, once it does; so many have done so before.
fn replace(scene: &Scene, serving: Process, before: usize) -> Option<Process> {
    serving.signal("USR2");
    let log = scene.log.await_lines("another process serves", before + 1, Instant::now() + LIMIT)?;
    let line = log.iter().rfind(|line| line.contains("a successor starts"))?;
    let next = Process(line.split("pid=").nth(1)?.trim().parse().ok()?);
    scene.is_followed_by(next);
    Some(next)
}
