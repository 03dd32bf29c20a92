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

fn a_tunnel_of_a_certificate_is_cut(driver: &str) {
    let api = Api::start(|exchange| {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        exchange.wire.send(answer.as_bytes()).unwrap();
        exchange.wire.look(Duration::from_secs(20));
        Then::Close
    });
    let ours = authority("ours");
    let scene = Scene::new(driver, &[&ours], api);
    let row = |san: &str| [format!("{{ id = \"batch\", san = \"dns:{san}\" }}")];
    let gateway = scene.start(&ours, &row("batch.example"));
    let mut caller = Client::new(&ours, san("batch.example")).connect(gateway.addresses[1]);
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(caller.ask(lines), "switched");
    fs::write(gateway.file("ours.pem"), authority("others").pem()).unwrap();
    let ended = caller.0.read(&mut [0]);
    assert!(!matches!(ended, Ok(1..)), "nobody vouches for it any more");
    eventually("it is counted", || gateway.outcomes("tunnel-cut") == 1);
}
