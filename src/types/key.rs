//! What a stored key is: the digest that verifies it, its state, and the time in which it counts.

/// The SHA-256 digest of a caller's key.
pub type Digest = [u8; 32];

/// Where a key is in its life. Only `Active` and `Deprecated` keys are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum KeyState {
    /// Known, not yet accepted.
    Pending,
    /// Accepted.
    #[default]
    Active,
    /// Accepted; its end has been announced.
    Deprecated,
    /// No longer accepted; can be made active again.
    Retired,
    /// Refused for good.
    Revoked,
}

impl KeyState {
    /// The word that files, answers and people use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

/// The time in which a key counts, in milliseconds since the Unix epoch: `not_before ≤ now < expires`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First moment at which the key counts.
    pub not_before: i64,
    /// First moment at which it no longer does.
    pub expires: i64,
}

impl Window {
    /// No limit on either side.
    pub const ALWAYS: Self = Self { not_before: i64::MIN, expires: i64::MAX };
}

impl Default for Window {
    fn default() -> Self {
        Self::ALWAYS
    }
}

/// The digest that 64 hexadecimal digits spell, in either case.
pub fn digest_from_hex(text: &[u8]) -> Option<Digest> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut digest = [0u8; 32];
    // One check at the end: a digit that is none has a bit above the lower four.
    let mut wrong = 0;
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (HEX[pair[0] as usize], HEX[pair[1] as usize]);
        wrong |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (wrong < 0x10).then_some(digest)
}

/// Value of each byte as a hexadecimal digit, 0xff for those that are none.
const HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::digest_from_hex;

    #[test]
    fn digests() {
        let text = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abF8";
        assert_eq!(
            digest_from_hex(text.as_bytes()).map(|digest| (digest[0], digest[31])),
            Some((0x70, 0xf8))
        );
        assert_eq!(digest_from_hex(&text.as_bytes()[..63]), None);
        for at in 0..64 {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = b'g';
            assert_eq!(digest_from_hex(&wrong), None);
        }
    }
}
