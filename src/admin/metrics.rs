//! `GET /metrics`: what the gateway counts, as OpenMetrics 1.0. `docs/metrics.md` describes every name.
//!
//! The number of label sets is bounded: the first series by number have labels of their own, in every scrape the same
//! ones; the others are added up under their proxy's "other", or under "other" altogether.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};

use crate::{
    control::Status,
    limits::METRICS_SERIES_MAX,
    telemetry::{Counts, Exposition, Kind, Merged, SeriesTotals},
    types::{Reason, SeriesId, SeriesName},
};

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OTHER: &str = "other";

/// Bounds of whole requests: texts, and what they say in nanoseconds.
const DURATION_BOUNDS: [(&str, u64); 16] = [
    ("0.0005", 500_000),
    ("0.001", 1_000_000),
    ("0.0025", 2_500_000),
    ("0.005", 5_000_000),
    ("0.01", 10_000_000),
    ("0.025", 25_000_000),
    ("0.05", 50_000_000),
    ("0.1", 100_000_000),
    ("0.25", 250_000_000),
    ("0.5", 500_000_000),
    ("1.0", 1_000_000_000),
    ("2.5", 2_500_000_000),
    ("5.0", 5_000_000_000),
    ("10.0", 10_000_000_000),
    ("30.0", 30_000_000_000),
    ("60.0", 60_000_000_000),
];

/// Bounds of the time spent authenticating.
const AUTHENTICATION_BOUNDS: [(&str, u64); 12] = [
    ("0.00000025", 250),
    ("0.0000005", 500),
    ("0.000001", 1_000),
    ("0.0000025", 2_500),
    ("0.000005", 5_000),
    ("0.00001", 10_000),
    ("0.000025", 25_000),
    ("0.0001", 100_000),
    ("0.001", 1_000_000),
    ("0.01", 10_000_000),
    ("0.1", 100_000_000),
    ("1.0", 1_000_000_000),
];

/// The part of the admin listener that serves it.
pub(super) fn routes(status: Arc<Status>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(status)
}

async fn metrics(State(status): State<Arc<Status>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, MEDIA_TYPE)], write(&status))
}

fn write(status: &Status) -> String {
    let telemetry = status.telemetry();
    // In this order: whatever has counts has a name.
    let mut text = Exposition::default();
    telemetry.with_merged(|merged| write_series(merged, &telemetry.names(), &mut text));
    write_state(status, &mut text);
    text.finish()
}

/// Proxy, credential and scheme, as labels.
type Labels<'n> = (&'n str, &'n str, &'static str);

fn write_series(merged: &Merged, names: &[SeriesName], text: &mut Exposition) {
    let folded = fold(merged, names, METRICS_SERIES_MAX);
    let mut requests = text.family("requests", Kind::Counter, "", "Requests that ended, by how they ended.");
    for ((proxy, credential, scheme), totals) in &folded {
        for reason in Reason::ALL {
            let count = totals.outcomes[reason.index()];
            let outcome = ("outcome", reason.word());
            if count > 0 {
                let labels = [("proxy", *proxy), ("credential", *credential), ("scheme", *scheme), outcome];
                requests.sample(&labels, count);
            }
        }
    }
    let help = "Requests that ended, by the first digit of the status that the caller saw.";
    let mut responses = text.family("responses", Kind::Counter, "", help);
    for ((proxy, credential, scheme), totals) in &folded {
        for (digit, count) in totals.classes.iter().enumerate().filter(|(_, count)| **count > 0) {
            let class = format!("{digit}xx");
            let labels =
                [("proxy", *proxy), ("credential", *credential), ("scheme", *scheme), ("class", &class)];
            responses.sample(&labels, *count);
        }
    }
    let by_proxy = group(&folded, |(proxy, _, _)| proxy, |totals| &totals.latency);
    let help = "Time from the end of a request's head to the end of its answer.";
    let mut durations = text.family("request_duration_seconds", Kind::Histogram, "seconds", help);
    for (proxy, counts) in &by_proxy {
        durations.histogram(&[("proxy", proxy)], &DURATION_BOUNDS, counts);
    }
    let by_scheme = group(&folded, |(_, _, scheme)| scheme, |totals| &totals.authentication);
    let help = "Time spent finding out who calls.";
    let mut times = text.family("authentication_seconds", Kind::Histogram, "seconds", help);
    for (scheme, counts) in &by_scheme {
        times.histogram(&[("scheme", scheme)], &AUTHENTICATION_BOUNDS, counts);
    }
}

/// The totals of every set of labels. A series whose number is too high is counted with others of its proxy.
fn fold<'n>(
    merged: &Merged,
    names: &'n [SeriesName],
    labelled_max: usize,
) -> BTreeMap<Labels<'n>, SeriesTotals> {
    let labelled = &names[..names.len().min(labelled_max)];
    let proxies: BTreeSet<_> = labelled.iter().map(|name| name.proxy.text()).collect();
    let mut folded = BTreeMap::<Labels<'n>, SeriesTotals>::new();
    for (SeriesId(number), state) in merged.series() {
        let Some(name) = names.get(number as usize) else { continue };
        let (proxy, credential, scheme) = (name.proxy.text(), name.credential.text(), name.scheme);
        let labels = match number as usize {
            at if at < labelled_max => (proxy, credential, scheme),
            _ if proxies.contains(proxy) => (proxy, OTHER, scheme),
            _ => (OTHER, OTHER, scheme),
        };
        folded.entry(labels).or_default().add(&state.totals);
    }
    folded
}

/// Adds up what some series have in common.
fn group<'n>(
    folded: &BTreeMap<Labels<'n>, SeriesTotals>,
    key: impl Fn(Labels<'n>) -> &'n str,
    counts: impl Fn(&SeriesTotals) -> &Counts,
) -> BTreeMap<&'n str, Counts> {
    let mut groups = BTreeMap::<_, Counts>::new();
    for (labels, totals) in folded {
        groups.entry(key(*labels)).or_default().add(counts(totals));
    }
    groups
}

fn write_state(status: &Status, text: &mut Exposition) {
    let telemetry = status.telemetry();
    let mut gauge = |name, help, value| text.family(name, Kind::Gauge, "", help).sample(&[], value);
    gauge("connections", "Callers that are connected.", telemetry.totals().connections);
    gauge("shards", "Event loops.", telemetry.shards().len() as u64);
    gauge("generation", "Number of the configuration that is in use.", status.generation());
    gauge("ready", "Whether callers should be sent here.", u64::from(status.is_ready()));
    write_reloads(status, text);
    write_certificates(status, text);
    let uptime = status.uptime().as_secs_f64();
    text.family("uptime_seconds", Kind::Gauge, "seconds", "Time since the start.").real(&[], uptime);
    let mut counter = |name, help, value| text.family(name, Kind::Counter, "", help).sample(&[], value);
    let written = telemetry.log().written.load(Ordering::Relaxed);
    counter("access_log_written", "Lines of the access log that were written.", written);
    let help = "Lines of the access log that were lost, for want of room in a ring or on the disk.";
    counter("access_log_dropped", help, telemetry.lines_dropped());
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("driver", status.driver())];
    text.family("build", Kind::Info, "", "What is running.").sample(&labels, 1);
}

fn write_reloads(status: &Status, text: &mut Exposition) {
    let reloads = status.reloads().clone();
    let help = "Attempts to make another configuration current.";
    let mut family = text.family("reloads", Kind::Counter, "", help);
    let results =
        [("applied", reloads.applied), ("unchanged", reloads.unchanged), ("refused", reloads.refused)];
    for (result, count) in results {
        family.sample(&[("result", result)], count);
    }
    let mut gauge = |name, help, value| text.family(name, Kind::Gauge, "", help).sample(&[], value);
    let help = "Whether what is served is what the files say: 0 after a reload was refused.";
    gauge("configuration_current", help, u64::from(reloads.refusal.is_none()));
    gauge("revoked_keys", "Keys that are revoked.", reloads.revoked_keys as u64);
    gauge("revoked_credentials", "Credentials that are revoked.", reloads.revoked_credentials as u64);
}

fn write_certificates(status: &Status, text: &mut Exposition) {
    let help = "When a certificate of the gateway's expires, as Unix time.";
    let mut family = text.family("certificate_expiry_seconds", Kind::Gauge, "seconds", help);
    for one in status.certificates() {
        let place = match (&one.listener, &one.target) {
            (Some(address), _) => ("listener", address.as_str()),
            (None, target) => ("target", target.as_deref().unwrap_or_default()),
        };
        family.sample(&[place, ("name", &one.name)], u64::try_from(one.expires_seconds).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Status, fold, write};
    use crate::{
        telemetry::{Ending, Telemetry},
        types::{Label, Reason, SeriesId, SeriesName},
    };

    fn name(proxy: &str, credential: &str) -> SeriesName {
        let (proxy, credential) = (Label::Named(proxy.into()), Label::Named(credential.into()));
        SeriesName { proxy, credential, consumer: None, scheme: "sha256" }
    }

    fn telemetry(names: Vec<SeriesName>, used: &[u32]) -> Telemetry {
        let names: Arc<[_]> = SeriesName::first().into_iter().chain(names).collect();
        let telemetry = Telemetry::new(vec![Arc::default()], Arc::new(move || Arc::clone(&names)));
        for series in used {
            telemetry.shards()[0].record(&Ending {
                series: SeriesId(*series),
                reason: Reason::Forwarded,
                status: 200,
                latency: Some(1_000),
                authentication: Some(100),
            });
        }
        telemetry.merge(Duration::from_secs(1));
        telemetry
    }

    #[test]
    fn what_has_no_labels_of_its_own_is_counted_with_others() {
        let names = vec![name("a", "one"), name("a", "two"), name("a", "three"), name("b", "four")];
        let telemetry = telemetry(names, &[2, 3, 4, 4, 5, 1, 0]);
        let found = telemetry.with_merged(|merged| {
            let names = telemetry.names();
            let folded = fold(merged, &names, 3);
            let counts = folded.iter().map(|((proxy, credential, _), totals)| {
                (proxy.to_string(), credential.to_string(), totals.requests())
            });
            counts.collect::<Vec<_>>()
        });
        let row = |proxy: &str, credential: &str, count| (proxy.to_owned(), credential.to_owned(), count);
        let expected = [
            row("", "", 1),
            row("a", "one", 1),
            row("a", "other", 3),
            row("other", "other", 1),
            row("other", "other", 1),
        ];
        assert_eq!(found, expected, "the last two differ in their scheme");
    }

    #[test]
    fn a_credential_that_is_called_other_makes_no_series_twice() {
        let telemetry = telemetry(vec![name("a", "other"), name("a", "x")], &[2, 3, 3]);
        let text = write(&Status::new("epoll", 1, Arc::new(telemetry)));
        assert_eq!(text.matches("credential=\"other\",scheme=\"sha256\",outcome").count(), 1, "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }
}
