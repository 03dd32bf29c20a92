//! The numbers of series, which stay the same from one snapshot to the next, by name.
//!
//! A number is never given to another series, so that counts of what was removed stay what they were. Proxies come
//! first; a pair for which there is no number any more counts under its proxy's "other".

use std::{collections::HashMap, sync::Arc};

use crate::{
    limits::{SERIES_MAX, SERIES_PAIRS_MAX},
    snapshot::ProxySeries,
    types::{Label, SeriesId, SeriesName},
};

/// How keys are checked.
const SCHEME: &str = "sha256";

/// The numbers that were given.
#[derive(Clone)]
pub(super) struct SeriesNumbers {
    numbers: HashMap<(Label, Label), SeriesId>,
    names: Vec<SeriesName>,
    /// The same, as snapshots have it; none when it has to be made anew.
    shared: Option<Arc<[SeriesName]>>,
    pairs_max: usize,
    max: usize,
}

impl Default for SeriesNumbers {
    fn default() -> Self {
        Self::bounded(SERIES_PAIRS_MAX, SERIES_MAX)
    }
}

impl SeriesNumbers {
    fn bounded(pairs_max: usize, max: usize) -> Self {
        Self { numbers: HashMap::new(), names: SeriesName::first().into(), shared: None, pairs_max, max }
    }

    /// Gives every proxy its number, before any pair takes one.
    pub(super) fn begin<'p>(&mut self, proxies: impl Iterator<Item = &'p str>) {
        for proxy in proxies {
            self.number(Label::Named(proxy.into()), Label::None, None, self.max);
        }
    }

    /// The series of a proxy and of the credentials that it accepts: number, name and consumer of each.
    pub(super) fn of<'p>(
        &mut self,
        proxy: &str,
        accepted: impl Iterator<Item = (u32, &'p str, Option<&'p str>)>,
    ) -> ProxySeries {
        let label = Label::Named(proxy.into());
        let all = self.max;
        let unproved = self.number(label.clone(), Label::None, None, all).unwrap_or(SeriesId::OTHER);
        let mut proved = Vec::new();
        for (number, name, consumer) in accepted {
            let own = self.number(label.clone(), Label::Named(name.into()), consumer, self.pairs_max);
            let series = own.or_else(|| self.number(label.clone(), Label::Other, None, all));
            proved.push((number, series.unwrap_or(SeriesId::OTHER)));
        }
        ProxySeries::new(unproved, proved)
    }

    /// All names, by number.
    pub(super) fn names(&mut self) -> Arc<[SeriesName]> {
        Arc::clone(self.shared.get_or_insert_with(|| self.names.as_slice().into()))
    }

    /// The number of a series; a new one as long as there are fewer than `max`.
    fn number(
        &mut self,
        proxy: Label,
        credential: Label,
        consumer: Option<&str>,
        max: usize,
    ) -> Option<SeriesId> {
        let key = (proxy, credential);
        if let Some(known) = self.numbers.get(&key) {
            let name = self.names.get_mut(known.0 as usize)?;
            if name.consumer.as_deref() != consumer {
                name.consumer = consumer.map(Arc::from);
                self.shared = None;
            }
            return Some(*known);
        }
        let next = SeriesId(u32::try_from(self.names.len()).ok().filter(|_| self.names.len() < max)?);
        let (proxy, credential) = key.clone();
        let scheme = if credential == Label::None { SeriesName::SCHEME_NONE } else { SCHEME };
        self.names.push(SeriesName { proxy, credential, consumer: consumer.map(Arc::from), scheme });
        self.numbers.insert(key, next);
        self.shared = None;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::SeriesNumbers;
    use crate::types::SeriesId;

    fn credentials(count: u32) -> Vec<(u32, String)> {
        (0..count).map(|number| (number, format!("c{number}"))).collect()
    }

    fn of(series: &mut SeriesNumbers, proxy: &str, accepted: &[(u32, String)]) -> Vec<u32> {
        let found = series.of(proxy, accepted.iter().map(|(number, name)| (*number, name.as_str(), None)));
        accepted.iter().map(|(number, _)| found.of(Some(*number)).0).chain([found.of(None).0]).collect()
    }

    fn texts(series: &mut SeriesNumbers, number: u32) -> (String, String, &'static str) {
        let name = &series.names()[number as usize];
        (name.proxy.text().into(), name.credential.text().into(), name.scheme)
    }

    #[test]
    fn numbers_stay_and_are_never_given_twice() {
        let mut series = SeriesNumbers::default();
        series.begin(["a", "b"].into_iter());
        assert_eq!(of(&mut series, "a", &credentials(2)), [4, 5, 2]);
        assert_eq!(of(&mut series, "b", &credentials(1)), [6, 3]);
        // The proxy "a" is gone, then comes back, with its credentials in other places.
        series.begin(["b", "c"].into_iter());
        assert_eq!(of(&mut series, "b", &credentials(1)), [6, 3]);
        assert_eq!(of(&mut series, "c", &credentials(1)), [8, 7]);
        let turned = [(0, "c1".to_owned()), (1, "c0".to_owned())];
        assert_eq!(of(&mut series, "a", &turned), [5, 4, 2]);
        assert_eq!(texts(&mut series, 4), ("a".into(), "c0".into(), "sha256"));
        assert_eq!(texts(&mut series, 2), ("a".into(), String::new(), "none"));
        assert_eq!(texts(&mut series, 0), (String::new(), String::new(), "none"));
        assert!(std::sync::Arc::ptr_eq(&series.names(), &series.names()), "nothing is made anew");
    }

    #[test]
    fn at_the_bound_pairs_are_counted_together() {
        let mut series = SeriesNumbers::bounded(5, 7);
        series.begin(["a", "b"].into_iter());
        assert_eq!(of(&mut series, "a", &credentials(3)), [4, 5, 5, 2]);
        assert_eq!(texts(&mut series, 5), ("a".into(), "other".into(), "sha256"));
        assert_eq!(of(&mut series, "b", &credentials(2)), [6, 6, 3]);
        assert_eq!(texts(&mut series, 6), ("b".into(), "other".into(), "sha256"));
        // Not even a proxy finds a number now; those that have one keep it.
        series.begin(["c"].into_iter());
        assert_eq!(of(&mut series, "c", &credentials(1)), [1, 1]);
        assert_eq!(texts(&mut series, SeriesId::OTHER.0), ("other".into(), "other".into(), "none"));
        assert_eq!(of(&mut series, "a", &credentials(3)), [4, 5, 5, 2]);
    }

    #[test]
    fn a_consumer_is_the_one_of_the_last_snapshot() {
        let mut series = SeriesNumbers::default();
        for consumer in [Some("x"), Some("y"), None] {
            let found = series.of("a", [(0, "c", consumer)].into_iter());
            let number = found.of(Some(0)).0 as usize;
            assert_eq!(series.names()[number].consumer.as_deref(), consumer);
        }
    }
}
