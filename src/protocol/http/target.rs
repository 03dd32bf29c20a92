//! The request target in its forms (RFC 9112 §3.2), split into its parts and not yet normalised.
//!
//! It does not judge a path's meaning (`path` does) and knows no alias. `h1::parse_request` calls it.

use std::fmt;

use memchr::{memchr, memchr2};

use super::{Method, valid_host};
use crate::types::Reason;

/// Which form a target had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`.
    Origin,
    /// `http://authority/path?query`.
    Absolute,
    /// `*`, or an absolute form that means it.
    Asterisk,
}

/// A request target. `Debug` leaves the query out: it may hold a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target<'b> {
    /// The path as received; `/` when an absolute form has none, `*` in asterisk form.
    pub path: &'b [u8],
    /// What follows the first `?`.
    pub query: Option<&'b [u8]>,
    /// The authority of an absolute form, valid and without user information.
    pub authority: Option<&'b [u8]>,
    /// Which form it had.
    pub form: Form,
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.query.is_some() { "?…" } else { "" };
        write!(formatter, "{:?} {}{query}", self.form, self.path.escape_ascii())
    }
}

impl<'b> Target<'b> {
    /// Splits a target that consists of `Class::Target`; CONNECT's authority form is refused with the rest.
    #[inline]
    pub(crate) fn parse(target: &'b [u8], method: Method) -> Result<Self, Reason> {
        match target {
            [b'/', ..] => Ok(Self::origin(target)),
            b"*" if method == Method::Options => Ok(Self::asterisk(None)),
            _ => Self::absolute(target, method),
        }
    }

    /// RFC 9112 §3.2.1.
    #[inline]
    fn origin(target: &'b [u8]) -> Self {
        let (path, query) = split_query(target);
        Self { path, query, authority: None, form: Form::Origin }
    }

    /// RFC 9112 §3.2.4.
    fn asterisk(authority: Option<&'b [u8]>) -> Self {
        Self { path: b"*", query: None, authority, form: Form::Asterisk }
    }

    /// RFC 9112 §3.2.2; user information is refused as RFC 9110 §4.2.4 advises.
    fn absolute(target: &'b [u8], method: Method) -> Result<Self, Reason> {
        let rest = strip_scheme(target).ok_or(Reason::TargetInvalid)?;
        let end = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).ok_or(Reason::TargetInvalid)?;
        if !valid_host(authority) {
            return Err(Reason::TargetInvalid);
        }
        // RFC 9112 §3.2.4: the last proxy turns OPTIONS for an empty path into the asterisk form.
        if rest.is_empty() && method == Method::Options {
            return Ok(Self::asterisk(Some(authority)));
        }
        let (path, query) = split_query(rest);
        let path = if path.is_empty() { b"/" } else { path };
        Ok(Self { path, query, authority: Some(authority), form: Form::Absolute })
    }
}

#[inline]
fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}
