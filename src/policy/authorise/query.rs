//! The pairs of a query as rules see them: percent-decoded, `+` for a space, each pair apart.
//!
//! They are decoded when the first rule asks, into memory that is kept, so that a request that nobody asks about
//! costs nothing and one that is asked about allocates nothing once the memory is large enough.

use std::ops::Range;

/// The pairs of one request.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    decoded: bool,
    bytes: Vec<u8>,
    pairs: Vec<(Range<usize>, Range<usize>)>,
}

impl Pairs {
    /// Forgets the request before.
    #[inline]
    pub fn forget(&mut self) {
        self.decoded = false;
    }

    /// Names and values of a query, which is the same until [`Self::forget`].
    pub fn of<'p>(&'p mut self, query: &[u8]) -> impl Iterator<Item = (&'p [u8], &'p [u8])> + use<'p> {
        if !self.decoded {
            self.decode(query);
        }
        let slice = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.pairs.iter().map(move |(name, value)| (slice(name), slice(value)))
    }

    fn decode(&mut self, query: &[u8]) {
        self.bytes.clear();
        self.pairs.clear();
        self.decoded = true;
        for pair in query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = pair.split_at(equals);
            let name = self.text(name);
            let value = self.text(value.get(1..).unwrap_or_default());
            self.pairs.push((name, value));
        }
    }

    fn text(&mut self, mut encoded: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        while let Some((&byte, rest)) = encoded.split_first() {
            let (decoded, rest) = match (byte, rest) {
                (b'+', rest) => (b' ', rest),
                (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, after),
                    _ => (byte, rest),
                },
                (byte, rest) => (byte, rest),
            };
            self.bytes.push(decoded);
            encoded = rest;
        }
        start..self.bytes.len()
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::Pairs;

    #[test]
    fn pairs_are_decoded_each_for_itself() {
        let mut pairs = Pairs::default();
        for (query, expected) in [
            ("", &[][..]),
            ("&&", &[]),
            ("a", &[("a", "")]),
            ("a=1&b=2=3&=4", &[("a", "1"), ("b", "2=3"), ("", "4")]),
            ("a+b=%41%2b%26&a%3Db", &[("a b", "A+&"), ("a=b", "")]),
            ("a=%4&b=%zz%", &[("a", "%4"), ("b", "%zz%")]),
        ] {
            pairs.forget();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            for _ in 0..2 {
                let found: Vec<_> =
                    pairs.of(query.as_bytes()).map(|(name, value)| (text(name), text(value))).collect();
                let expected: Vec<_> =
                    expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
                assert_eq!(found, expected, "{query}");
            }
        }
    }
}
