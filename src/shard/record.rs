//! What is kept of a request until it ends, and its one record: counted in its series, and a line in the access log.
//!
//! Every way a request can end leads to exactly one call of [`Shard::record`]. Costs three readings of the fine clock,
//! and with the log switched off nothing else but stores.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    sync::Arc,
};

use super::{
    clock::Clock,
    state::{RequestId, Shard},
};
use crate::{
    limits::{BRANCHES_TOLD_MAX, LOG_DRAFTS_KEPT},
    policy::{Identity, Watch},
    protocol::http::{Method, RequestHead},
    snapshot::{Proxy, Snapshot},
    telemetry::{Ending, Entry, Ring},
    types::{Reason, SeriesId},
};

/// Times the authentication of one request; that is also when the request is taken to begin.
pub(super) struct Stopwatch<'c> {
    clock: &'c Clock,
    began: Cell<Option<u64>>,
    ended: Cell<u64>,
    not_by: Cell<[Option<Reason>; BRANCHES_TOLD_MAX]>,
}

impl<'c> Stopwatch<'c> {
    pub(super) fn new(clock: &'c Clock) -> Self {
        Self { clock, began: Cell::new(None), ended: Cell::new(0), not_by: Cell::default() }
    }

    /// When the request began, and how long its caller's credentials were looked for. One that never came to that
    /// begins now.
    fn read(&self) -> (u64, Option<u64>) {
        match self.began.get() {
            Some(began) => (began, Some(self.ended.get().saturating_sub(began))),
            None => (self.clock.nanos(), None),
        }
    }
}

/// Shared, because a permit keeps what watched its making.
impl Watch for &Stopwatch<'_> {
    fn authenticating(&mut self) {
        self.began.set(Some(self.clock.nanos()));
    }

    fn authenticated(&mut self) {
        self.ended.set(self.clock.nanos());
    }

    fn branch_lost(&mut self, branch: usize, reason: Reason) {
        let mut not_by = self.not_by.get();
        if let Some(place) = not_by.get_mut(branch) {
            *place = Some(reason);
            self.not_by.set(not_by);
        }
    }
}

/// A request that has not ended yet.
pub(super) struct Trace {
    series: SeriesId,
    began: Option<u64>,
    authentication: Option<u64>,
    /// The status of the API's answer, once there is one.
    status: Cell<u16>,
    line: Option<Box<Entry>>,
}

impl Trace {
    /// Of what never was a request.
    pub(super) fn headless() -> Self {
        Self {
            series: SeriesId::UNROUTED,
            began: None,
            authentication: None,
            status: Cell::new(0),
            line: None,
        }
    }

    /// The caller is told the API's own status.
    pub(super) fn set_status(&self, status: u16) {
        self.status.set(status);
    }
}

/// What the access log tells of a request beside how it ended.
pub(super) struct Seen<'a> {
    pub(super) time_millis: i64,
    pub(super) request_id: &'a RequestId,
    pub(super) source: Option<IpAddr>,
    /// Whether the proxy in front does not tell where the caller is.
    pub(super) hidden: bool,
    /// The head, if it could be read.
    pub(super) head: Option<&'a RequestHead<'a>>,
    pub(super) generation: u64,
}

/// The access log as a shard sees it.
pub(super) struct Log {
    ring: Arc<Ring>,
    shard: u8,
    /// Entries for requests to come, so that a warm request takes no memory. (Boxed, because an entry would be too
    /// much for the state of each exchange.)
    #[allow(clippy::vec_box, reason = "they are handed out as they are")]
    drafts: RefCell<Vec<Box<Entry>>>,
}

impl Log {
    pub(super) fn new(ring: Arc<Ring>, shard: u8) -> Self {
        Self { ring, shard, drafts: RefCell::default() }
    }

    fn begin(&self, seen: &Seen<'_>) -> Box<Entry> {
        let mut entry = self.drafts.borrow_mut().pop().unwrap_or_default();
        entry.time_millis = seen.time_millis;
        entry.request_id = *seen.request_id;
        entry.source = seen.source;
        entry.unix = seen.source.is_none() && !seen.hidden;
        entry.generation = seen.generation;
        entry.shard = self.shard;
        entry.not_by = [None; BRANCHES_TOLD_MAX];
        entry.method = seen.head.map(|head| word(head.method));
        entry.set_path(seen.head.map_or(b"", |head| head.target.path));
        entry
    }

    /// Says whether there was room for it.
    fn end(&self, entry: Box<Entry>) -> bool {
        let taken = self.ring.push((*entry).clone());
        let mut drafts = self.drafts.borrow_mut();
        if drafts.len() < LOG_DRAFTS_KEPT {
            drafts.push(entry);
        }
        taken
    }
}

/// A method of the caller's own making is not shown: it could be anything.
fn word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
        Method::Patch => "PATCH",
        Method::Trace => "TRACE",
        Method::Connect => "CONNECT",
        Method::Other => "OTHER",
    }
}

impl Shard {
    /// Begins to keep what is known of a request whose head could not be read.
    pub(super) fn trace_unread(
        &self,
        snapshot: &Snapshot,
        source: Option<IpAddr>,
        request_id: &RequestId,
    ) -> Trace {
        let time_millis = self.clock.wall_millis();
        let generation = snapshot.generation;
        let seen = Seen { time_millis, request_id, source, hidden: false, head: None, generation };
        Trace { began: Some(self.clock.nanos()), line: self.begin_line(&seen), ..Trace::headless() }
    }

    /// Begins to keep what is known of a request that was judged; notes the use of the key that was accepted.
    pub(super) fn trace(
        &self,
        stopwatch: &Stopwatch<'_>,
        proxy: Option<&Proxy>,
        identity: Option<Identity<'_>>,
        seen: &Seen<'_>,
    ) -> Trace {
        for key in identity.iter().flat_map(|identity| identity.proofs()).filter_map(|proof| proof.key) {
            self.cells.note_use(key.number, seen.time_millis);
        }
        let credential = identity.and_then(|identity| identity.credential());
        let credential = credential.map(|credential| credential.number);
        let (began, authentication) = stopwatch.read();
        Trace {
            series: proxy.map_or(SeriesId::UNROUTED, |proxy| proxy.series.of(credential)),
            began: Some(began),
            authentication,
            status: Cell::new(0),
            line: self.begin_line(seen).map(|mut line| {
                line.not_by = stopwatch.not_by.get();
                line
            }),
        }
    }

    fn begin_line(&self, seen: &Seen<'_>) -> Option<Box<Entry>> {
        self.log.as_ref().map(|log| log.begin(seen))
    }

    /// Counts the end of a request.
    pub(super) fn record(&self, trace: &mut Trace, reason: Reason) {
        let took = trace.began.map(|began| self.clock.nanos().saturating_sub(began));
        let Trace { series, authentication, .. } = *trace;
        let latency = took.filter(|_| reason != Reason::Tunnelled);
        let status = match trace.status.get() {
            0 => reason.status(),
            status => status,
        };
        self.cells.record(&Ending { series, reason, status, latency, authentication });
        let (Some(log), Some(mut line)) = (&self.log, trace.line.take()) else { return };
        line.series = series;
        line.reason = reason;
        line.status = status;
        line.duration_nanos = took.unwrap_or(0);
        line.authentication_nanos = authentication;
        if !log.end(line) {
            self.cells.count_dropped_line();
        }
    }

    /// Counts the end of what never was a request.
    pub(super) fn record_headless(&self, reason: Reason, source: Option<IpAddr>, request_id: &RequestId) {
        let line = self.log.is_some().then(|| {
            let generation = self.with_snapshot(|snapshot| snapshot.generation);
            let time_millis = self.clock.wall_millis();
            self.begin_line(&Seen { time_millis, request_id, source, hidden: false, head: None, generation })
        });
        let mut trace = Trace { line: line.flatten(), ..Trace::headless() };
        self.record(&mut trace, reason);
    }
}
