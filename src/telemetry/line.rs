//! A line of the access log: one JSON object.

use std::borrow::Cow;

use serde::Serialize;

use super::request_log::Entry;
use crate::types::SeriesName;

/// What a line says, in this order.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    method: Option<&'static str>,
    proxy: Option<&'a str>,
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    path_cut: bool,
    status: u16,
    reason: &'static str,
    credential: Option<&'a str>,
    consumer: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_by: Vec<&'static str>,
    source: Source,
    duration_us: u64,
    auth_us: Option<f64>,
    generation: u64,
    shard: u8,
}

/// Where a caller is.
#[derive(Serialize)]
#[serde(untagged)]
enum Source {
    Address(std::net::IpAddr),
    Word(&'static str),
}

/// Writes an entry, with the names of all series.
pub(super) fn write(entry: &Entry, names: &[SeriesName], out: &mut Vec<u8>) {
    let name = names.get(entry.series.0 as usize);
    let (path, whole) = entry.path();
    let line = Line {
        time: rfc3339(entry.time_millis),
        request_id: std::str::from_utf8(&entry.request_id).unwrap_or_default(),
        method: entry.method,
        proxy: name.and_then(|name| name.proxy.name()),
        path: entry.method.map(|_| String::from_utf8_lossy(path)),
        path_cut: !whole,
        status: entry.status,
        reason: entry.reason.word(),
        credential: name.and_then(|name| name.credential.name()),
        consumer: name.and_then(|name| name.consumer.as_deref()),
        not_by: entry.not_by.iter().flatten().map(|reason| reason.word()).collect(),
        source: match entry.source {
            Some(address) => Source::Address(address),
            None => Source::Word(if entry.unix { "unix" } else { "unknown" }),
        },
        duration_us: entry.duration_nanos / 1_000,
        auth_us: entry.authentication_nanos.map(|nanos| nanos as f64 / 1_000.0),
        generation: entry.generation,
        shard: entry.shard,
    };
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    }
}

/// A time with milliseconds, in UTC (RFC 3339 §5.6).
fn rfc3339(millis: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, milli) = time.to_hms_milli();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, write};
    use crate::{
        telemetry::Entry,
        types::{Label, Reason, SeriesId, SeriesName},
    };

    #[test]
    fn a_line_says_who_what_and_how_long() {
        let mut names = SeriesName::first().to_vec();
        names.push(SeriesName {
            proxy: Label::Named("crm".into()),
            credential: Label::Named("partners".into()),
            consumer: Some("acme".into()),
            scheme: "sha256",
        });
        let mut entry = Entry {
            time_millis: 1_795_455_265_042,
            method: Some("GET"),
            status: 200,
            reason: Reason::Forwarded,
            series: SeriesId(2),
            source: Some([10, 0, 0, 7].into()),
            duration_nanos: 1_234_567,
            authentication_nanos: Some(250),
            generation: 3,
            shard: 1,
            ..Entry::default()
        };
        entry.set_path(b"/crm/\"quoted\"\\\n\xff");
        let mut out = Vec::new();
        write(&entry, &names, &mut out);
        let expected = "{\"time\":\"2026-11-23T17:34:25.042Z\",\"request_id\":\"000000000000000000000000\",\
             \"method\":\"GET\",\"proxy\":\"crm\",\"path\":\"/crm/\\\"quoted\\\"\\\\\\n\u{fffd}\",\"status\":200,\
             \"reason\":\"forwarded\",\"credential\":\"partners\",\"consumer\":\"acme\",\"source\":\"10.0.0.7\",\
             \"duration_us\":1234,\"auth_us\":0.25,\"generation\":3,\"shard\":1}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_never_was_a_request_has_no_path() {
        let entry = Entry { reason: Reason::HeadTimeout, status: 408, ..Entry::default() };
        let mut out = Vec::new();
        write(&entry, &SeriesName::first(), &mut out);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for null in ["method", "proxy", "path", "credential", "consumer", "auth_us"] {
            assert!(line[null].is_null() && line.get(null).is_some(), "{null}: {line}");
        }
        assert_eq!((&line["reason"], &line["source"]), (&"head-timeout".into(), &"unknown".into()));
    }

    #[test]
    fn times_are_written_to_the_millisecond() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_827_696_789), "2000-02-29T12:34:56.789Z");
    }
}
