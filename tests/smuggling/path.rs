//! RFC 3986 §5.2.4 and §6.2.2: a path is normalised once, and the bytes that were judged are forwarded.

use super::table::{Case, answered, forwarded, run, run_with};
use crate::{both_drivers, common::Config};

both_drivers!(dot_segments, percent_encoding, encoded_slashes_may_be_kept, aliases);

const PATH: &str = "400 path-invalid";

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: gw\r\n{k}\r\n"].concat()
}

fn dot_segments(driver: &str) {
    let section = "RFC 3986 §5.2.4";
    let mut cases: Vec<Case> = vec![
        forwarded("two dots", section, "GET /base/b HTTP/1.1", &get(b"/crm/a/../b")),
        forwarded("two dots at the end", section, "GET /base/a/ HTTP/1.1", &get(b"/crm/a/b/..")),
        forwarded("one dot", section, "GET /base/a/b HTTP/1.1", &get(b"/crm/a/./b")),
        forwarded("one dot at the end", section, "GET /base/a/ HTTP/1.1", &get(b"/crm/a/.")),
        forwarded("two encoded dots", section, "GET /base/b HTTP/1.1", &get(b"/crm/a/%2e%2e/b")),
        forwarded("dots encoded in part", section, "GET /base/b HTTP/1.1", &get(b"/crm/a/.%2E/b")),
        forwarded("three dots are a name", section, "GET /base/.../b HTTP/1.1", &get(b"/crm/.../b")),
        forwarded("dots in a name", section, "GET /base/a..b/c. HTTP/1.1", &get(b"/crm/a..b/c.")),
        forwarded("empty segments stay", section, "GET /base//a//b/ HTTP/1.1", &get(b"/crm//a//b/")),
        forwarded("parameters stay", section, "GET /base/a;x=1/b HTTP/1.1", &get(b"/crm/a;x=1/b")),
    ];
    let above = "400 path-invalid|404 alias-unknown";
    let refusals: [(&str, &str, &[u8]); 11] = [
        ("above the root", above, b"/crm/../../x"),
        ("above the root, encoded", above, b"/crm/%2e%2e/%2e%2e/x"),
        ("above the root by the last segment", above, b"/crm/a/../../.."),
        ("dots behind a second decoding", PATH, b"/crm/%252e%252e/x"),
        ("dots behind a second decoding, in part", PATH, b"/crm/.%252e/x"),
        ("one dot behind a second decoding", PATH, b"/crm/%252e/x"),
        ("dots with a parameter", PATH, b"/crm/..;x/b"),
        ("dots with an empty parameter", PATH, b"/crm/a/..;/b"),
        ("encoded dots with a parameter", PATH, b"/crm/a/%2e%2e;x=1/b"),
        ("dots with an encoded parameter", PATH, b"/crm/a/..%3bx/b"),
        ("one dot with a parameter", PATH, b"/crm/a/.;x/b"),
    ];
    cases.extend(refusals.map(|(name, with, target)| either(name, section, with, target)));
    run(driver, &cases);
}

fn percent_encoding(driver: &str) {
    let section = "RFC 3986 §6.2.2.2";
    let invalid = "400 path-invalid|400 target-invalid";
    let mut cases: Vec<Case> = vec![
        forwarded(
            "unreserved characters are decoded",
            section,
            "GET /base/~user-1_a.B HTTP/1.1",
            &get(b"/crm/%7Euser%2d1%5Fa%2e%42"),
        ),
        forwarded("others stay", section, "GET /base/a%20b%3Fc HTTP/1.1", &get(b"/crm/a%20b%3Fc")),
        forwarded(
            "an encoded percent sign stays",
            section,
            "GET /base/100%25 HTTP/1.1",
            &get(b"/crm/100%25"),
        ),
        forwarded("UTF-8 stays", section, "GET /base/caf%C3%A9 HTTP/1.1", &get(b"/crm/caf%C3%A9")),
    ];
    let refusals: [(&str, &[u8]); 14] = [
        ("no digits", b"/crm/%"),
        ("one digit", b"/crm/%4"),
        ("other digits", b"/crm/%zz"),
        ("a sign for a digit", b"/crm/%+4"),
        ("an encoded NUL", b"/crm/%00"),
        ("an encoded NUL in the middle", b"/crm/x%00.json"),
        ("an encoded LF", b"/crm/%0a"),
        ("an encoded CR and LF", b"/crm/x%0d%0aX-Forged:%201"),
        ("an encoded DEL", b"/crm/%7f"),
        ("an encoded backslash", b"/crm/a%5c..%5cb"),
        ("an encoded slash", b"/crm/a%2fb"),
        ("an encoded slash in capitals", b"/crm/a%2Fb"),
        ("an overlong slash", b"/crm/%c0%af"),
        ("an overlong dot", b"/crm/%c0%ae%c0%ae/x"),
    ];
    cases.extend(refusals.map(|(name, target)| either(name, section, invalid, target)));
    run(driver, &cases);
}

fn encoded_slashes_may_be_kept(driver: &str) {
    let section = "RFC 3986 §2.2";
    let cases = [
        forwarded("kept as it is", section, "GET /base/a%2Fb HTTP/1.1", &get(b"/crm/a%2Fb")),
        either("dots behind it", section, PATH, b"/crm/a%2F..%2Fb"),
        either("dots before it", section, PATH, b"/crm/..%2fb"),
        either("encoded dots around it", section, PATH, b"/crm/a%2f%2e%2e/b"),
        either("behind a second decoding", section, "400 path-invalid", b"/crm/..%252fb"),
    ];
    run_with(driver, &cases, |config| Config { proxy: "encoded_slash = \"keep\"".into(), ..config });
}

fn aliases(driver: &str) {
    let section = "RFC 3986 §3.3";
    let elsewhere = "404 alias-unknown|400 path-invalid";
    run(
        driver,
        &[
            answered("an empty first segment", section, elsewhere, &get(b"//crm/x")),
            answered("the root", section, "404 alias-unknown", &get(b"/")),
            answered("another alias", section, "404 alias-unknown", &get(b"/crmx/y")),
            answered("the alias in capitals", section, "404 alias-unknown", &get(b"/CRM/x")),
            answered("an alias with a parameter", section, elsewhere, &get(b"/crm;a/x")),
            answered("an alias behind a dot segment of another", section, elsewhere, &get(b"/other/../../x")),
            answered("an alias that ends with an encoded slash", section, elsewhere, &get(b"/crm%2fx")),
        ],
    );
}

/// Answered by the gateway; whether the connection goes on is not what this is about.
fn either(name: &'static str, section: &'static str, with: &'static str, target: &[u8]) -> Case {
    answered(name, section, with, &get(target))
}
