//! A path is refused, or has one normal form: stable, no longer, without dot segments under any decoding.

use keyferry::protocol::http::path::{EncodedSlash, normalise, split_alias, valid_query};

pub fn run(bytes: &[u8]) {
    for slash in [EncodedSlash::Refuse, EncodedSlash::Keep] {
        check(bytes, slash);
    }
    if let Ok((alias, rest)) = split_alias(bytes) {
        assert!(bytes == b"/" || [b"/", alias, rest].concat() == bytes);
        assert!(rest.is_empty() || rest.starts_with(b"/"));
    }
    if valid_query(bytes) {
        assert!(bytes.iter().all(u8::is_ascii_graphic));
    }
}

fn check(path: &[u8], slash: EncodedSlash) {
    let mut out = vec![0xAA; path.len().max(1)];
    let Ok(normal) = normalise(path, slash, &mut out) else { return };
    let once = normal.of(path, &out);
    let mut again = vec![0; once.len()];
    let twice = normalise(once, slash, &mut again).expect("a normal form is accepted");
    assert_eq!(twice.of(once, &again), once, "not stable");
    assert!(once.starts_with(b"/") && once.iter().all(u8::is_ascii_graphic));
    if slash == EncodedSlash::Refuse {
        assert!(!once.windows(3).any(|bytes| bytes.eq_ignore_ascii_case(b"%2f")));
    }
    assert!(!leaves(once), "a dot segment is left");
}

/// Decodes over and over, and looks for dot segments each time; slow on purpose, and unlike what it checks.
fn leaves(path: &[u8]) -> bool {
    let mut path = path.to_vec();
    loop {
        let name = |segment: &[u8]| segment.split(|&byte| byte == b';').next().unwrap_or_default().to_vec();
        if path.split(|byte| matches!(byte, b'/' | b'\\')).map(name).any(|name| name == b"." || name == b"..")
        {
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
    let hex = |byte: u8| (byte as char).to_digit(16);
    let mut out = Vec::new();
    while let Some((&byte, rest)) = bytes.split_first() {
        let value = rest.get(..2).and_then(|digits| Some(hex(digits[0])? * 16 + hex(digits[1])?));
        match value {
            Some(value) if byte == b'%' => {
                out.push(value as u8);
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
