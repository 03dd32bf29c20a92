//! Callers on both listeners, while something happens to the process: on new connections, on kept ones, and on kept
//! ones that rest; some requests have a body that comes in two pieces, some answers take 300 ms.
//!
//! They do what RFC 9112 §9.6 asks of them: after `Connection: close`, or once the end of a connection can be seen,
//! nothing is asked on it any more.

use std::{
    io::{self, ErrorKind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{Answer, Client, get, post},
    figures::Figures,
    load::Dice,
    scene::Scene,
};

const BODY_BYTES: usize = 20_000;
/// Sockets end one after the other, and whoever sees the first refusal may see it late. What is reset on a connection
/// on which something was sent so long before that refusal was not reset by the end of a socket.
const CLOSING: Duration = Duration::from_millis(20);

/// A request without an answer.
struct Failure {
    /// When its head was written, or its handshake begun.
    sent: Instant,
    is_new: bool,
    in_part: bool,
    kind: ErrorKind,
}

#[derive(Default)]
pub struct Crowd {
    pub over: AtomicBool,
    /// From here on a refused connection is the end, not a failure.
    pub may_end: AtomicBool,
    pub answered: AtomicUsize,
    pub told_to_close: AtomicUsize,
    refused: AtomicUsize,
    wrong: AtomicUsize,
    first_refusal: Mutex<Option<Instant>>,
    failures: Mutex<Vec<Failure>>,
}

/// How requests failed.
#[derive(Default)]
pub struct Failed {
    /// Not 200, or not the body that was asked for.
    pub wrong: usize,
    /// Connections refused, while none may be.
    pub refused: usize,
    /// Without an answer, or with a part of one.
    pub cut: usize,
    /// Sent on a kept connection that the gateway ended in the same moment.
    pub races: usize,
    /// Reset on a new connection in the moment in which the socket ended, before anything was answered: it was made,
    /// by the kernel, and never accepted.
    pub never_accepted: usize,
}

impl Failed {
    pub fn add(&mut self, other: &Self) {
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.cut += other.cut;
        self.races += other.races;
        self.never_accepted += other.never_accepted;
    }

    pub fn report(&self, figures: &mut Figures) {
        figures.must_be_zero("wrong answers", self.wrong);
        figures.must_be_zero("refused connections", self.refused);
        figures.must_be_zero("requests cut", self.cut);
        figures.must_be_zero("kept connections ended while they were asked on", self.races);
    }
}

impl Crowd {
    /// Calls until it is over, or nobody listens.
    pub fn call(&self, scene: &Scene, key: &str, number: usize) {
        let (is_tls, manner) = (number % 2 == 1, number / 2 % 3);
        let (mut kept, mut asked): (Option<Client>, _) = (None, number);
        let mut dice = Dice(number as u64 + 99);
        while !self.over.load(Ordering::Relaxed) {
            asked += 1;
            kept = kept.filter(|_| manner != 0).and_then(|mut client| client.is_open().then_some(client));
            let is_new = kept.is_none();
            let mut sent = Instant::now();
            let connected = kept.take().map_or_else(|| connect(scene, is_tls), Ok);
            let mut client = match connected {
                Ok(client) => client,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    if self.may_end.load(Ordering::SeqCst) {
                        self.first_refusal.lock().unwrap().get_or_insert_with(Instant::now);
                        return;
                    }
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Err(error) => {
                    self.fail(Failure { sent, is_new, in_part: false, kind: error.kind() });
                    continue;
                }
            };
            match exchange(&mut client, key, asked, &mut sent) {
                Ok((answer, expected)) if answer.status == 200 && answer.body == expected => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    self.told_to_close.fetch_add(usize::from(answer.closes), Ordering::Relaxed);
                    kept = (!answer.closes).then_some(client);
                }
                Ok((answer, _)) => {
                    eprintln!("status {} with {} bytes", answer.status, answer.body.len());
                    self.wrong.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let in_part = client.was_answered_in_part();
                    self.fail(Failure { sent, is_new, in_part, kind: error.kind() });
                }
            }
            let rest = if manner == 2 { 100 * dice.below(15) } else { 2 };
            thread::sleep(Duration::from_millis(rest as u64));
        }
    }

    fn fail(&self, failure: Failure) {
        self.failures.lock().unwrap().push(failure);
    }

    /// Waits until so many more requests were answered.
    pub fn await_answers(&self, more: usize) {
        let (before, began) = (self.answered.load(Ordering::Relaxed), Instant::now());
        while self.answered.load(Ordering::Relaxed) < before + more {
            assert!(began.elapsed() < Duration::from_secs(30), "the crowd is not served");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What went wrong, once all callers are gone.
    pub fn failed(&self) -> Failed {
        let (wrong, refused) = (self.wrong.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed));
        let mut failed = Failed { wrong, refused, ..Failed::default() };
        let refusal = *self.first_refusal.lock().unwrap();
        for failure in self.failures.lock().unwrap().iter() {
            let late = refusal.is_some_and(|refusal| failure.sent + CLOSING > refusal);
            let reset = matches!(failure.kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            let before = refusal.map(|refusal| refusal.saturating_duration_since(failure.sent));
            let Failure { is_new, in_part, kind, .. } = failure;
            eprintln!(
                "failed: {kind:?}, new {is_new}, in part {in_part}, before the first refusal {before:?}"
            );
            match (failure.in_part, failure.is_new) {
                (false, true) if late && reset => failed.never_accepted += 1,
                (false, false) => failed.races += 1,
                (_, _) => failed.cut += 1,
            }
        }
        failed
    }
}

fn connect(scene: &Scene, is_tls: bool) -> io::Result<Client> {
    let (address, tls) = scene.listener(is_tls);
    Client::with(address, tls)
}

/// One request, its answer and the body that it has to have.
fn exchange(
    client: &mut Client,
    key: &str,
    asked: usize,
    sent: &mut Instant,
) -> io::Result<(Answer, String)> {
    let expected = match asked % 5 {
        1 => {
            let body = [b'b'; BODY_BYTES];
            let mut first = post(BODY_BYTES, key);
            first.extend_from_slice(&body[..BODY_BYTES / 2]);
            client.send(&first)?;
            *sent = Instant::now();
            thread::sleep(Duration::from_millis(30));
            let _ = client.send(&body[BODY_BYTES / 2..]); // an early answer says why it was not wanted
            BODY_BYTES.to_string()
        }
        shape => {
            client.send(&get(if shape == 0 { "/slow/300" } else { "/bytes/64" }, key))?;
            *sent = Instant::now();
            "x".repeat(64)
        }
    };
    Ok((client.answer()?, expected))
}
