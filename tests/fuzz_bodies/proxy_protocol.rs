//! A PROXY header is the same however it comes: a part of it is awaited, and what was said once stays said.

use keyferry::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};
use keyferry::protocol::proxy_protocol::parse;

pub fn run(bytes: &[u8]) {
    let whole = parse(bytes);
    let bytes_max = if bytes.first() == Some(&b'P') { PROXY_V1_BYTES_MAX } else { PROXY_V2_BYTES_MAX };
    let mut said = Ok(None);
    for length in 0..=bytes.len() {
        let now = parse(&bytes[..length]);
        if said == Ok(None) {
            said = now;
        }
        assert_eq!(now, said, "after {length} bytes, whose opinion has changed");
        assert!(now != Ok(None) || length < bytes_max, "more is awaited than there can be");
        if let Ok(Some(header)) = now {
            assert!((1..=bytes_max.min(length)).contains(&header.bytes), "{} of {length}", header.bytes);
            assert_eq!(parse(&bytes[..header.bytes]), now, "what stands behind it decides");
        }
    }
    assert_eq!(whole, said);
    if let Ok(Some(header)) = whole {
        let cut = parse(&bytes[..header.bytes - 1]);
        assert_eq!(cut, Ok(None), "a header without its last byte");
    }
}
