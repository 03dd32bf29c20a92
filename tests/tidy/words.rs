//! Which words a file may hold, where `unsafe` may stand, and what must be said.

use super::source::{Attribute, Token, attributes, blank, tokens, words};

/// The forbidden words in a file's code.
pub fn named(name: &str, text: &str, forbidden: &[&str]) -> Vec<String> {
    let finding = |(line, text): (usize, &str)| {
        let word = words(text).find(|word| forbidden.contains(word))?;
        Some(format!("{name}:{}: `{word}` is not named here", line + 1))
    };
    blank(text).lines().enumerate().filter_map(finding).collect()
}

/// A file without its own tests, which stand at its end.
pub fn without_tests(text: &str) -> &str {
    text.rfind("#[cfg(test)]").map_or(text, |at| &text[..at])
}

pub fn misplaced_unsafe(name: &str, text: &str, allowed: bool) -> Vec<String> {
    let code = blank(text);
    let here = words(&code).any(|word| word == "unsafe");
    match (here, allowed) {
        (true, false) => vec![format!("{name}: `unsafe` does not belong here")],
        (true, true) if !exempts_unsafe(text) => {
            vec![format!("{name}: `unsafe` without `#![allow(unsafe_code, reason = …)]`")]
        }
        _ => Vec::new(),
    }
}

fn exempts_unsafe(text: &str) -> bool {
    attributes(text).iter().any(|attribute| {
        attribute.text.starts_with("#![allow(")
            && words(&attribute.text).any(|word| word == "unsafe_code")
            && words(&attribute.text).any(|word| word == "reason")
    })
}

pub fn missing_description(name: &str, text: &str) -> Vec<String> {
    let said = text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 12);
    if said { Vec::new() } else { vec![format!("{name}: the first line does not say what the file is")] }
}

pub fn unfinished(name: &str, text: &str) -> Vec<String> {
    let tokens = tokens(&blank(text));
    let finding = |pair: &[Token]| {
        let macro_call =
            matches!(pair[0].text.as_str(), "todo" | "unimplemented" | "dbg") && pair[1].text == "!";
        macro_call.then(|| format!("{name}:{}: `{}!`", pair[0].line, pair[0].text))
    };
    let markers = text.lines().enumerate().filter_map(|(line, text)| {
        let marker = [concat!("FIX", "ME"), concat!("XX", "X")]
            .into_iter()
            .find(|marker| words(text).any(|word| word == *marker))?;
        Some(format!("{name}:{}: {marker}", line + 1))
    });
    tokens.windows(2).filter_map(finding).chain(markers).collect()
}

pub fn exemptions_without_reason(name: &str, text: &str) -> Vec<String> {
    let finding = |attribute: Attribute| {
        let exempts = ["#[allow(", "#![allow(", "#[expect(", "#![expect("]
            .iter()
            .any(|start| attribute.text.starts_with(start));
        (exempts && !words(&attribute.text).any(|word| word == "reason"))
            .then(|| format!("{name}:{}: an exemption without a reason", attribute.line))
    };
    attributes(text).into_iter().filter_map(finding).collect()
}

mod planted {
    use super::{
        exemptions_without_reason, misplaced_unsafe, missing_description, named, unfinished, without_tests,
    };

    #[test]
    fn a_pure_room_that_looks_at_a_clock() {
        let findings = named("f.rs", "// Instant\nlet now = Instant::now();\n", &["Instant"]);
        assert_eq!(findings, ["f.rs:2: `Instant` is not named here"]);
        let tested = "let instant = InstantLike;
#[cfg(test)]
use Instant;";
        assert!(named("f.rs", without_tests(tested), &["Instant"]).is_empty());
        assert!(!named("f.rs", tested, &["Instant"]).is_empty());
    }

    #[test]
    fn unsafe_code_in_the_wrong_place_or_without_a_reason() {
        let exempt = "//! x\n#![allow(unsafe_code, reason = \"why\")]\nunsafe { x() }";
        assert!(!misplaced_unsafe("f.rs", "unsafe { x() }", false).is_empty());
        assert!(!misplaced_unsafe("f.rs", "unsafe { x() }", true).is_empty());
        assert!(!misplaced_unsafe("f.rs", "#![allow(unsafe_code)]\nunsafe { x() }", true).is_empty());
        assert!(!misplaced_unsafe("f.rs", exempt, false).is_empty());
        assert!(misplaced_unsafe("f.rs", exempt, true).is_empty());
        assert!(misplaced_unsafe("f.rs", "// unsafe\nlet x = \"unsafe\"; unsafe_code();", false).is_empty());
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is() {
        assert!(!missing_description("f.rs", "use std::io;\n").is_empty());
        assert!(!missing_description("f.rs", "//!\n").is_empty());
        assert!(!missing_description("f.rs", "").is_empty());
        assert!(missing_description("f.rs", "//! What a file is.\n").is_empty());
    }

    #[test]
    fn work_that_was_left_for_later() {
        assert_eq!(unfinished("f.rs", "fn x() {\n    todo!()\n}"), ["f.rs:2: `todo!`"]);
        assert!(!unfinished("f.rs", "unimplemented! (\"x\")").is_empty());
        assert!(!unfinished("f.rs", "let x = dbg!(y);").is_empty());
        assert!(!unfinished("f.rs", concat!("// FIX", "ME")).is_empty());
        assert!(unfinished("f.rs", "// todo!()\nlet todo = \"dbg!\"; if !todo {}").is_empty());
    }

    #[test]
    fn an_exemption_without_a_reason() {
        assert!(!exemptions_without_reason("f.rs", "#[allow(dead_code)]\nfn x() {}").is_empty());
        assert!(!exemptions_without_reason("f.rs", "    #![allow(\n    dead_code,\n)]").is_empty());
        assert!(
            exemptions_without_reason("f.rs", "#[allow(dead_code, reason = \"x\")]\n#[derive(A)]").is_empty()
        );
    }
}
