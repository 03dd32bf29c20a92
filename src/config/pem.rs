//! PEM (RFC 7468): sections of a file, decoded into memory that is wiped.
//!
//! It knows no certificates and no keys, only labels; `validate` asks for those that it needs.

use zeroize::Zeroizing;

use super::base64;

/// One section.
pub(super) struct Section<'a> {
    /// What its first line says that it is.
    pub label: &'a str,
    /// Its bytes; none if they are not base64.
    pub bytes: Option<Zeroizing<Vec<u8>>>,
    /// Whether header fields say that it is encrypted (RFC 1421 §4.6.1.1), as old tools write keys.
    pub encrypted: bool,
}

/// Every whole section of a file, in its order; what stands between sections is not looked at.
pub(super) fn sections(text: &[u8]) -> Vec<Section<'_>> {
    let mut found = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        let Some(label) = label(line, b"-----BEGIN ") else { continue };
        // Reserved up front: a buffer that grows leaves copies behind.
        let own = lines.clone().take_while(|line| !line.starts_with(b"-----"));
        let mut digits = Zeroizing::new(Vec::with_capacity(own.map(<[u8]>::len).sum()));
        let (mut encrypted, mut ended) = (false, false);
        for line in lines.by_ref() {
            if line.starts_with(b"-----") {
                ended = self::label(line, b"-----END ") == Some(label);
                break;
            }
            if line.contains(&b':') {
                encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
            } else if !(encrypted && line.starts_with(b"DEK-")) {
                digits.extend_from_slice(line);
            }
        }
        if ended {
            found.push(Section { label, bytes: decode(&digits), encrypted });
        }
    }
    found
}

fn label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a str> {
    std::str::from_utf8(line.strip_prefix(start)?.strip_suffix(b"-----")?).ok()
}

fn decode(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let padding = digits.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 || !digits.len().is_multiple_of(4) || digits.is_empty() {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 4 * 3));
    let (mut word, mut bits) = (0u32, 0);
    for digit in digits.get(..digits.len() - padding)? {
        word = (word << 6 | base64::sextet(*digit, false)?) & 0xfff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::sections;

    #[test]
    fn sections_are_found_among_other_text() {
        let text = "Subject: a\r\n-----BEGIN A B-----\r\naGVs\r\nbG8=\r\n-----END A B-----\n-----BEGIN C-----\n\
                    Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\naGVsbG8h\n-----END C-----\n";
        let found = sections(text.as_bytes());
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].label, found[0].encrypted), ("A B", false));
        assert_eq!(found[0].bytes.as_ref().map(|bytes| bytes.as_slice()), Some(&b"hello"[..]));
        assert_eq!((found[1].label, found[1].encrypted), ("C", true));
        assert_eq!(found[1].bytes.as_ref().map(|bytes| bytes.as_slice()), Some(&b"hello!"[..]));
    }

    #[test]
    fn what_is_torn_is_no_section_and_what_is_not_base64_has_no_bytes() {
        for text in
            ["", "-----BEGIN A-----\naGVs\n", "-----BEGIN A-----\naGVs\n-----END B-----\n", "\u{e9}\0"]
        {
            assert_eq!(sections(text.as_bytes()).len(), 0, "{text}");
        }
        for digits in ["", "a", "aGV", "aG?s", "a===", "===="] {
            let text = format!("-----BEGIN A-----\n{digits}\n-----END A-----\n");
            assert!(sections(text.as_bytes())[0].bytes.is_none(), "{digits}");
        }
    }
}
