//! Words to values: durations, sizes, times, names, digests. Pure functions from what is written to what it
//! means, or to the [`Problem`] with it; they know neither files nor keys.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use toml::de::DeValue;

use super::report::Problem;
use crate::{limits, types::KeyState};

/// Longest duration that is accepted: deadlines are counted in ticks of 32 bits, and a year is no timeout.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Shortest duration that is accepted: the resolution of every deadline.
pub(super) const DURATION_MIN: Duration = Duration::from_millis(limits::TICK_MILLIS);

const DURATION_HELP: &str = r#"write a number and a unit such as "5s", "250ms" or "1m""#;
const SIZE_HELP: &str = r#"write a number of bytes, or one with a unit such as "8KiB" or "1MiB""#;
/// Length of `2027-01-01T00:00`.
const MINUTES_END: usize = 16;
const TIME_HELP: &str = "write date, time and offset, such as 2027-01-01T00:00:00Z";

/// `"5s"`, `"250ms"`, `"1m"`, `"2h"`, `"1d"`.
pub(super) fn duration(text: &str) -> Result<Duration, Problem> {
    let wrong = || Problem::new("not a duration", DURATION_HELP);
    let (number, unit) = split_number(text).ok_or_else(wrong)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        "d" => 24 * 60 * 60 * 1_000,
        _ => return Err(wrong()),
    };
    let length = Duration::from_millis(number.saturating_mul(millis));
    if !(DURATION_MIN..=DURATION_MAX).contains(&length) {
        return Err(Problem::new("out of range", r#"write a duration from "100ms" to "365d""#));
    }
    Ok(length)
}

/// A duration, or `"0s"`.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, Problem> {
    if text == "0s" {
        return Ok(Duration::ZERO);
    }
    duration(text)
        .map_err(|problem| Problem { help: problem.help.map(|help| help + r#", or "0s""#), ..problem })
}

/// A duration, or `"none"`.
pub(super) fn duration_or_none(text: &str) -> Result<Option<Duration>, Problem> {
    if text == "none" {
        return Ok(None);
    }
    duration(text)
        .map(Some)
        .map_err(|problem| Problem { help: problem.help.map(|help| help + r#", or "none""#), ..problem })
}

/// A number of bytes: an integer, or a string such as `"32KiB"`.
pub(super) fn size(value: &DeValue<'_>) -> Result<u64, Problem> {
    let wrong = || Problem::new("not a size", SIZE_HELP);
    let text = match value {
        DeValue::String(text) => text,
        other => return integer(other).ok_or_else(wrong),
    };
    let (number, unit) = split_number(text).ok_or_else(wrong)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(bytes).ok_or_else(wrong)
}

/// An integer that is not negative.
pub(super) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// `number` if it lies in the range, or a problem that says the range.
pub(super) fn within(number: u64, least: usize, most: usize) -> Result<usize, Problem> {
    match usize::try_from(number) {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Problem::new("out of range", format!("write a number from {least} to {most}"))),
    }
}

/// A moment in milliseconds since the Unix epoch: a TOML date-time with offset, or an RFC 3339 string.
pub(super) fn moment(value: &DeValue<'_>) -> Result<i64, Problem> {
    match value {
        DeValue::Datetime(datetime) => match (datetime.date, datetime.time, datetime.offset) {
            (Some(_), Some(time), Some(_)) => {
                let mut text = datetime.to_string();
                // TOML allows the seconds to be left out, RFC 3339 does not.
                if time.second.is_none() && text.is_char_boundary(MINUTES_END) {
                    text.insert_str(MINUTES_END, ":00");
                }
                rfc3339(&text)
            }
            (Some(_), Some(_), None) => {
                Err(Problem::new("a time without an offset is another moment in each place", TIME_HELP))
            }
            _ => Err(Problem::new("only a part of a time", TIME_HELP)),
        },
        DeValue::String(text) => rfc3339(text),
        _ => Err(Problem::new("not a time", TIME_HELP)),
    }
}

/// The same, from an RFC 3339 string.
pub(super) fn rfc3339(text: &str) -> Result<i64, Problem> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| Problem::new("not a time", TIME_HELP))?;
    let millis = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(millis).map_err(|_| Problem::new("not a time", TIME_HELP))
}

/// A word that messages and references use for an object.
pub(super) fn name(text: &str) -> Result<String, Problem> {
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&text.len());
    if !fits || text.chars().any(char::is_control) || text.trim() != text {
        let help = format!(
            "write 1 to {} characters without controls or spaces at the ends",
            limits::NAME_BYTES_MAX
        );
        return Err(Problem::new("not a name", help));
    }
    Ok(text.to_owned())
}

/// The state of a key.
pub(super) fn key_state(text: &str) -> Result<KeyState, Problem> {
    Ok(match text {
        "pending" => KeyState::Pending,
        "active" => KeyState::Active,
        "deprecated" => KeyState::Deprecated,
        "retired" => KeyState::Retired,
        "revoked" => KeyState::Revoked,
        _ => {
            let help = r#"write "pending", "active", "deprecated", "retired" or "revoked""#;
            return Err(Problem::new("not a state", help));
        }
    })
}

/// Digits and what follows them. No sign, no point, no space.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, rfc3339};

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("365d"), Ok(super::DURATION_MAX));
        for wrong in ["", "5", "s", "5 s", "-5s", "+5s", "1.5s", "0s", "99ms", "366d", "5S", "1m30s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration("99999999999999999999d").is_err() && duration("18446744073709551615d").is_err());
    }

    #[test]
    fn moments() {
        assert_eq!(rfc3339("1970-01-01T00:00:01.5Z"), Ok(1_500));
        assert_eq!(rfc3339("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(rfc3339("1970-01-01").is_err());
    }
}
