//! What hostile callers do, each kind at a rate that is bounded: on CPUs that all share, an attacker without a bound
//! takes them from everybody, and that is not the gateway's failing.
//!
//! An attacker is cheap on purpose: one ClientHello is sent again and again, and hundreds of connections are tended by
//! one thread that looks at a single one of them for each event.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{
    client::{Client, Stream, get, post},
    process::own_cpu,
    scene::Scene,
};

/// What is asked for by those who read slowly: more than any socket holds.
const LARGE_ANSWER: &str = "/bytes/33554432";
const CHURN_WORKERS: usize = 4;

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
    const fn new(
        name: &'static str,
        event: &'static str,
        (rate, tls_rate): (usize, usize),
        connections: usize,
        run: fn(&Attack<'_>) -> Vec<Stream>,
    ) -> Self {
        Self { name, event, rate, tls_rate, connections, run }
    }
}

pub const KINDS: [Kind; 9] = [
    Kind::new("handshake-flood", "answers to a ClientHello", (1_500, 1_500), 200, handshake_flood),
    Kind::new("slow-handshake", "bytes", (4_000, 4_000), 400, slow_handshake),
    Kind::new("slow-head", "bytes", (4_000, 4_000), 400, slow_head),
    Kind::new("slow-body", "bytes", (4_000, 4_000), 400, slow_body),
    Kind::new("slow-read", "reads", (2_000, 2_000), 300, slow_read),
    Kind::new("idle", "looks at a connection", (2_500, 2_500), 5_000, idle),
    Kind::new("churn", "requests", (2_000, 500), CHURN_WORKERS, churn),
    Kind::new("half-open", "connections", (200, 200), 2_000, half_open),
    Kind::new("spin", "turns", (25, 25), 1, spin),
];

/// The kind that only takes CPU time.
pub const SPIN: &Kind = &KINDS[8];

/// One attack.
pub struct Attack<'a> {
    kind: &'a Kind,
    scene: &'a Scene,
    key: &'a str,
    is_tls: bool,
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

    /// Until it is over; returns the connections that are left as they are.
    pub fn run(&self) -> Vec<Stream> {
        self.charged(|| (self.kind.run)(self))
    }

    /// CPU time that the attackers took.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }

    fn charged<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = own_cpu();
        let done = work();
        let nanos = own_cpu().saturating_sub(before).as_nanos() as u64;
        self.cpu_nanos.fetch_add(nanos, Ordering::Relaxed);
        done
    }

    /// Calls again and again at this rate, until it is over.
    fn at_rate(&self, rate: usize, mut event: impl FnMut()) {
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

    fn count(&self, counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that does not block, on which these bytes were sent.
    fn open(&self, is_tls: bool, bytes: &[u8]) -> io::Result<Stream> {
        let mut stream = self.scene.stream(is_tls)?;
        self.count(&self.opened);
        stream.write_all(bytes)?;
        stream.flush()?;
        stream.socket().set_nonblocking(true)?;
        Ok(stream)
    }

    /// The same at the listener with TLS, without speaking it.
    fn open_raw(&self, bytes: &[u8]) -> io::Result<Stream> {
        let mut stream = TcpStream::connect(self.scene.listener(true).0)?;
        self.count(&self.opened);
        stream.set_nodelay(true)?;
        stream.write_all(bytes)?;
        stream.set_nonblocking(true)?;
        Ok(Stream::Plain(stream))
    }

    /// Tends to all connections in turn, one for each event; `step` is told how often it was called for this one. Those
    /// that fail are made anew.
    fn tend(
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

/// Unless the other side has ended it.
fn still_open(stream: &mut Stream) -> io::Result<()> {
    if stream.is_ended() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// A byte more, on a connection that the other side has not ended.
fn drip(stream: &mut Stream, byte: u8) -> io::Result<()> {
    still_open(stream)?;
    stream.write_all(&[byte])?;
    stream.flush()
}

/// As many ClientHellos as are answered: the gateway makes a key and signs, the attacker does not even read.
fn handshake_flood(attack: &Attack<'_>) -> Vec<Stream> {
    let hello = hello(attack);
    let mut open: VecDeque<Stream> = VecDeque::new();
    attack.at_rate(attack.rate, || {
        let mut piece = [0; 4096];
        while let Some(front) = open.front_mut() {
            match front.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(1..) => attack.count(&attack.events),
                _ => attack.count(&attack.ended),
            }
            open.pop_front();
        }
        if open.len() < attack.connections {
            open.extend(attack.open_raw(&hello));
        }
    });
    Vec::new()
}

fn slow_handshake(attack: &Attack<'_>) -> Vec<Stream> {
    let hello = hello(attack);
    attack.tend(
        || attack.open_raw(&[]),
        |stream, step| match hello.get(step) {
            Some(byte) => drip(stream, *byte),
            None => still_open(stream),
        },
    );
    Vec::new()
}

fn hello(attack: &Attack<'_>) -> Vec<u8> {
    attack.scene.tls.as_ref().expect("a scene with TLS").1.client_hello()
}

fn slow_head(attack: &Attack<'_>) -> Vec<Stream> {
    let mut head = get("/bytes/64", attack.key);
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"X-More: ");
    attack.tend(|| attack.open(attack.is_tls, &head), |stream, _| drip(stream, b'a'));
    Vec::new()
}

fn slow_body(attack: &Attack<'_>) -> Vec<Stream> {
    let head = post(1_000_000, attack.key);
    attack.tend(|| attack.open(attack.is_tls, &head), |stream, _| drip(stream, b'a'));
    Vec::new()
}

fn slow_read(attack: &Attack<'_>) -> Vec<Stream> {
    let head = get(LARGE_ANSWER, attack.key);
    let open = || {
        let mut stream = attack.open(attack.is_tls, &[])?;
        SockRef::from(stream.socket()).set_recv_buffer_size(4096)?;
        stream.write_all(&head)?;
        stream.flush()?;
        Ok(stream)
    };
    attack.tend(open, |stream, _| match stream.read(&mut [0; 1024]) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    });
    Vec::new()
}

fn idle(attack: &Attack<'_>) -> Vec<Stream> {
    attack.tend(|| attack.open(attack.is_tls, &[]), |stream, _| still_open(stream));
    Vec::new()
}

fn churn(attack: &Attack<'_>) -> Vec<Stream> {
    let (request, (address, tls)) = (get("/bytes/64", attack.key), attack.scene.listener(attack.is_tls));
    let ask = || {
        let mut caller = Client::with(address, tls)?;
        attack.count(&attack.opened);
        caller.ask(&request)
    };
    let work = || {
        attack.at_rate(attack.rate.div_ceil(attack.connections), || match ask() {
            Ok(200) => attack.count(&attack.events),
            _ => attack.count(&attack.ended),
        });
    };
    thread::scope(|scope| {
        (0..attack.connections).for_each(|_| _ = scope.spawn(|| attack.charged(work)));
    });
    Vec::new()
}

/// Peers that vanish in the middle of something, by turns without a word and with a reset.
fn half_open(attack: &Attack<'_>) -> Vec<Stream> {
    let (whole, hello) = (get("/bytes/64", attack.key), hello(attack));
    let mut half_a_body = post(10_000, attack.key);
    half_a_body.extend_from_slice(&[b'a'; 5_000]);
    let (mut left, mut turn): (VecDeque<Stream>, _) = (VecDeque::new(), 0);
    attack.at_rate(attack.rate, || {
        turn += 1;
        let made = match turn % 6 {
            0 => attack.open(attack.is_tls, &whole[..whole.len() / 2]),
            1 => attack.open(attack.is_tls, &half_a_body),
            2 if attack.is_tls => attack.open_raw(&hello[..hello.len() / 2]),
            2 => attack.open(false, &[]),
            3 => attack.open(attack.is_tls, &whole[..whole.len() / 2]),
            4 => attack.open(attack.is_tls, &half_a_body),
            _ => attack.open(attack.is_tls, &whole),
        };
        let Ok(stream) = made else { return attack.count(&attack.ended) };
        attack.count(&attack.events);
        if turn % 6 >= 3 || left.len() >= attack.connections {
            let _ = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO)); // closed with a reset
        } else {
            left.push_back(stream);
        }
    });
    left.into()
}

/// Takes a share of the CPUs and leaves the gateway alone: what callers feel of that is not an attack.
fn spin(attack: &Attack<'_>) -> Vec<Stream> {
    let threads = attack.rate.div_ceil(100).max(1);
    let busy = Duration::from_micros((attack.rate * 20 / threads) as u64);
    let work = || {
        attack.at_rate(500, || {
            let began = Instant::now();
            while began.elapsed() < busy {}
            attack.count(&attack.events);
        });
    };
    thread::scope(|scope| {
        (0..threads).for_each(|_| _ = scope.spawn(|| attack.charged(work)));
    });
    Vec::new()
}
