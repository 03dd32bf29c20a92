//! The API behind the gateway of an experiment: each connection on a thread of its own, requests one after the other.
//!
//! ```text
//! GET /bytes/N     N bytes of "x"
//! GET /slow/MS     64 of them after so many milliseconds
//! POST anything    how many bytes the body had
//! ```
//!
//! Whoever lacks the token or still has a caller's key is answered with 400.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

pub const TOKEN: &str = "tgt_prober_5c1e";
/// Behind each piece of a large answer: 1.3 MB/s.
const LARGE_ANSWER_PAUSE: Duration = Duration::from_millis(50);
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

pub fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = thread::Builder::new().stack_size(64 * 1024).spawn(move || serve(stream));
        }
    });
    address
}

/// Until the gateway ends the connection, which is its own affair.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut received, mut piece) = (Vec::new(), [0; 16 * 1024]);
    while let count @ 1.. = stream.read(&mut piece)? {
        received.extend_from_slice(&piece[..count]);
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
        let body = head.split("content-length: ").nth(1).and_then(|rest| number(rest.lines().next()?));
        let mut missing = body.unwrap_or(0).saturating_sub(received.len() - end - 4);
        while missing > 0 {
            match stream.read(&mut piece)? {
                0 => return Ok(()),
                count => missing = missing.saturating_sub(count),
            }
        }
        received.clear();
        answer(&mut stream, &head, body)?;
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, head: &str, body: Option<usize>) -> io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    if !head.contains(&format!("authorization: bearer {TOKEN}")) || head.contains("x-api-key") {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    }
    if let Some(bytes) = body {
        let text = bytes.to_string();
        let length = text.len();
        return stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}").as_bytes());
    }
    if let Some(millis) = path.strip_prefix("/slow/").and_then(number) {
        thread::sleep(Duration::from_millis(millis as u64));
    }
    let mut left = path.strip_prefix("/bytes/").and_then(number).unwrap_or(64);
    let mut first = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").into_bytes();
    let beside = left.min(1024); // a small answer is one write
    first.extend_from_slice(&PIECE[..beside]);
    stream.write_all(&first)?;
    left -= beside;
    if left > 0 {
        // An API stands elsewhere: what hundreds of large answers cost it is not to be taken from the gateway.
        keyferry::shard::give_way();
    }
    while left > 0 {
        let count = left.min(PIECE.len());
        stream.write_all(&PIECE[..count])?;
        left -= count;
        // Hundreds of large answers at a time would take the CPUs from everybody else.
        thread::sleep(LARGE_ANSWER_PAUSE);
    }
    Ok(())
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok()
}
