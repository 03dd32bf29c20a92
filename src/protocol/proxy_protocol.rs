//! The PROXY protocol, versions 1 and 2: what a load balancer says of its caller in front of the caller's bytes.
//!
//! It knows neither sockets nor who may say so; `shard/front` asks for it. Strict: a header that is not exactly what
//! the specification describes is an error, and what could still become one is not yet an answer. Of what version 2
//! adds to the addresses only the checksum means anything here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::crc32c::crc32c;
use crate::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};

/// How version 2 begins (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length.
const FIXED_BYTES: usize = 16;
const V1_START: &[u8] = b"PROXY ";
/// The type of an addition that is a CRC32C of the header.
const CHECKSUM: u8 = 0x03;

/// A header that is there whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it takes.
    pub bytes: usize,
    /// Where the caller is; none where the header leaves that to the connection (LOCAL, UNKNOWN, UNSPEC, Unix sockets).
    pub source: Option<IpAddr>,
}

/// There is no header, or one that is wrong or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Reads the header at the front of `bytes`; none while it may still become one.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => version_1(bytes),
        Some(_) => version_2(bytes),
    }
}

/// Whether `bytes` are, as far as they go, what `start` is.
fn agrees(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 51234 443\r\n` (§2.1).
fn version_1(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if !agrees(bytes, V1_START) {
        return Err(Malformed);
    }
    let seen = bytes.get(..PROXY_V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = memchr::memchr2(b'\r', b'\n', seen) else {
        return if seen.len() < PROXY_V1_BYTES_MAX { Ok(None) } else { Err(Malformed) };
    };
    match seen.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) if seen.len() < PROXY_V1_BYTES_MAX => return Ok(None),
        _ => return Err(Malformed),
    }
    let line = seen.get(V1_START.len()..end).and_then(|line| std::str::from_utf8(line).ok());
    let source = addresses(line.ok_or(Malformed)?)?;
    Ok(Some(Header { bytes: end + 2, source }))
}

fn addresses(line: &str) -> Result<Option<IpAddr>, Malformed> {
    let mut words = line.split(' ');
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(None); // whatever follows is to be ignored (§2.1)
    }
    let (source, destination) = (words.next().ok_or(Malformed)?, words.next().ok_or(Malformed)?);
    for _ in 0..2 {
        words.next().filter(|word| is_port(word)).ok_or(Malformed)?;
    }
    if words.next().is_some() {
        return Err(Malformed);
    }
    let of_family = |text: &str| -> Result<IpAddr, Malformed> {
        match family {
            Some("TCP4") => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Malformed),
            Some("TCP6") => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    };
    of_family(destination)?;
    of_family(source).map(Some)
}

/// A number from 0 to 65535 without zeros in front.
fn is_port(word: &str) -> bool {
    let plain = word == "0" || !word.starts_with('0');
    plain && word.bytes().all(|byte| byte.is_ascii_digit()) && word.parse::<u16>().is_ok()
}

/// Signature, version and command, family and transport, length, addresses, then what is added to them (§2.2).
fn version_2(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if !agrees(bytes, &SIGNATURE) {
        return Err(Malformed);
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else { return Ok(None) };
    let &[.., command, family, high, low] = fixed else { return Err(Malformed) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED_BYTES + length > PROXY_V2_BYTES_MAX {
        return Err(Malformed);
    }
    // Judged before it is whole, so that what is wrong is not waited for.
    let wanted = match (command, family) {
        (0x20, _) => Addresses::None,    // LOCAL: the family is to be ignored
        (0x21, 0x00) => Addresses::None, // and so is whatever follows one that is not specified
        (0x21, 0x31 | 0x32) => Addresses::Unix,
        (0x21, 0x11) => Addresses::V4,
        (0x21, 0x21) => Addresses::V6,
        _ => return Err(Malformed),
    };
    if length < wanted.bytes() {
        return Err(Malformed);
    }
    let end = FIXED_BYTES + length;
    let (Some(header), Some(content)) = (bytes.get(..end), rest.get(..length)) else { return Ok(None) };
    let source = match wanted {
        Addresses::None | Addresses::Unix => None,
        Addresses::V4 => content.first_chunk::<4>().map(|address| IpAddr::from(*address)),
        Addresses::V6 => content.first_chunk::<16>().map(|address| IpAddr::from(*address)),
    };
    if wanted.bytes() > 0 {
        check_additions(header, FIXED_BYTES + wanted.bytes())?;
    }
    Ok(Some(Header { bytes: end, source }))
}

/// What is added to the addresses, each with a type and a length: the last one ends with the header, and a checksum of
/// the header is right (§2.2.3).
fn check_additions(header: &[u8], from: usize) -> Result<(), Malformed> {
    let mut at = from;
    while at < header.len() {
        let fixed = header.get(at..).and_then(|rest| rest.first_chunk::<3>());
        let &[kind, high, low] = fixed.ok_or(Malformed)?;
        let (before, rest) = header.split_at_checked(at + 3).ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, behind) = rest.split_at_checked(length).ok_or(Malformed)?;
        // It is made with zeros in its own place.
        if kind == CHECKSUM && *value != crc32c(&[before, &[0; 4], behind]).to_be_bytes() {
            return Err(Malformed);
        }
        at += 3 + length;
    }
    Ok(())
}

/// What addresses a header of version 2 has.
#[derive(Clone, Copy)]
enum Addresses {
    None,
    V4,
    V6,
    Unix,
}

impl Addresses {
    /// Two addresses and, but for those of Unix sockets, two ports.
    const fn bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Unix => 216,
        }
    }
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
