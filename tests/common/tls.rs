//! TLS under every connection of a test, where `KEYFERRY_TEST_TLS` is set: the cases that a connection without it
//! passes must pass with it, on both sides of the gateway.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, LazyLock, Mutex},
};

use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, IpAddr, Ipv4Addr, PrivateKeyDer, ServerName},
};

/// Whether callers and APIs of tests speak TLS.
pub fn is_on() -> bool {
    static ON: LazyLock<bool> = LazyLock::new(|| std::env::var_os("KEYFERRY_TEST_TLS").is_some());
    *ON
}

/// The certificate of gateway and API.
pub const CERTIFICATE: &str = "tls/cert.pem";
/// Lines of a `[[listener]]`.
pub const LISTENER: &str = "tls = { certificates = [{ cert = \"tls/cert.pem\", key = \"tls/key.pem\" }] }\n";
/// Lines of a `[[target]]`.
pub const TARGET: &str = "tls = { roots = \"tls/cert.pem\" }\n";

/// A certificate that signs itself, for gateway and API of all tests of this process.
struct Identity {
    certificate: CertificateDer<'static>,
    key_der: Vec<u8>,
    certificate_pem: String,
    key_pem: String,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let names = ["127.0.0.1", "::1", "localhost", "gw.example", "api.example"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    Identity {
        certificate: CertificateDer::from(made.cert.der().to_vec()),
        key_der: made.signing_key.serialize_der(),
        certificate_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    }
});

/// Whom callers of the gateway trust.
pub fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(IDENTITY.certificate.clone()).expect("it is a root");
    roots
}

static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_root_certificates(roots()).with_no_client_auth())
});

static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let key = PrivateKeyDer::try_from(IDENTITY.key_der.clone()).expect("it is a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![IDENTITY.certificate.clone()], key).expect("they belong together"))
});

/// Puts certificate and key beside a configuration.
pub fn write_files(directory: &Path) {
    let directory = directory.join("tls");
    fs::create_dir_all(&directory).expect("a directory can be made");
    fs::write(directory.join("cert.pem"), &IDENTITY.certificate_pem).expect("the file can be written");
    let mut options = fs::OpenOptions::new();
    let key = options.write(true).create(true).truncate(true).mode(0o600).open(directory.join("key.pem"));
    key.and_then(|mut key| key.write_all(IDENTITY.key_pem.as_bytes())).expect("the file can be written");
}

fn gateway_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])))
}

/// The TLS of one connection; several may use it at once.
#[derive(Clone)]
pub struct Tls {
    session: Arc<Mutex<Connection>>,
    /// Opened, and not read yet.
    opened: Arc<Mutex<Vec<u8>>>,
    /// Held while bytes go out, in the order in which they were made.
    sending: Arc<Mutex<()>>,
}

impl Tls {
    /// Of a caller; the handshake is done when this returns.
    pub fn connect(stream: &TcpStream) -> io::Result<Self> {
        let session = ClientConnection::new(Arc::clone(&CLIENT), gateway_name()).map_err(io::Error::other)?;
        Self::shake(session.into(), stream)
    }

    /// The same, behind a header that goes out with the first bytes of the handshake, or all of it byte by byte.
    pub fn connect_behind(stream: &TcpStream, header: &[u8], bytewise: bool) -> io::Result<Self> {
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])));
        let session = ClientConnection::new(Arc::clone(&CLIENT), name).map_err(io::Error::other)?;
        Self::shake(session.into(), Behind { stream, header: header.to_vec(), bytewise })
    }

    /// Of an API.
    pub fn accept(stream: &TcpStream) -> io::Result<Self> {
        let session = ServerConnection::new(Arc::clone(&SERVER)).map_err(io::Error::other)?;
        Self::shake(session.into(), stream)
    }

    /// The same with one version of TLS and no other.
    pub fn connect_with(version: &'static SupportedProtocolVersion, stream: &TcpStream) -> io::Result<Self> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[version]).map_err(io::Error::other)?;
        let config = builder.with_root_certificates(roots()).with_no_client_auth();
        let session = ClientConnection::new(config.into(), gateway_name()).map_err(io::Error::other)?;
        Self::shake(session.into(), stream)
    }

    fn shake(mut session: Connection, mut stream: impl Read + Write) -> io::Result<Self> {
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self { session: Arc::new(Mutex::new(session)), opened: Arc::default(), sending: Arc::default() })
    }

    /// Reads what the other side sent; 0 is its end, which it has to say.
    pub fn read(&self, mut stream: &TcpStream, piece: &mut [u8]) -> io::Result<usize> {
        let mut sealed = [0; 16 * 1024];
        loop {
            {
                let mut opened = self.opened.lock().unwrap();
                if !opened.is_empty() {
                    let count = opened.len().min(piece.len());
                    piece[..count].copy_from_slice(&opened[..count]);
                    opened.drain(..count);
                    return Ok(count);
                }
            }
            match self.session.lock().unwrap().reader().read(piece) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let count = stream.read(&mut sealed)?;
            let mut session = self.session.lock().unwrap();
            let mut received = &sealed[..count];
            loop {
                session.read_tls(&mut received)?;
                session.process_new_packets().map_err(io::Error::other)?;
                if received.is_empty() {
                    break;
                }
                // rustls takes no more while it holds a record's worth.
                let mut opened = self.opened.lock().unwrap();
                while session.reader().read_to_end(&mut opened).is_ok_and(|count| count > 0) {}
            }
        }
    }

    pub fn write_all(&self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let _sending = self.sending.lock().unwrap();
        for part in bytes.chunks(16 * 1024) {
            let mut sealed = Vec::new();
            {
                let mut session = self.session.lock().unwrap();
                session.writer().write_all(part)?;
                while session.wants_write() {
                    session.write_tls(&mut sealed)?;
                }
            }
            stream.write_all(&sealed)?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self, mut stream: &TcpStream) {
        let _sending = self.sending.lock().unwrap();
        let mut sealed = Vec::new();
        let mut session = self.session.lock().unwrap();
        session.send_close_notify();
        while session.wants_write() && session.write_tls(&mut sealed).is_ok() {}
        let _ = stream.write_all(&sealed);
    }
}

/// A stream that sends a header before anything else.
struct Behind<'a> {
    stream: &'a TcpStream,
    header: Vec<u8>,
    bytewise: bool,
}

impl Read for Behind<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.stream.read(piece)
    }
}

impl Write for Behind<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = [&std::mem::take(&mut self.header), bytes].concat();
        let piece = if self.bytewise { 1 } else { whole.len().max(1) };
        whole.chunks(piece).try_for_each(|piece| self.stream.write_all(piece))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
