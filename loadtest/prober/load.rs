//! Callers beside an experiment: each on a kept connection and a thread of its own, in a closed loop or at a fixed rate.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{Client, request},
    scene::{Scene, key},
};

/// What callers whose keys nobody touches have seen.
#[derive(Default)]
pub struct Seen {
    pub over: AtomicBool,
    pub answered: AtomicUsize,
    /// Answers that are not 200, and requests without an answer.
    pub failed: AtomicUsize,
    /// Connections that the gateway has ended.
    pub reconnects: AtomicUsize,
    /// The longest wait for an answer, in microseconds.
    pub slowest: AtomicUsize,
}

impl Seen {
    /// Asks with keys of family `a`, one after the other, until it is over.
    pub fn closed_loop(&self, scene: &Scene, worker: usize, keys: usize) {
        let mut client = scene.connect();
        let requests: Vec<_> = (0..16).map(|n| request(&key("a", (worker * 16 + n) % keys))).collect();
        for request in requests.iter().cycle() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            self.ask(scene, &mut client, request);
        }
    }

    /// Asks at fixed times, `every` so often from `first` on; returns how long after its time each answer was there.
    pub fn at_a_rate(
        &self,
        scene: &Scene,
        request: &[u8],
        first: Instant,
        every: Duration,
    ) -> Vec<(Instant, Duration)> {
        let mut client = scene.connect();
        let (mut times, mut due) = (Vec::new(), first);
        while !self.over.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.ask(scene, &mut client, request);
            times.push((due, due.elapsed()));
            due += every;
        }
        times
    }

    fn ask(&self, scene: &Scene, client: &mut Client, request: &[u8]) {
        let asked = Instant::now();
        let answer = client.ask(request);
        self.slowest.fetch_max(asked.elapsed().as_micros() as usize, Ordering::Relaxed);
        match answer {
            Ok(200) => _ = self.answered.fetch_add(1, Ordering::Relaxed),
            Ok(_) => _ = self.failed.fetch_add(1, Ordering::Relaxed),
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.reconnects.fetch_add(1, Ordering::Relaxed);
                *client = scene.connect();
            }
        }
    }
}

/// Ends the load also when the experiment fails.
pub struct AtEnd<'a>(pub &'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A generator of numbers that look random (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
