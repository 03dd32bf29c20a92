//! Who imports whom: every path that begins with `crate` or `super`, held against the table of rooms.

use super::{
    EDGES, EXCEPTIONS, OPEN, TEST_EDGES,
    source::{Token, blank, is_name, text_of, tokens},
};

pub fn forbidden_imports(name: &str, text: &str) -> Vec<String> {
    let module = module_of(name);
    let Some(room) = module.first() else { return Vec::new() }; // lib.rs and main.rs connect everything
    let own_test_file = is_test_file(name);
    let finding = |import: &Import| {
        let test = own_test_file || import.in_tests;
        let target = import.path.first()?;
        let fine = target == room
            || is_open(&import.path, OPEN)
            || allowed(room, &import.path)
            || EXCEPTIONS.iter().any(|(from, to, _)| from == room && is_open(&import.path, &[to]))
            || test && TEST_EDGES.iter().any(|(from, to, _)| from == room && is_open(&import.path, &[to]));
        let path = import.path.join("::");
        (!fine).then(|| format!("{name}:{}: `{room}` may not import `{path}`", import.line))
    };
    imports(&module, text).iter().filter_map(finding).collect()
}

fn allowed(room: &str, path: &[String]) -> bool {
    EDGES.iter().any(|(from, to)| *from == room && is_open(path, to))
}

/// Whether a path leads into one of these rooms or parts of rooms.
fn is_open(path: &[String], rooms: &[&str]) -> bool {
    rooms.iter().any(|room| {
        let parts: Vec<_> = room.split("::").collect();
        path.len() >= parts.len() && parts.iter().zip(path).all(|(part, step)| part == step)
    })
}

/// One path that was named, counted from the root of the crate.
struct Import {
    path: Vec<String>,
    line: usize,
    in_tests: bool,
}

/// Every path that begins with `crate` or `super`, in `use` lines and elsewhere, with its branches.
fn imports(module: &[String], text: &str) -> Vec<Import> {
    let tokens = tokens(&blank(text));
    let mut found = Vec::new();
    let mut scopes: Vec<Option<String>> = Vec::new(); // of open braces: the inline module, if it is one
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "mod" if text_of(&tokens, at + 2) == "{" => {
                scopes.push(Some(text_of(&tokens, at + 1).to_string()));
                at += 3;
                continue;
            }
            "{" => scopes.push(None),
            "}" => drop(scopes.pop()),
            "crate" | "super" if text_of(&tokens, at + 1) == "::" && !is_visibility(&tokens, at) => {
                let inline: Vec<_> = scopes.iter().flatten().cloned().collect();
                let in_tests = inline.first().is_some_and(|name| name == "tests");
                let here = [module, &inline].concat();
                let start = if token.text == "crate" { Vec::new() } else { parent(&here) };
                let mut paths = Vec::new();
                at = branches(&tokens, at + 2, start, &mut paths);
                found.extend(paths.into_iter().map(|path| Import { path, line: token.line, in_tests }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// `pub(in crate::shard)` is no import.
fn is_visibility(tokens: &[Token], at: usize) -> bool {
    at >= 2 && tokens[at - 1].text == "in" && tokens[at - 2].text == "("
        || at >= 1 && tokens[at - 1].text == "(" && at >= 2 && tokens[at - 2].text == "pub"
}

/// Follows a path from `at`, through `super` and into every branch of braces; returns where it ends.
fn branches(tokens: &[Token], mut at: usize, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    loop {
        match text_of(tokens, at) {
            "{" => {
                at += 1;
                while !matches!(text_of(tokens, at), "}" | "") {
                    at = branches(tokens, at, path.clone(), found);
                    if text_of(tokens, at) == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "super" => path = parent(&path),
            "self" => {}
            "*" => {
                found.push(path);
                return at + 1;
            }
            name if is_name(name) => path.push(name.to_string()),
            _ => {
                found.push(path);
                return at;
            }
        }
        at += 1;
        if text_of(tokens, at) != "::" {
            if text_of(tokens, at) == "as" {
                at += 2;
            }
            found.push(path);
            return at;
        }
        at += 1;
    }
}

fn parent(path: &[String]) -> Vec<String> {
    path[..path.len().saturating_sub(1)].to_vec()
}

/// `src/shard/io.rs` is `shard::io`; `src/shard/io_tests.rs` is `shard::io::tests`.
fn module_of(name: &str) -> Vec<String> {
    let path = name.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<_> = path.split('/').map(str::to_string).collect();
    match module.pop().as_deref() {
        None | Some("mod") => {}
        Some("lib" | "main") if module.is_empty() => {}
        Some(last) => match last.strip_suffix("_tests") {
            Some(tested) => module.extend([tested.to_string(), "tests".to_string()]),
            None => module.push(last.to_string()),
        },
    }
    module
}

pub fn is_test_file(name: &str) -> bool {
    name.ends_with("_tests.rs") || name.ends_with("/tests.rs") || name.contains("/tests/")
}

mod planted {
    use super::{forbidden_imports, imports, module_of};

    #[track_caller]
    fn refused(file: &str, text: &str) {
        assert!(!forbidden_imports(file, text).is_empty(), "{file} may: {text}");
    }

    #[track_caller]
    fn fine(file: &str, text: &str) {
        let findings = forbidden_imports(file, text);
        assert!(findings.is_empty(), "{findings:?}");
    }

    #[test]
    fn a_room_that_imports_whom_it_may_not() {
        refused("src/shard/io.rs", "use crate::config::Plan;");
        refused("src/shard/io.rs", "use crate::{limits::X, config::{self, Plan}};");
        refused(
            "src/shard/forward/relay.rs",
            "use crate::{\n    protocol::http::Method,\n    control::Status,\n};",
        );
        refused("src/shard/mod.rs", "use super::config;");
        refused("src/shard/forward/relay.rs", "use super::super::super::control::Status;");
        refused("src/policy/decide.rs", "fn decide() { crate::shard::start(); }");
        refused("src/policy/decide.rs", "use crate::protocol::h1::parse_request;");
        refused("src/snapshot/keys.rs", "use crate::policy::Permit;");
        refused("src/types/mod.rs", "use crate::limits::X; use crate::protocol::http;");
        refused("src/run.rs", "use crate::cli;");
        refused("src/control/mod.rs", "use crate::shard::Handle;");
        refused("src/store/mod.rs", "mod inner { use super::super::shard::Handle; }");
        refused("src/shard/io.rs", "use crate::*;\nuse crate::admin as other;");
        refused("src/shard/io_tests.rs", "use crate::admin;");
    }

    #[test]
    fn a_room_that_imports_whom_it_may() {
        fine("src/shard/io.rs", "use super::{buffer::Buffer, sys};\nuse crate::limits::RING_ENTRIES;");
        fine("src/shard/io.rs", "pub(in crate::shard) struct X; // crate::config\n/* crate::admin */");
        fine("src/shard/io.rs", "const TEXT: &str = \"crate::config\"; const RAW: &str = r#\"crate::\"x\"#;");
        fine("src/policy/decide.rs", "use crate::{protocol::http::Method, snapshot::{Snapshot, Keys}};");
        fine("src/policy/authenticate/tests.rs", "use crate::protocol::h1::parse_request;");
        fine("src/shard/io.rs", "#[cfg(test)]\nmod tests { use crate::config; use super::super::sys; }");
        fine("src/run.rs", "use crate::{admin, shard};\nmod tests { use super::load; }");
        fine("src/lib.rs", "pub mod cli;");
        fine("src/cli/demo.rs", "use crate::{config, run::{self, Running}};");
    }

    #[test]
    fn paths_are_followed_into_every_branch() {
        let paths: Vec<_> = imports(
            &module_of("src/shard/io.rs"),
            "use crate::{a::{b, self}, c as d, e::*}; use super::x::Y;",
        )
        .into_iter()
        .map(|import| import.path.join("::"))
        .collect();
        assert_eq!(paths, ["a::b", "a", "c", "e", "shard::x::Y"]);
    }

    #[test]
    fn modules_are_named_after_their_files() {
        for (file, module) in [
            ("src/lib.rs", ""),
            ("src/run.rs", "run"),
            ("src/shard/mod.rs", "shard"),
            ("src/shard/forward/relay.rs", "shard::forward::relay"),
            ("src/shard/io_tests.rs", "shard::io::tests"),
        ] {
            assert_eq!(module_of(file).join("::"), module, "{file}");
        }
    }
}
