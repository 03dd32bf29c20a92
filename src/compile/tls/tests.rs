//! Handshakes in memory between what listeners and targets are compiled to.

use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use ring::digest::{SHA256, digest};
use rustls::{
    ClientConnection, HandshakeKind, ProtocolVersion, ServerConnection,
    crypto::ring::sign::any_supported_type, pki_types::PrivateKeyDer, sign::CertifiedKey,
};

use crate::{
    compile::{Compiled, Compiler, Epoch},
    config::{self, plan::Identity},
    snapshot::Snapshot,
};

/// An identity with these names, signed by itself.
pub(in crate::compile) fn identity(names: &[&str]) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names.clone()).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let signs = any_supported_type(&key).expect("a key that is supported");
    Identity {
        path: PathBuf::new(),
        label: String::new(),
        names,
        expires: 0,
        certified: Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], signs)),
        key_digest: [0; 32],
    }
}

/// A directory with an authority, and certificates that it issued.
struct Files {
    directory: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("keyferry-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let files = Self { directory, authority };
        files.write("ca.pem", &files.authority.pem());
        files
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }

    /// A certificate `stem.pem` with its key `stem.key`; the SHA-256 of its public key.
    fn issue(&self, stem: &str, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("parameters");
        let made = params.signed_by(&key, &self.authority).expect("a certificate");
        self.write(&format!("{stem}.pem"), &made.pem());
        self.write(&format!("{stem}.key"), &key.serialize_pem());
        hex(&key)
    }

    fn compile(&self, compiler: &mut Compiler, text: &str) -> Compiled {
        let loaded = config::load_text(text, "k.toml", &self.directory, &|_| None);
        let plan = loaded.unwrap_or_else(|errors| panic!("{errors:#?}")).plan;
        compiler.compile(&Arc::new(plan), Epoch::FIRST).unwrap_or_else(|errors| panic!("{errors:#?}"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn hex(key: &KeyPair) -> String {
    let found = digest(&SHA256, &key.subject_public_key_info());
    found.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn snapshot(compiled: &Compiled) -> Snapshot {
    compiled.snapshot(1, &Vec::new(), &Arc::default())
}

/// A listener, and a target that is the listener itself.
fn text(listener: &str, target: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:8443\"\n\
         tls = {{ certificates = [{{ cert = \"api.pem\", key = \"api.key\" }}], {listener} }}\n\
         [[target]]\nname = \"t\"\nurl = \"https://api.example\"\ntls = {{ {target} }}\n"
    )
}

const ROOTS: &str = "roots = \"ca.pem\"";

/// Shakes hands, and lets the caller read what follows: how, and what of each side.
fn handshake(
    snapshot: &Snapshot,
) -> Result<(HandshakeKind, ProtocolVersion, ClientConnection, ServerConnection), rustls::Error> {
    let server = snapshot.listener_tls(0).expect("the listener speaks TLS");
    let upstream = snapshot.upstreams[0].tls.as_ref().expect("so does the target");
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut client = ClientConnection::new(Arc::clone(&upstream.client), upstream.name.clone())?;
    let mut wire = Vec::new();
    for _ in 0..10 {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
        }
        let failed = server.process_new_packets().err();
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut rest: &[u8] = &wire;
        while !rest.is_empty() {
            client
                .read_tls(&mut rest)
                .map_err(|error: io::Error| rustls::Error::General(error.to_string()))?;
        }
        client.process_new_packets()?;
        if let Some(failed) = failed {
            return Err(failed);
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(
        (client.alpn_protocol(), server.alpn_protocol()),
        (Some(&b"http/1.1"[..]), Some(&b"http/1.1"[..]))
    );
    let (kind, version) =
        (client.handshake_kind().expect("a kind"), client.protocol_version().expect("a version"));
    assert_eq!(server.handshake_kind(), Some(kind));
    Ok((kind, version, client, server))
}

fn kind(snapshot: &Snapshot) -> HandshakeKind {
    handshake(snapshot).expect("a handshake").0
}

#[test]
fn sessions_are_resumed_also_after_a_reload_that_changes_nothing() {
    let files = Files::new("resume");
    files.issue("api", &["api.example"]);
    let mut compiler = Compiler::default();
    let first = snapshot(&files.compile(&mut compiler, &text("", ROOTS)));
    let (kind_first, version, client, _) = handshake(&first).expect("a handshake");
    assert_eq!((kind_first, version), (HandshakeKind::Full, ProtocolVersion::TLSv1_3));
    let suite = client.negotiated_cipher_suite().expect("a suite").suite();
    assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert!(client.dangerous_extract_secrets().is_ok(), "for the kernel");
    assert_eq!(kind(&first), HandshakeKind::Resumed);
    let again = snapshot(&files.compile(&mut compiler, &text("", ROOTS)));
    assert!(Arc::ptr_eq(first.listeners[0].as_ref().unwrap(), again.listeners[0].as_ref().unwrap()));
    assert_eq!(first.upstreams[0].id, again.upstreams[0].id);
    assert_eq!(kind(&again), HandshakeKind::Resumed);
    // Another certificate on our side: the tickets still count.
    files.issue("api", &["api.example"]);
    let renewed = snapshot(&files.compile(&mut compiler, &text("", ROOTS)));
    assert!(!Arc::ptr_eq(again.listeners[0].as_ref().unwrap(), renewed.listeners[0].as_ref().unwrap()));
    assert_eq!(kind(&renewed), HandshakeKind::Resumed);
}

#[test]
fn tls_1_2_is_spoken_and_resumed_until_1_3_is_asked_for() {
    let files = Files::new("old");
    files.issue("api", &["api.example"]);
    let mut compiler = Compiler::default();
    let mut both = snapshot(&files.compile(&mut compiler, &text("", ROOTS)));
    let only_old = |snapshot: &mut Snapshot| {
        let upstream = snapshot.upstreams[0].tls.as_ref().unwrap();
        let mut client = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
            .with_root_certificates({
                let mut roots = rustls::RootCertStore::empty();
                roots.add(files.authority.der().clone()).unwrap();
                roots
            })
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        client.resumption = upstream.client.resumption.clone();
        let tls = crate::snapshot::UpstreamTls { client: Arc::new(client), name: upstream.name.clone() };
        Arc::get_mut(&mut snapshot.upstreams).unwrap()[0].tls = Some(Arc::new(tls));
    };
    only_old(&mut both);
    let (first, version, ..) = handshake(&both).expect("a handshake");
    assert_eq!((first, version), (HandshakeKind::Full, ProtocolVersion::TLSv1_2));
    assert_eq!(kind(&both), HandshakeKind::Resumed);
    let mut new = snapshot(&files.compile(&mut compiler, &text("min_version = \"1.3\"", ROOTS)));
    only_old(&mut new);
    assert!(handshake(&new).is_err());
}

#[test]
fn callers_show_a_certificate_where_it_is_required_and_a_ticket_is_none() {
    let files = Files::new("mutual");
    files.issue("api", &["api.example"]);
    files.issue("own", &["gateway.example"]);
    let other = Files::new("mutual-other");
    files.write("other.pem", &other.authority.pem());
    let shown = format!("{ROOTS}, client_certificate = {{ cert = \"own.pem\", key = \"own.key\" }}");
    let required = "client_ca = \"ca.pem\", client_certificate = \"required\"";
    let mut compiler = Compiler::default();
    let without = snapshot(&files.compile(&mut compiler, &text(required, ROOTS)));
    assert!(handshake(&without).is_err());
    let with = snapshot(&files.compile(&mut compiler, &text(required, &shown)));
    assert_ne!(without.upstreams[0].id, with.upstreams[0].id, "no connection is kept that shows another one");
    let (.., server) = handshake(&with).expect("a handshake");
    assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
    assert_eq!(kind(&with), HandshakeKind::Resumed);
    let elsewhere = "client_ca = \"other.pem\", client_certificate = \"required\"";
    let changed = snapshot(&files.compile(&mut compiler, &text(elsewhere, &shown)));
    assert!(handshake(&changed).is_err(), "a ticket of before says nothing about these authorities");
    let back = snapshot(&files.compile(&mut compiler, &text(required, &shown)));
    assert_eq!(kind(&back), HandshakeKind::Full);
    let optional = snapshot(&files.compile(&mut compiler, &text("client_ca = \"ca.pem\"", ROOTS)));
    assert_eq!(kind(&optional), HandshakeKind::Full);
}

#[test]
fn the_certificate_of_a_target_must_lead_to_a_root_and_to_a_pin() {
    let files = Files::new("pins");
    let own = files.issue("api", &["api.example"]);
    let root = hex(files.authority.key());
    let mut compiler = Compiler::default();
    let mut attempt =
        |target: &str| handshake(&snapshot(&files.compile(&mut compiler, &text("", target)))).map(|_| ());
    for pin in [&own, &root] {
        assert_eq!(attempt(&format!("{ROOTS}, pins = [\"sha256:{pin}\"]")), Ok(()));
    }
    let wrong = "0".repeat(64);
    assert!(attempt(&format!("{ROOTS}, pins = [\"sha256:{wrong}\"]")).is_err());
    assert_eq!(attempt(&format!("{ROOTS}, pins = [\"sha256:{wrong}\", \"sha256:{own}\"]")), Ok(()));
    assert!(attempt(&format!("{ROOTS}, server_name = \"other.example\"")).is_err());
    let anybody = "dangerous_accept_any_certificate = true";
    assert_eq!(attempt(&format!("{anybody}, server_name = \"other.example\"")), Ok(()));
    assert!(attempt(&format!("{anybody}, pins = [\"sha256:{wrong}\"]")).is_err());
    assert_eq!(attempt(&format!("{anybody}, pins = [\"sha256:{own}\"]")), Ok(()));
    let other = Files::new("pins-other");
    files.write("other.pem", &other.authority.pem());
    assert!(attempt("roots = \"other.pem\"").is_err());
    // Whoever answers sends the pinned certificate beside its own, from which no chain leads to it.
    let chain = fs::read_to_string(files.directory.join("api.pem")).unwrap() + &other.authority.pem();
    files.write("api.pem", &chain);
    assert!(attempt(&format!("{ROOTS}, pins = [\"sha256:{}\"]", hex(other.authority.key()))).is_err());
    assert_eq!(attempt(&format!("{ROOTS}, pins = [\"sha256:{own}\"]")), Ok(()));
}

#[test]
fn a_listener_keeps_its_number_and_whether_it_speaks_tls() {
    let files = Files::new("numbers");
    files.issue("api", &["api.example"]);
    let tls = "tls = { certificates = [{ cert = \"api.pem\", key = \"api.key\" }] }";
    let listener = |port: u16, tls: &str| format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n{tls}\n");
    let mut compiler = Compiler::default();
    let mut speaks = |text: String| {
        let found = snapshot(&files.compile(&mut compiler, &text));
        found.listeners.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(speaks(listener(1, "") + &listener(2, tls) + &listener(3, tls)), [false, true, true]);
    assert_eq!(speaks(listener(4, tls) + &listener(3, tls) + &listener(2, tls)), [false, true, true]);
    assert_eq!(speaks(listener(1, tls) + &listener(2, "")), [false, true, true]);
}
