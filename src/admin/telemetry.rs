//! `GET /telemetry`: every series that was used, with counts, rates and quantiles, as JSON. `docs/metrics.md` describes
//! it; `keyferry top` shows it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use crate::{
    control::Status,
    telemetry::{Merged, Quantiles, Reader, SeriesState, SeriesTotals},
    types::{Reason, SeriesId, SeriesName},
};

/// The part of the admin listener that serves it.
pub(super) fn routes(status: Arc<Status>) -> Router {
    Router::new().route("/telemetry", get(telemetry)).with_state(status)
}

async fn telemetry(State(status): State<Arc<Status>>) -> Json<Report> {
    let telemetry = status.telemetry();
    let (interval, series) = telemetry.with_merged(|merged| {
        // Asked for while nothing is merged, so that whatever has counts has a name.
        let names = telemetry.names();
        (merged.elapsed().as_secs_f64(), report(merged, &names))
    });
    Json(Report {
        version: env!("CARGO_PKG_VERSION"),
        driver: status.driver(),
        shards: telemetry.shards().len(),
        generation: status.generation(),
        draining: status.is_draining(),
        uptime_seconds: status.uptime().as_secs_f64(),
        interval_seconds: interval,
        connections: telemetry.totals().connections,
        access_log_dropped: telemetry.lines_dropped(),
        series,
    })
}

/// The answer.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    driver: &'static str,
    shards: usize,
    generation: u64,
    draining: bool,
    uptime_seconds: f64,
    /// What `latest` spans.
    interval_seconds: f64,
    connections: u64,
    access_log_dropped: u64,
    series: Vec<Series>,
}

/// One series.
#[derive(Debug, Serialize)]
struct Series {
    proxy: Option<String>,
    credential: Option<String>,
    consumer: Option<String>,
    scheme: &'static str,
    /// Requests a second, in the last interval.
    rate: f64,
    /// Since the start.
    total: Span,
    /// In the last interval; none if nothing ended in it.
    latest: Option<Span>,
}

/// What was counted in a span of time.
#[derive(Debug, Serialize)]
struct Span {
    requests: u64,
    /// By the word of their reason; those that did not occur are left out.
    outcomes: BTreeMap<&'static str, u64>,
    /// By the first digit of their status, likewise.
    classes: BTreeMap<String, u64>,
    latency_us: Option<Quantiles>,
    authentication_us: Option<Quantiles>,
}

fn report(merged: &Merged, names: &[SeriesName]) -> Vec<Series> {
    let mut reader = Reader::default();
    let seconds = merged.elapsed().as_secs_f64();
    let named = |(id, state): (SeriesId, _)| Some((names.get(id.0 as usize)?, state));
    merged.series().filter_map(named).map(|(name, state)| series(name, state, seconds, &mut reader)).collect()
}

fn series(name: &SeriesName, state: &SeriesState, seconds: f64, reader: &mut Reader) -> Series {
    let latest = state.latest();
    let ended = latest.as_ref().map_or(0, SeriesTotals::requests);
    Series {
        proxy: name.proxy.name().map(str::to_owned),
        credential: name.credential.name().map(str::to_owned),
        consumer: name.consumer.as_deref().map(str::to_owned),
        scheme: name.scheme,
        rate: if seconds > 0.0 { ended as f64 / seconds } else { 0.0 },
        total: span(&state.totals, reader),
        latest: latest.map(|latest| span(&latest, reader)),
    }
}

fn span(totals: &SeriesTotals, reader: &mut Reader) -> Span {
    let outcomes = Reason::ALL.iter().map(|reason| (reason.word(), totals.outcomes[reason.index()]));
    let classes = totals.classes.iter().enumerate().map(|(digit, count)| (format!("{digit}xx"), *count));
    Span {
        requests: totals.requests(),
        outcomes: outcomes.filter(|(_, count)| *count > 0).collect(),
        classes: classes.filter(|(_, count)| *count > 0).collect(),
        latency_us: reader.read(&totals.latency),
        authentication_us: reader.read(&totals.authentication),
    }
}
