//! In which header fields a trusted proxy tells who its caller is.

/// The fields that a listener believes. A proxy writes those of one family, and passes on what its caller wrote into
/// those of the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrustedHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` and `X-Forwarded-Host` with it.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}
