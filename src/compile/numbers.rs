//! Numbers that stay the same from one snapshot to the next, so that counters survive a reload, and that are given
//! out again only when no shard can use them in their old meaning any more.

use std::collections::{HashMap, VecDeque};

/// When a number may be given out again.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// The generation that is being made.
    pub generation: u64,
    /// The oldest generation that a shard may still look at.
    pub settled: u64,
}

impl Epoch {
    /// Of a first snapshot.
    pub const FIRST: Self = Self { generation: 1, settled: 0 };
}

/// Gives numbers out, the smallest first, and takes them back.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    next: u32,
    /// Numbers that were taken back, each with the generation that does without it; the oldest first.
    free: VecDeque<(u64, u32)>,
    /// Numbers that were given out again since this was last asked.
    recycled: Vec<u32>,
}

impl Numbers {
    pub(super) fn take(&mut self, epoch: Epoch) -> u32 {
        if let Some((_, number)) = self.free.pop_front_if(|(freed_in, _)| *freed_in <= epoch.settled) {
            self.recycled.push(number);
            return number;
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }

    pub(super) fn give_back(&mut self, number: u32, epoch: Epoch) {
        self.free.push_back((epoch.generation, number));
    }

    /// Numbers that mean something else from now on.
    pub(super) fn take_recycled(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.recycled)
    }

    /// One more than the largest number that was ever given out.
    pub(super) fn end(&self) -> u32 {
        self.next
    }
}

/// Numbers of names.
#[derive(Debug, Clone, Default)]
pub(super) struct NumberedNames {
    numbers: Numbers,
    by_name: HashMap<String, u32>,
}

impl NumberedNames {
    /// Keeps the numbers of these names, gives one to each that is new, and takes back those of all others.
    pub(super) fn assign<'n>(&mut self, names: impl Iterator<Item = &'n str>, epoch: Epoch) {
        let mut by_name = HashMap::with_capacity(self.by_name.len());
        let mut new = Vec::new();
        for name in names {
            match self.by_name.remove(name) {
                Some(number) => drop(by_name.insert(name.to_owned(), number)),
                None => new.push(name),
            }
        }
        self.by_name.drain().for_each(|(_, number)| self.numbers.give_back(number, epoch));
        for name in new {
            by_name.entry(name.to_owned()).or_insert_with(|| self.numbers.take(epoch));
        }
        self.by_name = by_name;
        self.numbers.take_recycled(); // nothing is counted under these
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn end(&self) -> u32 {
        self.numbers.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{Epoch, NumberedNames};

    fn epoch(generation: u64, settled: u64) -> Epoch {
        Epoch { generation, settled }
    }

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = NumberedNames::default();
        names.assign(["a", "b"].into_iter(), epoch(1, 0));
        names.assign(["c", "b"].into_iter(), epoch(2, 1));
        assert_eq!(names.number("b"), Some(1));
        assert_eq!(names.number("a"), None);
    }

    #[test]
    fn a_number_is_given_out_again_when_no_shard_uses_it() {
        let mut names = NumberedNames::default();
        names.assign(["a"].into_iter(), epoch(1, 0));
        names.assign([].into_iter(), epoch(2, 1));
        names.assign(["b"].into_iter(), epoch(3, 1)); // a shard may still look at generation 1
        assert_eq!(names.number("b"), Some(1));
        names.assign(["b", "c"].into_iter(), epoch(4, 2));
        assert_eq!(names.number("c"), Some(0));
    }
}
