//! The text format of OpenMetrics 1.0: families, samples, labels, and an end.
//!
//! It knows no metric; `admin` says which there are. What a family is called and of which kind it is decides what
//! its samples are called, so that a text made here is well-formed whatever the values and labels are.

use std::fmt::Write as _;

use super::histogram::Counts;

/// What is put in front of every name.
const PREFIX: &str = "keyferry_";

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts of values up to bounds.
    Histogram,
    /// A text in labels.
    Info,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }

    /// What is put behind the name of a sample.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge | Self::Histogram => "",
            Self::Info => "_info",
        }
    }
}

/// A text that is being written.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a family. `unit` is the end of its name, if it has one.
    pub fn family(&mut self, name: &'static str, kind: Kind, unit: &'static str, help: &str) -> Family<'_> {
        let text = &mut self.text;
        let _ = writeln!(text, "# TYPE {PREFIX}{name} {}", kind.word());
        if !unit.is_empty() {
            debug_assert!(name.ends_with(unit), "the unit is the end of the name");
            let _ = writeln!(text, "# UNIT {PREFIX}{name} {unit}");
        }
        let _ = write!(text, "# HELP {PREFIX}{name} ");
        escape(text, help);
        text.push('\n');
        Family { text, name, kind }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

/// One family: each of its samples has other labels than the ones before.
pub struct Family<'e> {
    text: &'e mut String,
    name: &'static str,
    kind: Kind,
}

impl Family<'_> {
    /// Writes a whole number.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.write(self.kind.suffix(), labels, &value);
    }

    /// Writes a number.
    pub fn real(&mut self, labels: &[(&str, &str)], value: f64) {
        self.write(self.kind.suffix(), labels, &value);
    }

    /// Writes a histogram of seconds. Bounds are ascending texts and what they say in nanoseconds.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[(&str, u64)], counts: &Counts) {
        let mut values = counts.values().peekable();
        let mut count = 0;
        for (bound, nanos) in bounds {
            while let Some((_, times)) = values.next_if(|(value, _)| value <= nanos) {
                count += times;
            }
            self.write("_bucket", &[labels, &[("le", bound)]].concat(), &count);
        }
        count += values.map(|(_, times)| times).sum::<u64>();
        self.write("_bucket", &[labels, &[("le", "+Inf")]].concat(), &count);
        self.write("_count", labels, &count);
        self.write("_sum", labels, &(counts.sum() as f64 / 1e9));
    }

    fn write(&mut self, suffix: &str, labels: &[(&str, &str)], value: &dyn std::fmt::Display) {
        let _ = write!(self.text, "{PREFIX}{}{suffix}", self.name);
        let mut mark = '{';
        for (name, content) in labels {
            let _ = write!(self.text, "{mark}{name}=\"");
            escape(self.text, content);
            self.text.push('"');
            mark = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Writes a label's value or a help text: backslash, quote and line end are escaped.
fn escape(text: &mut String, content: &str) {
    for character in content.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exposition, Kind};
    use crate::telemetry::{Counts, histogram::Latencies};

    #[test]
    fn a_text_is_written_as_the_standard_says() {
        let mut text = Exposition::default();
        let mut family = text.family("requests", Kind::Counter, "", "Requests \"that\" ended.");
        family.sample(&[("proxy", "a\"b\\c\nd"), ("outcome", "x")], 3);
        let histogram = Latencies::default();
        [10, 1_500, 1_000_000_000_000].iter().for_each(|nanos| histogram.record(*nanos));
        let mut counts = Counts::default();
        histogram.add_to(&mut counts);
        let mut family = text.family("wait_seconds", Kind::Histogram, "seconds", "Waiting.");
        family.histogram(&[("a", "b")], &[("0.000001", 1_000), ("1.0", 1_000_000_000)], &counts);
        text.family("build", Kind::Info, "", "What it is.").sample(&[("version", "1")], 1);
        text.family("load", Kind::Gauge, "", "Load.").real(&[], 0.5);
        let expected = "\
# TYPE keyferry_requests counter
# HELP keyferry_requests Requests \\\"that\\\" ended.
keyferry_requests_total{proxy=\"a\\\"b\\\\c\\nd\",outcome=\"x\"} 3
# TYPE keyferry_wait_seconds histogram
# UNIT keyferry_wait_seconds seconds
# HELP keyferry_wait_seconds Waiting.
keyferry_wait_seconds_bucket{a=\"b\",le=\"0.000001\"} 1
keyferry_wait_seconds_bucket{a=\"b\",le=\"1.0\"} 2
keyferry_wait_seconds_bucket{a=\"b\",le=\"+Inf\"} 3
keyferry_wait_seconds_count{a=\"b\"} 3
keyferry_wait_seconds_sum{a=\"b\"} 1000.00000151
# TYPE keyferry_build info
# HELP keyferry_build What it is.
keyferry_build_info{version=\"1\"} 1
# TYPE keyferry_load gauge
# HELP keyferry_load Load.
keyferry_load 0.5
# EOF
";
        assert_eq!(text.finish(), expected);
    }
}
