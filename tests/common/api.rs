//! An API behind the gateway: it records every byte that it is sent, and answers as a test says.
//!
//! It reads strictly. Whatever the gateway sends that is not one well-formed request after the other fails
//! the test when the API is dropped.

use std::{
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    eventually,
    message::{Body, Head, Length, latin},
    pause, tls,
    wire::Wire,
};

/// A listening API.
pub struct Api {
    pub address: SocketAddr,
    state: Arc<State>,
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    number: usize,
    /// The connection that it came on, counted from 0.
    pub connection: usize,
    pub head: Head,
    /// Its body, once it was read; `whole` says whether it was complete.
    pub body: Option<Body>,
}

/// What happens to the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    /// Ended in order as TCP has it; TLS, where it is on, does not say that this is the end.
    Silence,
    Reset,
    /// Neither read nor written until the API is dropped.
    Hold,
}

/// One exchange, as a handler sees it.
pub struct Exchange<'a> {
    pub head: Head,
    pub wire: &'a mut Wire,
    /// The connection that it came on, counted from 0.
    pub connection: usize,
    /// The position of the request on that connection.
    pub nth: usize,
    number: usize,
    read: bool,
    state: &'a State,
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Seen>>,
    next: AtomicUsize,
    records: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    violations: Mutex<Vec<String>>,
    over: AtomicBool,
    ended: (Mutex<bool>, Condvar),
}

impl Api {
    /// Answers with what `handler` writes.
    pub fn start(handler: impl Fn(&mut Exchange<'_>) -> Then + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", handler)
    }

    pub fn at(address: &str, handler: impl Fn(&mut Exchange<'_>) -> Then + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::<State>::default();
        let (shared, handler) = (Arc::clone(&state), Arc::new(handler));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.over.load(Ordering::Relaxed) {
                    break;
                }
                let (shared, handler) = (Arc::clone(&shared), Arc::clone(&handler));
                thread::spawn(move || serve(stream, &shared, &*handler));
            }
        });
        Self { address, state }
    }

    /// Where the gateway finds a path of it.
    pub fn url(&self, path: &str) -> String {
        url(self.address, path)
    }

    /// Answers every request with 200 and `ok`.
    pub fn plain() -> Self {
        Self::start(|exchange| exchange.ok("ok"))
    }

    /// Answers every request with 200 and its own body.
    pub fn echo() -> Self {
        Self::start(|exchange| {
            let body = exchange.body();
            exchange.ok(&latin(&body.bytes))
        })
    }

    /// The requests that came since the last look.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }

    /// The requests that came whole since the last look; the others stay, and may still become whole.
    pub fn take_whole(&self) -> Vec<Seen> {
        let whole = |seen: &mut Seen| seen.body.as_ref().is_some_and(|body| body.whole);
        self.state.requests.lock().unwrap().extract_if(.., whole).collect()
    }

    /// Every request that is there was read to its end, or to where it was cut.
    pub fn all_ended(&self) -> bool {
        self.state.requests.lock().unwrap().iter().all(|seen| seen.body.is_some())
    }

    /// The only request that came since the last look.
    #[track_caller]
    pub fn only(&self) -> Seen {
        let mut requests = self.take();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    /// How many requests came since the last look.
    pub fn count(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    /// Waits until so many requests are there.
    #[track_caller]
    pub fn await_requests(&self, count: usize) {
        eventually(&format!("the API sees {count} requests"), || self.count() >= count);
    }

    /// How many connections it was given.
    pub fn connections(&self) -> usize {
        self.state.records.lock().unwrap().len()
    }

    /// Every byte that came on each connection.
    pub fn records(&self) -> Vec<Vec<u8>> {
        self.state.records.lock().unwrap().iter().map(|record| record.lock().unwrap().clone()).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        *self.state.ended.0.lock().unwrap() = true;
        self.state.ended.1.notify_all();
        let _ = TcpStream::connect(self.address);
        if !thread::panicking() {
            let violations = self.state.violations.lock().unwrap();
            assert!(violations.is_empty(), "the API was sent what is not HTTP/1.1: {violations:#?}");
        }
    }
}

impl Exchange<'_> {
    pub fn method(&self) -> &str {
        self.head.line.split(' ').next().unwrap_or_default()
    }

    /// The request target.
    pub fn path(&self) -> &str {
        self.head.line.split(' ').nth(1).unwrap_or_default()
    }

    /// Writes raw bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.wire.send(bytes);
    }

    /// Reads the request's body.
    pub fn body(&mut self) -> Body {
        self.read = true;
        let body = self.head.length().and_then(|length| self.wire.body(length));
        let body = body.unwrap_or_else(|error| {
            self.state.violations.lock().unwrap().push(error);
            Body::default()
        });
        let mut requests = self.state.requests.lock().unwrap();
        if let Some(seen) = requests.iter_mut().find(|seen| seen.number == self.number) {
            seen.body = Some(body.clone());
        }
        body
    }

    /// The body is read elsewhere, or not at all.
    pub fn skip_body(&mut self) {
        self.read = true;
    }

    /// Answers 200 with this body.
    pub fn ok(&mut self, body: &str) -> Then {
        let bytes: Vec<u8> = body.chars().map(|c| c as u8).collect();
        self.answer("200 OK", "", &bytes)
    }

    /// Answers with a status, further field lines, and a body of fixed length.
    pub fn answer(&mut self, status: &str, lines: &str, body: &[u8]) -> Then {
        let whole = self.read || self.body().whole;
        let length = body.len();
        let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{lines}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes);
        if whole { Then::Keep } else { Then::Close }
    }

    /// Waits, but no longer than the API lives.
    pub fn pause(&self, time: Duration) {
        if !self.state.over.load(Ordering::Relaxed) {
            pause(time);
        }
    }
}

/// Where the gateway finds an API at this address.
pub fn url(address: SocketAddr, path: &str) -> String {
    let scheme = if tls::is_on() { "https" } else { "http" };
    format!("{scheme}://{address}{path}")
}

fn serve(stream: TcpStream, state: &State, handler: &dyn Fn(&mut Exchange<'_>) -> Then) {
    let Ok(mut wire) = Wire::accept(stream) else { return };
    let connection = {
        let mut records = state.records.lock().unwrap();
        records.push(Arc::clone(&wire.record));
        records.len() - 1
    };
    let mut nth = 0;
    let then = loop {
        if !await_bytes(&mut wire, state) {
            return;
        }
        let head = match wire.head() {
            Some(Ok(head)) => head,
            Some(Err(error)) => return state.violations.lock().unwrap().push(error),
            None => return,
        };
        if let Err(error) = well_formed(&head) {
            state.violations.lock().unwrap().push(error);
            return;
        }
        let then = exchange(head, &mut wire, state, (connection, nth), handler);
        nth += 1;
        if then != Then::Keep {
            break then;
        }
    };
    finish(then, wire, state);
}

fn exchange(
    head: Head,
    wire: &mut Wire,
    state: &State,
    (connection, nth): (usize, usize),
    handler: &dyn Fn(&mut Exchange<'_>) -> Then,
) -> Then {
    let number = state.next.fetch_add(1, Ordering::Relaxed);
    state.requests.lock().unwrap().push(Seen { number, connection, head: head.clone(), body: None });
    let mut exchange = Exchange { head, wire, connection, nth, number, read: false, state };
    let then = handler(&mut exchange);
    if then == Then::Keep && !exchange.read {
        exchange.body();
    }
    then
}

/// Waits for the next request as long as the API lives; `false` when there is none.
fn await_bytes(wire: &mut Wire, state: &State) -> bool {
    while wire.buffer.is_empty() {
        if state.over.load(Ordering::Relaxed) {
            return false;
        }
        if !wire.look(Duration::from_millis(200)) {
            return false;
        }
    }
    true
}

fn finish(then: Then, wire: Wire, state: &State) {
    match then {
        Then::Keep | Then::Close => {
            wire.finish();
            drain(wire);
        }
        Then::Silence => {
            let _ = wire.stream.shutdown(Shutdown::Write);
            drain(wire);
        }
        Then::Reset => wire.reset(),
        Then::Hold => {
            let (over, changed) = &state.ended;
            let mut over = over.lock().unwrap();
            while !*over {
                over = changed.wait(over).unwrap();
            }
        }
    }
}

/// Reads to the end: what was sent must not be lost to a reset.
fn drain(mut wire: Wire) {
    wire.discard(usize::MAX);
}

/// What every request to an API must be (RFC 9112 §3).
fn well_formed(head: &Head) -> Result<(), String> {
    let parts: Vec<_> = head.line.split(' ').collect();
    let form =
        matches!(parts[..], [method, target, "HTTP/1.1"] if !method.is_empty() && target.starts_with('/'));
    if !form {
        return Err(format!("a request line {:?}", head.line));
    }
    if head.all("host").len() != 1 {
        return Err(format!("not one Host in {head:#?}"));
    }
    match head.length() {
        Ok(Length::Absent | Length::Fixed(_) | Length::Chunked) => Ok(()),
        Err(error) => Err(format!("{error} in {head:#?}")),
    }
}
