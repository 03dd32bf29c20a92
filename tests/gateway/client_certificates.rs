//! Callers that are known by their certificates, asked at every request.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, ServerName},
};
use serde_json::json;

use crate::{
    both_drivers,
    common::{
        Api, Config, Gateway, KEY, Then,
        config::{credential, key},
        eventually,
        message::latin,
        tls,
    },
};

both_drivers!(
    each_name_lets_its_owner_in,
    they_are_judged_at_every_request,
    a_resumed_session_proves_nothing_by_itself,
    an_expired_one_no_longer_counts,
    a_tunnel_of_a_certificate_is_cut,
    one_revoked_name_stops_the_certificate,
    a_resumed_session_of_an_expired_one_is_refused,
    what_cannot_be_opened_is_answered_by_an_alert,
    a_handshake_of_tls_1_2_ends_without_a_request,
);

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A caller with a certificate, or with none.
struct Client(Arc<ClientConfig>, String);

impl Client {
    fn new(by: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, by).unwrap();
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, certificate.der());
        let fingerprint = fingerprint.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder().with_client_auth_cert(vec![certificate.der().clone()], key).unwrap();
        Self(Arc::new(config), fingerprint.join(":"))
    }

    fn without() -> Self {
        Self(Arc::new(builder().with_no_client_auth()), String::new())
    }

    fn connect(&self, address: SocketAddr) -> Connected {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let session = ClientConnection::new(Arc::clone(&self.0), ServerName::try_from("gw.example").unwrap());
        Connected(StreamOwned::new(session.unwrap(), stream))
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(tls::roots())
}

struct Connected(StreamOwned<ClientConnection, TcpStream>);

impl Connected {
    /// `ok`, or the word of the refusal.
    fn ask(&mut self, lines: &str) -> String {
        write!(self.0, "GET /mtls/x HTTP/1.1\r\nHost: gw.example\r\n{lines}\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = latin(&head).to_ascii_lowercase();
        if head.starts_with("http/1.1 101") {
            return "switched".into();
        }
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        match serde_json::from_slice::<serde_json::Value>(&body) {
            Ok(problem) => problem["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned(),
            Err(_) => latin(&body),
        }
    }
}

/// A gateway whose second listener asks for certificates of `known`, and where `clients` of `ours.pem` may come in.
struct Scene {
    api: Api,
    authorities: String,
    driver: String,
}

impl Scene {
    fn new(driver: &str, authorities: &[&Authority], api: Api) -> Self {
        let authorities = authorities.iter().map(|one| one.pem()).collect();
        Self { api, authorities, driver: driver.into() }
    }

    fn config(&self, clients: &[String]) -> Config {
        let listener = tls::LISTENER.replace("}]", "}], client_ca = \"any.pem\"");
        let more = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n{listener}\
             [[consumer]]\nname = \"partner\"\n\
             [[credential]]\nname = \"certificates\"\ntype = \"proxy\"\nauth = \"mtls\"\nconsumer = \"partner\"\n\
             ca = \"ours.pem\"\nclients = [{}]\n{}\
             [[proxy]]\nalias = \"mtls\"\ntarget = \"api\"\nupgrades = [\"websocket\"]\n\
             proxy_credentials = [\"certificates\", \"spare\"]\n",
            clients.join(", "),
            credential("spare", "", &[&key("k9", "spare-key-5Jx0pWq2LrT8vB4nM7cY1", "")]),
        );
        Config { more, server: "data_dir = \"data\"".into(), ..Config::to(&self.api) }
    }

    fn start(&self, ours: &Authority, clients: &[String]) -> Gateway {
        let files = [("any.pem", self.authorities.clone()), ("ours.pem", ours.pem())];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        Gateway::start_with_files(&self.driver, &self.config(clients), &files)
    }
}

fn san(name: &str) -> impl FnOnce(&mut CertificateParams) {
    let name = SanType::DnsName(name.try_into().unwrap());
    move |params| params.subject_alt_names = vec![name]
}

fn each_name_lets_its_owner_in(driver: &str) {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let scene = Scene::new(driver, &[&ours, &theirs], Api::plain());
    let by_dns = Client::new(&ours, san("Batch.partner.example"));
    let by_uri = Client::new(&ours, |params| {
        params.subject_alt_names = vec![SanType::URI("spiffe://partner/batch".try_into().unwrap())];
    });
    let by_ip = Client::new(&ours, |params| {
        params.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 7].into())];
    });
    let by_subject = Client::new(&ours, |params| {
        params.distinguished_name.push(DnType::CommonName, "batch, nightly");
        params.distinguished_name.push(DnType::OrganizationName, "Partner");
    });
    let by_print = Client::new(&ours, san("nobody.example"));
    let stranger = Client::new(&ours, san("stranger.example"));
    let impostor = Client::new(&theirs, san("batch.partner.example"));
    let subject = r"O=Partner,CN=batch\, nightly"; // as openssl prints it: from the last part to the first
    let gateway = scene.start(
        &ours,
        &[
            "{ id = \"dns\", san = \"dns:batch.PARTNER.example\" }".into(),
            "{ id = \"uri\", san = \"uri:spiffe://partner/batch\" }".into(),
            "{ id = \"ip\", san = \"ip:192.0.2.7\" }".into(),
            format!("{{ id = \"subject\", subject = '{subject}' }}"),
            format!("{{ id = \"print\", fingerprint = \"{}\" }}", by_print.1),
        ],
    );
    let address = gateway.addresses[1];
    for (client, word) in [
        (&by_dns, "ok"),
        (&by_uri, "ok"),
        (&by_ip, "ok"),
        (&by_subject, "ok"),
        (&by_print, "ok"),
        (&stranger, "key-unknown"),
        (&impostor, "client-certificate-untrusted"),
        (&Client::without(), "credential-missing"),
    ] {
        assert_eq!(client.connect(address).ask(""), word, "{}", client.1);
    }
    let spare = "X-API-Key: spare-key-5Jx0pWq2LrT8vB4nM7cY1\r\n";
    assert_eq!(Client::without().connect(address).ask(spare), "ok", "either lets somebody in");
    assert_eq!(stranger.connect(address).ask(spare), "ok");
    // The text that a name is hashed as is no key.
    let forged = "X-API-Key: keyferry client certificate san dns:batch.partner.example\r\n";
    assert_eq!(stranger.connect(address).ask(forged), "key-unknown");
    assert_eq!(gateway.ask(&crate::common::get("/mtls/x")).word(), "key-unknown", "{KEY} is another's");
    let seen = scene.api.take_whole();
    assert_eq!(seen.len(), 7);
    for request in &seen[..5] {
        assert_eq!(request.head.one("x-credential-id"), "certificates");
        assert_eq!(request.head.one("x-consumer-id"), "partner");
    }
}

fn they_are_judged_at_every_request(driver: &str) {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let scene = Scene::new(driver, &[&ours, &theirs], Api::plain());
    let row = |more: &str| [format!("{{ id = \"batch\", san = \"dns:batch.example\"{more} }}")];
    let gateway = scene.start(&ours, &row(""));
    let client = Client::new(&ours, san("batch.example"));
    let mut caller = client.connect(gateway.addresses[1]);
    assert_eq!(caller.ask(""), "ok");
    gateway.configure(&scene.config(&row(", state = \"retired\"")));
    eventually("it is retired", || caller.ask("") == "key-retired");
    gateway.configure(&scene.config(&row("")));
    eventually("it is active again", || caller.ask("") == "ok");
    fs::write(gateway.file("ours.pem"), theirs.pem()).unwrap();
    eventually("others vouch", || caller.ask("") == "client-certificate-untrusted");
    fs::write(gateway.file("ours.pem"), ours.pem()).unwrap();
    eventually("they vouch again", || caller.ask("") == "ok");
    let answer = gateway.post("/revoke", &json!({ "name": "certificates/batch" }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(caller.ask(""), "key-revoked");
    assert_eq!(client.connect(gateway.addresses[1]).ask(""), "key-revoked");
}

fn a_resumed_session_proves_nothing_by_itself(driver: &str) {
    let ours = authority("ours");
    let scene = Scene::new(driver, &[&ours], Api::plain());
    let gateway = scene.start(&ours, &["{ id = \"batch\", san = \"dns:batch.example\" }".into()]);
    let client = Client::new(&ours, san("batch.example"));
    let resumed = |word: &str| {
        let mut caller = client.connect(gateway.addresses[1]);
        assert_eq!(caller.ask(""), word);
        caller.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    };
    assert!(!resumed("ok"));
    assert!(resumed("ok"));
    gateway.configure(&scene.config(&["{ id = \"other\", san = \"dns:other.example\" }".into()]));
    let generation = || gateway.status()["generation"].as_u64();
    eventually("it is taken", || generation() > Some(1));
    assert!(resumed("key-unknown"), "the session goes on, and lets nobody in");
}

fn an_expired_one_no_longer_counts(driver: &str) {
    let ours = authority("ours");
    let scene = Scene::new(driver, &[&ours], Api::plain());
    let gateway = scene.start(&ours, &["{ id = \"batch\", san = \"dns:batch.example\" }".into()]);
    let client = Client::new(&ours, |params| {
        san("batch.example")(params);
        params.not_after = (SystemTime::now() + Duration::from_secs(3)).into();
    });
    let mut caller = client.connect(gateway.addresses[1]);
    assert_eq!(caller.ask(""), "ok");
    eventually("it expires on a kept connection", || caller.ask("") == "key-expired");
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Answers every request by switching to WebSocket, and says nothing more.
fn tunnels() -> Api {
    Api::start(|exchange| {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        exchange.wire.send(answer.as_bytes()).unwrap();
        exchange.wire.look(Duration::from_secs(20));
        Then::Close
    })
}

fn a_tunnel_of_a_certificate_is_cut(driver: &str) {
    let ours = authority("ours");
    let scene = Scene::new(driver, &[&ours], tunnels());
    let row = |san: &str| [format!("{{ id = \"batch\", san = \"dns:{san}\" }}")];
    let gateway = scene.start(&ours, &row("batch.example"));
    let mut caller = Client::new(&ours, san("batch.example")).connect(gateway.addresses[1]);
    assert_eq!(caller.ask(UPGRADE), "switched");
    fs::write(gateway.file("ours.pem"), authority("others").pem()).unwrap();
    let ended = caller.0.read(&mut [0]);
    assert!(!matches!(ended, Ok(1..)), "nobody vouches for it any more");
    eventually("it is counted", || gateway.outcomes("tunnel-cut") == 1);
}

fn one_revoked_name_stops_the_certificate(driver: &str) {
    let ours = authority("ours");
    let stolen = Client::new(&ours, san("batch.example"));
    let renewed = Client::new(&ours, san("batch.example"));
    let by_name = "{ id = \"batch\", san = \"dns:batch.example\" }".to_owned();
    let by_print = format!("{{ id = \"stolen\", fingerprint = \"{}\" }}", stolen.1);
    for (revoked, of_the_other) in [("stolen", "switched"), ("batch", "key-revoked")] {
        let scene = Scene::new(driver, &[&ours], tunnels());
        let gateway = scene.start(&ours, &[by_name.clone(), by_print.clone()]);
        let mut caller = stolen.connect(gateway.addresses[1]);
        assert_eq!(caller.ask(UPGRADE), "switched");
        let name = format!("certificates/{revoked}");
        let answer = gateway.post("/revoke", &json!({ "name": name }).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!matches!(caller.0.read(&mut [0]), Ok(1..)), "{revoked}: the tunnel is cut");
        assert_eq!(stolen.connect(gateway.addresses[1]).ask(""), "key-revoked");
        assert_eq!(renewed.connect(gateway.addresses[1]).ask(UPGRADE), of_the_other);
    }
}

/// A listener may want certificates that no credential looks at.
fn a_resumed_session_of_an_expired_one_is_refused(driver: &str) {
    let ours = authority("ours");
    let scene = Scene::new(driver, &[&ours], Api::plain());
    let gateway = scene.start(&ours, &["{ id = \"batch\", san = \"dns:batch.example\" }".into()]);
    let expires = SystemTime::now() + Duration::from_secs(3);
    let client = Client::new(&ours, |params| params.not_after = expires.into());
    let spare = "X-API-Key: spare-key-5Jx0pWq2LrT8vB4nM7cY1\r\n";
    assert_eq!(client.connect(gateway.addresses[1]).ask(spare), "ok");
    let mut refused = String::new();
    eventually("it has expired", || {
        let mut caller = client.connect(gateway.addresses[1]);
        let request = format!("GET /mtls/x HTTP/1.1\r\nHost: gw.example\r\n{spare}\r\n");
        let _ = caller.0.write_all(request.as_bytes());
        let resumed = caller.0.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        refused = caller.0.read(&mut [0]).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(resumed, "it offers its session");
        !refused.is_empty()
    });
    assert!(refused.contains("BadCertificate"), "{refused}");
    assert!(gateway.outcomes("client-certificate-invalid") >= 1);
}

fn what_cannot_be_opened_is_answered_by_an_alert(driver: &str) {
    let ours = authority("ours");
    let scene = Scene::new(driver, &[&ours], Api::plain());
    let gateway = scene.start(&ours, &["{ id = \"batch\", san = \"dns:batch.example\" }".into()]);
    let spare = "X-API-Key: spare-key-5Jx0pWq2LrT8vB4nM7cY1\r\n";
    for begun in ["", "GET /mtls/x HT"] {
        let mut caller = Client::without().connect(gateway.addresses[1]);
        assert_eq!(caller.ask(spare), "ok");
        caller.0.write_all(begun.as_bytes()).unwrap();
        caller.0.sock.write_all(b"\x17\x03\x03\x00\x20--------------------------------").unwrap();
        let error = caller.0.read(&mut [0]).expect_err("it is no end");
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
}

/// The caller waits for our last flight before it asks anything.
fn a_handshake_of_tls_1_2_ends_without_a_request(driver: &str) {
    let ours = authority("ours");
    let scene = Scene::new(driver, &[&ours], Api::plain());
    let gateway = scene.start(&ours, &["{ id = \"batch\", san = \"dns:batch.example\" }".into()]);
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap();
    let config = builder.with_root_certificates(tls::roots()).with_no_client_auth();
    let client = Client(Arc::new(config), String::new());
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        eventually("it is done before the gateway gives the buffer back, after half a second", || {
            let mut caller = client.connect(gateway.addresses[1]);
            let (stream, session) = (&mut caller.0.sock, &mut caller.0.conn);
            stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
            while session.is_handshaking() && session.complete_io(stream).is_ok() {}
            !session.is_handshaking() && session.handshake_kind() == Some(kind)
        });
    }
}
