//! RFC 9112 §3.2: the four forms of a request target, and the bytes that may not stand in one.

use super::table::{Case, answered, forwarded, refused, run};
use crate::both_drivers;

both_drivers!(absolute_form, bytes_of_the_target, queries);

const TARGET: &str = "400 target-invalid";
const LINE: &str = "GET /base/x HTTP/1.1";

/// A GET of this target from host `gw`.
fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: gw\r\n{k}\r\n"].concat()
}

fn absolute_form(driver: &str) {
    let section = "RFC 9112 §3.2.2";
    let differs = "400 host-invalid|421 misdirected";
    let invalid = "400 target-invalid|400 host-invalid|421 misdirected";
    run(
        driver,
        &[
            forwarded("its authority is Host", section, LINE, &get(b"http://gw/crm/x"))
                .has(&["X-Forwarded-Host: gw\r\n"])
                .lacks(&["http://"]),
            forwarded("with a query", section, "GET /base/x?q=1 HTTP/1.1", &get(b"http://gw/crm/x?q=1")),
            refused("its authority is not Host", section, differs, &get(b"http://other/crm/x")),
            refused(
                "its authority only begins as Host does",
                section,
                differs,
                &get(b"http://gw.other/crm/x"),
            ),
            refused("its port is not Host's", section, differs, &get(b"http://gw:8080/crm/x")),
            refused("user information", "RFC 9110 §4.2.4", invalid, &get(b"http://user@gw/crm/x")),
            refused(
                "user information that looks like Host",
                "RFC 9110 §4.2.4",
                invalid,
                &get(b"http://gw@other/crm/x"),
            ),
            refused("no authority", "RFC 9110 §4.2.1", invalid, &get(b"http:///crm/x")),
            refused("another scheme", section, invalid, &get(b"ftp://gw/crm/x")),
            refused("one slash", section, invalid, &get(b"http:/crm/x")),
            refused("no slash", section, invalid, &get(b"http:crm/x")),
            refused("a backslash for a slash", section, invalid, &get(b"http:\\\\gw\\crm\\x")),
            refused("a fragment", section, TARGET, &get(b"http://gw/crm/x#y")),
            refused(
                "no Host beside it",
                "RFC 9112 §3.2",
                "400 host-invalid",
                b"GET http://gw/crm/x HTTP/1.1\r\n{k}\r\n",
            ),
            answered("no path", section, "404 alias-unknown", &get(b"http://gw")),
            refused("authority-form with GET", "RFC 9112 §3.2.3", TARGET, &get(b"gw:80")),
            refused("no leading slash", "RFC 9112 §3.2.1", TARGET, &get(b"crm/x")),
            refused("a query alone", "RFC 9112 §3.2.1", TARGET, &get(b"?q=1")),
        ],
    );
}

fn bytes_of_the_target(driver: &str) {
    let section = "RFC 3986 §2";
    let either = "400 target-invalid|400 path-invalid";
    let line = "400 target-invalid|400 request-line-invalid";
    let mut cases: Vec<Case> = vec![
        refused("a fragment", "RFC 9112 §3.2", TARGET, &get(b"/crm/x#y")),
        refused("an empty fragment", "RFC 9112 §3.2", TARGET, &get(b"/crm/x#")),
        refused("a fragment that hides a query", "RFC 9112 §3.2", TARGET, &get(b"/crm/x#?q=1")),
        refused("a fragment behind a query", "RFC 9112 §3.2", TARGET, &get(b"/crm/x?q=1#y")),
        forwarded("an encoded fragment sign", section, "GET /base/x%23y HTTP/1.1", &get(b"/crm/x%23y")),
        refused("a backslash", section, either, &get(b"/crm\\x")),
        refused("a backslash behind the alias", section, either, &get(b"/crm/a\\..\\x")),
        refused("a control character", section, line, &get(b"/crm/\x01x")),
        refused("DEL", section, line, &get(b"/crm/\x7fx")),
        refused("a high byte", section, either, &get(b"/crm/\xff")),
        refused("UTF-8 that is not encoded", section, either, &get(b"/crm/\xc3\xa9")),
    ];
    let excluded: [(&str, &[u8]); 8] = [
        ("a quote", b"/crm/\"x"),
        ("less than", b"/crm/<x"),
        ("greater than", b"/crm/>x"),
        ("a caret", b"/crm/^x"),
        ("a backtick", b"/crm/`x"),
        ("an opening brace", b"/crm/{x"),
        ("a closing brace", b"/crm/}x"),
        ("a bar", b"/crm/|x"),
    ];
    cases.extend(excluded.map(|(name, target)| refused(name, section, either, &get(target))));
    run(driver, &cases);
}

fn queries(driver: &str) {
    let section = "RFC 3986 §3.4";
    run(
        driver,
        &[
            forwarded(
                "dots and slashes stay",
                section,
                "GET /base/x?a=../../b&c=%2e%2e%2f HTTP/1.1",
                &get(b"/crm/x?a=../../b&c=%2e%2e%2f"),
            ),
            forwarded("an empty query stays", section, "GET /base/x? HTTP/1.1", &get(b"/crm/x?")),
            forwarded(
                "a question mark in it stays",
                section,
                "GET /base/x?a?b HTTP/1.1",
                &get(b"/crm/x?a?b"),
            ),
            forwarded("behind the alias alone", section, "GET /base?q=1 HTTP/1.1", &get(b"/crm?q=1")),
            forwarded(
                "an alias in it is none",
                section,
                "GET /base/x?/other/y HTTP/1.1",
                &get(b"/crm/x?/other/y"),
            ),
            refused(
                "a space in it",
                section,
                "400 request-line-invalid|400 target-invalid",
                &get(b"/crm/x?a b"),
            ),
            refused(
                "a control character in it",
                section,
                "400 request-line-invalid|400 target-invalid",
                &get(b"/crm/x?\x02"),
            ),
            refused(
                "a NUL in it",
                section,
                "400 request-line-invalid|400 target-invalid",
                &get(b"/crm/x?\0"),
            ),
        ],
    );
}
