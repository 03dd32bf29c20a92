//! An attack: events at a rate that is bounded. On CPUs that all share, an attacker without a bound takes them from
//! everybody, and that is not the gateway's failing. What the events are is in `attackers.rs`.

use std::{
    io::{self, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{client::Stream, process::own_cpu, scene::Scene};

/// A kind of attack, and what one has by default.
pub struct Kind {
    pub name: &'static str,
    /// What is counted as an event.
    pub event: &'static str,
    rate: usize,
    tls_rate: usize,
    connections: usize,
    run: fn(&Attack<'_>) -> Vec<Stream>,
}

impl Kind {
    pub const fn new(
        name: &'static str,
        event: &'static str,
        (rate, tls_rate): (usize, usize),
        connections: usize,
        run: fn(&Attack<'_>) -> Vec<Stream>,
    ) -> Self {
        Self { name, event, rate, tls_rate, connections, run }
    }
}

/// One attack.
pub struct Attack<'a> {
    kind: &'a Kind,
    pub scene: &'a Scene,
    pub key: &'a str,
    pub is_tls: bool,
    /// Events a second, at most; of `spin` the share of one CPU in percent.
    pub rate: usize,
    /// Held at a time.
    pub connections: usize,
    pub over: AtomicBool,
    pub events: AtomicUsize,
    /// Connections that were made, and those of them that the gateway ended.
    pub opened: AtomicUsize,
    pub ended: AtomicUsize,
    cpu_nanos: AtomicU64,
}

impl<'a> Attack<'a> {
    pub fn new(kind: &'a Kind, scene: &'a Scene, key: &'a str, is_tls: bool) -> Self {
        let rate = if is_tls { kind.tls_rate } else { kind.rate };
        let zero = AtomicUsize::default;
        let (over, cpu_nanos) = (AtomicBool::default(), AtomicU64::default());
        let connections = kind.connections;
        let (events, opened, ended) = (zero(), zero(), zero());
        Self { kind, scene, key, is_tls, rate, connections, over, events, opened, ended, cpu_nanos }
    }

    /// Until it is over; returns the connections that are left as they are. Attackers have machines of their own: what
    /// they do costs the gateway what it has to do about it, and not the CPU time that they take here.
    pub fn run(&self) -> Vec<Stream> {
        keyferry::shard::give_way(); // as do the threads that it begins
        self.charged(|| (self.kind.run)(self))
    }

    /// CPU time that the attackers took.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }

    pub fn charged<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = own_cpu();
        let done = work();
        let nanos = own_cpu().saturating_sub(before).as_nanos() as u64;
        self.cpu_nanos.fetch_add(nanos, Ordering::Relaxed);
        done
    }

    /// Calls again and again at this rate, until it is over.
    pub fn at_rate(&self, rate: usize, mut event: impl FnMut()) {
        let (mut due, every) = (Instant::now(), Duration::from_secs_f64(1.0 / rate.max(1) as f64));
        while !self.over.load(Ordering::Relaxed) {
            let now = Instant::now();
            if due > now {
                // In bursts: a thread that is woken for every event costs more than the events.
                thread::sleep((due - now).max(Duration::from_millis(1)));
                continue;
            }
            due = (due + every).max(now.checked_sub(Duration::from_millis(100)).unwrap_or(now));
            event();
        }
    }

    pub fn count(&self, counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that does not block, on which these bytes were sent.
    pub fn open(&self, is_tls: bool, bytes: &[u8]) -> io::Result<Stream> {
        let mut stream = self.scene.stream(is_tls)?;
        self.count(&self.opened);
        stream.write_all(bytes)?;
        stream.flush()?;
        stream.socket().set_nonblocking(true)?;
        Ok(stream)
    }

    /// The same at the listener with TLS, without speaking it.
    pub fn open_raw(&self, bytes: &[u8]) -> io::Result<Stream> {
        let mut stream = TcpStream::connect(self.scene.listener(true).0)?;
        self.count(&self.opened);
        stream.set_nodelay(true)?;
        stream.write_all(bytes)?;
        stream.set_nonblocking(true)?;
        Ok(Stream::Plain(stream))
    }

    /// Tends to all connections in turn, one for each event; `step` is told how often it was called for this one. Those
    /// that fail are made anew.
    pub fn tend(
        &self,
        open: impl Fn() -> io::Result<Stream>,
        step: impl Fn(&mut Stream, usize) -> io::Result<()>,
    ) {
        let mut held: Vec<Option<(Stream, usize)>> = (0..self.connections).map(|_| None).collect();
        let mut turn = 0;
        self.at_rate(self.rate, || {
            let place = &mut held[turn];
            turn = (turn + 1) % self.connections;
            match place {
                None => *place = open().ok().map(|stream| (stream, 0)),
                Some((stream, steps)) => match step(stream, *steps) {
                    Ok(()) => {
                        *steps += 1;
                        self.count(&self.events);
                    }
                    Err(_) => {
                        self.count(&self.ended);
                        *place = None;
                    }
                },
            }
        });
    }
}
