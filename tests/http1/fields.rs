//! RFC 9112 §5 and RFC 9110 §5, §7, §10: field lines and the fields that concern a proxy.

use keyferry::limits::{FIELD_NAME_BYTES_MAX, HEADERS_DEFAULT, HEADERS_MAX};
use keyferry::protocol::h1::parse_request;
use keyferry::protocol::http::{FieldTable, HeadLimits, Kind};
use keyferry::types::Reason;

use super::support::{Failure, refused, request, request_with, with_fields};

fn refuses(reason: Reason, lines: &[&str]) {
    for line in lines {
        refused(reason, &[&with_fields(line)]);
    }
}

#[test]
fn rfc_9112_5_fields_keep_order_and_case_and_lose_outer_whitespace() {
    let head = request(&with_fields(
        "X-A:1\r\nx-a: \t 2 3\t \r\nEmpty:\r\nBlank: \t\r\nText: \u{e4}\r\nTab: a\tb\r\n",
    ))
    .unwrap();
    let fields: Vec<_> = head.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        fields[1..],
        [("X-A", "1"), ("x-a", "2 3"), ("Empty", ""), ("Blank", ""), ("Text", "\u{e4}"), ("Tab", "a\tb")]
    );
}

#[test]
fn rfc_9112_5_1_names() {
    refuses(
        Reason::FieldInvalid,
        &[
            "X : y\r\n",
            "X\t: y\r\n",
            ": y\r\n",
            "X\r\n",
            "X y: z\r\n",
            "X(: y\r\n",
            "\u{e4}: y\r\n",
            "X\u{1}: y\r\n",
            "\"X\": y\r\n",
            "Content-Length : 5\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\u{b}: chunked\r\n",
            "=x\r\n",
            "X/Y: z\r\n",
            "X[1]: z\r\n",
            "X@: z\r\n",
        ],
    );
    assert!(request(&with_fields("!#$%&'*+-.^_`|~09Az: y\r\n")).is_ok());
}

#[test]
fn rfc_9112_5_2_folding() {
    refuses(
        Reason::FieldInvalid,
        &[
            "X: a\r\n b\r\n",
            "X: a\r\n\tb\r\n",
            " X: a\r\n",
            "X:\r\n chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "X: a\r\n \r\n",
        ],
    );
    refused(
        Reason::FieldInvalid,
        &[b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", b"GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n"],
    );
}

#[test]
fn rfc_9110_5_5_values_hold_no_controls() {
    for control in (1..0x20).filter(|byte| ![b'\t', b'\r', b'\n'].contains(byte)).chain([0x7F]) {
        for value in [vec![control], vec![b'a', control], [&[b'a'; 17][..], &[control, b'b']].concat()] {
            let line = [b"POST / HTTP/1.1\r\nHost: a\r\nX: ", &value[..], b"\r\n\r\n"].concat();
            refused(Reason::FieldInvalid, &[&line]);
        }
    }
    refuses(
        Reason::FieldInvalid,
        &[
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding: chunked\u{c}\r\n",
            "Content-Length: 5\u{1}\r\n",
        ],
    );
}

#[test]
fn names_that_differ_from_a_framing_name_in_an_underscore() {
    refuses(
        Reason::FramingInvalid,
        &[
            "Content_Length: 5\r\n",
            "transfer_encoding: chunked\r\n",
            "TRANSFER_ENCODING: chunked\r\n",
            "Keep_Alive: x\r\n",
            "proxy_connection: x\r\n",
            "http2_settings: x\r\n",
        ],
    );
    assert!(request(&with_fields("X_Api_Key: y\r\nContent_Type: z\r\nContent-Lengthy: 1\r\n")).is_ok());
}

#[test]
fn kinds_are_told_by_the_whole_name() {
    let kinds = [
        ("Host", Kind::Host),
        ("HOST", Kind::Host),
        ("te", Kind::Te),
        ("Transfer-Encoding", Kind::TransferEncoding),
        ("transfer_encoding", Kind::Other),
        ("xTransfer-Encoding", Kind::Other),
        ("authorization", Kind::Authorization),
        ("Proxy-Authorization", Kind::ProxyAuthorization),
        ("COOKIE", Kind::Cookie),
        ("Http2-Settings", Kind::Http2Settings),
        ("X-API-Key", Kind::Other),
        ("", Kind::Other),
    ];
    for (name, kind) in kinds {
        assert_eq!(Kind::of(name.as_bytes()), kind, "{name}");
    }
}

#[test]
fn rfc_6585_5_the_number_of_fields_has_a_bound() {
    let of = |count: usize| with_fields(&"X: y\r\n".repeat(count - 1));
    assert!(request(&of(HEADERS_DEFAULT)).is_ok());
    refused(Reason::HeadTooLarge, &[&of(HEADERS_DEFAULT + 1)]);
    let wide = HeadLimits { headers: usize::MAX, ..HeadLimits::default() };
    assert!(request_with(&of(HEADERS_MAX), wide).is_ok());
    assert_eq!(request_with(&of(HEADERS_MAX + 1), wide), Err(Failure::Refused(Reason::HeadTooLarge)));
}

#[test]
fn the_length_of_a_name_has_a_bound() {
    let of = |bytes: usize| with_fields(&format!("{}: y\r\n", "x".repeat(bytes)));
    assert!(request(&of(FIELD_NAME_BYTES_MAX)).is_ok());
    refused(Reason::HeadTooLarge, &[&of(FIELD_NAME_BYTES_MAX + 1)]);
}

#[test]
fn rfc_9110_7_6_1_connection_options() {
    let keeps = |line: &str| request(&with_fields(line)).unwrap().keep_alive;
    assert!(
        keeps("")
            && keeps("Connection: keep-alive\r\n")
            && keeps("Connection: x\r\n")
            && keeps("Connection: ,,\r\n")
    );
    assert!(
        !keeps("Connection: close\r\n")
            && !keeps("Connection: x, CLOSE\r\n")
            && !keeps("Connection: keep-alive\r\nConnection: close\r\n")
    );
    refuses(
        Reason::FieldInvalid,
        &["Connection: a b\r\n", "Connection: close;x\r\n", "Connection: \"close\"\r\n"],
    );
}

#[test]
fn rfc_9110_7_6_1_nominated_fields() {
    let bytes =
        with_fields("Connection: close, X-Hop ,\tTE, Host, Content-Length\r\nconnection: y\r\nX-Hop: 1\r\n");
    let mut table = FieldTable::new();
    let head = parse_request(&bytes, &HeadLimits::default(), &mut table).unwrap();
    assert!(
        head.is_nominated(b"x-hop")
            && head.is_nominated(b"te")
            && head.is_nominated(b"Y")
            && head.is_nominated(b"close")
    );
    assert!(
        !head.is_nominated(b"x-ho")
            && !head.is_nominated(b"host")
            && !head.is_nominated(b"Content-Length")
            && !head.is_nominated(b"")
    );
    assert_eq!((head.fields.count(Kind::Connection), head.fields.by_name(b"x-hop").count()), (2, 1));
    assert_eq!(head.fields.first(Kind::Host).map(|field| field.value), Some(&b"a"[..]));
}

#[test]
fn rfc_9112_9_3_version_1_0_persists_only_when_asked_to() {
    let keeps = |line: &str| request(format!("GET / HTTP/1.0\r\n{line}\r\n").as_bytes()).unwrap().keep_alive;
    assert!(!keeps("") && keeps("Connection: keep-alive\r\n") && !keeps("Connection: keep-alive, close\r\n"));
}

#[test]
fn rfc_9110_7_8_upgrade() {
    let upgrade = |line: &str| request(&with_fields(line)).unwrap().upgrade;
    assert_eq!(upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\n").as_deref(), Some("websocket"));
    assert_eq!(upgrade("Upgrade: websocket\r\n"), None);
    assert_eq!(upgrade("Connection: Upgrade\r\n"), None);
    assert_eq!(upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"), None);
    let old = request(b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
    assert_eq!(old.upgrade, None);
}

#[test]
fn rfc_9110_10_1_1_expectations() {
    let expects = |line: &str| request(&with_fields(line)).unwrap().expects_continue;
    assert!(
        expects("Content-Length: 5\r\nExpect: 100-Continue\r\n")
            && expects("Transfer-Encoding: chunked\r\nexpect: 100-continue\r\n")
    );
    assert!(
        !expects("Expect: 100-continue\r\n") && !expects("Content-Length: 0\r\nExpect: 100-continue\r\n")
    );
    let old = request(b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert!(!old.expects_continue);
    refuses(
        Reason::ExpectationUnknown,
        &[
            "Expect: x\r\n",
            "Expect:\r\n",
            "Expect: 100-continue, x\r\n",
            "Expect: y 100-continue\r\n",
            "Expect: 100-continue\r\nExpect: 100-continue\r\n",
            "Expect: 100-continue;x\r\n",
            "Expect: 200-ok\r\n",
        ],
    );
}
