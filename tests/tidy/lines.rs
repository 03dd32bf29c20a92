//! What the lines of any text must not hold, and what those of a manifest must.

pub fn untidy_lines(name: &str, text: &str) -> Vec<String> {
    let mut findings: Vec<_> = text
        .split('\n')
        .enumerate()
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']) || line.contains('\t'))
        .map(|(line, _)| format!("{name}:{}: a tab, or white space at the end", line + 1))
        .collect();
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(format!("{name}: no line end at the end"));
    }
    if text.ends_with("\n\n") {
        findings.push(format!("{name}: empty lines at the end"));
    }
    findings
}

/// Paths of one machine, and what looks like the credential of a real service.
pub fn indiscretions(name: &str, text: &str) -> Vec<String> {
    let finding = |(line, text): (usize, &str)| {
        let what = machine_path(text).or_else(|| credential(text))?;
        Some(format!("{name}:{}: {what}", line + 1))
    };
    text.lines().enumerate().filter_map(finding).collect()
}

fn machine_path(line: &str) -> Option<&'static str> {
    // In pieces, so that this file does not find itself.
    const PLACES: &[&[&str]] = &[
        &["/ho", "me/"],
        &["/ro", "ot/"],
        &["/Us", "ers/"],
        &["/wo", "rk/"],
        &["/t", "mp/"],
        &["/mn", "t/"],
    ];
    let starts = |place: &[&str]| {
        let place = place.concat();
        line.match_indices(&place).any(|(at, _)| {
            !line[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || "./_-}*%".contains(before))
        })
    };
    PLACES.iter().any(|place| starts(place)).then_some("a path of one machine")
}

fn credential(line: &str) -> Option<&'static str> {
    // Prefix in pieces, and how many letters and digits follow it at least.
    const KINDS: &[(&[&str], usize)] = &[
        (&["AK", "IA"], 16),
        (&["gh", "p_"], 30),
        (&["gh", "s_"], 30),
        (&["github", "_pat_"], 30),
        (&["glp", "at-"], 20),
        (&["xo", "xb-"], 10),
        (&["xo", "xp-"], 10),
        (&["sk_", "live_"], 16),
        (&["rk_", "live_"], 16),
        (&["AI", "za"], 30),
    ];
    if line.contains(concat!("-----", "BEGIN")) && line.contains(concat!("PRIVATE", " KEY")) {
        return Some("a private key");
    }
    let follows = |(prefix, count): &(&[&str], usize)| {
        let prefix = prefix.concat();
        line.match_indices(&prefix).any(|(at, _)| {
            let rest = &line[at + prefix.len()..];
            rest.chars().take_while(|char| char.is_ascii_alphanumeric() || "-_".contains(*char)).count()
                >= *count
        })
    };
    KINDS.iter().any(follows).then_some("what looks like a credential")
}

/// Dependencies without a comment on their line (or, for one of several lines, on its first).
pub fn unexplained_dependencies(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let (mut inside, mut depth) = (false, 0_i32);
    for (line, text) in text.lines().enumerate() {
        let (code, comment) = split_comment(text);
        let code = code.trim();
        if depth == 0 && code.starts_with('[') {
            inside = code.trim_matches(['[', ']']).ends_with("dependencies");
            if code.contains("dependencies.") {
                findings.push(format!("{name}:{}: a dependency belongs on a line of its own", line + 1));
            }
            continue;
        }
        if inside && depth == 0 && !code.is_empty() && comment.trim().len() < 5 {
            findings.push(format!("{name}:{}: a dependency without a reason: {code}", line + 1));
        }
        depth += code.matches(['[', '{']).count() as i32 - code.matches([']', '}']).count() as i32;
    }
    findings
}

fn split_comment(line: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, char) in line.char_indices() {
        match char {
            '"' => quoted = !quoted,
            '#' if !quoted => return (&line[..at], &line[at + 1..]),
            _ => {}
        }
    }
    (line, "")
}

mod planted {
    use super::{indiscretions, unexplained_dependencies, untidy_lines};

    #[test]
    fn lines_that_end_later_than_they_end() {
        for text in ["x \n", "x\t\n", "\tx\n", "x\r\n", "x", "x\n\n"] {
            assert!(!untidy_lines("f.rs", text).is_empty(), "{text:?}");
        }
        assert!(untidy_lines("f.rs", "x\n\ny\n").is_empty());
    }

    #[test]
    fn what_tells_of_a_machine_or_opens_a_door() {
        let planted = [
            ["see /ho", "me/ada/x"].concat(),
            ["\"/wo", "rk/x\""].concat(),
            ["key = AK", "IAABCDEFGHIJKLMNOP"].concat(),
            ["gh", "p_0123456789abcdefghijklmnopqrstuvwxyz"].concat(),
            ["sk_", "live_0123456789abcdef"].concat(),
            concat!("-----", "BEGIN RSA PRIVATE", " KEY-----").to_string(),
        ];
        for line in &planted {
            assert!(!indiscretions("f.rs", line).is_empty(), "{line}");
        }
        for line in ["https://a.example/home/x", "src/work/x", "/run/secrets/x", "AKIA", "a task_live_x"] {
            assert!(indiscretions("f.rs", line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_dependency_without_a_reason() {
        let explained = "[package]\nname = \"x\"\n[dependencies]\n# --- a ---\na = \"1\" # what for\n\
                         b = { version = \"1\", features = [ # what for\n  \"x\",\n] }\n[profile.release]\nlto = true\n";
        assert!(unexplained_dependencies("f", explained).is_empty());
        for text in [
            "[dependencies]\na = \"1\"\n",
            "[dev-dependencies]\na = \"#1\"\n",
            "[target.'cfg(unix)'.dependencies]\na = \"1\" #\n",
            "[dependencies.a]\nversion = \"1\" # what for\n",
        ] {
            assert!(!unexplained_dependencies("f", text).is_empty(), "{text}");
        }
    }
}
