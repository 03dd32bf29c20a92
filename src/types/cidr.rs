//! A network of addresses, such as `10.0.0.0/8` or `2001:db8::/32`.
//!
//! IPv4 addresses that are written in the form of IPv6 (`::ffff:10.0.0.1`, RFC 4291 §2.5.5.2) are IPv4 addresses
//! here, in networks and in what is looked up.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CidrError {
    /// It does not read as one.
    Malformed,
    /// Bits behind the prefix are set; this network was probably meant.
    HostBits(Cidr),
}

impl Cidr {
    /// Reads a network, or an address that stands for itself alone.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(prefix(bits).ok_or(CidrError::Malformed)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Malformed)?;
        let bits = bits.unwrap_or(width(address));
        if bits > width(address) {
            return Err(CidrError::Malformed);
        }
        let (address, bits) = canonical(address, bits);
        let network = Self { network: masked(address, bits), bits };
        if network.network == address { Ok(network) } else { Err(CidrError::HostBits(network)) }
    }

    /// Whether an address belongs to it.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.bits) == self.network
    }

    /// Whether every address of another network belongs to it.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.network)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.network) {
            return write!(formatter, "{}", self.network);
        }
        write!(formatter, "{}/{}", self.network, self.bits)
    }
}

/// Digits without a sign or a zero in front.
fn prefix(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// A mapped network that lies within the mapped range is one of IPv4.
fn canonical(address: IpAddr, bits: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), bits.checked_sub(96)) {
        (IpAddr::V4(mapped), Some(rest)) if address.is_ipv6() => (IpAddr::V4(mapped), rest),
        _ => (address, bits),
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, CidrError};

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).expect(text)
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "fe80::1", "10.0.0.1"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("192.0.2.128/25", "192.0.2.129", "192.0.2.127"),
        ] {
            assert!(cidr(network).contains(inside.parse().expect("an address")), "{network} {inside}");
            assert!(!cidr(network).contains(outside.parse().expect("an address")), "{network} {outside}");
        }
        assert_eq!(cidr("::ffff:10.0.0.0/104"), cidr("10.0.0.0/8"));
        assert!(cidr("10.0.0.0/8").covers(&cidr("10.1.0.0/16")));
        assert!(!cidr("10.1.0.0/16").covers(&cidr("10.0.0.0/8")));
    }

    #[test]
    fn what_is_no_network_is_told_apart_from_a_slip() {
        for text in
            ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0/8", "a", "::/129"]
        {
            assert_eq!(Cidr::parse(text), Err(CidrError::Malformed), "{text}");
        }
        for (text, meant) in [("10.1.2.3/8", "10.0.0.0/8"), ("2001:db8::1/32", "2001:db8::/32")] {
            assert_eq!(Cidr::parse(text), Err(CidrError::HostBits(cidr(meant))), "{text}");
            assert_eq!(cidr(meant).to_string(), meant);
        }
        assert_eq!(cidr("10.1.2.3/32").to_string(), "10.1.2.3");
    }
}
