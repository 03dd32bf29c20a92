//! What `/telemetry` tells, as far as `top` shows it. Members that it does not know are passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::types::Reason;

/// The answer.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Report {
    pub(super) version: String,
    pub(super) driver: String,
    pub(super) shards: usize,
    pub(super) generation: u64,
    pub(super) draining: bool,
    pub(super) uptime_seconds: f64,
    pub(super) connections: u64,
    pub(super) access_log_dropped: u64,
    pub(super) series: Vec<Series>,
}

/// One pair of proxy and credential.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Series {
    pub(super) proxy: Option<String>,
    pub(super) credential: Option<String>,
    pub(super) rate: f64,
    pub(super) total: Span,
    pub(super) latest: Option<Span>,
}

/// What was counted in a span of time.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Span {
    pub(super) requests: u64,
    pub(super) outcomes: BTreeMap<String, u64>,
    pub(super) classes: BTreeMap<String, u64>,
    pub(super) latency_us: Option<Quantiles>,
    pub(super) authentication_us: Option<Quantiles>,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Span {
    /// Callers that we did not know.
    pub(super) fn unauthorised(&self) -> u64 {
        let ours = Reason::ALL.iter().filter(|reason| reason.status() == 401);
        ours.filter_map(|reason| self.outcomes.get(reason.word())).sum()
    }

    /// Requests whose status began with a digit.
    pub(super) fn class(&self, digit: u8) -> u64 {
        self.classes.get(&format!("{digit}xx")).copied().unwrap_or(0)
    }
}
