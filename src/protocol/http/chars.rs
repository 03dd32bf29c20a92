//! One table of what each byte may stand in, and the two questions asked of it.
//!
//! It knows the grammar's character sets and nothing of where they are used.

/// A set of bytes: one bit in the table.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Class {
    /// `tchar` (RFC 9110 §5.6.2).
    Token = 1,
    /// What may stand in a field value: visible ASCII, SP, HTAB, obs-text (RFC 9110 §5.5).
    Value = 2,
    /// What a request target may be made of at all: visible ASCII without `#` (RFC 9112 §3.2).
    Target = 4,
    /// `unreserved` (RFC 3986 §2.3).
    Unreserved = 8,
    /// `pchar` without percent, and `/` (RFC 3986 §3.3).
    Path = 16,
    /// A query's bytes without percent: `pchar`, `/`, `?`, and what URL parsers of browsers leave as it is.
    Query = 32,
    /// `HEXDIG` in either case.
    Hex = 64,
}

const TABLE: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = classes(at as u8);
        at += 1;
    }
    table
}

const fn classes(byte: u8) -> u8 {
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let sub_delim =
        matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
    let token = byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
    let value = matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xFF);
    let path = unreserved || sub_delim || matches!(byte, b':' | b'@' | b'/');
    let query = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'%');
    let target = byte.is_ascii_graphic() && byte != b'#';
    bit(token, Class::Token)
        | bit(value, Class::Value)
        | bit(target, Class::Target)
        | bit(unreserved, Class::Unreserved)
        | bit(path, Class::Path)
        | bit(query, Class::Query)
        | bit(byte.is_ascii_hexdigit(), Class::Hex)
}

const fn bit(member: bool, class: Class) -> u8 {
    if member { class as u8 } else { 0 }
}

/// Whether `byte` belongs to `class`.
#[inline(always)]
pub(crate) fn is(byte: u8, class: Class) -> bool {
    TABLE[byte as usize] & class as u8 != 0
}

/// How many bytes at the front belong to `class`.
#[inline(always)]
pub(crate) fn span(bytes: &[u8], class: Class) -> usize {
    bytes.iter().position(|&byte| !is(byte, class)).unwrap_or(bytes.len())
}
