//! The state of the control thread, and everything that it does to it: one function for each event.
//!
//! Every change ends in [`Work::publish`]. Answers that promise something wait until every shard serves it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{
    Builder, Building, Built, Command, Outcome, Publisher, ReloadReport, ReloadResult, Revoke, RevokeRefusal,
    RevokeReport, Status, clock, follow::Before, keys, resolve::resolve_new, revoke,
};
use crate::{
    compile::{Addresses, Compiled, Epoch},
    config::{Diagnostic, difference},
    snapshot::Revoked,
    store::{Revocation, Revocations},
};

/// How often it is looked whether every shard serves a snapshot that somebody waits for.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(1);
/// How long a shard may take to serve a new snapshot before the answer says that it does not yet.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);
/// How often it is tried to write down revocations that could not be.
const OWED_INTERVAL: Duration = Duration::from_secs(10);
/// Findings of one reload that the log shows.
const FINDINGS_MAX: usize = 20;

type Waiting = (&'static str, Option<oneshot::Sender<ReloadReport>>);

/// An answer that is given when every shard serves a generation.
struct Confirmation {
    generation: u64,
    /// What the process before was asked; it answers 0 at once.
    question: u64,
    deadline: Instant,
    answer: Box<dyn FnOnce(bool) + Send>,
}

/// What goes on besides the waiting.
pub(super) struct Work {
    pub(super) control: Inner,
    pub(super) before: Before,
    /// Who waits for a build that has not begun.
    pub(super) wanted: Vec<Waiting>,
    forced: bool,
    /// Who waits for the build that is under way.
    served: Vec<Waiting>,
    confirmations: Vec<Confirmation>,
    /// Number of the last build, and of each that a shard may not have seen, with its generation.
    builds: u64,
    unsettled: VecDeque<(u64, u64)>,
    /// When it is tried again to write down what is owed.
    owed_next: Instant,
}

/// [`super::Control`] without what is awaited.
pub(super) struct Inner {
    pub(super) compiled: Arc<Compiled>,
    pub(super) publisher: Publisher,
    pub(super) addresses: Addresses,
    pub(super) revocations: Revocations,
    pub(super) revoked: Arc<Revoked>,
    pub(super) status: Arc<Status>,
    pub(super) findings: Vec<Diagnostic>,
}

impl Work {
    pub(super) fn new(control: Inner, before: Before) -> Self {
        let generation = control.publisher.generation();
        Self {
            control,
            before,
            wanted: Vec::new(),
            forced: false,
            served: Vec::new(),
            confirmations: Vec::new(),
            builds: 1,
            unsettled: VecDeque::from([(generation, 1)]),
            owed_next: Instant::now(),
        }
    }

    pub(super) fn want(
        &mut self,
        cause: &'static str,
        force: bool,
        reply: Option<oneshot::Sender<ReloadReport>>,
    ) {
        self.forced |= force;
        self.wanted.push((cause, reply));
    }

    /// Loads and compiles on a thread of its own, then looks up the targets that are new.
    pub(super) fn begin_build(&mut self, builder: &mut Option<Builder>) -> Option<Building> {
        let builder = builder.take()?;
        self.served = std::mem::take(&mut self.wanted);
        let force = std::mem::take(&mut self.forced);
        self.builds += 1;
        let epoch = Epoch { generation: self.builds, settled: self.settled_build() };
        let before = Arc::clone(&self.control.compiled);
        let known = self.control.compiled.plan.targets.iter().zip(&self.control.addresses);
        let known =
            known.map(|(target, found)| ((target.host.clone(), target.port), found.clone())).collect();
        Some(tokio::spawn(async move {
            let built = tokio::task::spawn_blocking(move || builder.build(&before, epoch, force)).await;
            let built = built.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let addresses = match &built.outcome {
                Outcome::New(compiled, _) => Some(resolve_new(&compiled.plan, known).await),
                Outcome::Same(_) | Outcome::Refused(_) => None,
            };
            (built, addresses)
        }))
    }

    /// The last build that every shard has seen.
    fn settled_build(&mut self) -> u64 {
        let seen = self.control.publisher.acknowledged();
        let mut settled = 0;
        while let Some(&(generation, build)) = self.unsettled.front() {
            if generation > seen {
                break;
            }
            settled = build;
            if self.unsettled.len() == 1 {
                break;
            }
            self.unsettled.pop_front();
        }
        settled
    }

    /// Makes what was built current, or says why not.
    pub(super) fn finish(&mut self, built: Built, addresses: Option<Addresses>) -> Builder {
        let Built { builder, outcome, took, key_files_read, .. } = built;
        let mut report = ReloadReport {
            result: ReloadResult::Unchanged,
            cause: self.served.first().map_or("file", |(cause, _)| cause),
            at: clock::now(),
            took_millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            generation: self.control.publisher.generation(),
            confirmed: false,
            changes: Vec::new(),
            restart: Vec::new(),
            findings: Vec::new(),
        };
        match outcome {
            Outcome::New(compiled, findings) => {
                let differs = difference(&self.control.compiled.plan, &compiled.plan);
                report.result = ReloadResult::Applied;
                report.changes = differs.objects;
                report.changes.extend(key_changes(&compiled, &self.control.compiled));
                report.restart = differs.restart;
                report.findings = lines(&findings);
                self.tell_new(&findings);
                self.control.findings = findings;
                self.apply(compiled, addresses.unwrap_or_default());
                report.generation = self.control.publisher.generation();
                let changes = report.changes.join("; ");
                info!(
                    generation = report.generation,
                    cause = report.cause,
                    took_millis = report.took_millis,
                    key_files_read,
                    changes,
                    "configuration applied"
                );
                if !report.restart.is_empty() {
                    warn!(settings = report.restart.join(" "), "these count only from the next start on");
                }
            }
            Outcome::Same(findings) => {
                report.findings = lines(&findings);
                if report.cause != "file" {
                    info!(generation = report.generation, cause = report.cause, "configuration unchanged");
                }
            }
            Outcome::Refused(findings) => {
                report.result = ReloadResult::Refused;
                report.findings = lines(&findings);
                for finding in findings.iter().take(FINDINGS_MAX) {
                    error!("{finding}");
                }
                error!(
                    generation = report.generation,
                    cause = report.cause,
                    "configuration refused; the one before goes on serving"
                );
            }
        }
        self.control.status.set_reload(&report);
        self.answer(report);
        builder
    }

    fn apply(&mut self, compiled: Arc<Compiled>, addresses: Addresses) {
        keep_revoked(&mut self.control.revocations, &compiled);
        self.control.status.set_revocations(self.control.revocations.counts());
        self.control.status.set_certificates(compiled.certificates());
        self.control.status.telemetry().forget_keys(&compiled.key_changes.recycled);
        self.control.compiled = compiled;
        self.control.addresses = addresses;
        self.control.revoked = self.control.compiled.revoked(&self.control.revocations);
        let generation = self.publish();
        self.unsettled.push_back((generation, self.builds));
    }

    /// Warnings that were not there before, and those that are repeated until nobody can have missed them.
    fn tell_new(&self, findings: &[Diagnostic]) {
        let repeated = |finding: &&Diagnostic| {
            finding.key.as_deref().is_some_and(|key| key.ends_with("dangerous_accept_any_certificate"))
        };
        let new = findings.iter();
        let new = new.filter(|finding| !self.control.findings.contains(finding) || repeated(finding));
        for finding in new.take(FINDINGS_MAX) {
            warn!("{finding}");
        }
    }

    /// Answers those who waited for this build, once every shard serves what came of it.
    fn answer(&mut self, report: ReloadReport) {
        let waiting: Vec<_> =
            std::mem::take(&mut self.served).into_iter().filter_map(|(_, reply)| reply).collect();
        let status = Arc::clone(&self.control.status);
        let generation = report.generation;
        self.when_served(generation, 0, move |confirmed| {
            status.confirm_reload(generation, confirmed);
            for reply in waiting {
                let _ = reply.send(ReloadReport { confirmed, ..report.clone() });
            }
        });
    }

    /// The one way to the shards.
    pub(super) fn publish(&mut self) -> u64 {
        let Inner { compiled, publisher, addresses, revoked, status, .. } = &mut self.control;
        let generation = publisher.publish(|generation| compiled.snapshot(generation, addresses, revoked));
        status.set_generation(generation);
        generation
    }

    pub(super) async fn command(&mut self, command: Command, has_files: bool) {
        match command {
            Command::Reload { force, reply } if has_files => self.want("command", force, Some(reply)),
            Command::Reload { reply, .. } => drop(reply),
            Command::Keys { query, reply } => {
                let Inner { compiled, revocations, status, .. } = &self.control;
                let _ = reply.send(keys::list(&query, compiled, revocations, status.telemetry()));
            }
            Command::Revoke { what, reply } => match self.revoke(&what).await {
                Ok(report) => {
                    let generation = report.generation;
                    let question = self.before.ask();
                    self.when_served(generation, question, move |confirmed| {
                        let _ = reply.send(Ok(RevokeReport { confirmed, ..report }));
                    });
                }
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
        }
    }

    /// Writes a revocation down, then makes every shard refuse it.
    async fn revoke(&mut self, what: &Revoke) -> Result<RevokeReport, RevokeRefusal> {
        let (found, known) = revoke::find(what, &self.control.compiled.plan)?;
        let already = found.iter().all(|one| self.control.revocations.contains(one));
        if !already {
            self.keep(&found).await?;
            self.control.revoked = self.control.compiled.revoked(&self.control.revocations);
            self.publish();
        }
        let sentences: Vec<String> = found.iter().map(revoke::sentence).collect();
        let generation = self.control.publisher.generation();
        info!(generation, already, "revoked {}", sentences.join(", "));
        self.control.status.set_revocations(self.control.revocations.counts());
        Ok(RevokeReport { revoked: sentences, already, known, generation, confirmed: false })
    }

    /// The disk may be slow: the admin listener goes on answering.
    async fn keep(&mut self, found: &[Revocation]) -> Result<(), RevokeRefusal> {
        let mut revocations = std::mem::take(&mut self.control.revocations);
        let (found, at) = (found.to_vec(), clock::now());
        let kept = tokio::task::spawn_blocking(move || {
            let result = revocations.add(&found, &at);
            (revocations, result)
        });
        let (revocations, result) =
            kept.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.control.revocations = revocations;
        result.map_err(|error| RevokeRefusal::NotKept(error.to_string()))
    }

    /// Writes down what could not be written down when a file said it.
    pub(super) fn keep_what_is_owed(&mut self) {
        if Instant::now() < self.owed_next || !self.control.revocations.owes() {
            return;
        }
        self.owed_next = Instant::now() + OWED_INTERVAL;
        match self.control.revocations.pay(&clock::now()) {
            Ok(()) => info!("revocations that a file told of are written down now"),
            Err(error) => error!(%error, "revocations that a file told of are still not written down"),
        }
    }

    /// Refuses what the process that took over was told to refuse, for as long as this one still serves anybody; says
    /// whether all of that is known.
    pub(super) fn follow_revocations(&mut self) -> bool {
        match self.control.revocations.follow() {
            Ok(false) => true,
            Ok(true) => {
                self.control.revoked = self.control.compiled.revoked(&self.control.revocations);
                let generation = self.publish();
                info!(generation, "revocations of the process that took over are followed");
                true
            }
            Err(error) => {
                error!(%error, "revocations of the process that took over cannot be read");
                false
            }
        }
    }

    fn when_served(&mut self, generation: u64, question: u64, answer: impl FnOnce(bool) + Send + 'static) {
        let deadline = Instant::now() + CONFIRM_LIMIT;
        self.confirmations.push(Confirmation { generation, question, deadline, answer: Box::new(answer) });
        self.confirm();
    }

    pub(super) async fn next_confirmation(&self) {
        match self.confirmations.is_empty() {
            true => std::future::pending().await,
            false => sleep(CONFIRM_INTERVAL).await,
        }
    }

    /// Answers what every shard serves now, and what has waited for too long.
    pub(super) fn confirm(&mut self) {
        let (seen, now) = (self.control.publisher.acknowledged(), Instant::now());
        for waiting in std::mem::take(&mut self.confirmations) {
            let served = waiting.generation <= seen && self.before.has_answered(waiting.question);
            if served || now >= waiting.deadline {
                (waiting.answer)(served);
            } else {
                self.confirmations.push(waiting);
            }
        }
    }
}

/// What a file calls revoked is refused for good, also when a later file does not say so any more: it is kept, on the
/// disk if there is a place for it.
pub fn keep_revoked(revocations: &mut Revocations, compiled: &Compiled) {
    let found = compiled.key_changes.revoked.iter().filter_map(|key| {
        let (digest, credential) = (key.digest, compiled.name_of(key.credential)?.to_owned());
        Some(Revocation::Record { digest, credential, id: key.id.clone() })
    });
    let new: Vec<_> = found.filter(|one| !revocations.contains(one)).collect();
    if new.is_empty() {
        return;
    }
    if !revocations.is_durable() {
        revocations.remember_all(&new);
        return;
    }
    if let Err(error) = revocations.add(&new, &clock::now()) {
        error!(%error, "keys that a file calls revoked are refused; it is tried again to write that down");
        revocations.owe(new);
    }
}

fn lines(findings: &[Diagnostic]) -> Vec<String> {
    findings.iter().take(FINDINGS_MAX).map(ToString::to_string).collect()
}

/// Such as `keys of partners: 2 added, 1 removed`.
fn key_changes(after: &Compiled, before: &Compiled) -> Vec<String> {
    let name = |number| after.name_of(number).or_else(|| before.name_of(number)).unwrap_or_default();
    let changes = after.key_changes.of_credentials.iter();
    changes
        .map(|(number, counts)| {
            let parts = [(counts.added, "added"), (counts.removed, "removed"), (counts.changed, "changed")];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<_> = parts.map(|(count, verb)| format!("{count} {verb}")).collect();
            format!("keys of {}: {}", name(*number), parts.join(", "))
        })
        .collect()
}
