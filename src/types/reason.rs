//! Why a request ended: one word for each way, and one table from the word to all that follows from it.
//!
//! Status, problem type, title and log word come from `Reason::table`, and nothing else in the program
//! decides them. Adding a way to end means adding a variant and a row.

/// Whose doing an ending is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody's: the request was forwarded and answered.
    None,
    /// The caller's.
    Caller,
    /// The API's, or the way to it.
    Upstream,
    /// Ours, or the operator's.
    Gateway,
}

macro_rules! reasons {
    ($( $(#[$doc:meta])* $name:ident = $status:literal $fault:ident $word:literal $title:literal; )*) => {
        /// One way in which a request can end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $( $(#[$doc])* $name, )* }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Reason] = &[ $( Reason::$name, )* ];

            const fn table(self) -> (u16, Fault, &'static str, &'static str) {
                match self { $( Reason::$name => ($status, Fault::$fault, $word, $title), )* }
            }
        }
    };
}

reasons! {
    /// The API's answer went to the caller whole.
    Forwarded = 200 None "forwarded" "Forwarded";
    /// The connection was switched to another protocol and both sides ended it in their own time.
    Tunnelled = 101 None "tunnelled" "Tunnelled";

    /// The listener sends every request to another origin.
    Redirected = 308 None "redirected" "Ask at the address in Location";

    /// The connection was switched to another protocol, and its key stopped counting: both sides were cut off.
    TunnelCut = 101 Caller "tunnel-cut" "The credential of the tunnel no longer counts";

    /// No TLS handshake came to an end: it was malformed, offered nothing that we do, or stopped.
    TlsHandshake = 400 Caller "tls-handshake" "The TLS handshake failed";
    /// Something else than TLS came to a listener that takes nothing else.
    TlsExpected = 400 Caller "tls-expected" "This listener takes HTTPS only";
    /// The listener asks for a client certificate, and got none, or one that it does not accept.
    ClientCertificateInvalid = 400 Caller "client-certificate-invalid" "The client certificate is missing or not valid";
    /// The request line is not what RFC 9112 §3 describes.
    RequestLineInvalid = 400 Caller "request-line-invalid" "The request line is malformed";
    /// The request target has none of the four forms, or bytes that may not stand in one (RFC 9112 §3.2).
    TargetInvalid = 400 Caller "target-invalid" "The request target is malformed";
    /// The path cannot be normalised to one meaning (RFC 3986 §6.2.2).
    PathInvalid = 400 Caller "path-invalid" "The path is ambiguous";
    /// A field line is malformed (RFC 9112 §5).
    FieldInvalid = 400 Caller "field-invalid" "A header field is malformed";
    /// `Host` is missing, repeated or invalid (RFC 9112 §3.2).
    HostInvalid = 400 Caller "host-invalid" "The Host header field is missing, repeated or invalid";
    /// A trusted proxy wrote something unreadable where the caller's address has to be (RFC 7239 §6).
    ForwardedInvalid = 400 Caller "forwarded-invalid" "What the proxy in front says of the caller cannot be read";
    /// The length of the body is not beyond doubt (RFC 9112 §6.1 to §6.3).
    FramingInvalid = 400 Caller "framing-invalid" "The length of the message body is ambiguous";
    /// A chunk, or what follows the last one, is malformed (RFC 9112 §7.1).
    ChunkInvalid = 400 Caller "chunk-invalid" "The chunked message body is malformed";
    /// Two different credentials stand in one location.
    CredentialAmbiguous = 400 Caller "credential-ambiguous" "Two different credentials were presented in one place";
    /// No credential of the proxy was presented.
    CredentialMissing = 401 Caller "credential-missing" "A credential is required";
    /// The presented credential counts only together with another, which was not presented.
    CredentialIncomplete = 401 Caller "credential-incomplete" "Another credential is required as well";
    /// The presented key is none that this proxy accepts.
    KeyUnknown = 401 Caller "key-unknown" "The credential is not valid";
    /// The key is not yet accepted, by its state or its `not_before`.
    KeyNotYetValid = 401 Caller "key-not-yet-valid" "The credential is not valid yet";
    /// The key's `expires` has passed.
    KeyExpired = 401 Caller "key-expired" "The credential has expired";
    /// The key was retired.
    KeyRetired = 401 Caller "key-retired" "The credential is no longer in use";
    /// The key was revoked.
    KeyRevoked = 401 Caller "key-revoked" "The credential was revoked";
    /// None of the authorities of the credential stands behind the client certificate.
    ClientCertificateUntrusted = 401 Caller "client-certificate-untrusted" "The client certificate is not trusted";
    /// The rules do not allow the request.
    Rule = 403 Caller "rule" "The request is not allowed";
    /// No proxy has this alias, host name or id.
    AliasUnknown = 404 Caller "alias-unknown" "Nothing is served at this address";
    /// TRACE would show the target credential to the caller (RFC 9110 §9.3.8).
    MethodRefused = 405 Caller "method-refused" "The method is not allowed";
    /// The PROXY header that has to come first is missing, malformed or too long: the connection is closed.
    ProxyHeaderInvalid = 400 Caller "proxy-header-invalid" "The PROXY header is missing or malformed";
    /// The listener takes PROXY headers, and this peer may send none: the connection is closed.
    ProxySenderUnknown = 403 Caller "proxy-sender-unknown" "The peer may not send a PROXY header";
    /// The PROXY header was not complete in time: the connection is closed.
    ProxyHeaderTimeout = 408 Caller "proxy-header-timeout" "The PROXY header was not complete in time";
    /// The head was not complete in time.
    HeadTimeout = 408 Caller "head-timeout" "The request was not complete in time";
    /// The body made no progress in time.
    BodyTimeout = 408 Caller "body-timeout" "The request body was not complete in time";
    /// The body is larger than the configured bound.
    BodyTooLarge = 413 Caller "body-too-large" "The request body is too large";
    /// The request target is longer than the configured bound.
    TargetTooLong = 414 Caller "target-too-long" "The request target is too long";
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    ExpectationUnknown = 417 Caller "expectation-unknown" "The expectation cannot be met";
    /// A listener that only redirects to https got, by the word of a trusted proxy, what came by https already: it
    /// would come back for ever (RFC 9110 §15.5.20).
    RedirectLoop = 421 Gateway "redirect-loop" "Nothing but redirects to https is served here";
    /// The head is larger than the configured bound, or has too many fields (RFC 6585 §5).
    HeadTooLarge = 431 Caller "head-too-large" "The request header is too large";
    /// The caller went away before the exchange was over.
    CallerGone = 499 Caller "caller-gone" "The caller closed the connection";
    /// The caller did not read its answer in time.
    CallerStalled = 499 Caller "caller-stalled" "The caller did not read the answer";
    /// CONNECT, or a transfer coding other than chunked (RFC 9112 §6.1).
    NotImplemented = 501 Caller "not-implemented" "The method or transfer coding is not implemented";
    /// A version other than HTTP/1.0 and HTTP/1.1.
    VersionUnsupported = 505 Caller "version-unsupported" "The HTTP version is not supported";

    /// The API's answer is malformed, or its framing is in doubt.
    ResponseInvalid = 502 Upstream "response-invalid" "The API sent an invalid answer";
    /// The API closed the connection before it answered.
    UpstreamClosed = 502 Upstream "upstream-closed" "The API closed the connection";
    /// No connection to the API could be made.
    UpstreamUnreachable = 502 Upstream "upstream-unreachable" "The API cannot be reached";
    /// The API's name has no address.
    UpstreamUnresolved = 502 Upstream "upstream-unresolved" "The API's name cannot be resolved";
    /// The API's answer stopped in the middle: the caller sees it cut.
    UpstreamCut = 502 Upstream "upstream-cut" "The API's answer was cut short";
    /// The API's certificate is for other names: `server_name` of the target says which one is meant.
    UpstreamCertificateName = 502 Upstream "upstream-certificate-name" "The API's certificate has another name";
    /// No authority that the target trusts stands behind the API's certificate: `roots` of the target says which do.
    UpstreamCertificateIssuer = 502 Upstream "upstream-certificate-issuer" "The API's certificate is not trusted";
    /// The API's certificate has expired, or is not valid yet.
    UpstreamCertificateExpired = 502 Upstream "upstream-certificate-expired" "The API's certificate is out of date";
    /// No key in the chain of the API's certificate is among the `pins` of the target.
    UpstreamCertificatePin = 502 Upstream "upstream-certificate-pin" "The API's certificate is not a pinned one";
    /// The API refused us in TLS: it may want a `client_certificate` of the target, or another one.
    UpstreamTlsRefused = 502 Upstream "upstream-tls-refused" "The API refused the TLS connection";
    /// The TLS handshake with the API failed in another way: the two may have no version or cipher suite in common.
    UpstreamTls = 502 Upstream "upstream-tls" "The API's TLS handshake failed";
    /// No connection to the API could be made in time.
    ConnectTimeout = 504 Upstream "connect-timeout" "The API did not accept the connection in time";
    /// The API did not begin to answer in time.
    FirstByteTimeout = 504 Upstream "first-byte-timeout" "The API did not answer in time";
    /// The API's answer, or its reading of the request, made no progress in time.
    UpstreamStalled = 504 Upstream "upstream-stalled" "The API stopped in the middle";
    /// The exchange as a whole took too long.
    TotalTimeout = 504 Upstream "total-timeout" "The exchange took too long";

    /// The proxy is configured as not active.
    ProxyInactive = 503 Gateway "proxy-inactive" "This API is not available at present";
    /// The proxy's configuration is not complete: the log of the start says what is missing.
    ProxyBroken = 503 Gateway "proxy-broken" "This API is not available at present";
    /// More connections from one address than the configured bound.
    AddressCrowded = 503 Caller "address-crowded" "Too many connections from this address";
    /// More connections than the configured bound.
    Overloaded = 503 Gateway "overloaded" "Too many connections";
}

impl Reason {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();

    /// The status that a caller sees, where it can still be told.
    pub const fn status(self) -> u16 {
        self.table().0
    }

    /// Whose doing it is.
    pub const fn fault(self) -> Fault {
        self.table().1
    }

    /// The word in logs, metrics and the problem `type`: lower-case, stable.
    pub const fn word(self) -> &'static str {
        self.table().2
    }

    /// The problem's title: a sentence for people, the same for every occurrence (RFC 9457 §3.1.3).
    pub const fn title(self) -> &'static str {
        self.table().3
    }

    /// The reason with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    /// Position in `Reason::ALL`, for tables of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Reason;

    #[test]
    fn words_are_unique_and_plain() {
        let words: HashSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
        assert_eq!(words.len(), Reason::COUNT);
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn a_reason_is_its_own_index() {
        assert!(Reason::ALL.iter().enumerate().all(|(at, reason)| reason.index() == at));
    }
}
