//! From the first path segment or the host name of a request to its proxy.

use std::{collections::HashMap, hash::BuildHasherDefault};

/// FNV-1a: the names are few, short and the operator's own, so that nobody can make them collide.
#[derive(Clone)]
pub struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

type Map = HashMap<Box<[u8]>, u32, BuildHasherDefault<NameHasher>>;

/// Longest host name that is looked up.
const HOST_BYTES_MAX: usize = 255;

/// The names under which proxies are served.
#[derive(Debug, Default)]
pub struct Routes {
    segments: Map,
    hosts: Map,
}

impl Routes {
    /// Serves a proxy under a first path segment: its alias or its id.
    pub fn add_segment(&mut self, segment: &str, proxy: u32) {
        self.segments.insert(segment.as_bytes().into(), proxy);
    }

    /// Serves a proxy under a host name, in lower case.
    pub fn add_host(&mut self, host: &str, proxy: u32) {
        self.hosts.insert(host.as_bytes().into(), proxy);
    }

    /// The proxy of a first path segment, compared byte by byte.
    #[inline]
    pub fn by_segment(&self, segment: &[u8]) -> Option<u32> {
        self.segments.get(segment).copied()
    }

    /// The proxy of a host, with or without a port, compared without case.
    #[inline]
    pub fn by_host(&self, host: &[u8]) -> Option<u32> {
        if self.hosts.is_empty() {
            return None;
        }
        let name = without_port(host);
        let mut lower = [0; HOST_BYTES_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.hosts.get(&*lower).copied()
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    if host.first() == Some(&b'[') {
        return host.iter().position(|&byte| byte == b']').map_or(host, |end| &host[..=end]);
    }
    host.iter().position(|&byte| byte == b':').map_or(host, |colon| &host[..colon])
}

#[cfg(test)]
mod tests {
    use super::Routes;

    #[test]
    fn hosts_are_found_without_case_and_port() {
        let mut routes = Routes::default();
        routes.add_host("api.example", 3);
        routes.add_host("[::1]", 4);
        assert_eq!(routes.by_host(b"API.example:8443"), Some(3));
        assert_eq!(routes.by_host(b"[::1]:80"), Some(4));
        assert_eq!(routes.by_host(b"api.example.evil"), None);
        assert_eq!(routes.by_host(&[b'a'; 300]), None);
    }

    #[test]
    fn aliases_are_exact() {
        let mut routes = Routes::default();
        routes.add_segment("crm", 1);
        assert_eq!(routes.by_segment(b"crm"), Some(1));
        assert_eq!(routes.by_segment(b"CRM"), None);
        assert_eq!(routes.by_segment(b""), None);
    }
}
