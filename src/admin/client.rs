//! The client of the admin listener, for the command line: one request, one whole answer.
//!
//! It speaks HTTP/1.1 over one connection, which it closes. An answer is bounded in size and time. It knows
//! nothing of what the answers mean.

use std::{borrow::Cow, fmt, io, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::{limits::ADMIN_ANSWER_BYTES_MAX, types::Endpoint};

pub use hyper::Method;

/// How long the connection may take: the listener is on this machine, or next to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer may take: a change is answered when every shard has seen it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer of the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status code.
    pub status: u16,
    /// Its body, whole.
    pub body: Vec<u8>,
}

impl Reply {
    /// Whether the listener did what it was asked for.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// If it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::NotUnderstood(error.to_string()))
    }
}

/// Why there was no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens there.
    NotListening {
        /// Where.
        address: Endpoint,
        /// What the system says.
        error: io::Error,
    },
    /// It took too long.
    TimedOut(Endpoint),
    /// The connection ended, or what came is no answer.
    Broken {
        /// Where.
        address: Endpoint,
        /// What is wrong with it.
        detail: String,
    },
    /// The answer is larger than [`ADMIN_ANSWER_BYTES_MAX`].
    TooLarge(Endpoint),
    /// The answer is not what was expected.
    NotUnderstood(String),
    /// The program cannot ask: out of descriptors or memory.
    System(io::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListening { address, error } => write!(
                formatter,
                "nobody answers at {address}: {error}. Is the gateway running, with [admin] address = \"{address}\"?"
            ),
            Self::TimedOut(address) => write!(formatter, "the gateway at {address} does not answer in time"),
            Self::Broken { address, detail } => {
                write!(formatter, "what listens at {address} gave no whole answer: {detail}")
            }
            Self::TooLarge(address) => write!(formatter, "the answer of {address} is too large"),
            Self::NotUnderstood(detail) => write!(
                formatter,
                "the answer is not what was expected ({detail}). Does an admin listener of this version answer there?"
            ),
            Self::System(error) => write!(formatter, "cannot ask: {error}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Asks the admin listener at `address`. `path` begins with `/` and may have a query; a body is sent as JSON.
///
/// # Errors
///
/// If there is no whole answer; a status that says no is none.
pub async fn request(
    address: &Endpoint,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Reply, ClientError> {
    let answer = match address {
        Endpoint::Tcp(socket) => {
            let stream = connected(address, TcpStream::connect(socket)).await?;
            timeout(ANSWER_TIMEOUT, exchange(stream, address, method, path, body)).await
        }
        Endpoint::Unix(file) => {
            let stream = connected(address, UnixStream::connect(file)).await?;
            timeout(ANSWER_TIMEOUT, exchange(stream, address, method, path, body)).await
        }
    };
    answer.unwrap_or_else(|_| Err(ClientError::TimedOut(address.clone())))
}

async fn connected<S>(
    address: &Endpoint,
    connecting: impl Future<Output = io::Result<S>>,
) -> Result<S, ClientError> {
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(ClientError::NotListening { address: address.clone(), error }),
        Err(_) => Err(ClientError::TimedOut(address.clone())),
    }
}

/// The same for a caller without a runtime of its own.
///
/// # Errors
///
/// As [`request`].
pub fn request_blocking(
    address: &Endpoint,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Reply, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(ClientError::System)?.block_on(request(address, method, path, body))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: &Endpoint,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Reply, ClientError> {
    let broken = |detail: &dyn fmt::Display| ClientError::Broken {
        address: address.clone(),
        detail: detail.to_string(),
    };
    let host = match address {
        Endpoint::Tcp(address) => address.to_string(),
        Endpoint::Unix(_) => "localhost".to_owned(),
    };
    let head = Request::builder().method(method).uri(path);
    let head = head.header(HOST, host).header(CONNECTION, "close").header(ACCEPT, "*/*");
    let head = if body.is_some() { head.header(CONTENT_TYPE, "application/json") } else { head };
    let content = body.map_or_else(Bytes::new, |value| value.to_string().into());
    let request = head.body(Full::new(content)).map_err(|error| broken(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let driving = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ADMIN_ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => ClientError::TooLarge(address.clone()),
            false => broken(&error),
        })?;
        Ok(Reply { status, body: body.to_bytes().into() })
    };
    let result = answer.await;
    driving.abort();
    result
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpListener},
        thread,
    };

    use serde_json::{Value, json};

    use super::{ClientError, Method, request_blocking};

    /// Listens once, and answers what it was sent with `answer`; the request is what the thread returns.
    fn listener(answer: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut received = Vec::new();
            let mut piece = [0; 4096];
            while !received.windows(4).any(|four| four == b"\r\n\r\n") {
                let count = stream.read(&mut piece).unwrap();
                assert_ne!(count, 0, "it ended early");
                received.extend_from_slice(&piece[..count]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(received).unwrap()
        });
        (address, thread)
    }

    #[test]
    fn a_request_has_its_answer() {
        let (address, thread) =
            listener("HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{\"a\": 17}trailing");
        let reply = request_blocking(&address.into(), Method::POST, "/x?y=1", Some(json!({ "force": true })))
            .unwrap();
        assert_eq!((reply.status, reply.text()), (201, "{\"a\": 17}".into()));
        assert!(reply.is_success());
        assert_eq!(reply.json::<Value>().unwrap()["a"], 17);
        let received = thread.join().unwrap();
        assert!(received.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{received}");
        assert!(received.contains(&format!("host: {address}\r\n")), "{received}");
        assert!(received.contains("content-type: application/json\r\n"), "{received}");
    }

    #[test]
    fn nobody_there_is_said_so_that_one_knows_what_to_do() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = request_blocking(&address.into(), Method::GET, "/", None).unwrap_err();
        assert!(matches!(error, ClientError::NotListening { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("Is the gateway running"), "{text}");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for answer in ["", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"] {
            let (address, _thread) = listener(answer);
            let error = request_blocking(&address.into(), Method::GET, "/", None).unwrap_err();
            assert!(matches!(error, ClientError::Broken { .. }), "{answer:?}: {error:?}");
        }
        let (address, _thread) = listener("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let reply = request_blocking(&address.into(), Method::GET, "/", None).unwrap();
        assert!(matches!(reply.json::<Value>(), Err(ClientError::NotUnderstood(_))));
    }
}
