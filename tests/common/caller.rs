//! A caller that sends raw bytes and reads answers strictly.

use std::{io, net::SocketAddr, time::Duration};

use super::{
    KEY,
    message::{Body, Head, Length, latin},
    pause,
    wire::{End, Wire},
};

/// One connection to the gateway.
pub struct Caller {
    pub wire: Wire,
}

/// One answer of the gateway.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// The announced end of the body was reached; for one that lasts until the close, that it was no reset.
    pub whole: bool,
}

/// How an answer says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It has none by its status or by the method.
    None,
    Fixed(usize),
    Chunked,
    UntilClose,
}

impl Caller {
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        Wire::connect(address).map(|wire| Self { wire })
    }

    /// With TLS in any case, behind a header: in one piece with the handshake, or all byte by byte.
    pub fn behind(address: SocketAddr, header: &[u8], bytewise: bool) -> io::Result<Self> {
        Wire::connect_behind(address, header, bytewise).map(|wire| Self { wire })
    }

    /// Without TLS in any case.
    pub fn to_plain(address: SocketAddr) -> io::Result<Self> {
        Wire::connect_plain(address).map(|wire| Self { wire })
    }

    /// To the admin listener.
    pub fn to_admin(address: SocketAddr) -> io::Result<Self> {
        Wire::connect_plain(address).map(|wire| Self { wire })
    }

    /// Sends in one piece. That the gateway has closed meanwhile is no error: the answer tells.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.try_send(bytes);
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    /// Sends each byte on its own.
    pub fn send_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.try_send(&[*byte]).is_err() {
                break;
            }
        }
    }

    /// Sends in pieces, with a little time in between.
    pub fn send_slowly(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.send(piece);
            pause(Duration::from_millis(20));
        }
    }

    /// The next answer, interim ones included.
    #[track_caller]
    pub fn next(&mut self) -> Answer {
        self.read("GET")
    }

    /// The next final answer.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The next final answer, to a request with this method.
    #[track_caller]
    pub fn answer_to(&mut self, method: &str) -> Answer {
        loop {
            let answer = self.read(method);
            if answer.status >= 200 {
                return answer;
            }
        }
    }

    /// Waits for the end of the connection; nothing may come before it.
    #[track_caller]
    pub fn closed(&mut self) {
        let rest = self.wire.rest();
        assert!(rest.is_empty(), "sent before the end: {:?}", latin(&rest));
    }

    /// The same, and it must be in order, not a reset that could destroy what was sent before.
    #[track_caller]
    pub fn closed_in_order(&mut self) {
        self.closed();
        assert_eq!(self.wire.end, Some(End::Closed));
    }

    /// The connection is still good for a request.
    #[track_caller]
    pub fn still_served(&mut self) {
        self.send(&get("/crm/still"));
        assert_eq!(self.answer().status, 200);
    }

    #[track_caller]
    fn read(&mut self, method: &str) -> Answer {
        let head = match self.wire.head() {
            Some(Ok(head)) => head,
            Some(Err(error)) => panic!("a malformed answer: {error}"),
            None => panic!("no answer, but the end of the connection: {:?}", self.wire.end),
        };
        let status = status(&head.line).unwrap_or_else(|| panic!("a malformed status line: {:?}", head.line));
        assert_ne!(status, 499, "a word for the log was sent: {head:#?}");
        let framing = framing(&head, status, method);
        let body = match framing {
            Framing::None => Body { whole: true, ..Body::default() },
            Framing::Fixed(count) => self.body(Length::Fixed(count)),
            Framing::Chunked => self.body(Length::Chunked),
            Framing::UntilClose => {
                let bytes = self.wire.rest();
                Body { bytes, whole: self.wire.end == Some(End::Closed), ..Body::default() }
            }
        };
        Answer { status, head, framing, body: body.bytes, trailers: body.trailers, whole: body.whole }
    }

    #[track_caller]
    fn body(&mut self, length: Length) -> Body {
        self.wire.body(length).unwrap_or_else(|error| panic!("a malformed body: {error}"))
    }
}

impl Answer {
    pub fn text(&self) -> String {
        latin(&self.body)
    }

    /// The connection ends with this answer.
    pub fn closes(&self) -> bool {
        self.head.lists("connection", "close")
    }

    /// The word of a problem; everything about it must agree (RFC 9457 §3.1).
    #[track_caller]
    pub fn word(&self) -> String {
        assert_eq!(self.head.one("content-type"), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).expect("a problem is JSON");
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        let id = problem["request_id"].as_str().expect("a problem has a request id");
        assert_eq!(self.head.one("x-request-id"), id);
        let kind = problem["type"].as_str().expect("a problem has a type");
        let word = kind.strip_prefix("https://keyferry.dev/problems/");
        word.unwrap_or_else(|| panic!("not a type of ours: {kind}")).to_string()
    }

    /// Asserts a problem with this status and word.
    #[track_caller]
    pub fn refused(&self, status: u16, word: &str) {
        assert_eq!((self.status, self.word().as_str()), (status, word), "{}", self.text());
    }
}

/// A GET with the caller's key.
pub fn get(path: &str) -> Vec<u8> {
    request("GET", path, "", b"")
}

/// A request with the caller's key and further field lines, each with its CRLF.
pub fn request(method: &str, path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: gw.example\r\nX-API-Key: {KEY}\r\n{lines}\r\n");
    [head.as_bytes(), body].concat()
}

/// `HTTP/1.1 SP 3DIGIT SP [phrase]` (RFC 9112 §4).
fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ")?;
    let (digits, _) = rest.split_once(' ')?;
    let plain = digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|status| plain && (100..1000).contains(status))
}

/// RFC 9112 §6.3, and that nothing is said about a body where there is none (RFC 9110 §8.6).
#[track_caller]
fn framing(head: &Head, status: u16, method: &str) -> Framing {
    let length = head.length().unwrap_or_else(|error| panic!("{error} in {head:#?}"));
    if status < 200 || status == 204 {
        assert_eq!(length, Length::Absent, "a length in an answer without body: {head:#?}");
    }
    match length {
        _ if status < 200 || status == 204 || status == 304 || method == "HEAD" => Framing::None,
        Length::Fixed(count) => Framing::Fixed(count),
        Length::Chunked => Framing::Chunked,
        Length::Absent => Framing::UntilClose,
    }
}
