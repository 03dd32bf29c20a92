//! One TCP connection read with a deadline: heads, bodies, and how it ended.
//!
//! Both ends of the gateway are looked at through it, by the recording API and by the raw caller.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{
    PATIENCE,
    message::{Body, Head, Length, field, find, latin},
    tls::{self, Tls},
};

/// A connection, what was read and not yet taken, and everything that was ever read.
pub struct Wire {
    pub stream: TcpStream,
    /// Read, not yet taken.
    pub buffer: Vec<u8>,
    /// Every byte that was read, for the record.
    pub record: Arc<Mutex<Vec<u8>>>,
    /// How the peer ended it, once it has.
    pub end: Option<End>,
    tls: Option<Tls>,
}

/// How a peer ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order (FIN).
    Closed,
    /// Torn down (RST).
    Reset,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self { stream, buffer: Vec::new(), record: Arc::default(), end: None, tls: None }
    }

    /// To the gateway, as its callers come: with TLS where that is on.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut wire = Self::connect_plain(address)?;
        if tls::is_on() {
            wire.stream.set_read_timeout(Some(PATIENCE))?;
            wire.tls = Some(Tls::connect(&wire.stream)?);
        }
        Ok(wire)
    }

    /// The same with TLS in any case, behind a header: in one piece with the handshake, or all byte by byte.
    pub fn connect_behind(address: SocketAddr, header: &[u8], bytewise: bool) -> io::Result<Self> {
        let mut wire = Self::connect_plain(address)?;
        wire.secure(header, bytewise)?;
        Ok(wire)
    }

    /// Shakes hands from here on.
    pub fn secure(&mut self, header: &[u8], bytewise: bool) -> io::Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.tls = Some(Tls::connect_behind(&self.stream, header, bytewise)?);
        Ok(())
    }

    pub fn connect_plain(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect_timeout(&address, PATIENCE).map(Self::new)
    }

    /// From the gateway, as it comes to an API.
    pub fn accept(stream: TcpStream) -> io::Result<Self> {
        let mut wire = Self::new(stream);
        if tls::is_on() {
            wire.stream.set_read_timeout(Some(PATIENCE))?;
            wire.tls = Some(Tls::accept(&wire.stream)?);
        }
        Ok(wire)
    }

    /// The same connection, to write to it while it is read here.
    pub fn share(&self) -> Self {
        let stream = self.stream.try_clone().expect("it can be shared");
        Self { tls: self.tls.clone(), ..Self::new(stream) }
    }

    fn read(&self, piece: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.read(&self.stream, piece),
            None => (&self.stream).read(piece),
        }
    }

    /// Reads once; `false` when the peer has ended the connection.
    #[track_caller]
    pub fn fill(&mut self, deadline: Instant) -> bool {
        let left = deadline.checked_duration_since(Instant::now()).unwrap_or_default();
        let before = self.buffer.len();
        // Looked at once more when the time is over: the machine may have stood still in between.
        let open = self.look(left.max(Duration::from_millis(1)));
        let late = left.is_zero() && open && self.buffer.len() == before;
        assert!(!late, "nothing more came in time after {:?}", latin(&self.buffer));
        open
    }

    /// Reads once, for no longer than `time`; `false` when the peer has ended the connection.
    pub fn look(&mut self, time: Duration) -> bool {
        if self.end.is_some() {
            return false;
        }
        self.stream.set_read_timeout(Some(time)).expect("a read timeout can be set");
        let mut piece = [0; 16 * 1024];
        match self.read(&mut piece) {
            Ok(0) => self.end = Some(End::Closed),
            Ok(n) => {
                self.buffer.extend_from_slice(&piece[..n]);
                self.record.lock().unwrap().extend_from_slice(&piece[..n]);
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => self.end = Some(End::Reset),
        }
        self.end.is_none()
    }

    /// Takes one head; `None` when the connection ended before its first byte.
    #[track_caller]
    pub fn head(&mut self) -> Option<Result<Head, String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head = Head::parse(&self.buffer[..at + 4]);
                self.buffer.drain(..at + 4);
                return Some(head);
            }
            if !self.fill(deadline) {
                let rest = latin(&self.buffer);
                return (!rest.is_empty()).then(|| Err(format!("ended inside a head: {rest:?}")));
            }
        }
    }

    /// Takes the body that `length` announces, as much of it as comes.
    #[track_caller]
    pub fn body(&mut self, length: Length) -> Result<Body, String> {
        match length {
            Length::Absent => Ok(Body { whole: true, ..Body::default() }),
            Length::Fixed(count) => Ok(self.fixed(count)),
            Length::Chunked => self.chunked(),
        }
    }

    /// Everything until the peer ends the connection.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.fill(deadline) {}
        std::mem::take(&mut self.buffer)
    }

    /// Exactly `count` bytes, or what there was when the peer ended the connection.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.buffer.len() < count && self.fill(deadline) {}
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// Reads `count` bytes and throws them away, unrecorded; returns how many came.
    pub fn discard(&mut self, count: usize) -> usize {
        let mut came = self.buffer.len().min(count);
        self.buffer.drain(..came);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
        let mut piece = vec![0; 256 * 1024];
        while came < count {
            let room = piece.len().min(count - came);
            match self.read(&mut piece[..room]) {
                Ok(0) | Err(_) => break,
                Ok(n) => came += n,
            }
        }
        came
    }

    /// Sends, or says that the peer is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(PATIENCE))?;
        match &self.tls {
            Some(tls) => tls.write_all(&self.stream, bytes),
            None => self.stream.write_all(bytes),
        }
    }

    /// Ends the sending side in order.
    pub fn finish(&self) {
        self.tls.iter().for_each(|tls| tls.finish(&self.stream));
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Makes the end of this connection a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER can be set");
    }

    fn fixed(&mut self, count: usize) -> Body {
        let bytes = self.take(count);
        Body { whole: bytes.len() == count, bytes, ..Body::default() }
    }

    /// Strictly what we send ourselves: size in hex, no extension, CRLF (RFC 9112 §7.1).
    #[track_caller]
    fn chunked(&mut self) -> Result<Body, String> {
        let mut body = Body::default();
        loop {
            let Some(size) = self.line() else { return Ok(body) };
            let digits = size.bytes().all(|b| b.is_ascii_hexdigit()) && (1..=16).contains(&size.len());
            let size = usize::from_str_radix(&size, 16).ok().filter(|_| digits);
            let size = size.ok_or_else(|| format!("not a chunk size, behind {:?}", latin(&body.bytes)))?;
            if size == 0 {
                return self.trailers(body);
            }
            body.bytes.extend(self.take(size));
            match self.take(2).as_slice() {
                b"\r\n" => {}
                [] | [b'\r'] => return Ok(body),
                other => return Err(format!("not the end of a chunk: {:?}", latin(other))),
            }
        }
    }

    #[track_caller]
    fn trailers(&mut self, mut body: Body) -> Result<Body, String> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                body.whole = true;
                break;
            }
            body.trailers.push(field(&line)?);
        }
        Ok(body)
    }

    /// One line without its CRLF; `None` when the connection ends first.
    #[track_caller]
    fn line(&mut self) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = latin(&self.buffer[..at]);
                self.buffer.drain(..at + 2);
                return Some(line);
            }
            if !self.fill(deadline) {
                return None;
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
