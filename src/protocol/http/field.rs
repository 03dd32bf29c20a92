//! The fields of a head: positions in its bytes, kept in a table that is reused for every head.
//!
//! The table owns no bytes; `Fields` joins it with the head it was filled from. Invariant: positions lie inside
//! the head they were made for, and are looked up with `get` so that a wrong pairing yields empty fields, not a panic.

use std::fmt;

use super::Kind;
use crate::limits::HEADERS_MAX;

/// Where one field lies in its head, and what its name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub(crate) name: u16,
    pub(crate) name_end: u16,
    pub(crate) value: u16,
    pub(crate) value_end: u16,
    pub(crate) kind: Kind,
}

const _: () = assert!(size_of::<Field>() <= 10);

impl Field {
    const EMPTY: Self = Self { name: 0, name_end: 0, value: 0, value_end: 0, kind: Kind::Other };
}

/// Room for the fields of one head. A shard has one per direction and never clears it.
#[derive(Debug)]
pub struct FieldTable {
    fields: [Field; HEADERS_MAX],
    len: usize,
}

impl FieldTable {
    /// An empty table.
    pub const fn new() -> Self {
        Self { fields: [Field::EMPTY; HEADERS_MAX], len: 0 }
    }

    /// Forgets the fields of the head before.
    #[inline]
    pub(crate) fn restart(&mut self) {
        self.len = 0;
    }

    /// Adds a field; `false` when `HEADERS_MAX` are there already.
    #[inline]
    pub(crate) fn push(&mut self, field: Field) -> bool {
        let Some(slot) = self.fields.get_mut(self.len) else { return false };
        *slot = field;
        self.len += 1;
        true
    }

    /// How many fields there are.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn filled(&self) -> &[Field] {
        self.fields.get(..self.len).unwrap_or_default()
    }
}

impl Default for FieldTable {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields of one head, in the order received. `Debug` shows names alone: values may be secrets.
#[derive(Clone, Copy)]
pub struct Fields<'b> {
    head: &'b [u8],
    table: &'b [Field],
}

/// One field: its name as received, its value without the whitespace around it. `Debug` shows the name alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldRef<'b> {
    /// The name, in the case received.
    pub name: &'b [u8],
    /// The value, without leading and trailing whitespace.
    pub value: &'b [u8],
    /// What the name means.
    pub kind: Kind,
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for FieldRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: …", self.name.escape_ascii())
    }
}

impl<'b> Fields<'b> {
    /// No fields.
    pub const EMPTY: Fields<'static> = Fields { head: &[], table: &[] };

    pub(crate) const fn new(head: &'b [u8], table: &'b [Field]) -> Self {
        Self { head, table }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Every field, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = FieldRef<'b>> + use<'b> {
        let head = self.head;
        self.table.iter().map(move |field| at(head, field))
    }

    /// The first field of a kind.
    #[inline]
    pub fn first(&self, kind: Kind) -> Option<FieldRef<'b>> {
        self.of(kind).next()
    }

    /// Every field of a kind, in order.
    #[inline]
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = FieldRef<'b>> + use<'b> {
        let head = self.head;
        self.table.iter().filter(move |field| field.kind == kind).map(move |field| at(head, field))
    }

    /// How many fields are of a kind.
    #[inline]
    pub fn count(&self, kind: Kind) -> usize {
        self.table.iter().filter(|field| field.kind == kind).count()
    }

    /// Every field of that name, in any case, in order.
    #[inline]
    pub fn by_name<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = FieldRef<'b>> + use<'b, 'n> {
        let head = self.head;
        self.table
            .iter()
            .filter(move |field| usize::from(field.name_end - field.name) == name.len())
            .map(move |field| at(head, field))
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
    }
}

#[inline]
fn at<'b>(head: &'b [u8], field: &Field) -> FieldRef<'b> {
    let slice = |start: u16, end: u16| head.get(usize::from(start)..usize::from(end)).unwrap_or_default();
    FieldRef {
        name: slice(field.name, field.name_end),
        value: slice(field.value, field.value_end),
        kind: field.kind,
    }
}
