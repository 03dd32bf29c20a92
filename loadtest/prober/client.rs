//! A caller on one kept connection, and one of the admin listener: blocking, one request after the other, with TLS
//! where that is asked for.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    pki_types::{IpAddr, Ipv4Addr, ServerName},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes to and from the gateway.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// A connection; with TLS its handshake is done, and the certificate was found good.
    pub fn to(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(tls) = tls else { return Ok(Self::Plain(stream)) };
        let mut session = ClientConnection::new(Arc::clone(tls), name()).map_err(io::Error::other)?;
        while session.is_handshaking() || session.wants_write() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Whether the other side has ended it, of a socket that does not block.
    pub fn is_ended(&mut self) -> bool {
        let mut piece = [0; 1024];
        !matches!(self.read(&mut piece), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

impl Read for Stream {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(piece),
            Self::Tls(stream) => stream.read(piece),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Whom every certificate of an experiment is for.
pub fn name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])))
}

/// One answer.
pub struct Answer {
    pub status: u16,
    /// It is the last one of its connection.
    pub closes: bool,
    pub body: String,
}

/// One connection.
pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        Self::with(address, None)
    }

    pub fn with(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        Ok(Self { stream: Stream::to(address, tls)?, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// The status of the answer to a request that was made with [`request`].
    pub fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.send(request)?;
        self.answer().map(|answer| answer.status)
    }

    /// The answer of the admin listener to a command.
    pub fn post(&mut self, path: &str, body: &str) -> io::Result<(u16, String)> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(head.as_bytes())?;
        self.answer().map(|answer| (answer.status, answer.body))
    }

    /// What the admin listener tells.
    pub fn get(&mut self, path: &str) -> io::Result<(u16, String)> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        self.answer().map(|answer| (answer.status, answer.body))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the answer to what was sent.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut piece = [0; 16 * 1024];
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end]).map_err(|_| ErrorKind::InvalidData)?;
                let status = head.get(9..12).and_then(|digits| digits.parse().ok());
                let length = field(head, "content-length").and_then(|length| length.parse::<usize>().ok());
                if self.buffer.len() == end + 4 + length.ok_or(ErrorKind::InvalidData)? {
                    let closes = field(head, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
                    let body = String::from_utf8_lossy(&self.buffer[end + 4..]).into_owned();
                    return Ok(Answer { status: status.ok_or(ErrorKind::InvalidData)?, closes, body });
                }
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Whether a byte of the answer is there, of one that failed.
    pub fn was_answered_in_part(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether it can still be used: nobody has said that it ends.
    pub fn is_open(&mut self) -> bool {
        let _ = self.stream.socket().set_nonblocking(true);
        let ended = self.stream.is_ended();
        self.stream.socket().set_nonblocking(false).is_ok() && !ended
    }

    /// The certificate that the gateway showed.
    pub fn certificate(&self) -> Option<&[u8]> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => {
                stream.conn.peer_certificates().and_then(|chain| chain.first()).map(AsRef::as_ref)
            }
        }
    }
}

fn field<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

/// A request with this key.
pub fn request(key: &str) -> Vec<u8> {
    get("/bytes/64", key)
}

/// A request for that path of the API.
pub fn get(path: &str, key: &str) -> Vec<u8> {
    format!("GET /api{path} HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\n\r\n").into_bytes()
}

/// The head of a request with a body so long.
pub fn post(bytes: usize, key: &str) -> Vec<u8> {
    format!("POST /api/count HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\nContent-Length: {bytes}\r\n\r\n")
        .into_bytes()
}
