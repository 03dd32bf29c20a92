//! Classification of field names, made once while a head is parsed.
//!
//! Later stages ask for a kind and do not compare names again. `_` never equals `-` here; names that differ
//! from a framing or hop-by-hop name only in that are reported by `is_disguised`.

/// What a field name means to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the field of that name")]
pub enum Kind {
    /// None of the following.
    Other,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    ContentLength,
    Host,
    Expect,
    Authorization,
    ProxyAuthorization,
    ProxyAuthenticate,
    WwwAuthenticate,
    Cookie,
    SetCookie,
    Date,
    Via,
    Server,
    ContentType,
    Http2Settings,
    Forwarded,
    Location,
}

impl Kind {
    /// The kind of a field name, in any case.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        let is = |lower: &[u8]| name.eq_ignore_ascii_case(lower);
        match name.len() {
            2 if is(b"te") => Self::Te,
            3 if is(b"via") => Self::Via,
            4 if is(b"host") => Self::Host,
            4 if is(b"date") => Self::Date,
            6 if is(b"cookie") => Self::Cookie,
            6 if is(b"expect") => Self::Expect,
            6 if is(b"server") => Self::Server,
            7 if is(b"upgrade") => Self::Upgrade,
            7 if is(b"trailer") => Self::Trailer,
            8 if is(b"location") => Self::Location,
            9 if is(b"forwarded") => Self::Forwarded,
            10 if is(b"connection") => Self::Connection,
            10 if is(b"keep-alive") => Self::KeepAlive,
            10 if is(b"set-cookie") => Self::SetCookie,
            12 if is(b"content-type") => Self::ContentType,
            13 if is(b"authorization") => Self::Authorization,
            14 if is(b"content-length") => Self::ContentLength,
            14 if is(b"http2-settings") => Self::Http2Settings,
            16 if is(b"proxy-connection") => Self::ProxyConnection,
            16 if is(b"www-authenticate") => Self::WwwAuthenticate,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            18 if is(b"proxy-authenticate") => Self::ProxyAuthenticate,
            19 if is(b"proxy-authorization") => Self::ProxyAuthorization,
            _ => Self::Other,
        }
    }

    /// Whether the field belongs to one connection and is never forwarded (RFC 9110 §7.6.1).
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
                | Self::ProxyAuthorization
                | Self::ProxyAuthenticate
        )
    }

    /// Whether the field decides how long a message is or where it goes (RFC 9110 §6.5.1: never in a trailer).
    pub const fn is_framing(self) -> bool {
        matches!(self, Self::ContentLength | Self::TransferEncoding | Self::Host)
    }
}

/// Whether servers that map `-` to `_` (CGI, WSGI) would read a framing or hop-by-hop name in this one.
#[inline]
pub(crate) fn is_disguised(name: &[u8]) -> bool {
    match name.len() {
        10 => reads_as(name, b"keep-alive"),
        14 => reads_as(name, b"content-length") || reads_as(name, b"http2-settings"),
        16 => reads_as(name, b"proxy-connection"),
        17 => reads_as(name, b"transfer-encoding"),
        _ => false,
    }
}

fn reads_as(name: &[u8], lower: &[u8]) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.iter().zip(lower).all(|(&byte, &expected)| folded(byte) == expected) && name.contains(&b'_')
}
