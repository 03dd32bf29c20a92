//! Our half of TLS against rustls's own, in memory: every version and suite, in both roles.

use std::{
    io::{Read, Write},
    rc::Rc,
    sync::Arc,
};

use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
    crypto::ring::{cipher_suite, default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};

use super::{
    Handshake, Received, Session, Step,
    record::{Cipher, Content},
};
use crate::shard::buffer::{Buffer, Class};

/// The versions with every suite that we may offer.
const SUITES: [(&SupportedProtocolVersion, SupportedCipherSuite); 6] = [
    (&TLS13, cipher_suite::TLS13_AES_128_GCM_SHA256),
    (&TLS13, cipher_suite::TLS13_AES_256_GCM_SHA384),
    (&TLS13, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
    (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
];

fn configs(
    version: &'static SupportedProtocolVersion,
    suite: SupportedCipherSuite,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["api.example".to_owned()]).expect("a certificate");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    let provider = Arc::new(provider);
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("they belong together");
    server.enable_secret_extraction = true;
    server.ticketer = rustls::crypto::ring::Ticketer::new().expect("a ticketer");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("api.example").expect("a name")
}

/// Takes everything that rustls has to send.
fn output_of(other: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while other.wants_write() {
        other.write_tls(&mut bytes).expect("memory");
    }
    bytes
}

fn feed(other: &mut Connection, mut bytes: &[u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        other.read_tls(&mut bytes).expect("memory");
        other.process_new_packets()?;
    }
    Ok(())
}

/// Brings both to the end of a handshake, `piece` bytes at a time.
fn shake(mut ours: Handshake, other: &mut Connection, piece: usize) -> Rc<Session> {
    for _ in 0..100_000 {
        let step = ours.step();
        let sent = ours.unsent().filled().to_vec();
        match step {
            Step::Done => {
                let session = ours.finish().expect("a session");
                let pending = session.take_pending().map(|pending| pending.filled().to_vec());
                feed(other, &pending.unwrap_or_default()).expect("good records");
                assert!(!other.is_handshaking());
                return session;
            }
            Step::Receive => {}
            Step::Failed(_) => panic!("it failed"),
        }
        ours.unsent().clear();
        feed(other, &sent).expect("good records");
        let bytes = output_of(other);
        for piece in bytes.chunks(piece) {
            let room = ours.room().expect("it is not much");
            assert!(room.append(piece));
            if piece.len() < bytes.len() && !matches!(ours.step(), Step::Receive) {
                break;
            }
        }
    }
    panic!("it does not end");
}

fn receive(session: &Session, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    for piece in bytes.chunks(5_000) {
        let mut sealed = session.take_sealed(Class::Small);
        let mut piece = piece;
        while !piece.is_empty() {
            let count = piece.len().min(sealed.room());
            assert!(sealed.append(&piece[..count]));
            piece = &piece[count..];
            if sealed.room() == 0 {
                session.put_sealed(sealed);
                drain(session, &mut plain)?;
                sealed = session.take_sealed(Class::Small);
            }
        }
        session.put_sealed(sealed);
        drain(session, &mut plain)?;
    }
    Ok(plain)
}

fn drain(session: &Session, plain: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut buffer = Buffer::take(Class::Small);
        match session.receive(&mut buffer)? {
            Received::Bytes(count) => {
                assert_eq!(count, buffer.len());
                plain.extend_from_slice(buffer.filled());
            }
            Received::Nothing | Received::End => return Ok(()),
        }
    }
}

fn send(session: &Session, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in bytes.chunks(60_000) {
        let mut plain = Buffer::take(Class::Large);
        assert!(plain.append(piece));
        while !plain.is_empty() {
            out.extend_from_slice(session.seal(&mut plain).expect("it is open").filled());
        }
    }
    out
}

fn read_all(other: &mut Connection) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = other.reader().read(&mut piece) {
        all.extend_from_slice(&piece[..count]);
    }
    all
}

/// As many bytes as `length`, none like its neighbours.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 + n / 251) as u8).collect()
}

/// Sessions of every suite, ours as server and as client, each with rustls on the other side.
fn all() -> Vec<(CipherSuite, Rc<Session>, Connection)> {
    let mut found = Vec::new();
    for (version, suite) in SUITES {
        let (server, client) = configs(version, suite);
        for piece in [1, 100, 100_000] {
            let mut other =
                Connection::from(ClientConnection::new(Arc::clone(&client), name()).expect("a client"));
            let ours = Handshake::accept(Arc::clone(&server)).expect("a server");
            found.push((suite.suite(), shake(ours, &mut other, piece), other));
            let mut other = Connection::from(ServerConnection::new(Arc::clone(&server)).expect("a server"));
            let ours = Handshake::connect(Arc::clone(&client), name()).expect("a client");
            found.push((suite.suite(), shake(ours, &mut other, piece), other));
        }
    }
    found
}

#[test]
fn bytes_go_both_ways() {
    for (suite, session, mut other) in all() {
        for length in [1, 100, 16_384, 16_385, 40_000, 100_000] {
            let sent = text(length);
            for part in sent.chunks(30_000) {
                let sealed = send(&session, part);
                feed(&mut other, &sealed).expect("good records");
                assert!(read_all(&mut other) == part, "{suite:?} {length}");
                other.writer().write_all(part).expect("memory");
                let bytes = output_of(&mut other);
                assert!(receive(&session, &bytes).expect("good records") == part, "{suite:?} {length}");
            }
        }
    }
}

#[test]
fn an_end_is_one_only_when_it_is_said() {
    for (suite, session, mut other) in all() {
        let mut buffer = Buffer::take(Class::Small);
        assert!(matches!(session.receive(&mut buffer), Ok(Received::Nothing)), "{suite:?}");
        other.send_close_notify();
        let bytes = output_of(&mut other);
        assert!(receive(&session, &bytes).expect("good records").is_empty());
        assert!(matches!(session.receive(&mut buffer), Ok(Received::End)), "{suite:?}");
        // Our own direction is still open.
        feed(&mut other, &send(&session, b"late")).expect("good records");
        assert_eq!(read_all(&mut other), b"late");
        let last = session.close_notify().expect("it was not said before");
        feed(&mut other, last.filled()).expect("good records");
        assert!(other.process_new_packets().expect("good records").peer_has_closed());
        assert!(session.close_notify().is_none());
        let mut more = Buffer::take(Class::Small);
        assert!(more.append(b"more") && session.seal(&mut more).is_err(), "nothing follows the end");
    }
}

#[test]
fn a_changed_bit_is_an_error_for_good() {
    for (suite, session, mut other) in all() {
        other.writer().write_all(b"GET / HTTP/1.1").expect("memory");
        let good = output_of(&mut other);
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        assert!(receive(&session, &bad).is_err(), "{suite:?}");
        assert!(receive(&session, &good).is_err(), "{suite:?}: nothing is believed afterwards");
    }
    for (suite, session, mut other) in all() {
        other.writer().write_all(b"GET / HTTP/1.1").expect("memory");
        let good = output_of(&mut other);
        assert_eq!(receive(&session, &good).expect("good records"), b"GET / HTTP/1.1");
        assert!(receive(&session, &good).is_err(), "{suite:?}: a record counts once");
    }
}

/// Whatever it is that ends it: what came before counts, what comes after does not.
#[test]
fn nothing_is_believed_after_a_failure() {
    let renegotiation: (_, &[u8]) = (Content::Handshake, &[0, 0, 0, 0]);
    for (content, bytes) in
        [renegotiation, (Content::Handshake, &[24, 0, 0, 1, 7]), (Content::Alert, &[2, 40])]
    {
        for (suite, session, mut other) in all() {
            other.writer().write_all(b"before").expect("memory");
            let mut wire = output_of(&mut other);
            // Sealed with the other side's keys, but nothing that rustls itself would send.
            let version = other.protocol_version().expect("it is known");
            let keys = other.dangerous_extract_secrets().expect("they may be taken").tx;
            let mut cipher = Cipher::new(keys, version).expect("the suite is one of ours");
            let mut out = Buffer::take(Class::Small);
            assert!(cipher.seal(content, bytes, &mut out).is_ok());
            assert!(cipher.seal(Content::Data, b"after", &mut out).is_ok());
            wire.extend_from_slice(out.filled());
            let mut sealed = session.take_sealed(Class::Small);
            assert!(sealed.append(&wire));
            session.put_sealed(sealed);
            let mut buffer = Buffer::take(Class::Small);
            assert!(matches!(session.receive(&mut buffer), Ok(Received::Bytes(6))), "{suite:?}");
            assert!(session.receive(&mut buffer).is_err(), "{suite:?}");
            assert!(session.receive(&mut buffer).is_err(), "{suite:?}");
            assert_eq!(buffer.filled(), b"before", "{suite:?}");
        }
    }
}

#[test]
fn keys_are_replaced_when_the_other_side_wants() {
    for (suite, session, mut other) in all() {
        let is_13 = other.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        for round in 0..40 {
            if is_13 {
                other.refresh_traffic_keys().expect("TLS 1.3");
            }
            other.writer().write_all(b"ping").expect("memory");
            let bytes = output_of(&mut other);
            assert_eq!(receive(&session, &bytes).expect("good records"), b"ping", "{suite:?} {round}");
            feed(&mut other, &send(&session, b"pong")).expect("good records");
            assert_eq!(read_all(&mut other), b"pong", "{suite:?} {round}");
        }
    }
}

#[test]
fn a_flood_of_updates_is_an_error() {
    let (_, session, mut other) = all().remove(0);
    for _ in 0..40 {
        other.refresh_traffic_keys().expect("TLS 1.3");
    }
    let bytes = output_of(&mut other);
    assert!(receive(&session, &bytes).is_err());
}

#[test]
fn garbage_is_refused_with_an_alert() {
    let (server, _) = configs(&TLS13, SUITES[0].1);
    let mut ours = Handshake::accept(server).expect("a server");
    assert!(ours.room().expect("room").append(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n"));
    assert!(matches!(ours.step(), Step::Failed(_)));
    assert_eq!(ours.unsent().filled().first(), Some(&21), "an alert");
}

/// However small the records are that come along with the end of a handshake.
#[test]
fn what_comes_with_the_end_of_a_handshake_is_kept() {
    for (version, suite) in SUITES {
        let (server, client) = configs(version, suite);
        let mut ours = Handshake::accept(server).expect("a server");
        let mut other = Connection::Client(ClientConnection::new(client, name()).expect("a client"));
        let hello = output_of(&mut other);
        assert!(ours.room().expect("room").append(&hello));
        assert!(matches!(ours.step(), Step::Receive));
        let sent = ours.unsent().filled().to_vec();
        ours.unsent().clear();
        feed(&mut other, &sent).expect("good records");
        let mut bytes = output_of(&mut other); // of TLS 1.3 the last flight, of TLS 1.2 all but the last word of ours
        let early = !other.is_handshaking();
        for _ in 0..if early { 100 } else { 0 } {
            other.writer().write_all(b"x").expect("memory");
            bytes.extend(output_of(&mut other));
        }
        let room = ours.room().expect("room");
        assert!(room.append(&bytes), "{} bytes", bytes.len());
        assert!(matches!(ours.step(), Step::Done), "{suite:?}");
        let session = ours.finish().expect("a session");
        let pending = session.take_pending().map(|pending| pending.filled().to_vec());
        feed(&mut other, &pending.unwrap_or_default()).expect("good records");
        let mut plain = Vec::new();
        drain(&session, &mut plain).expect("good records");
        assert_eq!(plain, b"x".repeat(if early { 100 } else { 0 }), "{suite:?}");
        assert_eq!(early, version.version == rustls::ProtocolVersion::TLSv1_3);
    }
}

/// Also when a part of the handshake has gone before it.
#[test]
fn a_refusal_is_told_to_the_end() {
    let (server, client) = configs(&TLS13, SUITES[0].1);
    let (mut server, mut client) = ((*server).clone(), (*client).clone());
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    client.alpn_protocols = vec![b"h2".to_vec()];
    let mut ours = Handshake::accept(server.into()).expect("a server");
    let mut other = Connection::Client(ClientConnection::new(client.into(), name()).expect("a client"));
    let bytes = output_of(&mut other);
    assert!(ours.room().expect("room").append(&bytes));
    assert!(matches!(ours.step(), Step::Failed(Some(rustls::Error::NoApplicationProtocol))));
    let sent = ours.unsent().filled().to_vec();
    let told = feed(&mut other, &sent);
    assert_eq!(told, Err(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)));
}

#[test]
fn a_session_is_resumed() {
    for (version, suite) in [SUITES[0], SUITES[3]] {
        let (server, client) = configs(version, suite);
        // Ours as client: the tickets of the other side are kept by rustls, in its own store.
        for round in 0..2 {
            let mut other = Connection::from(ServerConnection::new(Arc::clone(&server)).expect("a server"));
            let ours = Handshake::connect(Arc::clone(&client), name()).expect("a client");
            let session = shake(ours, &mut other, 100_000);
            feed(&mut other, &send(&session, b"x")).expect("good records");
            let tickets = output_of(&mut other);
            assert!(receive(&session, &tickets).expect("good records").is_empty());
            let resumed = other.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            assert_eq!(resumed, round == 1, "{:?}", suite.suite());
        }
    }
    for (version, suite) in [SUITES[0], SUITES[3]] {
        let (server, client) = configs(version, suite);
        for round in 0..2 {
            let mut other =
                Connection::from(ClientConnection::new(Arc::clone(&client), name()).expect("a client"));
            let ours = Handshake::accept(Arc::clone(&server)).expect("a server");
            shake(ours, &mut other, 100_000);
            let resumed = other.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            assert_eq!(resumed, round == 1, "{:?}", suite.suite());
        }
    }
}

#[test]
fn a_request_and_an_end_may_come_with_the_handshake() {
    for (version, suite) in &SUITES[..3] {
        let (server, client) = configs(version, *suite);
        let mut other = Connection::from(ClientConnection::new(client, name()).expect("a client"));
        let mut ours = Handshake::accept(server).expect("a server");
        let session = loop {
            assert!(ours.room().expect("room").append(&output_of(&mut other)));
            let step = ours.step();
            feed(&mut other, ours.unsent().filled()).expect("good records");
            ours.unsent().clear();
            match step {
                Step::Done => break ours.finish().expect("a session"),
                Step::Receive => {}
                Step::Failed(_) => panic!("it failed"),
            }
            other.writer().write_all(b"GET").expect("memory");
            other.send_close_notify();
        };
        let mut buffer = Buffer::take(Class::Small);
        let mut plain = Vec::new();
        while let Received::Bytes(_) = session.receive(&mut buffer).expect("good records") {
            plain.extend_from_slice(buffer.filled());
            buffer.clear();
        }
        assert!(plain.starts_with(b"GET"), "{:?}", suite.suite());
        assert!(matches!(session.receive(&mut buffer), Ok(Received::End)));
    }
}

/// Feeds `bytes` in pieces until the handshake asks for more than there is, or fails.
fn fails(mut ours: Handshake, bytes: &[u8], piece: usize) -> bool {
    let _ = ours.step();
    bytes.chunks(piece).any(|piece| {
        assert!(ours.room().expect("it is not much").append(piece));
        matches!(ours.step(), Step::Failed(_))
    })
}

#[test]
fn a_handshake_fails_without_a_panic() {
    for (version, suite) in SUITES {
        let (server, client) = configs(version, suite);
        let (_, stranger) = configs(version, suite);
        for piece in [1, 7, 100, 100_000] {
            // A certificate that is not trusted, with records behind it.
            let mut ours = Handshake::connect(Arc::clone(&stranger), name()).expect("a client");
            let mut other = Connection::from(ServerConnection::new(Arc::clone(&server)).expect("a server"));
            assert!(matches!(ours.step(), Step::Receive));
            feed(&mut other, ours.unsent().filled()).expect("good records");
            ours.unsent().clear();
            assert!(fails(ours, &output_of(&mut other), piece), "{:?} {piece}", suite.suite());
            // A part of a message, then an alert, then more of it.
            let mut other =
                Connection::from(ClientConnection::new(Arc::clone(&client), name()).expect("a client"));
            let hello = output_of(&mut other);
            let (part, length) = (&hello[5..45], [0, 40]);
            let alert = [21, 3, 3, 0, 2, 2, 40];
            let fragment = [&[22, 3, 1][..], &length, part].concat();
            for bytes in [
                [&fragment[..], &alert, &hello].concat(),
                [&alert[..], &hello].concat(),
                [&fragment[..], &fragment, &alert, &hello[45..]].concat(),
            ] {
                let ours = Handshake::accept(Arc::clone(&server)).expect("a server");
                assert!(fails(ours, &bytes, piece), "{:?} {piece}", suite.suite());
            }
        }
    }
}

#[test]
fn no_changed_byte_of_a_handshake_is_a_panic() {
    let (server, client) = configs(&TLS13, SUITES[0].1);
    let mut other = Connection::from(ClientConnection::new(client, name()).expect("a client"));
    let hello = output_of(&mut other);
    for at in 0..hello.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut changed = hello.clone();
            changed[at] ^= bits;
            changed.extend_from_slice(&hello);
            let ours = Handshake::accept(Arc::clone(&server)).expect("a server");
            let _ = fails(ours, &changed, 64);
        }
    }
}
