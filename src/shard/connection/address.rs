//! A caller's address as text, made once for each connection.

use std::{io::Write, net::IpAddr};

/// The longest text of an address: an IPv4 address mapped into IPv6.
const TEXT_BYTES_MAX: usize = 45;

/// What is written for a caller whose address is not known (RFC 7239 §6.2).
const UNKNOWN: &[u8] = b"unknown";

/// An address as text; that of a caller over a Unix socket, or of one that a proxy does not tell of, is not known.
#[derive(Debug, Clone, Copy)]
pub(in crate::shard) struct Address {
    ip: Option<IpAddr>,
    text: [u8; TEXT_BYTES_MAX],
    length: u8,
}

impl Address {
    pub(in crate::shard) fn new(address: Option<IpAddr>) -> Self {
        let mut text = [0; TEXT_BYTES_MAX];
        let ip = address.map(|address| address.to_canonical());
        let mut rest = &mut text[..];
        let written = match ip {
            Some(ip) => write!(rest, "{ip}"),
            None => rest.write_all(UNKNOWN),
        };
        debug_assert!(written.is_ok(), "no address is longer than {TEXT_BYTES_MAX} bytes");
        let left = rest.len();
        Self { ip, text, length: u8::try_from(TEXT_BYTES_MAX - left).unwrap_or(0) }
    }

    /// The address itself; an IPv4 address mapped into IPv6 is taken out.
    pub(in crate::shard) fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    pub(in crate::shard) fn text(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_written_as_people_write_them() {
        for (address, text) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(Address::new(address.parse().ok()).text(), text.as_bytes());
        }
        assert_eq!(Address::new(None).text(), b"unknown");
    }
}
