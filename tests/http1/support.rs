//! Runs one message in every way in which it can arrive, and takes what was parsed out of its buffers.

use keyferry::protocol::h1::{HeadScanner, leading, parse_request, parse_response};
use keyferry::protocol::http::{BodyLength, FieldTable, Form, HeadLimits, Method, Version};
use keyferry::types::Reason;

/// Random splits of each message, besides whole and byte by byte.
const SPLITS: u64 = 6;

/// A seeded generator (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Every way to cut `length` bytes: ends of the pieces, in order.
pub fn splits(length: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![length], (1..=length).collect()];
    for seed in 0..SPLITS {
        let mut random = Random(seed ^ length as u64);
        let mut ends: Vec<usize> = (0..1 + random.below(4)).map(|_| random.below(length)).collect();
        ends.push(length);
        ends.sort_unstable();
        all.push(ends);
    }
    all
}

/// What a request head said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub form: Form,
    pub version: Version,
    pub host: Option<String>,
    pub body: BodyLength,
    pub expects_continue: bool,
    pub upgrade: Option<String>,
    pub keep_alive: bool,
    pub fields: Vec<(String, String)>,
    /// Bytes behind the head.
    pub rest: usize,
}

/// What a response head said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub version: Version,
    pub status: u16,
    pub reason: String,
    pub body: BodyLength,
    pub keep_alive: bool,
    pub interim: bool,
    pub upgrade: Option<String>,
    pub rest: usize,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Refused(Reason),
    Incomplete,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Parses a request in every way and checks that all agree.
pub fn request_with(bytes: &[u8], limits: HeadLimits) -> Result<Request, Failure> {
    agreed(bytes, |ends| {
        let skipped = leading(bytes);
        let (head, rest) = scan(bytes, skipped, ends, limits)?;
        let mut table = FieldTable::new();
        let head = parse_request(head, &limits, &mut table).map_err(Failure::Refused)?;
        Ok(Request {
            method: head.method,
            path: text(head.target.path),
            query: head.target.query.map(text),
            form: head.target.form,
            version: head.version,
            host: head.host.map(text),
            body: head.body,
            expects_continue: head.expects_continue,
            upgrade: head.upgrade.map(text),
            keep_alive: head.keep_alive,
            fields: head.fields.iter().map(|field| (text(field.name), text(field.value))).collect(),
            rest,
        })
    })
}

pub fn request(bytes: &[u8]) -> Result<Request, Failure> {
    request_with(bytes, HeadLimits::default())
}

/// Parses a response in every way; a refusal of the scanner counts as `ResponseInvalid`, as in a shard.
pub fn response_to(method: Method, bytes: &[u8]) -> Result<Response, Failure> {
    let limits = HeadLimits::default();
    agreed(bytes, |ends| {
        let (head, rest) = match scan(bytes, 0, ends, limits) {
            Err(Failure::Refused(_)) => return Err(Failure::Refused(Reason::ResponseInvalid)),
            other => other?,
        };
        let mut table = FieldTable::new();
        let head = parse_response(head, method, &limits, &mut table).map_err(Failure::Refused)?;
        Ok(Response {
            version: head.version,
            status: head.status,
            reason: text(head.reason),
            body: head.body,
            keep_alive: head.keep_alive,
            interim: head.is_interim(),
            upgrade: head.upgrade.map(text),
            rest,
        })
    })
}

pub fn response(bytes: &[u8]) -> Result<Response, Failure> {
    response_to(Method::Get, bytes)
}

fn agreed<T: PartialEq + std::fmt::Debug>(bytes: &[u8], run: impl Fn(&[usize]) -> T) -> T {
    let whole = run(&[bytes.len()]);
    for ends in splits(bytes.len()) {
        assert_eq!(run(&ends), whole, "split at {ends:?}: {:?}", text(bytes));
    }
    whole
}

fn scan<'b>(
    bytes: &'b [u8],
    skipped: usize,
    ends: &[usize],
    limits: HeadLimits,
) -> Result<(&'b [u8], usize), Failure> {
    let mut scanner = HeadScanner::default();
    for end in ends {
        let arrived = &bytes[skipped..(*end).max(skipped)];
        if let Some(length) = scanner.find(arrived, limits.head_bytes).map_err(Failure::Refused)? {
            return Ok((&arrived[..length], bytes.len() - skipped - length));
        }
    }
    Err(Failure::Incomplete)
}

/// Asserts that every request of a list ends for this reason.
pub fn refused(reason: Reason, cases: &[&[u8]]) {
    for case in cases {
        assert_eq!(request(case), Err(Failure::Refused(reason)), "{:?}", text(case));
    }
}

/// Asserts that every response of a list is invalid.
pub fn invalid(cases: &[&[u8]]) {
    for case in cases {
        assert_eq!(response(case), Err(Failure::Refused(Reason::ResponseInvalid)), "{:?}", text(case));
    }
}

/// A request for `/` on 1.1 with a `Host` and these field lines.
pub fn with_fields(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

/// A response with these field lines.
pub fn answer(status: &str, lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{lines}\r\n").into_bytes()
}
