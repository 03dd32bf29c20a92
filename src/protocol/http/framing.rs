//! How long a body is: one function for requests and responses (RFC 9112 §6.3), one type for what it reads.
//!
//! Nothing else in the program decides a body's length. Doubt is refused, never repaired: what one recipient
//! takes for a body, another must not be able to take for the next message.

use super::{Class, span};
use super::{Method, Version, head::elements, head::trim};
use crate::types::Reason;

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// That many bytes.
    Fixed(u64),
    /// Chunks.
    Chunked,
    /// Everything until the connection ends; only in responses.
    UntilClose,
}

/// Which way a message goes, and what its body depends on besides its own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From the caller.
    Request,
    /// From the API.
    Response {
        /// The method that it answers.
        request: Method,
        /// Its status code.
        status: u16,
    },
}

/// What a head says about its body, gathered field by field.
#[derive(Debug, Clone, Copy, Default)]
pub struct Framing {
    length: Option<u64>,
    coding: Option<Coding>,
    doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Unknown,
}

impl Framing {
    /// Takes a `Content-Length`: digits only, once; a repetition is doubtful even if equal (RFC 9110 §8.6).
    pub fn content_length(&mut self, value: &[u8]) {
        let length = parse_length(value);
        self.doubtful |= length.is_none() || self.length.is_some();
        self.length = length.or(self.length);
    }

    /// Takes a `Transfer-Encoding`: once, and `chunked` or a list that could be one (RFC 9112 §6.1).
    pub fn transfer_encoding(&mut self, value: &[u8]) {
        let coding = parse_coding(value);
        self.doubtful |= coding.is_none() || self.coding.is_some();
        self.coding = coding.or(self.coding);
    }

    /// Marks the framing as doubtful for a reason outside these two fields.
    pub fn doubt(&mut self) {
        self.doubtful = true;
    }
}

/// The length of a body, by the rules of RFC 9112 §6.3 in their order.
#[inline]
pub fn body_length(side: Side, version: Version, framing: &Framing) -> Result<BodyLength, Reason> {
    // Rule 5, and the refusals that rules 3 and 4 allow or demand, before anything is believed.
    if framing.doubtful
        || (framing.coding.is_some() && (framing.length.is_some() || version == Version::Http10))
    {
        return Err(Reason::FramingInvalid);
    }
    if let Side::Response { request, status } = side
        && has_no_body(request, status)
    {
        // Rule 1. RFC 9110 §8.6, RFC 9112 §6.1: a 1xx that announces a body would hide the next head in it.
        let announced = framing.coding.is_some() || framing.length.is_some_and(|length| length > 0);
        return if status < 200 && announced { Err(Reason::FramingInvalid) } else { Ok(BodyLength::None) };
    }
    match (framing.coding, framing.length, side) {
        (Some(Coding::Chunked), ..) => Ok(BodyLength::Chunked), // rule 4
        (Some(Coding::Unknown), ..) => Err(Reason::NotImplemented), // RFC 9112 §6.1
        (None, Some(length), _) => Ok(BodyLength::Fixed(length)), // rule 6
        (None, None, Side::Request) => Ok(BodyLength::None),    // rule 7
        (None, None, Side::Response { .. }) => Ok(BodyLength::UntilClose), // rule 8
    }
}

impl Framing {
    /// Whether a 204 announces a body that it must not have: a peer that does may send it, so its connection is
    /// not used again (RFC 9110 §15.3.5).
    pub(crate) fn contradicts_no_content(&self, status: u16) -> bool {
        status == 204 && (self.coding.is_some() || self.length.is_some_and(|length| length > 0))
    }
}

fn has_no_body(request: Method, status: u16) -> bool {
    request == Method::Head || status < 200 || status == 204 || status == 304
}

/// `1*DIGIT` that fits 64 bits (RFC 9110 §8.6).
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// `chunked` alone, or another list of codings whose framing could still be told; `None` is in doubt.
fn parse_coding(value: &[u8]) -> Option<Coding> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Some(Coding::Chunked);
    }
    // RFC 9112 §6.1 and §6.3 rule 4: chunked once, last, and without parameters.
    let mut codings = value.split(|&byte| byte == b',').map(trim).peekable();
    while let Some(coding) = codings.next() {
        let name = coding.get(..span(coding, Class::Token))?;
        let chunked = name.eq_ignore_ascii_case(b"chunked");
        let tail = trim(coding.get(name.len()..)?);
        let bare = tail.is_empty();
        if name.is_empty()
            || !(bare || tail.starts_with(b";"))
            || (chunked && !(bare && codings.peek().is_none()))
        {
            return None;
        }
    }
    elements(value).next().map(|_| Coding::Unknown)
}
