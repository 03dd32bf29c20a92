//! Patterns that look as if a secret stands in them.

use regex_syntax::hir::{Hir, HirKind};

use super::{super::validate::plausible_bits, Place, warning};
use crate::config::Diagnostic;

/// Bits of chance in one word from which on it counts as a secret.
const BITS_MIN: f64 = 64.0;

pub(super) fn find(place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    for rule in &place.rules.list {
        let mut values = rule.headers.iter().chain(&rule.query).filter_map(|check| check.value.as_ref());
        if values.any(|value| holds_secret(value.hir())) {
            let message = "a secret seems to stand in the pattern of a value: it is stored as it is, and anyone who \
                           reads this file has it";
            let help = "let callers present it as a second credential, which is hashed and can be rotated";
            found.push(warning(&rule.origin, message.to_owned(), help));
        }
    }
}

fn holds_secret(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.split(|byte| !is_of_word(*byte)).any(is_secret),
        HirKind::Concat(members) | HirKind::Alternation(members) => members.iter().any(holds_secret),
        HirKind::Capture(group) => holds_secret(&group.sub),
        HirKind::Repetition(repetition) => holds_secret(&repetition.sub),
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_+".contains(&byte)
}

/// Words of a language have neither digits nor capitals in the middle.
fn is_secret(word: &[u8]) -> bool {
    let mixed = word.iter().any(u8::is_ascii_digit)
        || word.iter().skip(1).any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase);
    mixed && plausible_bits(word) >= BITS_MIN
}

#[cfg(test)]
mod tests {
    use super::holds_secret;
    use crate::types::{Case, Pattern};

    #[test]
    fn secrets_are_told_from_words() {
        let holds = |text: &str| holds_secret(Pattern::parse(text, Case::Counts).expect("a pattern").hir());
        for text in
            ["^pk-7Q2mZr9xW4vB8nK1$", "(a|0c6f43d8-5b1e-4f59-9d8a-3d2a4f0cbe71)", "^Bearer 7Q2mZr9xW4vB8nK1"]
        {
            assert!(holds(text), "{text}");
        }
        for text in [
            "^application/json; charset=utf-8$",
            "^2026-01-01$",
            "premium|enterprise",
            "^[0-9a-f]{32}$",
            ".*",
        ] {
            assert!(!holds(text), "{text}");
        }
    }
}
