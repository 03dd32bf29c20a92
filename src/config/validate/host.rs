//! Host names and the URL of a target, read without repairing anything.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::report::Problem;

/// RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// Longest base path of a target: it is put in front of the path of every request.
const BASE_PATH_BYTES_MAX: usize = 1024;

const URL_HELP: &str = r#"write "https://host", "http://host:port" or "http://host/base""#;

/// Where a target is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port; if none is written, 80, or 443 with TLS.
    pub port: u16,
    /// Whether it begins with `https`.
    pub tls: bool,
    /// As it goes into `Host`.
    pub authority: String,
    /// `""` or `"/base"`.
    pub base_path: String,
}

/// A host name in lower case, without port; an IPv4 address counts as one.
pub(super) fn host_name(text: &str) -> Result<String, Problem> {
    let help = r#"write a name such as "api.example", without scheme, port or path"#;
    let wrong = || Problem::new("not a host name", help);
    let name = text.to_ascii_lowercase();
    if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
        return Err(wrong());
    }
    // A name that ends in a number is an address, or nothing (RFC 1123 §2.1).
    let numeric =
        name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(wrong());
    }
    Ok(name)
}

/// `http://host[:port][/base]`, or the same with `https`.
pub(super) fn url(text: &str) -> Result<Url, Problem> {
    let wrong = |message: &str| Problem::new(message, URL_HELP);
    let Some((scheme, rest)) = text.split_once("://") else { return Err(wrong("not a URL")) };
    let tls = scheme.eq_ignore_ascii_case("https");
    if !tls && !scheme.eq_ignore_ascii_case("http") {
        return Err(wrong("not a URL of HTTP"));
    }
    if rest.contains(['?', '#']) {
        return Err(wrong("a target has no query and no fragment"));
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Problem::new("a user or password may not stand in a URL", "use a target credential"));
    }
    let usual = if tls { 443 } else { 80 };
    let (host, port) = host_and_port(authority)?;
    let port = port.unwrap_or(usual);
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = if port == usual { shown } else { format!("{shown}:{port}") };
    Ok(Url { host, port, tls, authority, base_path: base_path(path)? })
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), Problem> {
    let wrong = || Problem::new("the URL has no valid host and port", URL_HELP);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(wrong)?;
            let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(wrong)?) };
            (address.to_string(), port)
        }
        None => {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            (host_name(host).map_err(|_| wrong())?, port)
        }
    };
    let Some(port) = port else { return Ok((host, None)) };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if number > 0 && digits => Ok((host, Some(number))),
        _ => Err(wrong()),
    }
}

/// The base as it stands in front of the path of every request: it must be normal (RFC 3986 §6.2.2) already,
/// because what is forwarded must be what was judged.
fn base_path(path: &str) -> Result<String, Problem> {
    let base = path.strip_suffix('/').unwrap_or(path);
    let wrong = |message| Err(Problem::new(message, r#"write a plain path such as "/base" or "/api/v2""#));
    if base.len() > BASE_PATH_BYTES_MAX {
        return wrong("the path of the URL is too long");
    }
    for segment in base.split('/').skip(1) {
        if segment.is_empty() || segment == "." || segment == ".." {
            return wrong("the path of the URL has empty segments or dot segments");
        }
        if !is_normal(segment.as_bytes()) {
            return wrong("the path of the URL has characters or encodings that may not stand there");
        }
    }
    Ok(base.to_owned())
}

/// Characters of a segment (RFC 3986 §3.3); an encoded one must be one that could not stand there plain, and
/// neither a separator nor a control.
fn is_normal(segment: &[u8]) -> bool {
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let [high, low, after @ ..] = rest else { return false };
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else { return false };
                let decoded = (high << 4 | low) as u8;
                if is_unreserved(decoded) || decoded.is_ascii_control() || matches!(decoded, b'/' | b'\\') {
                    return false;
                }
                rest = after;
            }
            byte if is_unreserved(*byte) || b"!$&'()*+,;=:@".contains(byte) => {}
            _ => return false,
        }
    }
    true
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::{host_name, url};

    #[test]
    fn urls_that_are_plain_are_read() {
        for (text, host, port, authority, base_path) in [
            ("http://api.example", "api.example", 80, "api.example", ""),
            ("HTTP://API.example:80/", "api.example", 80, "api.example", ""),
            ("http://api.example:8080/base/", "api.example", 8080, "api.example:8080", "/base"),
            ("http://127.0.0.1:3000/a/b", "127.0.0.1", 3000, "127.0.0.1:3000", "/a/b"),
            ("http://[::1]:3000/a%20b;v=1", "::1", 3000, "[::1]:3000", "/a%20b;v=1"),
            ("https://api.example/v1", "api.example", 443, "api.example", "/v1"),
            ("HTTPS://api.example:443", "api.example", 443, "api.example", ""),
            ("https://api.example:80", "api.example", 80, "api.example:80", ""),
            ("http://api.example:443", "api.example", 443, "api.example:443", ""),
            ("https://[::1]", "::1", 443, "[::1]", ""),
            ("http://[0:0::1]/@", "::1", 80, "[::1]", "/@"),
        ] {
            let found = url(text).expect(text);
            assert_eq!((found.host.as_str(), found.port), (host, port), "{text}");
            assert_eq!(
                (found.authority.as_str(), found.base_path.as_str()),
                (authority, base_path),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "api.example",
            "http://",
            "https://",
            "httpss://api.example",
            "ftp://api.example",
            "http://a@b",
            "http://a:b@c/",
            "http://a?b",
            "http://a#b",
            "http://a/b?c",
            "http://a:0",
            "http://a:+80",
            "http://a:",
            "http://a:65536",
            "http://a/..",
            "http://a/./b",
            "http://a//b",
            "http://a/%2e%2e",
            "http://a/%2F",
            "http://a/%5c",
            "http://a/%00",
            "http://a/%4",
            "http://a/%zz",
            "http://a/b c",
            "http://a/\\b",
            "http://a/\u{e9}",
            "http://a/\n",
            "http://-a",
            "http://a..b",
            "http://1.2.3",
            "http://1.2.3.256",
            "http://[::1",
            "http://[::1]80",
            "http://[fe80::1%1]/",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_names() {
        assert_eq!(host_name("API.Example").as_deref(), Ok("api.example"));
        for text in ["", ".", "a.", "*.a", "a:80", "[::1]", "a/b", "a b", &"a".repeat(64), &"a.".repeat(200)]
        {
            assert!(host_name(text).is_err(), "{text}");
        }
    }
}
