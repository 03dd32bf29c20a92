//! What came of an experiment: rows for people, the same as JSON, and everything that was wrong.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Figures in the order in which they were added.
#[derive(Default)]
pub struct Figures {
    rows: Vec<(String, Value)>,
    wrong: Vec<String>,
}

impl Figures {
    pub fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.rows.push((name.to_owned(), value.into()));
    }

    /// Least, middle, 99th percentile and greatest, in milliseconds.
    pub fn spread(&mut self, name: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |share: f64| millis(percentile(&times, share));
        self.add(
            name,
            json!({ "min": at(0.0), "p50": at(0.5), "p99": at(0.99), "max": at(1.0), "n": times.len() }),
        );
    }

    /// Something that must be zero.
    pub fn must_be_zero(&mut self, name: &str, count: usize) {
        self.add(name, count);
        if count > 0 {
            self.wrong.push(format!("{name}: {count}"));
        }
    }

    /// Something that must hold.
    pub fn must(&mut self, sentence: &str, holds: bool) {
        if !holds {
            self.wrong.push(format!("not so: {sentence}"));
        }
    }

    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    pub fn print(&self, experiment: &str) {
        println!("\n| {experiment} | |\n|---|--:|");
        for (name, value) in &self.rows {
            match value.as_object() {
                Some(members) => {
                    let part = |member: &str| format!("{member} {}", members[member]);
                    let parts = ["min", "p50", "p99", "max", "n"].map(part);
                    println!("| {name}, ms | {} |", parts.join(", "));
                }
                None => println!("| {name} | {value} |"),
            }
        }
        self.wrong.iter().for_each(|line| println!("- WRONG: {line}"));
        let members: Map<_, _> = self.rows.iter().cloned().collect();
        println!("\n{}", json!({ "experiment": experiment, "right": self.is_right(), "figures": members }));
    }
}

/// Of sorted times; zero if there are none.
pub fn percentile(times: &[Duration], share: f64) -> Duration {
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// With two digits behind the point.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// In milliseconds, with three digits behind the point.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
