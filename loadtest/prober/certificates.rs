//! Certificate and key of a listener give way to others, again and again, while callers shake hands all the time.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Options,
    authority::serial,
    client::{Client, request},
    figures::Figures,
    load::{AtEnd, Dice, Seen},
    process::PROVOKED,
    scene::{Scene, Setting, key},
};

const LIMIT: Duration = Duration::from_secs(30);
/// Callers on new connections.
const SHAKERS: usize = 4;
const SETTING: Setting = Setting { has_tls: true, server: "", target: "" };

/// What the callers on new connections have seen.
#[derive(Default)]
struct Shaken {
    over: AtomicBool,
    failed_handshakes: AtomicUsize,
    failed_requests: AtomicUsize,
    /// When each handshake began, and which certificate was shown.
    seen: Mutex<Vec<(Instant, u64)>>,
}

pub fn run(options: &Options) -> Figures {
    let scene = Scene::set(options, |n| key("extra", n), &SETTING);
    let authority = &scene.tls.as_ref().expect("a scene with TLS").1;
    let (shaken, kept, mut dice) = (Shaken::default(), Seen::default(), Dice(0x1234_5678));
    let (mut swapped, mut first_seen, mut never) = (Vec::new(), Vec::new(), 0);
    let (request, every) =
        (request(&key("a", 0)), Duration::from_secs_f64(options.connections as f64 / options.rate as f64));
    thread::scope(|scope| {
        for n in 0..SHAKERS + options.connections {
            let (scene, shaken, kept, request) = (&scene, &shaken, &kept, &request);
            scope.spawn(move || match n {
                0..SHAKERS => shaken.shake(scene, request),
                _ => drop(kept.at_a_rate(scene, request, Instant::now() + every * n as u32 / 20, every)),
            });
        }
        let _over = (AtEnd(&shaken.over), AtEnd(&kept.over));
        thread::sleep(Duration::from_millis(500));
        for swap in 0..options.count {
            let number = swap as u64 + 2;
            authority.issue(number).write(&scene.directory, "cert.new", "key.new");
            let from = swap_files(&scene, swap, &mut dice);
            while shaken.once(&scene, &request) != Some(number) && from.elapsed() < LIMIT {}
            if from.elapsed() >= LIMIT {
                never += 1;
                break;
            }
            swapped.push((from, number));
            first_seen.push(from.elapsed());
            thread::sleep(Duration::from_millis(dice.below(100) as u64));
        }
        thread::sleep(Duration::from_millis(300));
    });
    let seen = shaken.seen.lock().unwrap();
    // How long after a swap somebody who came after it still saw the certificate before.
    let last_old = swapped.iter().map(|(from, number)| {
        let old = seen.iter().filter(|(began, seen)| began > from && seen < number);
        old.map(|(began, _)| *began - *from).max().unwrap_or_default()
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let mut figures = Figures::default();
    figures.add("swaps, each seen", swapped.len());
    figures.add("handshakes", seen.len());
    figures.add("requests on kept connections", count(&kept.answered));
    figures.must_be_zero("swaps that were not seen", never);
    figures.must_be_zero("failed handshakes", count(&shaken.failed_handshakes));
    figures.must_be_zero("failed requests on new connections", count(&shaken.failed_requests));
    figures.must_be_zero("failed requests on kept connections", count(&kept.failed));
    figures.must_be_zero("kept connections that were ended", count(&kept.reconnects));
    figures.spread("from the second rename to the first handshake with the new one", first_seen);
    figures.spread("from there to the last handshake begun that shows the old one", last_old.collect());
    let refusals = scene.log.count(PROVOKED[0]);
    figures.add("reloads between the two renames, refused", refusals);
    figures.must("it was looked at what does not belong together", options.count < 10 || refusals > 0);
    figures.must("every swap took place", swapped.len() == options.count);
    figures
}

/// Certificate first or key first, in turn, and between the two now nothing, now a moment, now long enough for the
/// gateway to look at what does not belong together.
fn swap_files(scene: &Scene, swap: usize, dice: &mut Dice) -> Instant {
    let mut names = ["cert", "key"];
    if swap % 2 == 1 {
        names.reverse();
    }
    let pause = match swap % 10 {
        0 | 5 => 300,
        1 | 2 => dice.below(30),
        _ => 0,
    };
    let rename = |name: &str| {
        let path = |suffix| scene.directory.join(format!("{name}.{suffix}"));
        fs::rename(path("new"), path("pem")).unwrap();
    };
    rename(names[0]);
    thread::sleep(Duration::from_millis(pause as u64));
    rename(names[1]);
    Instant::now()
}

impl Shaken {
    fn shake(&self, scene: &Scene, request: &[u8]) {
        while !self.over.load(Ordering::Relaxed) {
            self.once(scene, request);
            thread::sleep(Duration::from_millis(4));
        }
    }

    /// One handshake and one request: the number of the certificate.
    fn once(&self, scene: &Scene, request: &[u8]) -> Option<u64> {
        let (began, (address, tls)) = (Instant::now(), scene.listener(true));
        let mut client = Client::with(address, tls)
            .inspect_err(|error| {
                eprintln!("a handshake failed: {error}");
                self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            })
            .ok()?;
        let number = serial(client.certificate()?);
        self.seen.lock().unwrap().push((began, number));
        if client.ask(request).ok() != Some(200) {
            self.failed_requests.fetch_add(1, Ordering::Relaxed);
        }
        Some(number)
    }
}
