//! The API behind keyferry in a load test: a small HTTP/1.1 server that spends little and is strict.
//!
//! ```text
//! upstream ADDRESS TOKEN     GET /bytes/N  → 200 and N bytes of "x"
//!                            GET /echo?Q   → 200 and Q
//!                            anything else → 200 and "ok"
//! ```
//!
//! It is the witness of the load test: a request without `Authorization: Bearer TOKEN`, or with an `X-API-Key`,
//! is answered with 400, so that a gateway that loses or leaks a credential under load is caught by its statuses.
//!
//! It is not a server for anything else: it trusts its one peer, knows `Content-Length` bodies only, and has one
//! thread. Port 0 lets the system choose; the first line on standard output is the address.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    process::ExitCode,
    rc::Rc,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token] = arguments.as_slice() else {
        eprintln!("usage: upstream ADDRESS TOKEN");
        return ExitCode::from(2);
    };
    let Ok(address) = address.parse() else {
        eprintln!("{address:?} is not an address like 127.0.0.1:0");
        return ExitCode::from(2);
    };
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .and_then(|runtime| LocalSet::new().block_on(&runtime, serve(address, token)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: SocketAddr, token: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    let authorization: Rc<[u8]> = format!("Bearer {token}").into_bytes().into();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let authorization = Rc::clone(&authorization);
        // A connection that breaks is its peer's affair, and is counted there.
        tokio::task::spawn_local(async move { converse(&stream, &authorization).await.ok() });
    }
}

/// Answers every request of one connection, pipelined ones included.
async fn converse(stream: &TcpStream, authorization: &[u8]) -> io::Result<()> {
    let mut chunk = vec![0; READ_BYTES];
    let (mut input, mut output) = (Vec::new(), Vec::new());
    while let count @ 1.. = read(stream, &mut chunk).await? {
        input.extend_from_slice(&chunk[..count]);
        let mut used = 0;
        while let Some(request) = Request::at_front(&input[used..]) {
            request.answer(authorization, &mut output);
            used += request.bytes;
        }
        input.drain(..used);
        if input.len() > HEAD_BYTES_MAX + BODY_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        write_all(stream, &output).await?;
        output.clear();
    }
    Ok(())
}

struct Request<'b> {
    target: &'b [u8],
    authorization: Option<&'b [u8]>,
    has_caller_key: bool,
    /// Length with its body.
    bytes: usize,
}

impl<'b> Request<'b> {
    /// The request at the front, once all of it is there.
    fn at_front(input: &'b [u8]) -> Option<Self> {
        let head_bytes = input.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let mut lines = input[..head_bytes].split(|&byte| byte == b'\n');
        let target = lines.next()?.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        let (mut authorization, mut has_caller_key, mut body_bytes) = (None, false, 0);
        for line in lines {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"authorization") {
                authorization = Some(value);
            } else if name.eq_ignore_ascii_case(b"x-api-key") {
                has_caller_key = true;
            } else if name.eq_ignore_ascii_case(b"content-length") {
                body_bytes = number(value);
            }
        }
        let bytes = head_bytes + body_bytes;
        (bytes <= input.len()).then_some(Self { target, authorization, has_caller_key, bytes })
    }

    fn answer(&self, authorization: &[u8], output: &mut Vec<u8>) {
        if self.authorization != Some(authorization) || self.has_caller_key {
            response("400 Bad Request", b"not what the gateway should send\n", output);
        } else if let Some(size) = self.target.strip_prefix(b"/bytes/") {
            response("200 OK", &vec![b'x'; number(size)], output);
        } else if let Some(query) = self.target.strip_prefix(b"/echo?") {
            response("200 OK", query, output);
        } else {
            response("200 OK", b"ok", output);
        }
    }
}

/// A decimal number, at most `BODY_BYTES_MAX`; what is none counts as 0.
fn number(text: &[u8]) -> usize {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    BODY_BYTES_MAX.min(number)
}

fn response(status: &str, body: &[u8], output: &mut Vec<u8>) {
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(status.as_bytes());
    output.extend_from_slice(b"\r\nContent-Type: application/octet-stream\r\nContent-Length: ");
    output.extend_from_slice(body.len().to_string().as_bytes());
    output.extend_from_slice(b"\r\n\r\n");
    output.extend_from_slice(body);
}

/// Waits for bytes; 0 is the end of the connection.
async fn read(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
