//! The trailer section after it was decoded: `Name: value` lines, back as fields.
//!
//! `Decoder` has judged them; this only takes them apart again, for the stage that decides which to forward.

use super::fields::Line;
use crate::protocol::http::{FieldRef, Kind};

/// The fields in lines that `Decoder::decode` wrote. It stops at the first byte that is no such line.
pub fn parse_trailers(lines: &[u8]) -> impl Iterator<Item = FieldRef<'_>> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let line = Line::parse(rest).ok()?;
        rest = line.rest;
        Some(FieldRef { name: line.name, value: line.value, kind: Kind::of(line.name) })
    })
}
