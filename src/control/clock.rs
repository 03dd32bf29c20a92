//! The control plane's clock: the time of day, for records and reports.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment in milliseconds since the Unix epoch, as RFC 3339 writes it.
pub(super) fn moment(millis: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The time of day as RFC 3339 writes it.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place of the control plane that asks for the time of day"
)]
pub(super) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
    now.format(&Rfc3339).unwrap_or_default()
}

/// The time of day in seconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "the same place")]
pub(super) fn seconds() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
