//! What can be told of a running gateway at any time, from any thread.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{CertificateReport, ReloadReport, ReloadResult, certificates};
use crate::{compile::CertificateInUse, telemetry::Telemetry, types::Reason};

/// The state of the gateway.
pub struct Status {
    driver: &'static str,
    started: Instant,
    generation: AtomicU64,
    draining: AtomicBool,
    stalled: AtomicBool,
    reloads: Mutex<Reloads>,
    certificates: Mutex<Vec<CertificateReport>>,
    telemetry: Arc<Telemetry>,
}

/// What came of reloads.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reloads {
    /// That made a new configuration current, since the start.
    pub applied: u64,
    /// That found nothing new.
    pub unchanged: u64,
    /// That were refused.
    pub refused: u64,
    /// The last one.
    pub last: Option<ReloadReport>,
    /// The last one that was refused, for as long as none after it was not.
    pub refusal: Option<ReloadReport>,
    /// Keys that were revoked.
    pub revoked_keys: usize,
    /// Credentials that were.
    pub revoked_credentials: usize,
}

impl Status {
    /// For running shards.
    #[allow(clippy::disallowed_methods, reason = "the control plane's own clock")]
    pub fn new(driver: &'static str, generation: u64, telemetry: Arc<Telemetry>) -> Self {
        Self {
            driver,
            started: Instant::now(),
            generation: AtomicU64::new(generation),
            draining: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            reloads: Mutex::default(),
            certificates: Mutex::default(),
            telemetry,
        }
    }

    /// What the shards count.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// How the shards talk to the kernel.
    pub fn driver(&self) -> &'static str {
        self.driver
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The generation of the current snapshot.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether the gateway is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    pub(super) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Says what came of a reload.
    pub fn set_reload(&self, report: &ReloadReport) {
        let mut reloads = self.reloads();
        match report.result {
            ReloadResult::Applied => reloads.applied += 1,
            ReloadResult::Unchanged => reloads.unchanged += 1,
            ReloadResult::Refused => reloads.refused += 1,
        }
        reloads.refusal = (report.result == ReloadResult::Refused).then(|| report.clone());
        // A file that was touched and says the same is no news beside what changed last.
        let is_news = (report.result, report.cause) != (ReloadResult::Unchanged, "file");
        if is_news || reloads.last.as_ref().is_none_or(|last| last.result == ReloadResult::Refused) {
            reloads.last = Some(report.clone());
        }
    }

    /// Says whether every shard serves what the last reload came to.
    pub fn confirm_reload(&self, generation: u64, confirmed: bool) {
        if let Some(last) = self.reloads().last.as_mut().filter(|last| last.generation == generation) {
            last.confirmed = confirmed;
        }
    }

    /// Says how many keys and credentials were revoked.
    pub fn set_revocations(&self, (keys, credentials): (usize, usize)) {
        let mut reloads = self.reloads();
        (reloads.revoked_keys, reloads.revoked_credentials) = (keys, credentials);
    }

    /// Says which certificates of ours are in use.
    pub fn set_certificates(&self, certificates: &[CertificateInUse]) {
        let report = certificates::report(certificates);
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// The certificates of ours that are in use.
    pub fn certificates(&self) -> Vec<CertificateReport> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came of reloads so far.
    pub fn reloads(&self) -> MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether callers should be sent here.
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && !self.stalled.load(Ordering::Relaxed)
    }

    /// The state as it is now.
    pub fn report(&self) -> Report {
        let totals = self.telemetry.totals();
        let outcomes = Reason::ALL.iter().map(|reason| (reason.word(), totals.outcomes[reason.index()]));
        Report {
            version: env!("CARGO_PKG_VERSION"),
            ready: self.is_ready(),
            draining: self.is_draining(),
            generation: self.generation(),
            driver: self.driver,
            shards: self.telemetry.shards().len(),
            uptime_seconds: self.uptime().as_secs(),
            connections: totals.connections,
            reloads: self.reloads().clone(),
            certificates: self.certificates(),
            access_log_dropped: self.telemetry.lines_dropped(),
            outcomes: outcomes.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// The state of the gateway at one moment.
#[derive(Debug, Serialize)]
pub struct Report {
    version: &'static str,
    ready: bool,
    draining: bool,
    generation: u64,
    driver: &'static str,
    shards: usize,
    uptime_seconds: u64,
    connections: u64,
    reloads: Reloads,
    certificates: Vec<CertificateReport>,
    access_log_dropped: u64,
    /// Requests by the word of their reason; those that did not occur are left out.
    outcomes: std::collections::BTreeMap<&'static str, u64>,
}
