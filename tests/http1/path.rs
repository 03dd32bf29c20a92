//! RFC 3986 §3.3 and §6.2.2: one meaning for every path.

use keyferry::protocol::http::path::{EncodedSlash, Normal, normalise, split_alias, valid_query};
use keyferry::types::Reason;

use super::support::Random;

fn normal_with(path: &[u8], slash: EncodedSlash) -> Result<Vec<u8>, Reason> {
    let mut out = vec![0xAA; path.len().max(1)];
    let normal = normalise(path, slash, &mut out)?;
    Ok(normal.of(path, &out).to_vec())
}

fn normal(path: &str) -> Option<String> {
    let normal = normal_with(path.as_bytes(), EncodedSlash::Refuse);
    assert!(matches!(normal, Ok(_) | Err(Reason::PathInvalid)), "{path:?}");
    normal.ok().map(|path| String::from_utf8(path).unwrap())
}

fn becomes(cases: &[(&str, &str)]) {
    for (path, expected) in cases {
        assert_eq!(normal(path).as_deref(), Some(*expected), "{path:?}");
        assert_eq!(normal(expected).as_deref(), Some(*expected), "again {path:?}");
    }
}

fn refused(cases: &[&str]) {
    for path in cases {
        assert_eq!(normal(path), None, "{path:?}");
    }
}

#[test]
fn rfc_3986_3_3_paths_that_are_normal_already() {
    let plain = [
        "/",
        "/a",
        "/a/b/c",
        "/a/",
        "//",
        "//a",
        "/a//b",
        "/a;x",
        "/;x",
        "/a;x=1;y",
        "/a.b",
        "/a..b",
        "/a.",
        "/a..",
        "/...",
        "/.a",
        "/..a",
        "/.well-known/x",
        "/a/...;x",
        "/-._~!$&'()*+,;=:@",
        "/%20",
        "/%E3%81%82",
        "/%C3%A4",
        "/%F0%9F%98%80",
        "/%25",
        "/100%25",
        "/%25zz",
        "/%3Ba",
        "/a%3F",
        "/%23",
        "/%40",
        "/%2520x",
        "/a%2541",
        "/a;..x",
    ];
    for path in plain {
        let mut out = [0; 64];
        let unchanged = normalise(path.as_bytes(), EncodedSlash::Refuse, &mut out);
        assert_eq!(unchanged, Ok(Normal::Unchanged), "{path}");
    }
}

#[test]
fn rfc_3986_6_2_2_1_case_of_hexadecimal_digits() {
    becomes(&[("/%c3%a4", "/%C3%A4"), ("/%3b", "/%3B"), ("/%e3%81%82x", "/%E3%81%82x"), ("/a%3f", "/a%3F")]);
}

#[test]
fn rfc_3986_6_2_2_2_unreserved_characters_are_decoded() {
    becomes(&[
        ("/%41%7a%30", "/Az0"),
        ("/%2D%2e%5F%7E", "/-._~"),
        ("/a%2Eb", "/a.b"),
        ("/%61dmin", "/admin"),
        ("/%2ea", "/.a"),
    ]);
}

#[test]
fn rfc_3986_6_2_2_3_dot_segments() {
    becomes(&[
        ("", "/"),
        ("/.", "/"),
        ("/./", "/"),
        ("/./a", "/a"),
        ("/a/.", "/a/"),
        ("/a/./b", "/a/b"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/../../c", "/c"),
        ("/a//..", "/a/"),
        ("/a//../b", "/a/b"),
        ("//..", "/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/a/.%2e/b", "/b"),
        ("/./.", "/"),
        ("/a/../b/../c", "/c"),
    ]);
    refused(&["/..", "/../", "/../a", "/a/../..", "/a/../../b", "/./..", "/%2e%2e", "/%2e%2e/a", "/.%2E/a"]);
}

#[test]
fn segments_that_a_second_reading_makes_dot_segments() {
    refused(&[
        "/a/%252e%252e/b",
        "/a/%252e/b",
        "/a/.%252e/b",
        "/a/%25252e%25252e/b",
        "/a/%2525252e",
        "/a/%252%65",
        "/a/%25%32%65",
        "/a/%25%32%45%25%32%65",
        "/a/%2525%2532%2565",
        "/a/%252e%252e%252fb",
        "/a/..%252fb",
        "/a/..%255cb",
        "/a/x%252f..",
        "/a/x%255c..%255cb",
        "/a/%252e%252e%253bx",
    ]);
}

#[test]
fn segments_that_are_dot_segments_without_their_parameters() {
    refused(&[
        "/a/..;x",
        "/a/.;x",
        "/a/..;",
        "/a/.;",
        "/a/..;x=1/b",
        "/a/%2e%2e;x",
        "/a/%2e;x",
        "/a/..%3Bx",
        "/a/..%3b",
        "/a/..%253bx",
        "/a/%252e%252e;x",
        "/..;/a",
        "/.;/",
    ]);
    assert_eq!(normal("/a/...;x").as_deref(), Some("/a/...;x"));
    assert_eq!(normal("/a/b..;x").as_deref(), Some("/a/b..;x"));
}

#[test]
fn backslashes_controls_and_bytes_that_no_path_has() {
    refused(&[
        "/\\",
        "/a\\..\\b",
        "/%5c",
        "/%5C..%5Ca",
        "/%00",
        "/a%00.html",
        "/%01",
        "/%0a",
        "/%0d%0a",
        "/%1f",
        "/%7f",
        "/%7F",
        "/%09",
    ]);
    for byte in (0..=0x20).chain(*b"\"<>^`{}|\\[]?#").chain(0x7F..=0xFF) {
        assert_eq!(
            normal_with(&[b'/', b'a', byte], EncodedSlash::Keep),
            Err(Reason::PathInvalid),
            "{byte:#x}"
        );
    }
}

#[test]
fn rfc_3629_encoded_text_is_well_formed() {
    refused(&[
        "/%c0%af",
        "/%c0%ae%c0%ae",
        "/%e0%80%af",
        "/%e0%80%ae",
        "/%f0%80%80%af",
        "/%c1%9c",
        "/%80",
        "/%bf",
        "/%c3",
        "/%c3a",
        "/%c3%28",
        "/%e3%81",
        "/%e3%81x",
        "/%ed%a0%80",
        "/%f4%90%80%80",
        "/%f5%80%80%80",
        "/%fe",
        "/%ff",
        "/%f0%9f%98",
        "/%c3/%a4",
        "/\u{e4}",
    ]);
}

#[test]
fn rfc_3986_2_1_malformed_percents() {
    refused(&[
        "/%", "/%4", "/%zz", "/%4g", "/%g4", "/a%", "/%%41", "/%u002e", "/%-1", "/%+2", "/% 41", "/%4/1",
    ]);
}

#[test]
fn encoded_slashes() {
    refused(&["/a%2fb", "/a%2Fb", "/%2f", "/%2f..", "/a/%2e%2e%2fb"]);
    let keep = |path: &[u8]| normal_with(path, EncodedSlash::Keep);
    assert_eq!(keep(b"/a%2fb"), Ok(b"/a%2Fb".to_vec()));
    assert_eq!(keep(b"/a%2F/%41"), Ok(b"/a%2F/A".to_vec()));
    for hidden in
        ["/a%2f..", "/a%2f..%2fb", "/..%2fb", "/%2e%2e%2Fb", "/a%2f.", "/a%2f..;x", "/a%2f%252e%252e"]
    {
        assert_eq!(keep(hidden.as_bytes()), Err(Reason::PathInvalid), "{hidden}");
    }
}

#[test]
fn a_path_begins_with_a_slash() {
    refused(&["a", "*", "a/b", "?", "%2f", "..", "."]);
}

#[test]
fn percents_that_nest_without_end_are_refused() {
    refused(&[&format!("/{}", "%25".repeat(64)), &format!("/{}2e", "%252".repeat(64))]);
    assert!(normal(&format!("/%{}41", "25".repeat(2000))).is_some());
}

#[test]
fn a_room_that_is_too_small_is_no_panic() {
    let path = b"/%41/%c3%a4/../b";
    for size in 0..3 {
        assert_eq!(normalise(path, EncodedSlash::Refuse, &mut vec![0; size]), Err(Reason::TargetTooLong));
    }
    assert_eq!(normalise(b"", EncodedSlash::Refuse, &mut []), Err(Reason::TargetTooLong));
}

#[test]
fn what_is_normal_stays_so() {
    let pieces = [
        "/", "/", ".", "..", "%2e", "%2E", "%25", "2e", ";", "a", "%41", "%2f", "%5c", "%c3%a4", "%c3", "%",
        "25", "3b", "x;y", "//", "%3b", "%252f",
    ];
    let mut random = Random(11);
    let mut accepted = 0;
    for _ in 0..200_000 {
        let path: String = std::iter::once("/")
            .chain((0..random.below(9)).map(|_| pieces[random.below(pieces.len())]))
            .collect();
        for slash in [EncodedSlash::Refuse, EncodedSlash::Keep] {
            let Ok(once) = normal_with(path.as_bytes(), slash) else { continue };
            accepted += 1;
            assert_eq!(normal_with(&once, slash), Ok(once.clone()), "{path}");
            assert!(once.len() <= path.len() && once.starts_with(b"/") && !once.contains(&b'\\'), "{path}");
            assert!(!leaves(&once), "{path} became {}", String::from_utf8_lossy(&once));
        }
    }
    assert!(accepted > 50_000, "{accepted}");
}

/// Another way to the same question: decode over and over, and look for dot segments each time.
fn leaves(path: &[u8]) -> bool {
    let mut path = path.to_vec();
    loop {
        let separators = |byte: &u8| matches!(byte, b'/' | b'\\');
        let name = |segment: &[u8]| segment.split(|&byte| byte == b';').next().unwrap_or_default().to_vec();
        if path.split(separators).map(name).any(|name| name == b"." || name == b"..") {
            return true;
        }
        let decoded = decode_once(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
}

fn decode_once(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&byte, rest)) = bytes.split_first() {
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits
            .filter(|digits| !digits.starts_with('+'))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(value) if byte == b'%' => {
                out.push(value);
                bytes = &rest[2..];
            }
            _ => {
                out.push(byte);
                bytes = rest;
            }
        }
    }
    out
}

#[test]
fn aliases_stand_as_they_are() {
    let split = |path: &'static str| {
        split_alias(path.as_bytes())
            .map(|(alias, rest)| (std::str::from_utf8(alias).unwrap(), std::str::from_utf8(rest).unwrap()))
    };
    assert_eq!(split("/"), Ok(("", "/")));
    assert_eq!(split("/orders"), Ok(("orders", "")));
    assert_eq!(split("/orders/"), Ok(("orders", "/")));
    assert_eq!(split("/orders/v1/%2e"), Ok(("orders", "/v1/%2e")));
    assert_eq!(split("/a.b_c~d-9/x"), Ok(("a.b_c~d-9", "/x")));
    assert_eq!(split("//x"), Ok(("", "/x")));
    for bad in [
        "",
        "a",
        "*",
        "/.",
        "/..",
        "/./a",
        "/../a",
        "/%6frders/x",
        "/a;x/y",
        "/a%2fb",
        "/a b",
        "/a\\b",
        "/a:b",
        "/a@b",
        "/\u{e4}",
        "/a?b",
        "/..;x/",
    ] {
        assert_eq!(split_alias(bad.as_bytes()), Err(Reason::PathInvalid), "{bad}");
    }
}

#[test]
fn rfc_3986_3_4_queries() {
    for good in [
        "",
        "a=b",
        "a=b&c=d?e/f",
        "filter[name]=x",
        "q=%E4",
        "q=%00",
        "a|b",
        "{x}",
        "a'b",
        "a\\b",
        "^`",
        "+",
        "%2F%2e",
    ] {
        assert!(valid_query(good.as_bytes()), "{good}");
    }
    for bad in ["%", "a%2", "%zz", "a b", "a#b", "\"", "<", ">", "\u{e4}", "\u{1}", "\u{7f}", "a%%20"] {
        assert!(!valid_query(bad.as_bytes()), "{bad}");
    }
}
