//! Numbers that look random and are the same in each run (SplitMix64), and what is made of them.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `count`, which is not in it.
    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// True once in `count`.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn one_of<T: Copy>(&mut self, members: &[T]) -> T {
        members[self.below(members.len())]
    }

    /// Up to `count_max` things.
    pub fn some<T>(&mut self, count_max: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(count_max + 1)).map(|_| make(self)).collect()
    }

    /// A path behind the alias, in normal form.
    pub fn path(&mut self) -> String {
        if self.once_in(20) {
            return String::new();
        }
        let segments = 1 + self.below(4);
        (0..segments).map(|_| format!("/{}", self.word())).collect()
    }

    fn word(&mut self) -> String {
        let letters = self.below(4);
        (0..letters).map(|_| self.one_of(&["a", "b", "ab", "1", "2", "-", "A"])).collect()
    }

    pub fn path_pattern(&mut self) -> String {
        let (path, word) = (self.path(), self.word());
        match self.below(24) {
            0..=4 => format!("^{path}"),
            5 => format!("^{path}/.*"),
            6 => format!("^{path}.*$"),
            7 | 8 => format!("^{path}$"),
            9 => path,
            10 => format!("{word}$"),
            11 => format!("^/[ab]+{path}"),
            12 => format!("^/.*{word}/"),
            13 => format!("(?i)^{path}"),
            14 => format!("^/({word}|b|1)/?"),
            15 => format!("^/({word}|2)$"),
            16 => ".*".to_owned(),
            17 => format!("\\b{word}\\b"),
            18 => "a{2,3}".to_owned(),
            19 => format!("^{path}|{word}$"),
            20 => "^(?:/[^/]*){2}$".to_owned(),
            21 => format!("(?m)^{path}$"),
            22 => format!("[^a]{word}"),
            _ => format!("^/.{{1,3}}/{word}"),
        }
    }

    pub fn name_pattern(&mut self) -> &'static str {
        self.one_of(&[
            "^x-a$",
            "^X-",
            "^a",
            "^X-B$",
            "X-a",
            "x-",
            "^x-[ab]$",
            ".",
            "^a$",
            "^a b$",
            "b",
            "^$",
            "^(?-i:X)-a$",
        ])
    }

    pub fn value_pattern(&mut self) -> &'static str {
        self.one_of(&[
            "^1$",
            "1",
            "^a.*$",
            "^a",
            "^(a|b)+$",
            ".*",
            "^$",
            "b$",
            "[^1]",
            "^a\\nb$",
            "(?s)^a.*$",
            "é",
        ])
    }
}
