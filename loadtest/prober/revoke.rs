//! Keys are revoked while callers on every shard use them: none may be accepted once the answer is there.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use super::{
    Options,
    client::{Client, request},
    figures::{Figures, rounded},
    load::{AtEnd, Dice},
    scene::{Scene, key, line},
};

/// What is known of a key.
#[derive(Default)]
struct Known {
    /// Its revocation was asked for.
    asked: AtomicBool,
    /// Its revocation was answered.
    answered: AtomicBool,
}

#[derive(Default)]
struct Counts {
    over: AtomicBool,
    requests: AtomicUsize,
    accepted_after: AtomicUsize,
    refused_before: AtomicUsize,
    refused_after: AtomicUsize,
    broken: AtomicUsize,
}

pub fn run(options: &Options) -> Figures {
    let scene = Scene::start(options, |n| key("extra", n));
    let known: Vec<Known> = (0..options.keys).map(|_| Known::default()).collect();
    let (counts, current) = (Counts::default(), AtomicUsize::new(0));
    let mut times = Vec::new();
    let began = Instant::now();
    thread::scope(|scope| {
        for worker in 0..options.connections {
            let (scene, known, counts, current) = (&scene, &known, &counts, &current);
            scope.spawn(move || ask_all_the_time(scene, known, counts, current, worker));
        }
        let _over = AtEnd(&counts.over);
        let (mut dice, mut admin) = (Dice(0x2545_f491), scene.admin());
        let mut callers: Vec<Client> = (0..16).map(|_| scene.connect()).collect();
        for _ in 0..options.count.min(options.keys) {
            let mut n = dice.below(options.keys);
            while known[n].asked.load(Ordering::Relaxed) {
                n = (n + 1) % options.keys;
            }
            current.store(n, Ordering::Relaxed);
            known[n].asked.store(true, Ordering::SeqCst);
            let began = Instant::now();
            let digest = line(&key("a", n));
            let body = format!("{{\"sha256\":\"{}\"}}", digest.trim());
            let (status, body) = admin.post("/revoke", &body).unwrap();
            known[n].answered.store(true, Ordering::SeqCst);
            times.push(began.elapsed());
            assert_eq!(status, 200, "{body}");
            let request = request(&key("a", n));
            for caller in &mut callers {
                counts.count(&known[n], true, caller.ask(&request).ok());
            }
        }
    });
    let took = began.elapsed().as_secs_f64();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let mut figures = Figures::default();
    figures.add("keys", options.keys);
    figures.add("revoked", times.len());
    figures.add("seconds", rounded(took));
    figures.add("requests", count(&counts.requests));
    figures.add("refused after the answer", count(&counts.refused_after));
    figures.must_be_zero("accepted after the answer", count(&counts.accepted_after));
    figures.must_be_zero("refused before it was asked for", count(&counts.refused_before));
    figures.must_be_zero("without an answer, or with another one", count(&counts.broken));
    figures.spread("from the command to its answer", times);
    figures
}

/// Half of the requests have the key that is being revoked; the others any.
fn ask_all_the_time(scene: &Scene, known: &[Known], counts: &Counts, current: &AtomicUsize, worker: usize) {
    let (mut client, mut dice) = (scene.connect(), Dice(worker as u64 + 77));
    while !counts.over.load(Ordering::Relaxed) {
        let n = match dice.below(2) {
            0 => current.load(Ordering::Relaxed),
            _ => dice.below(known.len()),
        };
        let request = request(&key("a", n));
        // What is answered before the head is sent is answered before all of it was sent.
        let answered = known[n].answered.load(Ordering::SeqCst);
        let status = client.ask(&request).ok();
        counts.count(&known[n], answered, status);
        if status.is_none() {
            client = scene.connect();
        }
    }
}

impl Counts {
    fn count(&self, key: &Known, answered: bool, status: Option<u16>) {
        let add = |counter: &AtomicUsize| _ = counter.fetch_add(1, Ordering::Relaxed);
        add(&self.requests);
        match (status, answered) {
            (Some(200), true) => add(&self.accepted_after),
            (Some(200), false) => {}
            (Some(401), true) => add(&self.refused_after),
            (Some(401), false) if key.asked.load(Ordering::SeqCst) => {}
            (Some(401), false) => add(&self.refused_before),
            (_, _) => add(&self.broken),
        }
    }
}
