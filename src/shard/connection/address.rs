//! A caller's address as text, made once for each connection.

use std::{io::Write, net::IpAddr};

/// The longest text of an address: an IPv4 address mapped into IPv6.
const TEXT_BYTES_MAX: usize = 45;

/// An address as text.
#[derive(Debug, Clone, Copy)]
pub(in crate::shard) struct Address {
    ip: IpAddr,
    text: [u8; TEXT_BYTES_MAX],
    length: u8,
}

impl Address {
    pub(in crate::shard) fn new(address: IpAddr) -> Self {
        let ip = address.to_canonical();
        let mut text = [0; TEXT_BYTES_MAX];
        let mut rest = &mut text[..];
        let written = write!(rest, "{ip}");
        debug_assert!(written.is_ok(), "no address is longer than {TEXT_BYTES_MAX} bytes");
        let left = rest.len();
        Self { ip, text, length: u8::try_from(TEXT_BYTES_MAX - left).unwrap_or(0) }
    }

    /// The address itself; an IPv4 address mapped into IPv6 is taken out.
    pub(in crate::shard) fn ip(&self) -> IpAddr {
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
            assert_eq!(Address::new(address.parse().expect("an address")).text(), text.as_bytes());
        }
    }
}
