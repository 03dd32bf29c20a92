//! `keyferry key new`: a key for a caller, and the record that lets it in.
//!
//! `prefix_` + 33 digits of base 62, which hold 192 random bits + 6 digits of base 62, the CRC-32 of all that
//! stands before them. The prefix tells scanners of leaked secrets whose key it is; the checksum lets anyone
//! tell a key from a typing error without knowing the keys. Nothing is written to disk.

use std::process::ExitCode;

use clap::Args;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{hash, print};

/// 192 bits: beyond any search, and a multiple of the words that base 62 is made from.
const RANDOM_BYTES: usize = 24;
/// 62^33 > 2^192.
const RANDOM_DIGITS: usize = 33;
/// 62^6 > 2^32.
const CHECKSUM_DIGITS: usize = 6;
/// Longest prefix: it is read by people.
const PREFIX_BYTES_MAX: usize = 32;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Options of `key new`.
#[derive(Debug, Args)]
pub(super) struct New {
    /// What the key begins with
    #[arg(long, value_name = "PREFIX", default_value = "kf_live", value_parser = prefix)]
    prefix: String,
    /// Id of the key in the record, which logs may show; none if left out
    #[arg(long, value_name = "NAME", value_parser = id)]
    id: Option<String>,
}

/// Makes a key and prints it, once.
pub(super) fn run(options: &New) -> ExitCode {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    if SystemRandom::new().fill(&mut *random).is_err() {
        super::complain(&format_args!("keyferry: the system's generator of random numbers does not answer"));
        return ExitCode::FAILURE;
    }
    let key = key(&options.prefix, &random);
    let record = hash::record(options.id.as_deref(), &hash::hex(key.as_bytes()));
    let text = Zeroizing::new(format!(
        "key (for the caller; it is shown this once and stored nowhere):\n{}\n\nrecord (for keys = [ … ] of a credential):\n{record}\n",
        &*key
    ));
    print(&text)
}

/// The key that some random bytes make.
fn key(prefix: &str, random: &[u8; RANDOM_BYTES]) -> Zeroizing<String> {
    let mut key = Zeroizing::new(String::with_capacity(prefix.len() + 1 + RANDOM_DIGITS + CHECKSUM_DIGITS));
    key.push_str(prefix);
    key.push('_');
    push_digits(&mut key, &mut random.clone(), RANDOM_DIGITS);
    let checksum = crc32(key.as_bytes());
    push_digits(&mut key, &mut checksum.to_be_bytes(), CHECKSUM_DIGITS);
    key
}

/// Appends a number, given in bytes from the highest, with leading zeros. Destroys the bytes.
fn push_digits(text: &mut String, number: &mut [u8], count: usize) {
    let mut digits = Zeroizing::new([b'0'; RANDOM_DIGITS]);
    for digit in digits.iter_mut().take(count).rev() {
        let mut remainder = 0;
        for byte in number.iter_mut() {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    text.extend(digits.iter().take(count).map(|digit| char::from(*digit)));
}

/// CRC-32 of IEEE 802.3, bit by bit: a key is short.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn prefix(text: &str) -> Result<String, String> {
    let fits = (1..=PREFIX_BYTES_MAX).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(text.to_owned());
    }
    Err(format!("write 1 to {PREFIX_BYTES_MAX} letters, digits or underscores"))
}

fn id(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
    if (1..=crate::limits::NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!("write 1 to {} letters, digits or any of - _ . : @", crate::limits::NAME_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::{crc32, key};

    #[test]
    fn crc_32_has_its_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_key_has_one_length_and_all_its_bits() {
        let (zeros, ones) = (key("kf_live", &[0; 24]), key("kf_live", &[0xff; 24]));
        assert!(zeros.starts_with("kf_live_000000000000000000000000000000000"));
        assert_eq!((zeros.len(), ones.len()), (8 + 33 + 6, 8 + 33 + 6));
        // 2^192 - 1 in base 62, worked out with another tool.
        assert_eq!(&ones[8..41], "2lFA6LboL2xx0ldQH2K1TdSrwuqMMiME3");
    }
}
