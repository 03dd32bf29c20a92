//! What hostile callers do, kind by kind.
//!
//! They are cheap on purpose: one ClientHello is sent again and again, and hundreds of connections are tended by one
//! thread that looks at a single one of them for each event.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{
    attack::{Attack, Kind},
    client::{Client, Stream, get, post},
};

/// What is asked for by those who read slowly: more than any socket holds.
const LARGE_ANSWER: &str = "/bytes/33554432";
const CHURN_WORKERS: usize = 4;

pub const KINDS: [Kind; 9] = [
    Kind::new("handshake-flood", "answers to a ClientHello", (1_500, 1_500), 200, handshake_flood),
    Kind::new("slow-handshake", "bytes", (4_000, 4_000), 400, slow_handshake),
    Kind::new("slow-head", "bytes", (4_000, 1_500), 400, slow_head),
    Kind::new("slow-body", "bytes", (4_000, 1_500), 400, slow_body),
    Kind::new("slow-read", "reads", (1_000, 1_000), 300, slow_read),
    Kind::new("idle", "looks at a connection", (1_500, 1_500), 5_000, idle),
    Kind::new("churn", "requests", (2_000, 500), CHURN_WORKERS, churn),
    Kind::new("half-open", "connections", (200, 200), 2_000, half_open),
    Kind::new("spin", "turns", (25, 25), 1, spin),
];

/// The kind that only takes CPU time.
pub const SPIN: &Kind = &KINDS[8];

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
    // One that never asked anything would be ended when the time of a head is over.
    let request = get("/bytes/64", attack.key);
    attack.tend(
        || attack.open(attack.is_tls, &request),
        |stream, step| match step {
            0 => match stream.read(&mut [0; 1024]) {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                _ => Ok(()),
            },
            _ => still_open(stream),
        },
    );
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
            2 => attack.open(false, &whole[..1]),
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
