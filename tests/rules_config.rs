//! Rules and asserts as operators write them: what is read, what is refused with which words, what is doubted.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use keyferry::{
    compile::{Compiler, Epoch},
    config::{self, Diagnostic, Loaded, Plan, Severity, lint},
    explain::{failed_asserts, rehearsal},
    store::Revocations,
    types::{Effect, Presence},
};

/// A file that is right, whose proxy is the last table.
const BASE: &str = r#"[[target]]
name = "api"
url = "http://api.example"
[[consumer]]
name = "payments"
scopes = ["contacts:read", "contacts:write"]
[[credential]]
name = "callers"
type = "proxy"
auth = "key"
consumer = "payments"
keys = [{ sha256 = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8" }]
[[proxy]]
alias = "crm"
target = "api"
proxy_credentials = ["callers"]
"#;
const SECRET: &str = "hunter2-7Q2mZr9xW4vB8nK1";

fn text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    config::load_text(text, "k.toml", Path::new("/nonexistent"), &|_| None)
}

fn usable(more: &str) -> Loaded {
    text(&format!("{BASE}{more}")).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn errors(more: &str) -> Vec<String> {
    let found = text(&format!("{BASE}{more}")).map_or_else(|errors| errors, |loaded| loaded.diagnostics);
    found.iter().map(Diagnostic::to_string).collect()
}

fn doubts(more: &str) -> Vec<String> {
    let loaded = usable(more);
    assert_eq!(loaded.diagnostics, []);
    lint(&loaded.plan).iter().map(Diagnostic::to_string).collect()
}

// --- what is read --------------------------------------------------------------------------------

#[test]
fn both_notations_say_the_same() {
    let short = usable(
        r#"default_rule_effect = "deny"
[[proxy.rule]]
effect = "allow"
methods = ["GET"]
path = "^/v2/"
headers = [{ name = "^X-A$", value = "^b$", presence = "must_absent" }, { name = "x" }]
query = [{ name = "^q$" }]
priority = 10
notes = "read only"
"#,
    );
    let long = usable(
        r#"default_rule_effect = "deny"
[[proxy.rule]]
effect = "allow"
methods = ["GET"]
priority = 10
notes = "read only"
[proxy.rule.path]
presence = "must_exist"
path = { pattern = "^/v2/" }
[[proxy.rule.headers]]
name = { pattern = "^X-A$" }
value = { pattern = "^b$" }
presence = "must_absent"
[[proxy.rule.headers]]
name = { pattern = "x" }
presence = "must_exist"
[[proxy.rule.query]]
name = { pattern = "^q$" }
"#,
    );
    let (mut short, long) = (short.plan.proxies[0].rules.as_ref().clone(), &long.plan.proxies[0].rules);
    short.list[0].origin = long.list[0].origin.clone();
    assert_eq!(short, **long);
    let rule = &long.list[0];
    assert_eq!((long.default, rule.effect, rule.priority), (Some(Effect::Deny), Effect::Allow, 10));
    let path = rule.path.as_ref().unwrap();
    assert_eq!((path.pattern.text(), path.presence), ("^/v2/", Presence::MustExist));
    assert_eq!((rule.origin.line, rule.origin.key.as_str()), (18, "proxy.rule"));
}

#[test]
fn rules_stand_in_all_four_places() {
    let rule = |table: &str| format!("[[{table}.rule]]\neffect = \"deny\"\npath = \"^/{table}\"\n");
    let more = rule("proxy")
        + "[[target]]\nname = \"other\"\nurl = \"http://other.example\"\n"
        + &rule("target")
        + "[[credential]]\nname = \"t\"\ntype = \"target\"\nauth = \"none\"\n"
        + &rule("credential")
        + "[[credential]]\nname = \"p\"\ntype = \"proxy\"\nauth = \"key\"\n"
        + &rule("credential");
    let plan = usable(&more).plan;
    let counts = [
        plan.proxies[0].rules.list.len(),
        plan.targets[1].rules.list.len(),
        plan.target_credentials[0].rules.list.len(),
        plan.proxy_credentials[1].rules.list.len(),
    ];
    assert_eq!(counts, [1; 4]);
    assert_eq!(plan.consumers[0].scopes, ["contacts:read", "contacts:write"]);
}

/// The asserts of a plan that do not hold.
fn failures(plan: Plan) -> Vec<Diagnostic> {
    let plan = Arc::new(plan);
    let compiled = Compiler::default().compile(&plan, Epoch::FIRST).expect("it compiles");
    failed_asserts(&plan, &rehearsal(&compiled, &Revocations::default()))
}

#[test]
fn the_examples_load_without_a_doubt_and_hold_what_they_assert() {
    let mut count = 0;
    let directory = std::env::temp_dir().join(format!("keyferry-examples-{}", std::process::id()));
    fs::create_dir_all(directory.join("tls")).unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples")).unwrap() {
        let example = entry.unwrap().path();
        let path = directory.join(example.file_name().unwrap());
        fs::copy(&example, &path).unwrap();
        write_certificates(&directory, &fs::read_to_string(&example).unwrap());
        let loaded = config::load(&path, &|_| None).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(loaded.diagnostics, [], "{}", path.display());
        assert_eq!(lint(&loaded.plan), [], "{}", path.display());
        assert!(!loaded.plan.asserts.is_empty(), "{} asserts nothing", path.display());
        assert_eq!(failures(loaded.plan), []);
        count += 1;
    }
    assert!(count >= 3);
    fs::remove_dir_all(directory).unwrap();
}

/// Makes the certificates and keys that a text names, each pair for a name of its own.
fn write_certificates(directory: &Path, text: &str) {
    for name in text.split('"').filter(|name| name.starts_with("tls/") && name.ends_with(".pem")) {
        let stem = name.trim_end_matches(".pem");
        let host = format!("{}.example", stem.trim_start_matches("tls/"));
        let made = rcgen::generate_simple_self_signed(vec![host]).unwrap();
        fs::write(directory.join(name), made.cert.pem()).unwrap();
        let key = directory.join(format!("{stem}.key"));
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

// --- what is refused -----------------------------------------------------------------------------

/// One wrong line in a rule each, and what is said about it.
#[test]
fn every_mistake_in_a_rule_has_its_place_and_its_remedy() {
    for (line, expected) in [
        (
            "effect = \"alow\"",
            r#"k.toml:18:10: error: proxy.rule.effect = "alow": not one of the words; write one of "allow", "deny""#,
        ),
        (
            "notes = \"none\"",
            r#"k.toml:17:1: error: proxy.rule: effect is missing; write effect = "allow" or effect = "deny""#,
        ),
        (
            "effect = \"deny\"\nmethods = [\"get\"]",
            r#"k.toml:19:12: error: proxy.rule.methods = "get": methods are in upper case, and compared as they are; write "GET""#,
        ),
        (
            "effect = \"deny\"\nmethods = [\"GET \"]",
            r#"k.toml:19:12: error: proxy.rule.methods = "GET ": not a method; write one such as "GET""#,
        ),
        (
            "effect = \"deny\"\nmethods = []",
            "k.toml:19:11: error: proxy.rule.methods = […]: it has too few or too many members; write 1 to 1000, or leave it out",
        ),
        (
            "effect = \"deny\"\nmethods = [\"GET\", \"GET\"]",
            r#"k.toml:19:19: error: proxy.rule.methods[1] = "GET": it is written twice"#,
        ),
        (
            "effect = \"deny\"\npath = '^/v2/('",
            r#"k.toml:19:8: error: proxy.rule.path = '^/v2/(': not a regular expression, at its character 6: unclosed group; write one such as '^/v2/'; a \ in front of . + * ? ( ) [ ] { } | ^ $ takes them as they are"#,
        ),
        (
            "effect = \"deny\"\npath = { presence = \"must_exist\" }",
            r#"k.toml:19:8: error: proxy.rule.path: pattern is missing; write pattern = "…""#,
        ),
        (
            "effect = \"deny\"\npath = { pattern = \"^/\", presence = \"present\" }",
            r#"k.toml:19:37: error: proxy.rule.path.presence = "present": not one of the words; write one of "must_exist", "must_absent""#,
        ),
        (
            "effect = \"deny\"\npath = '(a{1000}){1000}'",
            "k.toml:19:8: error: proxy.rule.path = '(a{1000}){1000}': the pattern stands for too many states; repeat less, or a smaller part of it",
        ),
        (
            "effect = \"deny\"\npath = '(?u)\\b\u{e9}'",
            "k.toml:19:8: error: proxy.rule.path = '(?u)\\b\u{e9}': the pattern looks for the ends of words that are not ASCII; write \\b without (?u)",
        ),
        (
            "effect = \"deny\"\nsource = [\"10.1.2.3/8\"]",
            r#"k.toml:19:11: error: proxy.rule.source = "10.1.2.3/8": bits behind the prefix are set; write "10.0.0.0/8""#,
        ),
        (
            "effect = \"deny\"\nsource = [\"localhost\"]",
            r#"k.toml:19:11: error: proxy.rule.source = "localhost": not a network; write one such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.1""#,
        ),
        (
            "effect = \"deny\"\nscopes = [\"a b\"]",
            r#"k.toml:19:11: error: proxy.rule.scopes = "a b": not a scope; write a word without spaces and quotes, such as "contacts:read""#,
        ),
        (
            "effect = \"deny\"\npriority = 1001",
            "k.toml:19:12: error: proxy.rule.priority = 1001: out of range; write a number from 0 to 1000",
        ),
        (
            "effect = \"deny\"\ntoken = []",
            "k.toml:19:1: error: proxy.rule.token: unknown key; the keys here are effect, methods, path, headers, query, source, scopes, priority, notes",
        ),
    ] {
        assert_eq!(errors(&format!("[[proxy.rule]]\n{line}\n")), [expected], "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_value_is_said_without_showing_it() {
    for (check, expected) in [
        (
            format!("{{ name = \"a\", value = \"{SECRET}(\" }}"),
            "not a regular expression, at its character 25",
        ),
        (format!("{{ name = \"a\", value = {{ pattern = \"[{SECRET}\" }} }}"), "not a regular expression"),
        (format!("{{ name = \"a\", value = {{ pattern = [\"{SECRET}\"] }} }}"), "it is of type array"),
        (format!("{{ name = \"a\", value = {{ \"{SECRET}\" = 1 }} }}"), "pattern is missing"),
        (format!("\"X-A: {SECRET}\""), "it is of type string where a table is needed"),
        (format!("{{ value = \"{SECRET}\" }}"), "name is missing"),
    ] {
        for key in ["headers", "query"] {
            let found = errors(&format!("[[proxy.rule]]\neffect = \"deny\"\n{key} = [{check}]\n"));
            assert!(found.iter().any(|line| line.contains(expected)), "{check}: {found:#?}");
            let shown = found.iter().find(|line| line.contains("hunter2") && !check.contains("= 1"));
            assert_eq!(shown, None, "{check}");
        }
    }
}

#[test]
fn the_bounds_on_rules_are_errors_that_name_the_rule() {
    let rules = |count: usize, rule: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for at in 0..count {
            let _ = write!(text, "[[proxy.rule]]\neffect = \"deny\"\n{}\n", rule(at));
        }
        text
    };
    let many = errors(&rules(10_001, &|at| format!("path = \"^/{at}/\"")));
    assert_eq!(many, ["k.toml:30017:1: error: proxy.rule[10000]: there are more than 10000 rules"]);
    let absent =
        errors(&rules(257, &|at| format!("path = {{ pattern = \"^/{at}/\", presence = \"must_absent\" }}")));
    let expected = "more than 256 of these rules have a path that must_absent";
    assert!(
        absent.len() == 1 && absent[0].contains("proxy.rule[256].path") && absent[0].ends_with(expected),
        "{absent:#?}"
    );
    let heavy = errors(&rules(120, &|at| format!("path = '{at}[ab]{{2000}}'")));
    let expected = "up to here the patterns of these rules stand for too many states";
    assert!(heavy.len() == 1 && heavy[0].contains(expected), "{heavy:#?}");
    let fields =
        errors(&rules(120, &|at| format!("headers = [{{ name = 'a', value = '{at}[ab]{{2000}}' }}]")));
    assert!(fields.len() == 1 && fields[0].contains("headers = …: up to here"), "{fields:#?}");
    let long = errors(&rules(1, &|_| format!("path = \"{}\"", "a".repeat(4097))));
    assert!(long[0].contains("the pattern is longer than 4096 bytes") && long[0].len() < 300, "{long:#?}");
    let checks = "{ name = \"a\" }, ".repeat(17);
    let checks = errors(&rules(1, &|_| format!("headers = [{checks}]")));
    assert!(checks[0].ends_with("it has more than 16 members"), "{checks:#?}");
}

#[test]
fn every_mistake_in_an_assert_has_its_place_and_its_remedy() {
    let request = "request = { method = \"GET\", path = \"/crm/x\" }\n";
    for (lines, expected) in [
        (
            "expect = { status = 200 }".to_owned(),
            r#"k.toml:17:1: error: assert: request is missing; write request = { method = "GET", path = "/…" }"#,
        ),
        (
            format!("{request}expect = {{}}"),
            r#"k.toml:19:10: error: assert.expect: nothing is expected; write expect = { status = 403 }, expect = { reason = "rule" } or both"#,
        ),
        (
            format!("{request}expect = {{ reason = \"rules\" }}"),
            r#"k.toml:19:21: error: assert.expect.reason = "rules": not a reason; did you mean "rule"?"#,
        ),
        (
            format!("{request}expect = {{ status = 4030 }}"),
            "k.toml:19:21: error: assert.expect.status = 4030: out of range; write a number from 100 to 599",
        ),
        (
            request.replace("/crm/x", "crm") + "expect = { status = 200 }",
            r#"k.toml:18:36: error: assert.request.path = "crm": not a path; write one such as "/crm/v2/contacts?id=1""#,
        ),
        (
            request.replace(" }", ", credential = \"caller\" }") + "expect = { status = 200 }",
            r#"k.toml:18:59: error: assert.request.credential = "caller": there is no such proxy credential; did you mean "callers"?"#,
        ),
        (
            request.replace(" }", ", headers = { X-A = \"a\\nb\" } }") + "expect = { status = 200 }",
            "k.toml:18:64: error: assert.request.headers.X-A = …: a header field cannot carry line ends and controls",
        ),
    ] {
        assert_eq!(errors(&format!("[[assert]]\n{lines}\n")), [expected], "{lines}");
    }
}

// --- asserts -------------------------------------------------------------------------------------

#[test]
fn asserts_that_do_not_hold_are_errors() {
    let rules = r#"default_rule_effect = "deny"
[[proxy.rule]]
effect = "allow"
path = "^/v2/"
headers = [{ name = "^x-tenant$", value = "^acme$" }]
source = ["192.0.2.0/24"]
"#;
    let assert = |request: &str, expect: &str| {
        format!("[[assert]]\nrequest = {{ method = \"GET\", {request} }}\nexpect = {{ {expect} }}\n")
    };
    let right = r#"path = "/crm/v2/x", credential = "callers", headers = { X-Tenant = "acme" }, source = "192.0.2.9""#;
    let findings = |asserts: &str| {
        let plan = usable(&format!("{rules}{asserts}")).plan;
        let found = failures(plan);
        found.iter().map(Diagnostic::to_string).collect::<Vec<_>>()
    };
    let holding = [
        assert(right, "status = 200"),
        assert(right, "reason = \"forwarded\""),
        assert(&right.replace("acme", "umbrella"), "status = 403, reason = \"rule\""),
        assert(&right.replace("192.0.2.9", "198.51.100.1"), "reason = \"rule\""),
        assert(&right.replace("192.0.2.9", "unknown"), "reason = \"rule\""),
        assert("path = \"/crm/v2/x\"", "status = 401, reason = \"credential-missing\""),
        assert("path = \"/crmx\"", "reason = \"alias-unknown\""),
        assert("path = \"/crm/%2e%2e/../..\", credential = \"callers\"", "reason = \"path-invalid\""),
    ];
    assert_eq!(findings(&holding.concat()), [""; 0]);
    assert_eq!(
        findings(&assert(right, "status = 403, reason = \"rule\"")),
        [
            "k.toml:23:1: error: assert: GET /crm/v2/x is expected to end with 403 rule, and ends with 200 forwarded; \
          ask `keyferry explain GET /crm/v2/x` how that comes about"
        ]
    );
    let secret = right.replace("acme", SECRET).replace("/v2/x", &format!("/v2/x?key={SECRET}"));
    assert!(!findings(&assert(&secret, "status = 200"))[0].contains("hunter2"));
}

/// What is out of service for another reason must not keep everything else from being served.
#[test]
fn an_assert_about_a_broken_proxy_is_broken_with_it() {
    let broken = BASE.replace("[\"callers\"]", "[\"caller\"]")
        + "[[assert]]\nrequest = { method = \"GET\", path = \"/crm/x\", credential = \"callers\" }\n\
           expect = { status = 200 }\n";
    let plan = text(&broken).unwrap().plan;
    let found = failures(plan);
    assert_eq!(found.iter().map(|found| found.severity).collect::<Vec<_>>(), [Severity::Broken]);
}

// --- doubts --------------------------------------------------------------------------------------

#[test]
fn doubtful_rules_are_doubted() {
    let deny = "default_rule_effect = \"deny\"\n";
    for (rule, expected) in [
        (
            "path = \"^v2/\"",
            r#"the rule never matches: no path matches "^v2/", since every path begins with "/" and is percent-encoded; write "^/v2/""#,
        ),
        ("path = '^/a b$'", "the rule never matches: no path matches"),
        ("path = '[^\\s\\S]'", "the rule never matches: no path matches"),
        ("path = '^v[12]/|^w$'", "the rule never matches: no path matches"),
        (
            "path = { pattern = \"^/\", presence = \"must_absent\" }",
            "the rule never matches: every path matches",
        ),
        (
            "path = { pattern = '^/|x', presence = \"must_absent\" }",
            "the rule never matches: every path matches",
        ),
        (
            "path = \"^/crm/\"",
            r#"the path begins with the alias "crm", which is taken off before rules see it; write "^/""#,
        ),
        ("path = \"^/crm/v2/\"", r#"is taken off before rules see it; write "^/v2/""#),
        (
            "scopes = [\"contacts:delete\"]",
            r#"the rule never matches: no consumer has the scope "contacts:delete"; write"#,
        ),
        ("methods = [\"TRACE\"]", "these methods are refused before rules are asked"),
        (
            "headers = [{ name = '^X A$' }]",
            "the rule never matches: no header field matches the check of \"^X A$\"",
        ),
        (
            "headers = [{ name = 'X', value = '^SECRET$' }]",
            "a secret seems to stand in the pattern of a value",
        ),
        ("query = [{ name = 'X', value = 'SECRET' }]", "a secret seems to stand in the pattern of a value"),
    ] {
        let rule = rule.replace("SECRET", SECRET);
        let found = doubts(&format!("{deny}[[proxy.rule]]\neffect = \"allow\"\n{rule}\n"));
        assert!(found.len() == 1 && found[0].contains(expected), "{rule}: {found:#?}");
        assert!(found[0].starts_with("k.toml:18:1: warning: proxy.rule: "), "{found:#?}");
        assert!(!found[0].contains("hunter2"), "{found:#?}");
    }
}

#[test]
fn rules_that_others_make_needless_are_doubted() {
    let rule = |effect: &str, lines: &str| format!("[[proxy.rule]]\neffect = \"{effect}\"\n{lines}\n");
    let found =
        |first: &str, second: &str| doubts(&format!("default_rule_effect = \"deny\"\n{first}{second}"));
    for (cover, covered) in [
        ("path = '^/v2/'", "path = '^/v2/a/.*'"),
        ("path = '^/v2/'", "path = '^/v2/a$'"),
        ("path = '^/v[12]/'", "path = '^/v2/a'"),
        ("path = '^/v2/'", "path = '^/v2/[ab]+$'"),
        ("path = '.*'", "path = '^/x'"),
        ("", "path = '^/x'"),
        ("path = '/admin'", "path = '^/(x|y)/admin$'"),
        ("methods = [\"GET\", \"HEAD\"]", "methods = [\"GET\"]"),
        ("source = [\"10.0.0.0/8\"]", "source = [\"10.1.0.0/16\", \"10.2.0.0/16\"]"),
        ("scopes = [\"contacts:read\"]", "scopes = [\"contacts:write\", \"contacts:read\"]"),
        ("headers = [{ name = 'a' }]", "headers = [{ name = 'b' }, { name = 'a' }]"),
    ] {
        for (one, other, expected) in [
            ("allow", "allow", Some("the rule is needless")),
            ("deny", "deny", Some("the rule is needless")),
            ("deny", "allow", Some("the rule allows nothing")),
            ("allow", "deny", None),
        ] {
            let (one, other) = (rule(one, cover), rule(other, covered));
            for (found, line) in [(found(&one, &other), ":18"), (found(&other, &one), ":")] {
                match expected {
                    Some(expected) => {
                        assert!(found.len() == 1 && found[0].contains(expected), "{one}{other}: {found:#?}");
                        assert!(found[0].contains(&format!("by the rule at k.toml{line}")), "{found:#?}");
                    }
                    None => assert_eq!(found, [""; 0], "{one}{other}"),
                }
            }
        }
        assert_eq!(found(&rule("allow", covered), &rule("deny", cover)).len(), 1);
    }
    for (one, other) in [
        ("path = '^/v2/a'", "path = '^/v2/b'"),
        ("path = '^/v2$'", "path = '^/v2/'"),
        ("path = '^/v[12]/'", "path = '^/v'"),
        ("methods = [\"GET\"]", "methods = [\"POST\"]"),
        ("source = [\"10.0.0.0/8\"]", "source = [\"11.0.0.0/8\"]"),
        ("headers = [{ name = 'a', presence = \"must_absent\" }]", "headers = [{ name = 'a' }]"),
        ("path = { pattern = '^/a', presence = \"must_absent\" }", "path = '^/b'"),
    ] {
        assert_eq!(found(&rule("deny", one), &rule("allow", other)), [""; 0], "{one} {other}");
    }
}

/// The trap of those who write what is allowed, and forget to deny the rest.
#[test]
fn allow_rules_without_effect_are_doubted() {
    let rule = "[[proxy.rule]]\neffect = \"allow\"\npath = \"^/v1/\"\n";
    let found = doubts(rule);
    assert_eq!(
        found,
        [
            "k.toml:13:1: warning: proxy: rules apply to this proxy, and what they do not name is allowed; write \
             default_rule_effect = \"deny\", or \"allow\" if that is meant",
            "k.toml:17:1: warning: proxy.rule: the allow rules of this proxy change nothing: what they do not name is \
             allowed as well; write default_rule_effect = \"deny\" on the proxy, or deny what is not meant",
        ]
    );
    assert_eq!(doubts(&format!("default_rule_effect = \"allow\"\n{rule}")).len(), 1);
    assert_eq!(doubts(&format!("default_rule_effect = \"deny\"\n{rule}")), [""; 0]);
    let denies = rule.replace("allow", "deny");
    assert_eq!(doubts(&format!("default_rule_effect = \"allow\"\n{denies}")), [""; 0]);
    let alone = errors("[[target]]\nname = \"t\"\nurl = \"http://t\"\ndefault_rule_effect = \"deny\"\n");
    assert!(alone[0].contains("without rules beside it, this has no effect"), "{alone:#?}");
}

#[test]
fn a_thousand_rules_are_doubted_in_no_time() {
    let mut text = "default_rule_effect = \"deny\"\n".to_owned();
    for at in 0..1_000 {
        let path = if at % 2 == 0 { format!("^/v{at}/") } else { format!("^/[ab]+/{at}/(x|y)*$") };
        let _ = write!(text, "[[proxy.rule]]\neffect = \"allow\"\npath = '{path}'\n");
    }
    assert_eq!(doubts(&text), [""; 0]);
}
