//! A small set of field names, asked about for every field of every head.
//!
//! Names match without case, and `_` is taken for `-`: some APIs cannot tell `X_User` from `X-User`, so a name
//! that only differs in that is treated as the same one.

/// A set of field names.
#[derive(Debug, Clone, Default)]
pub struct NameSet {
    /// Bit `n` is set when a name of `n` bytes is in the set (the last bit: of 63 or more).
    lengths: u64,
    names: Box<[Box<[u8]>]>,
}

impl NameSet {
    /// The set of these names.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut all: Vec<Box<[u8]>> =
            names.into_iter().map(|name| name.bytes().map(fold).collect()).collect();
        all.sort_unstable();
        all.dedup();
        let lengths = all.iter().fold(0, |bits, name| bits | bit(name.len()));
        Self { lengths, names: all.into_boxed_slice() }
    }

    /// Whether the set holds this name.
    #[inline]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.lengths & bit(name.len()) != 0 && self.names.iter().any(|known| same(known, name))
    }
}

fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

const fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

fn same(folded: &[u8], name: &[u8]) -> bool {
    folded.len() == name.len() && folded.iter().zip(name).all(|(&known, &byte)| known == fold(byte))
}

#[cfg(test)]
mod tests {
    use super::NameSet;

    #[test]
    fn case_and_underscores_make_no_difference() {
        let set = NameSet::new(["X-Consumer-Id", "authorization"]);
        for name in ["x-consumer-id", "X_CONSUMER_ID", "X-Consumer_Id", "Authorization"] {
            assert!(set.contains(name.as_bytes()), "{name}");
        }
        for name in ["x-consumer-i", "x-consumer-ids", "xconsumer--id", ""] {
            assert!(!set.contains(name.as_bytes()), "{name}");
        }
    }
}
