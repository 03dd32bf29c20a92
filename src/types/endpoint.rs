//! Where something listens: an address with a port, or the path of a Unix socket, written `unix:/path`.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// What stands in front of the path of a Unix socket.
const UNIX: &str = "unix:";

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and a port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads either form.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(UNIX) {
            Some("") => None,
            Some(path) if path.contains('\0') || path.ends_with('/') => None,
            Some(path) => Some(Self::Unix(path.into())),
            None => text.parse().ok().map(Self::Tcp),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl std::str::FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(r#"not an address with a port, nor "unix:" and a path"#)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn both_forms_are_read_and_written() {
        for text in ["127.0.0.1:8080", "[::1]:1", "unix:/run/keyferry/callers.sock", "unix:callers.sock"] {
            assert_eq!(Endpoint::parse(text).map(|one| one.to_string()).as_deref(), Some(text));
        }
        for text in ["", "unix:", "unix:/run/", "/run/a.sock", "127.0.0.1", "localhost:80", "unix:\0"] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}
