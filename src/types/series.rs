//! Series: what requests are counted under. One for each pair of proxy and proved credential, one for each proxy
//! without a proved credential, and two that stand for the rest.
//!
//! `compile` gives the numbers, snapshots carry them, shards count by them, and names are looked up only where
//! somebody reads.

use std::sync::Arc;

/// The number of a series: the same for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeriesId(pub u32);

impl SeriesId {
    /// Requests that belong to no proxy.
    pub const UNROUTED: Self = Self(0);
    /// What found no number of its own any more.
    pub const OTHER: Self = Self(1);
}

/// A part of a series' name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// There is none: no proxy was found, or no credential was proved.
    None,
    /// This one.
    Named(Arc<str>),
    /// Several that are counted together.
    Other,
}

impl Label {
    /// As metrics show it.
    pub fn text(&self) -> &str {
        match self {
            Self::None => "",
            Self::Named(name) => name,
            Self::Other => "other",
        }
    }

    /// The name, if there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Named(_) | Self::Other => Some(self.text()),
        }
    }
}

/// What a series is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesName {
    /// The proxy.
    pub proxy: Label,
    /// The credential that was proved.
    pub credential: Label,
    /// The consumer that the credential belongs to.
    pub consumer: Option<Arc<str>>,
    /// How credentials of the series are checked; `"none"` where none was proved.
    pub scheme: &'static str,
}

impl SeriesName {
    /// The scheme where no credential was proved.
    pub const SCHEME_NONE: &'static str = "none";

    /// The names of [`SeriesId::UNROUTED`] and [`SeriesId::OTHER`], with which every list begins.
    pub fn first() -> [Self; 2] {
        let nobody =
            |proxy| Self { proxy, credential: Label::None, consumer: None, scheme: Self::SCHEME_NONE };
        [nobody(Label::None), Self { credential: Label::Other, ..nobody(Label::Other) }]
    }
}
