//! What operators ask of a decision: how it comes about, and whether it is what they assert.
//!
//! It runs the same `decide` as a shard, on a head that is parsed as a caller's would be. Nothing it tells shows the
//! value of a header field. Called by the command line and by whoever is about to publish a snapshot; pure.

mod asserts;
mod record;
mod request;

use std::net::IpAddr;

pub use asserts::failed_asserts;
use record::Record;
pub use record::Said;
use request::HeadBytes;

use crate::{
    compile::{Addresses, Compiled},
    limits::HEAD_BYTES_MAX,
    policy::{Denial, Identity, Means, Now, Permit, RuleMemory, decide, decide_as},
    protocol::{h1::parse_request, http::FieldTable},
    snapshot::Snapshot,
    store::Revocations,
    types::{Effect, Reason},
};

/// A request that somebody asks about.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// Its method.
    pub method: &'q str,
    /// Its path as a caller sends it, with its query.
    pub path: &'q str,
    /// What it asks for.
    pub host: &'q str,
    /// Its other header fields.
    pub headers: &'q [(&'q str, &'q [u8])],
    /// Where it comes from; nobody knows if it is none.
    pub source: Option<IpAddr>,
    /// The proxy credential that is taken for granted; without it, what the header fields say counts.
    pub credential: Option<&'q str>,
    /// The time, in milliseconds since the Unix epoch.
    pub now: i64,
}

/// How a request is judged.
#[derive(Debug)]
pub struct Explanation {
    /// The proxy that it is for.
    pub proxy: Option<String>,
    /// The credential that the caller has.
    pub credential: Option<String>,
    /// The branches of the proxy's security that are not satisfied before the one that is, and why: their positions.
    pub lost: Vec<(usize, Reason)>,
    /// The branch that is satisfied.
    pub won: Option<usize>,
    /// The path that rules see, if it came to them.
    pub path: Option<String>,
    /// What the places with rules said, in the order in which they are asked.
    pub said: Vec<Said>,
    /// What the proxy says where no rule does.
    pub default: Option<Effect>,
    /// How it ends.
    pub reason: Reason,
}

impl Explanation {
    /// Whether rules were asked and none of them said anything.
    pub fn rests_on_default(&self) -> bool {
        self.path.is_some() && self.said.iter().all(|said| said.effect.is_none())
    }
}

/// A snapshot to ask questions of: every target has an address that nobody connects to.
pub fn rehearsal(compiled: &Compiled, revocations: &Revocations) -> Snapshot {
    let nowhere = ([127, 0, 0, 1], 9).into();
    let addresses: Addresses = compiled.plan.targets.iter().map(|_| vec![nowhere]).collect();
    compiled.snapshot(0, &addresses, &compiled.revoked(revocations))
}

/// Judges a request and tells how that came about.
pub fn explain(snapshot: &Snapshot, question: &Question<'_>) -> Explanation {
    let mut record = Record::default();
    let (proxy, credential, default, reason) = match ask(snapshot, question, &mut record) {
        Ok(found) => found,
        Err(reason) => (None, None, None, reason),
    };
    let Record { path, said, lost, won, .. } = record;
    Explanation { proxy, credential, lost, won, path, said, default, reason }
}

type Found = (Option<String>, Option<String>, Option<Effect>, Reason);

/// What came of a question; the reason alone where the head does not even parse.
fn ask(snapshot: &Snapshot, question: &Question<'_>, record: &mut Record) -> Result<Found, Reason> {
    let bytes = HeadBytes::new(question);
    let mut table = Box::<FieldTable>::default();
    let head = parse_request(bytes.as_ref(), &snapshot.callers.head, &mut table)?;
    let mut path = vec![0; HEAD_BYTES_MAX];
    let means = Means {
        now: Now(question.now),
        source: question.source,
        certificate: None,
        path: &mut path,
        rules: &mut RuleMemory::default(),
        watch: record,
    };
    let decision = match question.credential {
        Some(name) => decide_as(snapshot, &head, number(snapshot, name), means),
        None => decide(snapshot, &head, means),
    };
    Ok(found(decision))
}

/// The number of a credential; one that nobody has where there is no such credential.
fn number(snapshot: &Snapshot, name: &str) -> u32 {
    let mut credentials = snapshot.credentials.iter().flatten();
    credentials.find(|credential| &*credential.name == name).map_or(u32::MAX, |credential| credential.number)
}

fn found(decision: Result<Permit<'_, '_>, Denial<'_>>) -> Found {
    let (proxy, identity, reason) = match &decision {
        Ok(permit) => (Some(permit.proxy()), Some(permit.identity()), Reason::Forwarded),
        Err(denial) => (denial.proxy, denial.identity, denial.reason),
    };
    let name = |identity: Identity<'_>| Some(identity.credential()?.name.to_string());
    (
        proxy.map(|proxy| proxy.label.to_string()),
        identity.and_then(name),
        proxy.map(|proxy| proxy.rules.default),
        reason,
    )
}
