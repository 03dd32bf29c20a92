//! A strict reader of OpenMetrics 1.0 text: whatever it accepts, a scraper accepts.
//!
//! It knows counters, gauges, histograms and infos, and nothing of what is counted.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample, by name.
pub type Labels = BTreeMap<String, String>;

/// A whole text.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Each family's type.
    pub families: BTreeMap<String, String>,
    samples: Vec<(String, Labels, f64)>,
}

/// One family while it is read.
struct Family {
    name: String,
    kind: String,
    had: BTreeSet<&'static str>,
    began: bool,
}

impl Metrics {
    /// Reads a text; whatever is wrong with it ends the test.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
        assert!(!body.contains("# EOF"), "EOF in the middle");
        let mut metrics = Self::default();
        let mut family: Option<Family> = None;
        for line in body.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# ") {
                metrics.describe(rest, &mut family);
            } else {
                let family = family.as_mut().unwrap_or_else(|| panic!("a sample before any TYPE: {line}"));
                metrics.sample(line, family);
            }
        }
        let unique: BTreeSet<_> =
            metrics.samples.iter().map(|(name, labels, _)| (name.clone(), labels.clone())).collect();
        assert_eq!(unique.len(), metrics.samples.len(), "a sample stands there twice");
        metrics.check_histograms();
        metrics
    }

    fn describe(&mut self, rest: &str, family: &mut Option<Family>) {
        let (word, rest) = rest.split_once(' ').expect("a word and more");
        let (name, value) = rest.split_once(' ').expect("a name and a value");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        if word == "TYPE" {
            assert!(["counter", "gauge", "histogram", "info"].contains(&value), "{value}");
            assert!(self.families.insert(name.into(), value.into()).is_none(), "{name} is there twice");
            let (name, kind) = (name.to_owned(), value.to_owned());
            *family = Some(Family { name, kind, had: BTreeSet::from(["TYPE"]), began: false });
            return;
        }
        let family = family.as_mut().expect("TYPE comes first");
        assert_eq!(family.name, name, "{word} of another family");
        assert!(!family.began, "{word} of {name} behind its samples");
        let word = match word {
            "UNIT" => "UNIT",
            "HELP" => "HELP",
            other => panic!("{other}"),
        };
        assert!(family.had.insert(word), "{word} of {name} is there twice");
        assert!(word != "UNIT" || name.ends_with(&format!("_{value}")), "{name} does not end with its unit");
    }

    fn sample(&mut self, line: &str, family: &mut Family) {
        family.began = true;
        let (name, labels, value) = split(line);
        let suffix = name.strip_prefix(&family.name).unwrap_or_else(|| panic!("{line}: not {}", family.name));
        let allowed: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            _ => &["_bucket", "_count", "_sum"],
        };
        assert!(allowed.contains(&suffix), "{line}: {suffix:?} of a {}", family.kind);
        assert!(value.is_finite() && (family.kind == "gauge" || value >= 0.0), "{line}");
        assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
        self.samples.push((name, labels, value));
    }

    /// Buckets ascend, counts rise, and the last one is the count.
    fn check_histograms(&self) {
        for (name, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut groups = BTreeMap::<Labels, Vec<(f64, f64)>>::new();
            for (_, labels, value) in self.of(&format!("{name}_bucket")) {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("it was looked at before");
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
                groups.entry(labels).or_default().push((bound, *value));
            }
            for (labels, buckets) in groups {
                assert!(
                    buckets.is_sorted_by(|one, two| one.0 < two.0 && one.1 <= two.1),
                    "{name} {labels:?}"
                );
                let last = buckets.last().expect("a group has members");
                assert_eq!(last.0, f64::INFINITY, "{name} {labels:?}");
                let count = self.value_of(&format!("{name}_count"), &labels);
                assert_eq!(Some(last.1), count, "{name} {labels:?}");
                assert!(self.value_of(&format!("{name}_sum"), &labels).is_some(), "{name} {labels:?}");
            }
        }
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &(String, Labels, f64)> {
        self.samples.iter().filter(move |(own, _, _)| own == name)
    }

    fn value_of(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.of(name).find(|(_, own, _)| own == labels).map(|(_, _, value)| *value)
    }

    /// The value of the sample with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.value_of(name, &labels)
    }

    /// Every sample of a name: labels and value.
    pub fn all(&self, name: &str) -> Vec<(Labels, f64)> {
        self.of(name).map(|(_, labels, value)| (labels.clone(), *value)).collect()
    }
}

/// Name, labels and value of a line.
fn split(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
    let mut labels = Labels::new();
    if rest.starts_with('{') {
        while !rest.starts_with('}') {
            let (label, behind) = rest[1..].split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            assert!(label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
            let (value, behind) = quoted(behind, line);
            assert!(labels.insert(label.into(), value).is_none(), "{line}: {label} twice");
            assert!(behind.starts_with([',', '}']), "{line}");
            rest = behind;
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    (name.into(), labels, value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
}

/// A value up to its closing quote, and what is behind it.
fn quoted<'t>(text: &'t str, line: &str) -> (String, &'t str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => '\n',
                Some(other @ ('"' | '\\')) => other,
                other => panic!("{line}: \\{other:?}"),
            }),
            other => value.push(other),
        }
    }
    panic!("{line}: no closing quote")
}
