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
