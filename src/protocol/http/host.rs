//! The grammar of `Host` and of an authority: a name or address, and perhaps a port.
//!
//! Narrower than RFC 3986 §3.2.2 on purpose: no percent-encoding and no sub-delimiters in names, no empty host
//! and no empty port, since two readers can take those differently. It does not look names up.

use std::net::Ipv6Addr;

use super::{Class, is};

/// Whether this is `name`, `IPv4` or `[IPv6]`, with `:port` or without (RFC 9112 §3.2, RFC 9110 §7.2).
#[inline]
pub fn valid_host(host: &[u8]) -> bool {
    if host.first() == Some(&b'[') {
        return valid_literal(host);
    }
    let name = host.iter().take_while(|&&byte| is(byte, Class::Unreserved)).count();
    name > 0 && valid_port(host.get(name..).unwrap_or_default())
}

fn valid_literal(host: &[u8]) -> bool {
    let Some(end) = host.iter().position(|&byte| byte == b']') else { return false };
    let inside = host.get(1..end).and_then(|inside| std::str::from_utf8(inside).ok());
    inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok())
        && valid_port(host.get(end + 1..).unwrap_or_default())
}

/// Empty, or a colon and a number from 1 to 65535.
fn valid_port(rest: &[u8]) -> bool {
    match rest {
        [] => true,
        [b':', digits @ ..] => {
            let number = digits.iter().try_fold(0u32, |number, digit| {
                digit.is_ascii_digit().then(|| (number * 10 + u32::from(digit - b'0')).min(65_536))
            });
            number.is_some_and(|number| (1..=65_535).contains(&number))
        }
        _ => false,
    }
}
