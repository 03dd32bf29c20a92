//! RFC 9112 §2 and §3: line ends, versions, methods and the request line.

use keyferry::limits::{METHOD_BYTES_MAX, TARGET_BYTES_DEFAULT};
use keyferry::protocol::h1::{HeadScanner, leading};
use keyferry::protocol::http::{HeadLimits, Method, Version};
use keyferry::types::Reason;

use super::support::{Failure, refused, request, request_with};

#[test]
fn rfc_9112_2_2_one_empty_line_in_front_is_skipped() {
    assert_eq!(request(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().path, "/");
    refused(Reason::RequestLineInvalid, &[b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    assert_eq!(
        [leading(b""), leading(b"\r"), leading(b"\r\n"), leading(b"\n"), leading(b"G\r\n")],
        [0, 0, 2, 0, 0]
    );
}

#[test]
fn rfc_9112_2_2_bare_line_ends_and_nul() {
    refused(
        Reason::RequestLineInvalid,
        &[
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\rHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n",
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\0",
            b"\rG",
        ],
    );
    refused(
        Reason::FieldInvalid,
        &[
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            b"GET / HTTP/1.1\r\n\0",
        ],
    );
}

#[test]
fn rfc_9112_2_2_a_head_may_arrive_in_any_pieces() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for end in 0..head.len() {
        assert_eq!(request(&head[..end]), Err(Failure::Incomplete), "{end}");
    }
    let pipelined = [&head[..], b"POST"].concat();
    assert_eq!(request(&pipelined).unwrap().rest, 4);
}

#[test]
fn rfc_9112_2_3_versions() {
    let version = |version: &str| request(format!("GET / {version}\r\nHost: a\r\n\r\n").as_bytes());
    assert_eq!(version("HTTP/1.1").unwrap().version, Version::Http11);
    assert_eq!(version("HTTP/1.0").unwrap().version, Version::Http10);
    for unsupported in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/9.9", "HTTP/3.0"] {
        assert_eq!(version(unsupported), Err(Failure::Refused(Reason::VersionUnsupported)), "{unsupported}");
    }
    for malformed in [
        "http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.1x",
        "HTTPS/1.1",
        "HTTP/ 1.1",
        "HTTP /1.1",
        "HTTP\\1.1",
        "HTTP/1,1",
        "HTTP/A.1",
        "HTTP-1.1",
        "",
    ] {
        assert_eq!(version(malformed), Err(Failure::Refused(Reason::RequestLineInvalid)), "{malformed}");
    }
    refused(Reason::VersionUnsupported, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]);
}

#[test]
fn rfc_9112_3_the_request_line_is_exact() {
    refused(
        Reason::RequestLineInvalid,
        &[
            b"GET /\r\n\r\n",
            b"GET\r\n\r\n",
            b"\r\n\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            b"GET /  HTTP/1.1x\r\nHost: a\r\n\r\n",
            b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\tX\r\nHost: a\r\n\r\n",
            b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
            b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"G\x80T / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"Host: a\r\n\r\n",
            b"\x16\x03\x01\x02\r\n\r\n",
        ],
    );
    refused(
        Reason::TargetInvalid,
        &[b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"],
    );
}

#[test]
fn rfc_9112_3_1_methods() {
    let method = |method: &str| request(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    let known = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("get", Method::Other),
        ("PURGE", Method::Other),
    ];
    for (name, expected) in known {
        assert_eq!(method(name).unwrap().method, expected, "{name}");
    }
    assert!(method(&"M".repeat(METHOD_BYTES_MAX)).is_ok());
    let long = method(&"M".repeat(METHOD_BYTES_MAX + 1));
    assert_eq!(long, Err(Failure::Refused(Reason::NotImplemented)));
    assert_eq!(method("TRACE"), Err(Failure::Refused(Reason::MethodRefused)));
    refused(
        Reason::NotImplemented,
        &[b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"],
    );
    assert_eq!(Method::parse(b""), None);
}

#[test]
fn rfc_9110_9_2_method_properties() {
    assert!(Method::Put.is_idempotent() && Method::Delete.is_idempotent() && Method::Get.is_idempotent());
    assert!(
        !Method::Post.is_idempotent() && !Method::Patch.is_idempotent() && !Method::Other.is_idempotent()
    );
    assert!(Method::Head.is_safe() && !Method::Put.is_safe() && !Method::Other.is_safe());
}

#[test]
fn rfc_9112_3_a_target_has_a_bound() {
    let of = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    assert!(request(of(TARGET_BYTES_DEFAULT).as_bytes()).is_ok());
    refused(Reason::TargetTooLong, &[of(TARGET_BYTES_DEFAULT + 1).as_bytes()]);
}

#[test]
fn a_head_is_refused_as_soon_as_its_bound_is_passed() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let limits = |head_bytes| HeadLimits { head_bytes, ..HeadLimits::default() };
    assert!(request_with(head, limits(head.len())).is_ok());
    assert_eq!(request_with(head, limits(head.len() - 1)), Err(Failure::Refused(Reason::HeadTooLarge)));
    let mut scanner = HeadScanner::default();
    assert_eq!(scanner.find(&[b'x'; 99], 100), Ok(None));
    assert_eq!(scanner.find(&[b'x'; 100], 100), Err(Reason::HeadTooLarge));
}
