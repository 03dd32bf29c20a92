//! RFC 9112 §3.2: the forms of a target, and `Host`.

use keyferry::protocol::http::{Form, valid_host};
use keyferry::types::Reason;

use super::support::{Failure, Request, refused, request};

fn target(line: &str) -> Result<Request, Failure> {
    request(format!("{line} HTTP/1.1\r\nHost: api.example.com\r\n\r\n").as_bytes())
}

#[test]
fn rfc_9112_3_2_1_origin_form() {
    let split = |line| target(line).map(|head| (head.path, head.query)).unwrap();
    assert_eq!(split("GET /"), ("/".into(), None));
    assert_eq!(split("GET /a/b?c=d?e"), ("/a/b".into(), Some("c=d?e".into())));
    assert_eq!(split("GET /?"), ("/".into(), Some(String::new())));
    assert_eq!(split("GET //evil.example/x"), ("//evil.example/x".into(), None));
}

#[test]
fn rfc_9112_3_2_1_bytes_that_no_target_has() {
    for bad in ["/#", "/a#b", "/?#", "/\u{e4}", "/\u{7f}", "/\u{1}", "/\u{b}", "#", "/a\u{c}b"] {
        assert_eq!(target(&format!("GET {bad}")), Err(Failure::Refused(Reason::TargetInvalid)), "{bad:?}");
    }
}

#[test]
fn rfc_9112_3_2_2_absolute_form() {
    let head = target("GET HTTP://API.example.com/a?b").unwrap();
    assert_eq!(
        (head.form, head.path, head.query, head.host),
        (Form::Absolute, "/a".into(), Some("b".into()), Some("API.example.com".into()))
    );
    let head = target("GET https://api.example.com").unwrap();
    assert_eq!((head.form, head.path), (Form::Absolute, "/".into()));
    let head = target("GET http://api.example.com?q").unwrap();
    assert_eq!((head.path, head.query), ("/".into(), Some("q".into())));
    let head = request(b"GET http://a/ HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(head.host.as_deref(), Some("a"));
}

#[test]
fn rfc_9112_3_2_2_absolute_forms_that_are_refused() {
    for bad in [
        "ftp://api.example.com/",
        "http:/api.example.com/",
        "http:api.example.com",
        "http://",
        "http:///",
        "http://user@api.example.com/",
        "http://u:p@api.example.com/",
        "http://api.example.com:/",
        "http://api.example.com:x/",
        "http://[::1/",
        "https//api.example.com/",
        "ws://api.example.com/",
        "http://api%2eexample.com/",
    ] {
        assert_eq!(target(&format!("GET {bad}")), Err(Failure::Refused(Reason::TargetInvalid)), "{bad:?}");
    }
    for other in ["http://other.example.com/", "http://api.example.com:80/", "http://api.example.com./"] {
        assert_eq!(target(&format!("GET {other}")), Err(Failure::Refused(Reason::HostInvalid)), "{other:?}");
    }
}

#[test]
fn rfc_9112_3_2_3_authority_form_is_for_connect_alone() {
    for bad in ["api.example.com:443", "api.example.com", "a", "*x", "x/y", "?q", "\\"] {
        assert_eq!(target(&format!("GET {bad}")), Err(Failure::Refused(Reason::TargetInvalid)), "{bad:?}");
    }
}

#[test]
fn rfc_9112_3_2_4_asterisk_form() {
    let head = target("OPTIONS *").unwrap();
    assert_eq!((head.form, head.path), (Form::Asterisk, "*".into()));
    assert_eq!(target("OPTIONS http://api.example.com").unwrap().form, Form::Asterisk);
    assert_eq!(target("OPTIONS http://api.example.com/").unwrap().form, Form::Absolute);
    assert_eq!(target("GET *"), Err(Failure::Refused(Reason::TargetInvalid)));
    assert_eq!(target("OPTIONS **"), Err(Failure::Refused(Reason::TargetInvalid)));
}

#[test]
fn rfc_9112_3_2_host_stands_exactly_once() {
    refused(
        Reason::HostInvalid,
        &[
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        ],
    );
    assert_eq!(request(b"GET / HTTP/1.0\r\n\r\n").unwrap().host, None);
    assert_eq!(
        request(b"GET / HTTP/1.1\r\nhOST:  a:8080 \t\r\n\r\n").unwrap().host.as_deref(),
        Some("a:8080")
    );
}

#[test]
fn rfc_9112_3_2_what_a_host_may_be() {
    let good: &[&str] = &[
        "a",
        "api.example.com",
        "API.Example.com.",
        "a_b.c",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:8443",
        "[2001:db8::192.0.2.1]",
        "a:1",
        "a:65535",
        "xn--bcher-kva.example",
        "a~b",
    ];
    for host in good {
        assert!(valid_host(host.as_bytes()), "{host}");
    }
    let bad: &[&str] = &[
        "",
        ":80",
        "a:",
        "a:0",
        "a:65536",
        "a:99999999999999999999",
        "a:8x",
        "a:+80",
        "a,b",
        "a, b",
        "a b",
        "a\tb",
        "u@a",
        "a/b",
        "a?b",
        "a#b",
        "http://a",
        "a%20b",
        "[::1",
        "::1",
        "[::1]x",
        "[]",
        "[::g]",
        "[fe80::1%25eth0]",
        "[v1.a]",
        "a:80:80",
        "a\\b",
        "\u{e4}",
        "a;b",
        "a'b",
        "(a)",
    ];
    for host in bad {
        assert!(!valid_host(host.as_bytes()), "{host}");
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refused(Reason::HostInvalid, &[head.as_bytes()]);
    }
}
