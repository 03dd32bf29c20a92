//! Base64 (RFC 4648 §4 and §5) for two small things: the value of a `Basic` field, and digests in key records.
//!
//! It is not a general codec: decoding takes exactly the 32 bytes of a digest.

use crate::types::Digest;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the padded standard form of `bytes`.
pub(super) fn encode_into(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let value = (word >> (18 - 6 * digit)) & 0x3f;
            out.push(if digit > chunk.len() { b'=' } else { STANDARD[value as usize] });
        }
    }
}

/// Length of what [`encode_into`] appends.
pub(super) const fn encoded_bytes(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The digest that `text` spells, in the standard or the URL alphabet, with or without padding.
pub(super) fn digest(text: &[u8], url: bool) -> Option<Digest> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    if text.len() != 43 {
        return None;
    }
    let mut digest = [0u8; 32];
    let (mut word, mut bits, mut at) = (0u32, 0, 0);
    for byte in text {
        word = word << 6 | sextet(*byte, url)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *digest.get_mut(at)? = (word >> bits) as u8;
            at += 1;
            word &= (1 << bits) - 1;
        }
    }
    // The two bits that are left over must be zero, or two spellings would mean one digest.
    (word == 0).then_some(digest)
}

/// The value of one digit.
pub(super) fn sextet(byte: u8, url: bool) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' if !url => 62,
        b'/' if !url => 63,
        b'-' if url => 62,
        b'_' if url => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{digest, encode_into, encoded_bytes};

    #[test]
    fn vectors_of_rfc_4648_section_10() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode_into(&mut out, plain.as_bytes());
            assert_eq!(out, encoded.as_bytes());
            assert_eq!(encoded_bytes(plain.len()), encoded.len());
        }
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let bytes: [u8; 32] = std::array::from_fn(|at| (at * 37 + 251) as u8);
        let mut out = Vec::new();
        encode_into(&mut out, &bytes);
        assert_eq!(digest(&out, false), Some(bytes));
        assert_eq!(digest(&out[..43], false), Some(bytes));
        assert_eq!(digest(&out[..42], false), None);
        let mut sloppy = out.clone();
        sloppy[42] += 1;
        assert_eq!(digest(&sloppy, false), None);
        assert_eq!(digest(b"cHQvglGOL0xEooJB6F6smkhw2Ma4sRrANKbWa7B0q/g=", true), None);
        assert_eq!(
            digest(b"cHQvglGOL0xEooJB6F6smkhw2Ma4sRrANKbWa7B0q_g=", true).map(|found| found[0]),
            Some(0x70)
        );
    }
}
