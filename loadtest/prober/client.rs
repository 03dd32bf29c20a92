//! A caller on one kept connection, and one of the admin listener: blocking, one request after the other.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// The status of the answer to a request that was made with [`request`].
    pub fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request)?;
        self.answer().map(|(status, _)| status)
    }

    /// The answer of the admin listener to a command.
    pub fn post(&mut self, path: &str, body: &str) -> io::Result<(u16, String)> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(head.as_bytes())?;
        self.answer()
    }

    /// What the admin listener tells.
    pub fn get(&mut self, path: &str) -> io::Result<(u16, String)> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<(u16, String)> {
        self.buffer.clear();
        let mut piece = [0; 16 * 1024];
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end]).map_err(|_| ErrorKind::InvalidData)?;
                let status = head.get(9..12).and_then(|digits| digits.parse().ok());
                let length = length_of(head).ok_or(ErrorKind::InvalidData)?;
                if self.buffer.len() == end + 4 + length {
                    let body = String::from_utf8_lossy(&self.buffer[end + 4..]).into_owned();
                    return Ok((status.ok_or(ErrorKind::InvalidData)?, body));
                }
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&piece[..count]),
            }
        }
    }
}

fn length_of(head: &str) -> Option<usize> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse().ok()
}

/// A request with this key.
pub fn request(key: &str) -> Vec<u8> {
    format!("GET /api/bytes/64 HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\n\r\n").into_bytes()
}
