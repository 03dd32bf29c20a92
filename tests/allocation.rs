//! A warm kept-alive exchange allocates nothing: the whole gateway in this process, with an allocator that counts
//! what the threads of the shards ask for.
//!
//! Which threads those are is told by their name, which the program gives them itself (`shard-0`). The program
//! has no hook for this test.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "an allocator is unsafe to write; a test may panic, and reads the clock"
)]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    backtrace::Backtrace,
    cell::Cell,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    Config, KEY, PATIENCE,
    tls::{self, Tls},
};
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

const EXCHANGES_TO_WARM: usize = 300;
const EXCHANGES: usize = 2_000 * KINDS.len();
/// Longer than this between two exchanges, and the connection may have gone to rest: then it is not warm.
const GAP_MAX: Duration = Duration::from_millis(60);
/// How often a measurement that the machine interrupted is begun anew.
const ATTEMPTS: usize = 20;

// --- the tests ---------------------------------------------------------------------------------

#[test]
fn warm_exchanges_allocate_nothing_on_io_uring() {
    warm_exchanges_allocate_nothing("auto");
}

#[test]
fn warm_exchanges_allocate_nothing_on_epoll() {
    warm_exchanges_allocate_nothing("epoll");
}

#[test]
fn warm_exchanges_that_are_logged_allocate_nothing() {
    warm_exchanges_with("auto", "[access_log]\npath = \"/dev/null\"\n");
}

/// With TLS on both sides, to the API always of the newest version.
#[test]
fn warm_exchanges_over_tls_1_3_allocate_nothing_on_io_uring() {
    warm_exchanges("auto", "", Some(&TLS13));
}

#[test]
fn warm_exchanges_over_tls_1_3_allocate_nothing_on_epoll() {
    warm_exchanges("epoll", "", Some(&TLS13));
}

#[test]
fn warm_exchanges_over_tls_1_2_allocate_nothing_on_io_uring() {
    warm_exchanges("auto", "", Some(&TLS12));
}

#[test]
fn warm_exchanges_over_tls_1_2_allocate_nothing_on_epoll() {
    warm_exchanges("epoll", "", Some(&TLS12));
}

fn warm_exchanges_allocate_nothing(driver: &'static str) {
    warm_exchanges(driver, "", None);
}

fn warm_exchanges_with(driver: &'static str, more: &'static str) {
    warm_exchanges(driver, more, None);
}

fn warm_exchanges(driver: &'static str, more: &'static str, version: Version) {
    let _alone = alone();
    settle();
    let (gateway, cold) = count(|| {
        let gateway = start_with(driver, more, version.is_some());
        exchange(&mut Caller::with(version, gateway), &ACCEPTED);
        gateway
    });
    assert!(cold.allocations > 0, "the first exchange cannot come without memory: nothing is counted");
    let mut caller = Caller::with(version, gateway);
    for kind in KINDS.iter().cycle().take(EXCHANGES_TO_WARM) {
        exchange(&mut caller, kind);
    }
    // One kind after the other, so that nothing that one of them needs is unused for long.
    let mut kinds = KINDS.iter().cycle();
    let found = warm(&mut caller, |caller| exchange(caller, kinds.next().unwrap()));
    assert_eq!((found.allocations, found.bytes), (0, 0), "{driver}: {found}");
}

/// The check above can fail: one byte on a thread with the name of a shard is seen, and on no other thread.
#[test]
fn the_counter_sees_a_single_byte_on_a_thread_of_a_shard() {
    let _alone = alone();
    settle();
    let on_thread_named = |name: &str| {
        let ((), found) = count(|| {
            let (go, went) = mpsc::channel::<()>();
            let thread = thread::Builder::new()
                .name(name.into())
                .spawn(move || {
                    let _ = went.recv();
                    ARMED.store(true, Ordering::SeqCst);
                    std::hint::black_box(Box::new(7_u8));
                    ARMED.store(false, Ordering::SeqCst);
                })
                .unwrap();
            // Starting a thread takes memory of its own: only what comes after it counts.
            ARMED.store(false, Ordering::SeqCst);
            ALLOCATIONS.store(0, Ordering::SeqCst);
            BYTES.store(0, Ordering::SeqCst);
            go.send(()).unwrap();
            thread.join().unwrap();
        });
        (found.allocations, found.bytes)
    };
    assert_eq!(on_thread_named("shard-x"), (1, 1));
    assert_eq!(on_thread_named("control"), (0, 0));
}

/// What may take memory: said here so that a change of it is noticed, and so that the counter is seen to see it.
#[test]
fn an_exchange_that_is_not_warm_is_counted() {
    let _alone = alone();
    let gateway = start("auto");
    exchange(&mut Caller::to(gateway), &ACCEPTED);
    settle();
    let ((), found) = count(|| exchange(&mut Caller::to(gateway), &ACCEPTED));
    assert!(found.allocations > 0, "a new connection has a task of its own");
}

// --- exchanges ---------------------------------------------------------------------------------

/// A request, sent in one piece, and how its answer begins.
struct Kind {
    name: &'static str,
    request: fn() -> String,
    answer: &'static str,
}

const ACCEPTED: Kind = Kind {
    name: "a GET that is accepted",
    request: || {
        format!(
            "GET /crm/v2/list?limit=10 HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: {KEY}\r\nAccept: */*\r\n\r\n"
        )
    },
    answer: "HTTP/1.1 200 ",
};
const KINDS: [Kind; 7] = [
    ACCEPTED,
    Kind {
        name: "a GET that the rules deny",
        request: || {
            format!(
                "GET /crm/v2/list?limit=%310&all HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: {KEY}\r\n\r\n"
            )
        },
        answer: "HTTP/1.1 403 ",
    },
    Kind {
        name: "a GET that is refused",
        request: || {
            "GET /crm/v2/list HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: caller-key-nobody-has\r\n\r\n".into()
        },
        answer: "HTTP/1.1 401 ",
    },
    Kind {
        name: "a GET without a key",
        request: || "GET /crm/v2/list HTTP/1.1\r\nHost: gw.example\r\n\r\n".into(),
        answer: "HTTP/1.1 401 ",
    },
    Kind {
        name: "a GET of an alias that nobody has",
        request: || format!("GET /other HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: {KEY}\r\n\r\n"),
        answer: "HTTP/1.1 404 ",
    },
    Kind {
        name: "a POST with a small body",
        request: || {
            format!(
                "POST /crm/v2/add HTTP/1.1\r\nHost: gw.example\r\nAuthorization: Bearer {KEY}\r\n\
                 Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nname: Ada"
            )
        },
        answer: "HTTP/1.1 200 ",
    },
    Kind {
        name: "a GET whose answer comes in chunks",
        request: || format!("GET /crm/chunked HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: {KEY}\r\n\r\n"),
        answer: "HTTP/1.1 200 ",
    },
];

/// Of the TLS that a caller speaks, if it does.
type Version = Option<&'static SupportedProtocolVersion>;

/// A connection with or without TLS.
struct Line {
    stream: TcpStream,
    tls: Option<Tls>,
}

impl Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.tls {
            Some(tls) => tls.write_all(&self.stream, bytes),
            None => self.stream.write_all(bytes),
        }
    }

    fn receive(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.read(&self.stream, piece),
            None => self.stream.read(piece),
        }
    }
}

struct Caller {
    line: Line,
    answer: Vec<u8>,
}

impl Caller {
    fn to(gateway: SocketAddr) -> Self {
        Self::with(None, gateway)
    }

    fn with(version: Version, gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let tls = version.map(|version| Tls::connect_with(version, &stream).unwrap());
        Self { line: Line { stream, tls }, answer: Vec::with_capacity(64 * 1024) }
    }
}

fn exchange(caller: &mut Caller, kind: &Kind) {
    caller.line.send((kind.request)().as_bytes()).unwrap();
    caller.answer.clear();
    let mut piece = [0; 16 * 1024];
    while !is_whole(&caller.answer) {
        let count = caller.line.receive(&mut piece).unwrap();
        assert_ne!(count, 0, "{}: the connection ended: {}", kind.name, latin(&caller.answer));
        caller.answer.extend_from_slice(&piece[..count]);
    }
    assert!(latin(&caller.answer).starts_with(kind.answer), "{}: {}", kind.name, latin(&caller.answer));
}

/// Whether an answer has come to its end; it says how long it is, or is chunked.
fn is_whole(answer: &[u8]) -> bool {
    let text = latin(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    match head.split("\r\n").find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => body.len() >= length.parse::<usize>().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

// --- the gateway and its API -------------------------------------------------------------------

/// Every sort of check, and a pattern that is too large for an automaton that is made beforehand.
const RULES: &str = r#"
default_rule_effect = "deny"
[[proxy.rule]]
effect = "allow"
path = "^/v2/"
[[proxy.rule]]
effect = "allow"
path = '^/chunke[a-d]$'
headers = [{ name = "^host$", value = '\.example$' }]
[[proxy.rule]]
effect = "deny"
path = '^/.*a[a-z/]{30}$'
[[proxy.rule]]
effect = "deny"
query = [{ name = "^all$" }, { name = "^limit$", value = '^\d+$' }]
source = ["127.0.0.0/8"]
"#;

/// Starts a gateway with one shard on a thread of this process, for as long as the process lives.
fn start(driver: &'static str) -> SocketAddr {
    start_with(driver, "", false)
}

fn start_with(driver: &'static str, more: &str, secure: bool) -> SocketAddr {
    let scheme = if secure { "https" } else { "http" };
    let url = format!("{scheme}://{}", api(secure));
    let config = Config { proxy: RULES.into(), more: more.into(), ..Config::to_url(&url) };
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let listener_tls = format!("{listener}{}", tls::LISTENER);
    let text = config.text(driver).replace(listener, if secure { &listener_tls } else { listener });
    let directory = std::env::temp_dir().join(format!("keyferry-allocation-{}", std::process::id()));
    tls::write_files(&directory);
    let loaded = keyferry::config::load_text(&text, "test.toml", &directory, &|_| None);
    let _ = fs::remove_dir_all(&directory);
    let loaded = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"));
    let (ready, running) = mpsc::channel();
    thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            keyferry::run::run(keyferry::run::without_file(loaded).unwrap(), |running| {
                let address = running.listeners[0].to_string().parse().expect("an address");
                ready.send(address).unwrap()
            })
        })
        .unwrap();
    running.recv_timeout(PATIENCE).expect("the gateway starts")
}

/// An API that answers every request, and one path in chunks.
fn api(secure: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let Ok(tls) = secure.then(|| Tls::accept(&stream)).transpose() else { return };
                answer_all(Line { stream, tls });
            });
        }
    });
    address
}

fn answer_all(mut line: Line) {
    let (mut received, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match line.receive(&mut piece) {
            Ok(count) if count > 0 => received.extend_from_slice(&piece[..count]),
            _ => return,
        }
        let text = latin(&received);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
            continue;
        }
        let answer = if head.contains("/chunked") {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
        };
        if line.send(answer.as_bytes()).is_err() {
            return;
        }
        received.clear();
    }
}

// --- counting ----------------------------------------------------------------------------------

/// What the threads of shards asked for.
struct Found {
    allocations: usize,
    bytes: usize,
    where_from: Vec<String>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{} allocations, {} bytes", self.allocations, self.bytes)?;
        self.where_from.iter().try_for_each(|place| writeln!(formatter, "--- from\n{place}"))
    }
}

/// Counts `EXCHANGES` exchanges that follow one another closely.
fn warm(caller: &mut Caller, mut exchange: impl FnMut(&mut Caller)) -> Found {
    for _ in 0..ATTEMPTS {
        for _ in 0..20 {
            exchange(caller); // what rested is warm again
        }
        let (gap, found) = count(|| {
            let (mut gap, mut before) = (Duration::ZERO, Instant::now());
            for _ in 0..EXCHANGES {
                exchange(caller);
                let now = Instant::now();
                gap = gap.max(now - std::mem::replace(&mut before, now));
            }
            gap
        });
        if gap <= GAP_MAX {
            return found;
        }
        eprintln!("a gap of {gap:?} between two exchanges: measured anew");
    }
    panic!("the machine never let {EXCHANGES} exchanges follow one another closely");
}

/// Waits until gateways of other tests have let go of what they keep for a moment after use.
fn settle() {
    let quiet = || count(|| thread::sleep(Duration::from_millis(1_500))).1.allocations == 0;
    assert!((0..ATTEMPTS).any(|_| quiet()), "a gateway that nobody uses goes on taking memory");
}

/// Counts what the threads of shards ask for while `work` is done.
fn count<T>(work: impl FnOnce() -> T) -> (T, Found) {
    WHERE_FROM.lock().unwrap().clear();
    ALLOCATIONS.store(0, Ordering::SeqCst);
    BYTES.store(0, Ordering::SeqCst);
    ARMED.store(true, Ordering::SeqCst);
    let result = work();
    ARMED.store(false, Ordering::SeqCst);
    let where_from = std::mem::take(&mut *WHERE_FROM.lock().unwrap());
    let (allocations, bytes) = (ALLOCATIONS.load(Ordering::SeqCst), BYTES.load(Ordering::SeqCst));
    (result, Found { allocations, bytes, where_from })
}

/// One test at a time: they all count the same threads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Backtraces that are kept.
const PLACES_MAX: usize = 3;

static ARMED: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static WHERE_FROM: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// A backtrace takes memory itself.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller keeps the contract of `realloc`, which is the same.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn note(size: usize) {
    if !ARMED.load(Ordering::Relaxed) || !is_shard() {
        return;
    }
    let looking = LOOKING.try_with(|looking| looking.replace(true)).unwrap_or(true);
    if looking {
        return;
    }
    ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
    BYTES.fetch_add(size, Ordering::SeqCst);
    if let Ok(mut places) = WHERE_FROM.try_lock()
        && places.len() < PLACES_MAX
    {
        places.push(format!("{size} bytes\n{}", Backtrace::force_capture()));
    }
    let _ = LOOKING.try_with(|looking| looking.set(false));
}

/// Whether the calling thread has the name of a shard. Asked anew each time: a thread gets its name late.
fn is_shard() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes to the pointer, which is to 16 writable ones.
    let result = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    result == 0 && name.starts_with(b"shard-")
}
