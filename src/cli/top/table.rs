//! A report as lines of text: pure, for a screen of a size and for paper without one.

use std::cmp::Reverse;

use super::report::{Quantiles, Report, Series, Span};

/// Width of everything behind the two names.
const NUMBERS_WIDTH: usize = 55;
/// Least width of a name.
const NAME_WIDTH_MIN: usize = 8;
/// Lines above the rows.
const HEAD_LINES: usize = 4;

/// The whole table, as wide as its names.
pub(super) fn plain(report: &Report) -> String {
    let rows = rows(report);
    let width = |name: fn(&Series) -> String, least: usize| {
        rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0).max(least)
    };
    let widths = (width(proxy, "PROXY".len()), width(credential, "CREDENTIAL".len()));
    let mut text = head(report).join("\n");
    text.push_str("\n\n");
    text.push_str(&titles(widths));
    text.push('\n');
    for one in rows {
        text.push_str(&row(one, widths));
        text.push('\n');
    }
    text
}

/// As many lines as a screen has, none of them wider; `trouble` stands where nothing can be overlooked.
pub(super) fn fitting(
    report: &Report,
    trouble: Option<&str>,
    (width, height): (usize, usize),
) -> Vec<String> {
    let names = width.saturating_sub(NUMBERS_WIDTH + 1).max(2 * NAME_WIDTH_MIN);
    let widths = (names * 9 / 20, names - names * 9 / 20);
    let mut lines = head(report);
    lines.push(trouble.unwrap_or_default().to_owned());
    lines.push(titles(widths));
    let rows = rows(report);
    let room = height.saturating_sub(HEAD_LINES + 1);
    lines.extend(rows.iter().take(room).map(|one| row(one, widths)));
    let left = rows.len().saturating_sub(room);
    let more = if left > 0 { format!("{left} more; ") } else { String::new() };
    lines.truncate(height.saturating_sub(1));
    lines.push(format!("{more}q quits"));
    lines.iter().take(height).map(|line| line.chars().take(width).collect()).collect()
}

/// The busiest first.
fn rows(report: &Report) -> Vec<&Series> {
    let mut rows: Vec<_> = report.series.iter().collect();
    let millis = |rate: f64| (rate * 1_000.0) as u64;
    rows.sort_by_key(|one| (Reverse(millis(one.rate)), Reverse(one.total.requests)));
    rows
}

fn head(report: &Report) -> Vec<String> {
    let sum = |count: fn(&Span) -> u64| -> u64 {
        report.series.iter().filter_map(|one| one.latest.as_ref()).map(count).sum()
    };
    let rate = report.series.iter().fold(0.0, |sum, one| sum + one.rate); // the sum of nothing is -0.0
    let all = sum(|span| span.requests);
    let draining = if report.draining { "   DRAINING" } else { "" };
    let dropped = match report.access_log_dropped {
        0 => String::new(),
        lines => format!("   {lines} lines of the access log lost"),
    };
    vec![
        format!(
            "keyferry {}   up {}   generation {}   {} shards ({}){draining}",
            visible(&report.version),
            uptime(report.uptime_seconds),
            report.generation,
            report.shards,
            visible(&report.driver)
        ),
        format!(
            "{rate:.1} req/s   {} connections   401 {}   4xx {}   5xx {}{dropped}",
            report.connections,
            share(sum(Span::unauthorised), all),
            share(sum(|span| span.class(4)), all),
            share(sum(|span| span.class(5)), all),
        ),
    ]
}

fn titles((proxy, credential): (usize, usize)) -> String {
    format!(
        "{:<proxy$} {:<credential$} {:>7} {:>7} {:>5} {:>5} {:>5} {:>6} {:>6} {:>6}",
        "PROXY", "CREDENTIAL", "TOTAL", "REQ/S", "401", "4XX", "5XX", "P50", "P99", "AUTH99"
    )
}

fn row(one: &Series, (proxy_width, credential_width): (usize, usize)) -> String {
    let idle = Span::default();
    let latest = one.latest.as_ref().unwrap_or(&idle);
    let time = |quantiles: Option<Quantiles>, which: fn(&Quantiles) -> f64| {
        quantiles.as_ref().map_or_else(|| "-".to_owned(), |found| micros(which(found)))
    };
    format!(
        "{:<proxy_width$} {:<credential_width$} {:>7} {:>7} {:>5} {:>5} {:>5} {:>6} {:>6} {:>6}",
        cut(&proxy(one), proxy_width),
        cut(&credential(one), credential_width),
        count(one.total.requests as f64),
        if one.rate < 9_999.95 { format!("{:.1}", one.rate) } else { count(one.rate) },
        share(latest.unauthorised(), latest.requests),
        share(latest.class(4), latest.requests),
        share(latest.class(5), latest.requests),
        time(latest.latency_us, |found| found.p50),
        time(latest.latency_us, |found| found.p99),
        time(latest.authentication_us, |found| found.p99),
    )
}

fn proxy(one: &Series) -> String {
    one.proxy.as_deref().map_or_else(|| "(no proxy)".to_owned(), visible)
}

fn credential(one: &Series) -> String {
    one.credential.as_deref().map_or_else(|| "(not proved)".to_owned(), visible)
}

/// What a terminal would take for a command is shown as a question mark.
fn visible(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Of nothing there is no share.
fn share(part: u64, all: u64) -> String {
    match (part, all) {
        (_, 0) => "-".to_owned(),
        (0, _) => "0%".to_owned(),
        _ => match 100.0 * part as f64 / all as f64 {
            percent if percent < 9.95 => format!("{percent:.1}%"),
            percent => format!("{percent:.0}%"),
        },
    }
}

/// At most seven characters.
fn count(count: f64) -> String {
    match count {
        _ if count < 999_999.5 => format!("{count:.0}"),
        _ if count < 999.5e6 => format!("{:.2}M", count / 1e6),
        _ if count < 999.5e9 => format!("{:.2}G", count / 1e9),
        _ => format!("{:.2}T", count / 1e12),
    }
}

/// At most six characters.
fn micros(micros: f64) -> String {
    match micros {
        _ if micros < 9.95 => format!("{micros:.1}µs"),
        _ if micros < 999.5 => format!("{micros:.0}µs"),
        _ if micros < 9_995.0 => format!("{:.2}ms", micros / 1e3),
        _ if micros < 999_500.0 => format!("{:.0}ms", micros / 1e3),
        _ if micros < 9_995_000.0 => format!("{:.2}s", micros / 1e6),
        _ => format!("{:.0}s", micros / 1e6),
    }
}

fn uptime(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let days = if days > 0 { format!("{days}d ") } else { String::new() };
    format!("{days}{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::{Report, Series, count, fitting, micros, plain, share};

    fn report(rows: usize) -> Report {
        let series: Vec<Series> = (0..rows)
            .map(|at| {
                let json = serde_json::json!({
                    "proxy": format!("proxy-with-a-long-name-{at}"), "credential": "partners", "rate": at,
                    "total": { "requests": 12_345_678_u64, "outcomes": {}, "classes": {} },
                    "latest": {
                        "requests": 200, "outcomes": { "key-unknown": 20, "forwarded": 180 },
                        "classes": { "2xx": 170, "4xx": 27, "5xx": 3 },
                        "latency_us": { "p50": 812.0, "p90": 0.0, "p99": 120_300.0, "max": 0.0 },
                        "authentication_us": { "p50": 0.2, "p90": 0.0, "p99": 0.64, "max": 0.0 },
                    },
                });
                serde_json::from_value(json).unwrap()
            })
            .collect();
        Report { series, version: "1.2.3\x1b[2J".into(), driver: "epoll".into(), ..Report::default() }
    }

    #[test]
    fn a_screen_is_never_overfull() {
        for (width, height) in [(80, 24), (200, 60), (20, 5), (1, 1), (0, 0)] {
            for rows in [0, 1, 19, 20, 100] {
                let lines = fitting(&report(rows), Some("nobody answers"), (width, height));
                assert!(lines.len() <= height, "{width}x{height}: {lines:#?}");
                assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
                assert!(!lines.concat().contains('\x1b'));
            }
        }
    }

    #[test]
    fn eighty_columns_show_every_number_and_the_busiest_first() {
        let lines = fitting(&report(30), None, (80, 24));
        assert_eq!(lines.len(), 24);
        assert!(lines[3].ends_with(" AUTH99"), "{lines:#?}");
        assert!(lines[4].ends_with(" 12.35M    29.0   10%   14%  1.5%  812µs  120ms  0.6µs"), "{lines:#?}");
        assert!(lines[5].contains(" 28.0 "));
        assert_eq!(lines[23], "11 more; q quits");
    }

    #[test]
    fn on_paper_nothing_is_cut() {
        let text = plain(&report(3));
        assert!(text.contains("\nproxy-with-a-long-name-2 partners "), "{text}");
        assert_eq!(text.lines().count(), 7, "{text}");
        let empty = plain(&Report::default());
        assert!(empty.contains("0.0 req/s   0 connections   401 -   4xx -   5xx -"), "{empty}");
        assert!(!empty.contains("-0.0"), "{empty}");
    }

    #[test]
    fn numbers_stay_within_their_columns() {
        for power in 0..14 {
            for factor in [1.0, 4.99, 9.949, 9.95, 9.995, 9.9999] {
                let number = factor * 10_f64.powi(power);
                assert!(count(number).chars().count() <= 7, "{}", count(number));
                let micros = micros(number / 1e4);
                assert!(micros.chars().count() <= 6, "{micros}");
            }
        }
        assert_eq!(
            [0, 1, 99, 995, 1000].map(|part| share(part, 1000)),
            ["0%", "0.1%", "9.9%", "100%", "100%"]
        );
        assert_eq!([0.25, 9.95, 1_000.0, 61_000_000.0].map(micros), ["0.2µs", "10µs", "1.00ms", "61s"]);
    }
}
