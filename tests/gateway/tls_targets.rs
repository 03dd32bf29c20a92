//! Targets with TLS that cannot be trusted, or want something else of us: what callers are told, and that no API that
//! was not meant sees a request.

use std::{
    fmt::Write as _,
    io::{Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    crypto::ring::default_provider,
    pki_types::PrivateKeyDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use socket2::{Domain, Socket, Type};

use crate::{
    both_drivers,
    common::{Api, Caller, Config, Gateway, config::proxy_table, eventually, get, tls},
};

both_drivers!(
    an_api_is_refused_for_what_it_is,
    nothing_meant_for_tls_goes_without,
    text_gets_an_answer_in_text
);

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An API that answers every connection once with 200. Its certificate is for one name and one year.
fn serve(by: &Authority, name: &str, until: i32, callers: Option<&Authority>, old: bool) -> SocketAddr {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(if until == 2095 { 2094 } else { 2019 }, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    let provider = Arc::new(default_provider());
    let versions = if old { [&TLS12] } else { [&TLS13] };
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions);
    let verifier =
        callers.map_or_else(WebPkiClientVerifier::no_client_auth, |callers| verifier(callers, provider));
    let builder = builder.unwrap().with_client_cert_verifier(verifier);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, Arc::clone(&config)); // the gateway says how it went
        }
    });
    address
}

fn verifier(
    callers: &Authority,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(callers.der().clone()).unwrap();
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap()
}

fn answer(mut stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        head.extend(byte);
    }
    tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

/// An API without TLS.
fn text() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

fn an_api_is_refused_for_what_it_is(driver: &str) {
    let (ours, theirs) = (authority(), authority());
    let pin = |pins: &str| format!("tls = {{ roots = \"ours.pem\", pins = [\"{pins}\"] }}");
    let roots = "tls = { roots = \"ours.pem\" }";
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wrong = pin(&format!("sha256:{}", "00".repeat(32)));
    let rows = [
        ("right", serve(&ours, "127.0.0.1", 2090, None, false), roots, (200, "")),
        ("right12", serve(&ours, "127.0.0.1", 2090, None, true), roots, (200, "")),
        ("name", serve(&ours, "api.example", 2090, None, false), roots, (502, "upstream-certificate-name")),
        (
            "expired",
            serve(&ours, "127.0.0.1", 2020, None, false),
            roots,
            (502, "upstream-certificate-expired"),
        ),
        ("early", serve(&ours, "127.0.0.1", 2095, None, false), roots, (502, "upstream-certificate-expired")),
        (
            "issuer",
            serve(&theirs, "127.0.0.1", 2090, None, false),
            roots,
            (502, "upstream-certificate-issuer"),
        ),
        ("pin", serve(&ours, "127.0.0.1", 2090, None, false), &wrong, (502, "upstream-certificate-pin")),
        ("wants", serve(&ours, "127.0.0.1", 2090, Some(&ours), false), roots, (502, "upstream-tls-refused")),
        ("wants12", serve(&ours, "127.0.0.1", 2090, Some(&ours), true), roots, (502, "upstream-tls-refused")),
        ("closed", closed, roots, (502, "upstream-unreachable")),
        ("text", text(), roots, (502, "upstream-tls")),
    ];
    let mut more = String::new();
    for (name, address, lines, _) in &rows {
        let _ = write!(more, "[[target]]\nname = \"{name}\"\nurl = \"https://{address}\"\n{lines}\n");
        let proxy = proxy_table(&format!("alias = \"{name}\""), "callers");
        more.push_str(&proxy.replace("\"api\"", &format!("\"{name}\"")));
    }
    let api = Api::plain();
    let config = Config { more, ..Config::to(&api) };
    let gateway = Gateway::start_with_files(driver, &config, &[("ours.pem", &ours.pem())]);
    for (name, _, _, (status, word)) in rows {
        let answer = gateway.get(&format!("/{name}/x"));
        eprintln!("{name}: {}", answer.status);
        match status {
            200 => assert_eq!(answer.status, 200, "{name}: {}", answer.text()),
            _ => answer.refused(status, word),
        }
    }
}

/// While a connection to a target is being made its TLS settings change, or it is gone: whoever takes the connection
/// at last sees the beginning of a handshake or nothing, and never the request.
fn nothing_meant_for_tls_goes_without(driver: &str) {
    let ours = authority();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(stream);
    }
    let api = Api::plain();
    let proxy = proxy_table("alias = \"slow\"", "callers").replace("\"api\"", "\"slow\"");
    let target =
        |lines: &str| format!("[[target]]\nname = \"slow\"\nurl = \"https://{address}\"\n{lines}\n{proxy}");
    let with = |more| Config { more, ..Config::to(&api) };
    let files = [("ours.pem", ours.pem())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let before = with(target("tls = { roots = \"ours.pem\" }"));
    let gateway = Gateway::start_with_files(driver, &before, &files);
    let mut caller = gateway.connect();
    caller.send(&get("/slow/x"));
    let generation = |gateway: &Gateway| gateway.status()["generation"].as_u64();
    let first = generation(&gateway);
    gateway.configure(&with(String::new()));
    eventually("the target is gone", || generation(&gateway) > first);
    // Their places in the queue are free now, and the gateway's next attempt takes one.
    for _ in 0..queue.len() {
        drop(socket.accept().unwrap());
    }
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut taken, _) = socket.accept().expect("the gateway connects");
    taken.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut first = [0; 1];
    let count = taken.read(&mut first).expect("it says something, or ends");
    assert!(count == 0 || first == [22], "a handshake begins with 22: {first:?}");
    drop((taken, socket));
    caller.answer().refused(502, "upstream-closed");
}

/// A caller that speaks HTTP to a listener with TLS is told so, and only once it has said something.
fn text_gets_an_answer_in_text(driver: &str) {
    let api = Api::plain();
    let more = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{}", tls::LISTENER);
    let gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    let mut caller = Caller::to_admin(gateway.addresses[1]).unwrap(); // as the admin listener is asked: without TLS
    caller.send(&get("/crm/x"));
    let answer = caller.answer();
    answer.refused(400, "tls-expected");
    assert!(answer.closes());
    caller.closed_in_order();
    let mut garbage = Caller::to_admin(gateway.addresses[1]).unwrap();
    garbage.send(&[0x80; 64]);
    assert_eq!(garbage.wire.rest().first(), Some(&21), "an alert");
    eventually("it is counted", || gateway.outcomes("tls-handshake") == 1);
    drop(Caller::to_admin(gateway.addresses[1]).unwrap());
    assert_eq!([gateway.outcomes("tls-expected"), gateway.outcomes("tls-handshake")], [1, 1]);
    assert!(api.take_whole().is_empty(), "nothing of it reached the API");
}
