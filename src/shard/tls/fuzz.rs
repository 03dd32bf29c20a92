//! Bodies of the fuzz targets of TLS: what anybody may send before a handshake is done, and what a peer may send after.
//!
//! They stand here and not in `tests/fuzz_bodies` because they look inside: a hostile peer is a [`Session`] of ours
//! whose keys seal whatever the input says.
//! Built for tests, which replay the seeds, and for `fuzz/fuzz_targets`.

#![allow(missing_docs, reason = "only the fuzz targets see it")]

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::ring::{Ticketer, cipher_suite, default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use super::{
    Handshake, KEY_UPDATE, Kernel, PLAINTEXT_MAX, Received, Session, Step,
    record::{Cipher, Content, record_length},
};
use crate::{
    policy::ClientCertificate,
    shard::buffer::{Buffer, Class},
};

/// What both sides are known by: made for each run by whoever runs this.
static IDENTITY: OnceLock<Identity> = OnceLock::new();
/// Flights of a handshake, of both sides together: none has as many.
const FLIGHTS_MAX: usize = 12;
/// Steps of a conversation, so that no input takes long.
const STEPS_MAX: usize = 200;

/// A certificate for `api.example`, and its key as PKCS#8, both in DER.
pub struct Identity {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// Says what both sides are known by; to be called before the others.
pub fn introduce(identity: impl FnOnce() -> Identity) {
    IDENTITY.get_or_init(identity);
}

/// Bytes that come to a handshake: arbitrary ones, or a genuine flight that was changed on its way.
pub fn handshake(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let pair = Pair::of(how);
    match how / 8 % 4 {
        0 => strange(pair.accept(), input),
        1 => {
            let mut ours = pair.connect();
            begin(&mut ours);
            strange(ours, input);
        }
        form => changed(&if form == 3 { pair.resumed() } else { pair }, input),
    }
}

/// Records that come to a session whose handshake is done: damaged, forged, or of a peer that seals what it likes.
pub fn records(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let (client, server) = Pair::of(how).sessions();
    let (ours, peer) = if how & 8 == 0 { (server, client) } else { (client, server) };
    let mut talk = Conversation {
        ours,
        peer,
        wire: Vec::new(),
        genuine: Vec::new(),
        ends: vec![(0, 0)],
        delivered: Vec::new(),
        sent: Vec::new(),
        received: Vec::new(),
        hostile: false,
        over: false,
    };
    for _ in 0..STEPS_MAX {
        if input.0.is_empty() {
            break;
        }
        talk.step(&mut input);
    }
    talk.deliver(usize::MAX, u16::MAX);
    talk.check();
}

// --- handshakes --------------------------------------------------------------------------------

/// Bytes that nobody has to make sense of.
fn strange(mut ours: Handshake, mut input: Input<'_>) {
    let piece = usize::from(input.byte()).max(1);
    let mut out = Vec::new();
    for mut piece in input.0.chunks(piece) {
        if !matches!(feed(&mut ours, &mut piece, &mut out), Step::Receive) {
            break;
        }
    }
    out.extend_from_slice(ours.unsent().filled());
    let mut rest = &out[..];
    while !rest.is_empty() {
        let length = record_length(rest).ok().flatten().expect("what is sent are records");
        rest = rest.get(length..).expect("whole ones");
    }
}

/// The client speaks first; a server waits for something to look at.
fn begin(ours: &mut Handshake) -> Vec<u8> {
    assert!(matches!(ours.step(), Step::Receive), "an answer is awaited");
    let first = ours.unsent().filled().to_vec();
    ours.unsent().clear();
    first
}

enum End {
    Shaking(Handshake),
    Done(Rc<Session>),
    Failed,
}

/// A handshake between two of ours, with changes on the way as the input says.
fn changed(pair: &Pair, mut input: Input<'_>) {
    let piece = usize::from(input.byte()).max(1);
    let mut client = pair.connect();
    let mut flight = begin(&mut client);
    let mut ends = [End::Shaking(client), End::Shaking(pair.accept())];
    let mut changed = false;
    for number in 0..FLIGHTS_MAX {
        let before = flight.clone();
        if !input.byte().is_multiple_of(4) {
            (0..input.byte() % 4).for_each(|_| input.change(&mut flight));
        }
        changed |= flight != before;
        flight = advance(&mut ends[(number + 1) % 2], &flight, piece);
    }
    match &ends {
        [End::Done(client), End::Done(server)] => {
            for (from, to) in [(client, server), (server, client)] {
                let is_open = !to.has_something() && !to.has_part();
                let mut plain = Buffer::take(Class::Small);
                assert!(plain.append(b"hello"), "it is short");
                let sealed = from.seal(&mut plain).expect("nobody has closed it");
                let (received, went_on) = receive(to, sealed.filled(), u16::MAX);
                assert!(received.is_empty() || received == b"hello", "{received:?}");
                assert!(!is_open || changed || went_on && received == b"hello", "both are done and disagree");
            }
        }
        _ => assert!(changed, "nothing was changed and the handshake failed"),
    }
}

/// Gives an end what has come, and takes what it has to send.
fn advance(end: &mut End, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut ours = match std::mem::replace(end, End::Failed) {
        End::Shaking(ours) => ours,
        End::Done(session) => {
            let (received, went_on) = receive(&session, bytes, u16::MAX);
            assert!(received.is_empty(), "nobody has sent anything");
            if went_on {
                *end = End::Done(session);
            }
            return Vec::new();
        }
        End::Failed => return Vec::new(),
    };
    let mut out = Vec::new();
    let mut pieces = bytes.chunks(piece);
    let rest = loop {
        let Some(mut piece) = pieces.next() else {
            *end = End::Shaking(ours);
            return out;
        };
        match feed(&mut ours, &mut piece, &mut out) {
            Step::Receive => {}
            Step::Done => break piece,
            Step::Failed(_) => {
                out.extend_from_slice(ours.unsent().filled());
                return out; // and rustls is not asked again
            }
        }
    };
    if let Some(shown) = ours.peer_certificates() {
        assert!(ClientCertificate::read(shown).is_some(), "only a good one is taken");
    }
    let session = ours.finish().expect("the suite is one of ours");
    out.extend(session.take_pending().iter().flat_map(|pending| pending.filled().to_vec()));
    *end = End::Done(session);
    let rest: Vec<u8> = rest.iter().chain(pieces.flatten()).copied().collect();
    advance(end, &rest, piece);
    out
}

/// As `shard/secure.rs` does: a step for each piece that may have completed a record, and what there is to send goes
/// before anything else is received. Bytes are left when it is over, and nothing is asked of rustls after that.
fn feed(ours: &mut Handshake, bytes: &mut &[u8], out: &mut Vec<u8>) -> Step {
    while !bytes.is_empty() {
        let Some(room) = ours.room() else { return Step::Failed(None) };
        let (now, later) = bytes.split_at(bytes.len().min(room.room()));
        assert!(room.append(now), "there is room");
        *bytes = later;
        if ours.has_record() {
            match ours.step() {
                Step::Receive => {
                    out.extend_from_slice(ours.unsent().filled());
                    ours.unsent().clear();
                }
                step => return step,
            }
        }
    }
    Step::Receive
}

// --- records -----------------------------------------------------------------------------------

struct Conversation {
    ours: Rc<Session>,
    peer: Rc<Session>,
    /// On its way to us, where somebody without keys can change it.
    wire: Vec<u8>,
    /// What the peer put there.
    genuine: Vec<u8>,
    /// After each record: how long `genuine` and `sent` are.
    ends: Vec<(usize, usize)>,
    /// What came, as long as anything was believed.
    delivered: Vec<u8>,
    /// What the peer sealed as data, in order.
    sent: Vec<u8>,
    /// What we took for that.
    received: Vec<u8>,
    /// The peer sent something other than data and updates of its keys.
    hostile: bool,
    over: bool,
}

impl Conversation {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 | 1 => {
                let length = usize::from(input.word()) % (PLAINTEXT_MAX + 1);
                self.hostile |= length == 0; // many in a row are an attack
                let data: Vec<u8> =
                    (self.sent.len()..).take(length).map(|n| (n * 31 + n / 251) as u8).collect();
                self.sent.extend_from_slice(&data);
                self.seal(Content::Data, &data);
            }
            2 => {
                self.hostile = true;
                let length = usize::from(input.byte());
                let message = input.take(length);
                self.seal(Content::Handshake, message);
            }
            3 => {
                self.hostile = true;
                let length = usize::from(input.byte() % 4);
                let alert = input.take(length);
                self.seal(Content::Alert, alert);
            }
            4 => self.update_keys(input.byte() & 1),
            5 => self.answer(usize::from(input.word())),
            6 | 7 => {
                let (count, room) = (usize::from(input.word()), input.word());
                self.deliver(count, room);
            }
            _ => input.change(&mut self.wire),
        }
    }

    /// What was received is what was sent in the records that came unchanged, and a changed one is the end.
    fn check(&self) {
        let same = self.genuine.iter().zip(&self.delivered).take_while(|(a, b)| a == b).count();
        let (begin, good) = *self.ends.iter().rfind(|(end, _)| *end <= same).expect("the first is 0");
        assert!(self.received.len() <= good, "plaintext of a record that was changed");
        if !self.hostile && !self.over {
            assert!(self.received.len() == good, "a record that came whole was not opened");
        }
        let changed = same < self.delivered.len();
        match record_length(&self.delivered[begin..]) {
            Ok(Some(length)) if length > self.delivered.len() - begin => {}
            Ok(None) => {}
            _ => assert!(self.over || !changed, "a changed record was taken"),
        }
        assert!(self.hostile || !self.over || changed, "nothing was changed, and it is over");
    }

    fn seal(&mut self, content: Content, bytes: &[u8]) {
        let mut out = Buffer::take(Class::Large);
        let sealed = self.peer.sending.borrow_mut().cipher.seal(content, bytes, &mut out);
        assert!(sealed.is_ok(), "it is short enough");
        self.wire.extend_from_slice(out.filled());
        self.genuine.extend_from_slice(out.filled());
        self.ends.push((self.genuine.len(), self.sent.len()));
    }

    /// The peer takes other keys, and may want others of us (RFC 8446 §4.6.3).
    fn update_keys(&mut self, wanted: u8) {
        if !self.peer.sending.borrow().cipher.is_tls13() {
            return;
        }
        self.hostile = true; // many in a row are an attack
        self.seal(Content::Handshake, &[KEY_UPDATE, 0, 0, 1, wanted]);
        let (secrets, version) = match &mut *self.peer.kernel.borrow_mut() {
            Kernel::Server(kernel) => (kernel.update_tx_secret(), kernel.protocol_version()),
            Kernel::Client(kernel) => (kernel.update_tx_secret(), kernel.protocol_version()),
        };
        let cipher = Cipher::new(secrets.expect("TLS 1.3 has others"), version);
        self.peer.sending.borrow_mut().cipher = cipher.expect("the suite stays the same");
    }

    /// We say something, and the peer understands it whatever it did itself.
    fn answer(&mut self, length: usize) {
        let data = vec![7; length];
        let mut answer = Vec::new();
        for part in data.chunks(50_000) {
            let mut plain = Buffer::take(Class::Large);
            assert!(plain.append(part), "it is short enough");
            while !plain.is_empty() {
                let sealed = self.ours.seal(&mut plain).expect("nobody has closed it");
                let (received, went_on) = receive(&self.peer, sealed.filled(), u16::MAX);
                assert!(went_on, "the peer does not understand us");
                answer.extend(received);
            }
        }
        assert!(answer == data, "the peer understood something else");
    }

    fn deliver(&mut self, count: usize, room: u16) {
        let bytes: Vec<u8> = self.wire.drain(..count.min(self.wire.len())).collect();
        if self.over {
            let mut sealed = self.ours.take_sealed(Class::Small);
            let fits = bytes.len().min(sealed.room());
            assert!(sealed.append(&bytes[..fits]), "there is room");
            self.ours.put_sealed(sealed);
            let mut plain = Vec::new();
            assert!(!drain(&self.ours, &mut plain, room) && plain.is_empty(), "it was over");
            return;
        }
        self.delivered.extend_from_slice(&bytes);
        let (received, went_on) = receive(&self.ours, &bytes, room);
        self.received.extend(received);
        self.over = !went_on;
        assert!(self.sent.starts_with(&self.received), "plaintext that the peer did not send");
    }
}

/// Gives a session what has come. What it opened, with at most `room` bytes at a time, and whether it goes on: nothing
/// comes of it any more once it has failed or ended.
fn receive(session: &Session, mut bytes: &[u8], room: u16) -> (Vec<u8>, bool) {
    let mut plain = Vec::new();
    loop {
        let mut sealed = session.take_sealed(Class::Small);
        let count = bytes.len().min(sealed.room());
        assert!(sealed.append(&bytes[..count]), "there is room");
        assert!(count > 0 || bytes.is_empty(), "what was opened makes room");
        bytes = &bytes[count..];
        session.put_sealed(sealed);
        if !drain(session, &mut plain, room) {
            let before = plain.len();
            assert!(!drain(session, &mut plain, room) && plain.len() == before, "it was over");
            return (plain, false);
        }
        if bytes.is_empty() {
            return (plain, true);
        }
    }
}

fn drain(session: &Session, plain: &mut Vec<u8>, room: u16) -> bool {
    loop {
        let mut buffer = Buffer::take(Class::Small);
        let taken = buffer.room().saturating_sub(usize::from(room).max(1));
        assert!(buffer.append(&vec![0; taken]), "it is less than the room");
        match session.receive(&mut buffer) {
            Ok(Received::Bytes(count)) => {
                assert!(count > 0 && count == buffer.len() - taken, "so many as were put there");
                plain.extend_from_slice(&buffer.filled()[taken..]);
            }
            Ok(Received::Nothing) => {
                assert!(!session.has_something(), "who waits for it would never sleep");
                return true;
            }
            Ok(Received::End) | Err(_) => return false,
        }
    }
}

// --- what both need ----------------------------------------------------------------------------

/// What an input has left.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The next byte; zeros behind the end.
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(count.min(self.0.len()));
        self.0 = later;
        now
    }

    /// Changes bytes on their way: other bits, a part less, a part twice, something else in between.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (how, at) = (self.byte(), usize::from(self.word()) % (bytes.len() + 1));
        match how % 4 {
            0 => {
                let bits = self.byte();
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            1 => {
                let end = bytes.len().min(at + usize::from(self.word()));
                bytes.drain(at..end);
            }
            2 => {
                let end = bytes.len().min(at + usize::from(self.word()));
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
            }
            _ => {
                let length = usize::from(self.byte() % 32);
                bytes.splice(at..at, self.take(length).iter().copied());
            }
        }
    }
}

/// Both sides of a handshake.
#[derive(Clone)]
struct Pair {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Pair {
    /// One of eight: every version and suite, and both versions with certificates of callers.
    fn of(number: u8) -> Self {
        thread_local! {
            static PAIRS: RefCell<[Option<Pair>; 8]> = const { RefCell::new([const { None }; 8]) };
        }
        let number = usize::from(number % 8);
        PAIRS.with_borrow_mut(|pairs| pairs[number].get_or_insert_with(|| Self::new(number)).clone())
    }

    fn new(number: usize) -> Self {
        let (version, suite) = [
            (&TLS13, cipher_suite::TLS13_AES_128_GCM_SHA256),
            (&TLS13, cipher_suite::TLS13_AES_256_GCM_SHA384),
            (&TLS13, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
            (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
            (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
            (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
            (&TLS13, cipher_suite::TLS13_AES_128_GCM_SHA256),
            (&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ][number];
        let mut provider = default_provider();
        provider.cipher_suites = vec![suite];
        let provider = Arc::new(provider);
        let Identity { certificate, key } = IDENTITY.get().expect("both sides were introduced");
        let chain = vec![CertificateDer::from(certificate.as_slice())];
        let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_slice()));
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a root");
        let roots = Arc::new(roots);
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_protocol_versions(&[version]).expect("a version");
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let client = client.with_protocol_versions(&[version]).expect("a version");
        let client = client.with_root_certificates(Arc::clone(&roots));
        let (server, mut client) = if number < 6 {
            (server.with_no_client_auth(), client.with_no_client_auth())
        } else {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let client = client.with_client_auth_cert(chain.clone(), key()).expect("they belong together");
            (server.with_client_cert_verifier(verifier.expect("it has a root")), client)
        };
        let mut server = server.with_single_cert(chain, key()).expect("they belong together");
        server.enable_secret_extraction = true;
        server.ticketer = Ticketer::new().expect("a ticketer");
        client.enable_secret_extraction = true;
        client.resumption = Resumption::disabled(); // no input hangs on the one before
        Self { client: client.into(), server: server.into() }
    }

    fn accept(&self) -> Handshake {
        Handshake::accept(Arc::clone(&self.server)).expect("a server")
    }

    fn connect(&self) -> Handshake {
        let name = ServerName::try_from("api.example").expect("a name");
        Handshake::connect(Arc::clone(&self.client), name).expect("a client")
    }

    /// Of which the client has a ticket.
    fn resumed(&self) -> Self {
        let mut client = (*self.client).clone();
        client.resumption = Resumption::in_memory_sessions(4);
        let pair = Self { client: client.into(), server: Arc::clone(&self.server) };
        pair.sessions();
        pair
    }

    /// The two ends of a handshake that nobody disturbed, of the client and of the server.
    fn sessions(&self) -> (Rc<Session>, Rc<Session>) {
        let mut client = self.connect();
        let mut flight = begin(&mut client);
        let mut ends = [End::Shaking(client), End::Shaking(self.accept())];
        let mut to = 1;
        while !flight.is_empty() {
            flight = advance(&mut ends[to], &flight, usize::MAX);
            to = 1 - to;
        }
        match ends {
            [End::Done(client), End::Done(server)] => (client, server),
            _ => unreachable!("nobody disturbed it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, introduce};

    /// As `tests/fuzz.rs` does for the other targets.
    fn replay(target: &str, body: fn(&[u8])) {
        introduce(|| {
            let made =
                rcgen::generate_simple_self_signed(vec!["api.example".to_owned()]).expect("a certificate");
            Identity { certificate: made.cert.der().to_vec(), key: made.signing_key.serialize_der() }
        });
        let directory = format!("{}/tests/data/fuzz/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut seeds = 0;
        for entry in std::fs::read_dir(&directory).expect("the seeds are part of the repository") {
            let path = entry.expect("the directory can be read").path();
            body(&std::fs::read(&path).expect("a seed is a file"));
            seeds += 1;
        }
        assert!(seeds >= 20, "{directory} holds {seeds} seeds");
    }

    #[test]
    fn handshakes() {
        replay("tls_handshake", super::handshake);
    }

    #[test]
    fn records() {
        replay("tls_records", super::records);
    }
}
