//! A regular expression of a rule: its text, and what was read from it.
//!
//! It matches bytes: `.` is any byte but a line end, `\w` and its like are ASCII. It is searched for: `^` and `$` tie
//! it to the ends. It does no matching itself; `snapshot` makes automata of it. The text may be a secret, so that
//! `Debug` shows nothing of it.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use regex_syntax::{
    ParserBuilder,
    hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition},
};

use crate::limits::PATTERN_NESTING_MAX;

/// Whether the case of letters counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// It does.
    Counts,
    /// It does not.
    Ignored,
}

/// A pattern that was read.
#[derive(Clone)]
pub struct Pattern(Arc<Read>);

/// What a pattern comes down to, where that is less than an automaton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// It matches everything.
    Any,
    /// It matches this text alone.
    Exact(Box<[u8]>),
    /// It matches whatever begins with this.
    Prefix(Box<[u8]>),
    /// None of these.
    Other,
}

struct Read {
    text: Box<str>,
    case: Case,
    hir: Hir,
    line_shape: Shape,
    text_shape: Shape,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong, and where, without a word of the pattern.
    pub fn parse(text: &str, case: Case) -> Result<Self, String> {
        let mut parser = ParserBuilder::new();
        parser.unicode(false).utf8(false).nest_limit(PATTERN_NESTING_MAX);
        parser.case_insensitive(case == Case::Ignored);
        match parser.build().parse(text) {
            Ok(hir) => {
                let (line_shape, text_shape) = (shape(&hir, case, false), shape(&hir, case, true));
                Ok(Self(Arc::new(Read { text: text.into(), case, hir, line_shape, text_shape })))
            }
            Err(error) => Err(sentence(&error)),
        }
    }

    /// The pattern as it was written. It may be a secret.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether the case of letters counts.
    pub fn case(&self) -> Case {
        self.0.case
    }

    /// What it comes down to for texts without line ends, as paths and fields are. Where case is ignored, the bytes
    /// are in lower case.
    pub fn line_shape(&self) -> &Shape {
        &self.0.line_shape
    }

    /// The same for any texts, such as decoded queries.
    pub fn text_shape(&self) -> &Shape {
        &self.0.text_shape
    }

    /// What was read from it.
    pub fn hir(&self) -> &Hir {
        &self.0.hir
    }

    /// A match of it anywhere in a text as a match of the whole text.
    pub fn anywhere(&self) -> Hir {
        let begins = self.hir().properties().look_set_prefix().contains(Look::Start);
        let front = (!begins).then(anything);
        Hir::concat(front.into_iter().chain([self.hir().clone(), anything()]).collect())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (self.text(), self.case()) == (other.text(), other.case())
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.text(), self.case()).hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pattern(…)")
    }
}

/// `(?s-u:.)*`
fn anything() -> Hir {
    let byte = Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(0, u8::MAX)])));
    Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(byte) })
}

/// The kinds of error are sentences of their own; the errors' own `Display` quotes the pattern over several lines.
fn sentence(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => {
            format!("at its character {}: {}", error.span().start.column, error.kind())
        }
        regex_syntax::Error::Translate(error) => {
            format!("at its character {}: {}", error.span().start.column, error.kind())
        }
        _ => "it cannot be read".to_owned(),
    }
}

fn shape(hir: &Hir, case: Case, lines: bool) -> Shape {
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let (start, rest) = match parts.split_first() {
        Some((first, rest)) if is_look(first, Look::Start) => (true, rest),
        _ => (false, parts.as_slice()),
    };
    let (end, rest) = match rest.split_last() {
        Some((last, rest)) if is_look(last, Look::End) => (true, rest),
        _ => (false, rest),
    };
    let literals = rest.iter().position(|part| literal(part, case).is_none()).unwrap_or(rest.len());
    let (literals, tail) = rest.split_at(literals);
    let bytes: Box<[u8]> = literals.iter().filter_map(|part| literal(part, case)).flatten().collect();
    // In front of `$`, `.*` has to get past line ends.
    let open = tail.iter().all(|part| is_anything(part, end && lines));
    match (start, end) {
        _ if !open => Shape::Other,
        (true, true) if tail.is_empty() => Shape::Exact(bytes),
        _ if bytes.is_empty() => Shape::Any,
        (true, _) => Shape::Prefix(bytes),
        (false, _) => Shape::Other,
    }
}

/// The parts that follow one another, without groups.
fn flatten<'h>(hir: &'h Hir, parts: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Concat(members) => members.iter().for_each(|member| flatten(member, parts)),
        HirKind::Capture(group) => flatten(&group.sub, parts),
        _ => parts.push(hir),
    }
}

fn is_look(hir: &Hir, wanted: Look) -> bool {
    matches!(hir.kind(), HirKind::Look(look) if *look == wanted)
}

/// The bytes of a literal; without case, of letters that stand in a class with their other case.
fn literal(hir: &Hir, case: Case) -> Option<Vec<u8>> {
    match (hir.kind(), case) {
        (HirKind::Literal(literal), Case::Counts) => Some(literal.0.to_vec()),
        (HirKind::Literal(literal), Case::Ignored) => {
            let caseless = !literal.0.iter().any(u8::is_ascii_alphabetic);
            caseless.then(|| literal.0.to_vec())
        }
        (HirKind::Class(Class::Bytes(class)), Case::Ignored) => match class.ranges() {
            [upper, lower]
                if upper.start() == upper.end()
                    && lower.start() == lower.end()
                    && upper.start().is_ascii_uppercase()
                    && upper.start().to_ascii_lowercase() == lower.start() =>
            {
                Some(vec![lower.start()])
            }
            _ => None,
        },
        _ => None,
    }
}

/// `.*`, or the same of a class that holds more; `(?s:.)*` where line ends may come.
fn is_anything(hir: &Hir, lines: bool) -> bool {
    let HirKind::Repetition(repetition) = hir.kind() else { return false };
    let HirKind::Class(Class::Bytes(class)) = repetition.sub.kind() else { return false };
    let holds = |byte: u8| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte));
    let every = (0..=u8::MAX).all(|byte| holds(byte) || (byte == b'\n' && !lines));
    repetition.min == 0 && repetition.max.is_none() && every
}

#[cfg(test)]
mod tests {
    use super::{Case, Pattern, Shape};

    #[test]
    fn simple_patterns_are_known_for_what_they_are() {
        let shape = |text: &str, case| Pattern::parse(text, case).expect(text).line_shape().clone();
        let prefix = |text: &str| Shape::Prefix(text.as_bytes().into());
        let exact = |text: &str| Shape::Exact(text.as_bytes().into());
        for (text, expected) in [
            ("^/v2/", prefix("/v2/")),
            ("^/v2/.*", prefix("/v2/")),
            ("^/v2/.*?$", prefix("/v2/")),
            ("^(/v2)(/.*)$", prefix("/v2/")),
            ("^/a\\.b$", exact("/a.b")),
            ("^/health$", exact("/health")),
            ("\\A/health\\z", exact("/health")),
            ("^$", exact("")),
            ("", Shape::Any),
            ("^", Shape::Any),
            ("$", Shape::Any),
            (".*", Shape::Any),
            ("^.*$", Shape::Any),
            ("(?s).*", Shape::Any),
            (".+", Shape::Other),
            ("/v2/", Shape::Other),
            ("/v2/.*", Shape::Other),
            ("^/v2/.+", Shape::Other),
            ("^/v./", Shape::Other),
            ("(?m)^/v2/", Shape::Other),
            ("(?i)^/v2/", Shape::Other),
            ("^/a|/b", Shape::Other),
            ("^.*/v2/", Shape::Other),
            ("a^b", Shape::Other),
        ] {
            assert_eq!(shape(text, Case::Counts), expected, "{text}");
        }
        let text = Pattern::parse("^a.*$", Case::Counts).expect("a pattern");
        assert_eq!(*text.text_shape(), Shape::Other, "a line end may follow");
        assert_eq!(shape("^X-User-2$", Case::Ignored), exact("x-user-2"));
        assert_eq!(shape("^X-(?-i:User)$", Case::Ignored), Shape::Other);
    }

    #[test]
    fn errors_are_one_line_that_shows_nothing() {
        for text in ["(hunter2", "hunter2[", "hunter2{2,1}", "(?<a>hunter2)(?<a>)", "hunter2\\q", "hunter2\\"]
        {
            let sentence = Pattern::parse(text, Case::Counts).expect_err(text);
            assert!(!sentence.contains('\n') && !sentence.contains("hunter2"), "{sentence}");
        }
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        assert!(Pattern::parse(&deep, Case::Counts).is_err());
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let pattern = Pattern::parse("^hunter2$", Case::Counts).expect("a pattern");
        assert_eq!(format!("{pattern:?}"), "Pattern(…)");
        assert_ne!(pattern, Pattern::parse("^hunter2$", Case::Ignored).expect("a pattern"));
    }
}
