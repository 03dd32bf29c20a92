//! Records once a handshake is over: sealed into a buffer of the shard, opened where they were received.
//!
//! The record protection of TLS 1.3 (RFC 8446 §5) and of the AEAD suites of TLS 1.2 (RFC 5246 §6.2.3.3, RFC 5288,
//! RFC 7905), with the keys that the handshake left. Each direction is a [`Cipher`] of its own, so that one side of
//! a connection can be read while the other is written. Nothing is allocated, and no plaintext outlives its buffer.

use std::ops::Range;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};

use crate::shard::buffer::Buffer;

/// Type, version and length.
pub(super) const HEADER_BYTES: usize = 5;
/// The most plaintext in one record (RFC 8446 §5.1).
pub(super) const PLAINTEXT_MAX: usize = 16 * 1024;
/// The most that sealing adds to a record: header, explicit nonce, inner type, tag.
pub(super) const OVERHEAD_MAX: usize = HEADER_BYTES + EXPLICIT_BYTES + 1 + TAG_BYTES;
/// What a record may hold beyond its plaintext (RFC 5246 §6.2.3, RFC 8446 §5.2 allows less).
const EXPANSION_MAX: usize = 2048;
const EXPLICIT_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// Both versions call themselves 1.2 in records.
const VERSION: [u8; 2] = [3, 3];

/// What a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    Data,
}

impl Content {
    const fn number(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    const fn of(number: u8) -> Option<Self> {
        match number {
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::Data),
            _ => None,
        }
    }
}

/// A record that cannot be: forged, damaged, too long, or out of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadRecord;

/// How nonce and additional data are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Tls13,
    Tls12,
    /// With eight bytes of the nonce in each record.
    Tls12Explicit,
}

/// The keys of one direction.
pub(super) struct Cipher {
    key: LessSafeKey,
    iv: [u8; NONCE_BYTES],
    sequence: u64,
    form: Form,
}

impl Cipher {
    /// From what a handshake left. `None` for a suite that we do not offer.
    pub(super) fn new(
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
        version: ProtocolVersion,
    ) -> Option<Self> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        let form = match version {
            ProtocolVersion::TLSv1_3 => Form::Tls13,
            ProtocolVersion::TLSv1_2 if algorithm == &CHACHA20_POLY1305 => Form::Tls12,
            ProtocolVersion::TLSv1_2 => Form::Tls12Explicit,
            _ => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?);
        Some(Self { key, iv: iv.as_ref().try_into().ok()?, sequence, form })
    }

    /// Whether records look as those of TLS 1.3 do.
    pub(super) fn is_tls13(&self) -> bool {
        self.form == Form::Tls13
    }

    /// Records that these keys have protected.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Puts a record behind what `out` holds. `plain` is at most [`PLAINTEXT_MAX`] long, and `out` has room for it and
    /// [`OVERHEAD_MAX`] more.
    pub(super) fn seal(&mut self, content: Content, plain: &[u8], out: &mut Buffer) -> Result<(), BadRecord> {
        let nonce = self.next_nonce()?;
        let (explicit, inner): (&[u8], &[u8]) = match self.form {
            Form::Tls13 => (&[], &[content.number()]),
            Form::Tls12 => (&[], &[]),
            Form::Tls12Explicit => (&nonce[NONCE_BYTES - EXPLICIT_BYTES..], &[]),
        };
        let sealed = plain.len() + inner.len();
        let length = explicit.len() + sealed + TAG_BYTES;
        let outer = if self.form == Form::Tls13 { Content::Data } else { content };
        let header = header(outer.number(), length)?;
        let begin = out.len() + HEADER_BYTES + explicit.len();
        let fits = out.append(&header) && out.append(explicit) && out.append(plain) && out.append(inner);
        let region = out.filled_mut().get_mut(begin..).filter(|_| fits).ok_or(BadRecord)?;
        let (tls13, tls12) =
            (header, additional_data(self.sequence, content.number(), VERSION, plain.len())?);
        let data: &[u8] = if self.form == Form::Tls13 { &tls13 } else { &tls12 };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag =
            self.key.seal_in_place_separate_tag(nonce, Aad::from(data), region).map_err(|_| BadRecord)?;
        self.sequence += 1;
        if out.append(tag.as_ref()) { Ok(()) } else { Err(BadRecord) }
    }

    /// Opens a whole record where it lies. Says what it carries, and which bytes of it.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<(Content, Range<usize>), BadRecord> {
        let (header, body) = record.split_first_chunk_mut::<HEADER_BYTES>().ok_or(BadRecord)?;
        let outer = Content::of(header[0]).ok_or(BadRecord)?;
        let mut nonce = self.next_nonce()?;
        let explicit = if self.form == Form::Tls12Explicit { EXPLICIT_BYTES } else { 0 };
        let (in_record, sealed) = body.split_at_mut_checked(explicit).ok_or(BadRecord)?;
        nonce[NONCE_BYTES - explicit..].copy_from_slice(in_record);
        let plain_length = sealed.len().checked_sub(TAG_BYTES).ok_or(BadRecord)?;
        let version = [header[1], header[2]]; // as it came, so that it cannot be changed on its way
        let (tls13, tls12) =
            (*header, additional_data(self.sequence, outer.number(), version, plain_length)?);
        if self.form == Form::Tls13 && outer != Content::Data {
            return Err(BadRecord);
        }
        let data: &[u8] = if self.form == Form::Tls13 { &tls13 } else { &tls12 };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(data), sealed).map_err(|_| BadRecord)?;
        self.sequence += 1;
        let (content, length) = if self.form == Form::Tls13 {
            // The type stands behind the content, zeros may stand behind the type (RFC 8446 §5.4).
            let last = plain.iter().rposition(|byte| *byte != 0).ok_or(BadRecord)?;
            (Content::of(plain[last]).ok_or(BadRecord)?, last)
        } else {
            (outer, plain.len())
        };
        if length > PLAINTEXT_MAX {
            return Err(BadRecord);
        }
        let begin = HEADER_BYTES + explicit;
        Ok((content, begin..begin + length))
    }

    /// The nonce of the next record. A sequence number is never used twice.
    fn next_nonce(&self) -> Result<[u8; NONCE_BYTES], BadRecord> {
        if self.sequence == u64::MAX {
            return Err(BadRecord);
        }
        let mut nonce = self.iv;
        for (byte, number) in nonce[NONCE_BYTES - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Ok(nonce)
    }
}

/// The length of the record that begins here, header included; `None` as long as that cannot be told.
pub(super) fn record_length(received: &[u8]) -> Result<Option<usize>, BadRecord> {
    let Some(header) = received.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if header[1] != VERSION[0] || length > PLAINTEXT_MAX + EXPANSION_MAX || length == 0 {
        return Err(BadRecord);
    }
    Ok(Some(HEADER_BYTES + length))
}

fn header(content: u8, length: usize) -> Result<[u8; HEADER_BYTES], BadRecord> {
    let [high, low] = u16::try_from(length).map_err(|_| BadRecord)?.to_be_bytes();
    Ok([content, VERSION[0], VERSION[1], high, low])
}

/// What TLS 1.2 protects beside the plaintext (RFC 5246 §6.2.3.3).
fn additional_data(
    sequence: u64,
    content: u8,
    version: [u8; 2],
    length: usize,
) -> Result<[u8; 13], BadRecord> {
    let [high, low] = u16::try_from(length).map_err(|_| BadRecord)?.to_be_bytes();
    let mut data = [0; 13];
    data[..8].copy_from_slice(&sequence.to_be_bytes());
    data[8..].copy_from_slice(&[content, version[0], version[1], high, low]);
    Ok(data)
}
