//! What a request presents: the key that stands in one location, if there is one.

use crate::{
    protocol::http::{FieldRef, Fields, Kind},
    snapshot::{Location, LocationKind},
    types::Reason,
};

/// What stands in a location.
pub(super) enum Presented<'b> {
    /// Nothing that could be a key.
    Nothing,
    /// One key, however often it was repeated.
    Key(&'b [u8]),
}

/// The key in a location. Two different ones are refused: it could be that one was meant for somebody else to
/// see, and which of them counts must not depend on who reads the request.
pub(super) fn find<'b>(location: &Location, fields: &Fields<'b>) -> Result<Presented<'b>, Reason> {
    let mut value: Option<&'b [u8]> = None;
    for field in fields.iter().filter(|field| stands_in(location, field)) {
        match value {
            Some(before) if before != field.value => return Err(Reason::CredentialAmbiguous),
            _ => value = Some(field.value),
        }
    }
    Ok(value.and_then(|value| key_in(location.kind, value)).map_or(Presented::Nothing, Presented::Key))
}

fn stands_in(location: &Location, field: &FieldRef<'_>) -> bool {
    match location.kind {
        LocationKind::Authorization => field.kind == Kind::Authorization,
        LocationKind::Certificate => false,
        LocationKind::Plain => field.name.eq_ignore_ascii_case(&location.name),
    }
}

/// The key in a field's value: all of it, or in `Authorization` also what follows `Bearer` or `ApiKey`
/// (schemes match without case, RFC 9110 §11.1).
fn key_in(kind: LocationKind, value: &[u8]) -> Option<&[u8]> {
    let key = match kind {
        LocationKind::Plain | LocationKind::Certificate => value,
        LocationKind::Authorization => match value.iter().position(|&byte| byte == b' ') {
            None => value,
            Some(space) => {
                let (scheme, rest) = value.split_at(space);
                let known = scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"apikey");
                known.then(|| rest.trim_ascii_start())?
            }
        },
    };
    (!key.is_empty()).then_some(key)
}
