//! Objects by name: who declared a name, what it stands for, and whether anyone uses it.

use std::collections::HashMap;

use super::super::{
    raw::Table,
    report::{Place, Problem, Report},
    suggest::nearest,
    value,
};

/// Names longer than this list are still found, but not offered as "did you mean".
const SUGGESTIONS_FROM_MAX: usize = 1_000;

/// The names of one sort of object, with the place of each.
#[derive(Default)]
pub(super) struct Names(HashMap<String, Place>);

/// A name that an object was given; empty if it was given none that can be used.
pub(super) struct Name {
    /// The name.
    pub text: String,
    place: Place,
}

/// Objects in the order of their declaration, found by name.
pub(super) struct Directory<T> {
    entries: Vec<Entry<T>>,
    positions: HashMap<String, usize>,
}

struct Entry<T> {
    name: Name,
    object: T,
    broken: Option<String>,
    used: bool,
}

impl Names {
    /// Reads `name` of a table, which no other table of this sort may have.
    pub fn claim(&mut self, table: &mut Table<'_>, report: &mut Report) -> Name {
        let nameless = Name { text: String::new(), place: table.place() };
        let Some(value) = table.require("name", r#"write name = "…""#, report) else { return nameless };
        let Some(text) = value.convert(report, value::name) else { return nameless };
        let place = value.place();
        if let Some(first) = self.0.get(&text) {
            let message = format!("the name is already taken at {}", report.locate(*first));
            value.error(Problem::new(message, "give each its own name"), report);
            return nameless;
        }
        self.0.insert(text.clone(), place);
        Name { text, place }
    }

    /// Whether anything has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl<T> Directory<T> {
    /// Adds an object; `broken` is the sentence that says why it cannot be used.
    pub fn declare(&mut self, name: Name, object: T, broken: Option<String>) {
        if !name.text.is_empty() {
            self.positions.insert(name.text.clone(), self.entries.len());
        }
        self.entries.push(Entry { name, object, broken, used: false });
    }

    /// The position of an object.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// The object at a position.
    pub fn get(&self, position: usize) -> Option<&T> {
        self.entries.get(position).map(|entry| &entry.object)
    }

    /// The position of an object that is about to be used, or the sentence that says why it cannot be.
    pub fn refer(&mut self, name: &str) -> Option<Result<usize, &str>> {
        let position = self.find(name)?;
        let entry = self.entries.get_mut(position)?;
        entry.used = true;
        Some(entry.broken.as_deref().map_or(Ok(position), Err))
    }

    /// The name that was probably meant.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        nearest(name, self.positions.keys().take(SUGGESTIONS_FROM_MAX).map(String::as_str))
    }

    /// Names and places of what nobody refers to.
    pub fn unused(&self) -> impl Iterator<Item = (&str, Place)> {
        let unused = self.entries.iter().filter(|entry| !entry.used && !entry.name.text.is_empty());
        unused.map(|entry| (entry.name.text.as_str(), entry.name.place))
    }

    /// Every object, with its name and where that is.
    pub fn objects(&self) -> impl Iterator<Item = (&str, Place, &T)> {
        self.entries.iter().map(|entry| (entry.name.text.as_str(), entry.name.place, &entry.object))
    }

    /// The objects themselves, each at its position.
    pub fn into_objects(self) -> Vec<T> {
        self.entries.into_iter().map(|entry| entry.object).collect()
    }
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), positions: HashMap::new() }
    }
}
