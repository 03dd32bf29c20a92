//! What the operator wants, checked and complete: the only thing that leaves this room.
//!
//! References between objects are positions in the lists beside them, so that a dangling one cannot be
//! written down: a proxy whose references do not resolve carries the sentence that says so instead.

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use super::key_list::{KeyDetail, KeyList, KeyRef, PARTS as KEY_PARTS};
pub use super::plan_edge::{Edge, Redirect};
pub use super::plan_rules::{Assert, AssertRequest, Expected, FieldCheck, Origin, PathCheck, Rule, Rules};
pub use super::plan_security::{Branch, Security};
pub use super::plan_tls::{Authorities, ClientCa, Identity, ListenerTls, Roots, TargetTls, TlsVersion};
use crate::types::{Digest, Endpoint, KeyState, Secret, Window};

/// Everything that the files say.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// `[server]`.
    pub server: Server,
    /// `[[listener]]`, at least one.
    pub listeners: Vec<Listener>,
    /// `[admin]`.
    pub admin: Option<Admin>,
    /// `[access_log]`.
    pub access_log: Option<AccessLog>,
    /// `[[target]]`.
    pub targets: Vec<Target>,
    /// `[[consumer]]`.
    pub consumers: Vec<Consumer>,
    /// `[[credential]]` with `type = "proxy"`.
    pub proxy_credentials: Vec<ProxyCredential>,
    /// `[[credential]]` with `type = "target"`.
    pub target_credentials: Vec<TargetCredential>,
    /// `[[proxy]]`.
    pub proxies: Vec<Proxy>,
    /// `[[assert]]`.
    pub asserts: Vec<Assert>,
}

/// `[server]`: what holds for the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `data_dir`: where what must outlive the process is kept.
    pub data_dir: Option<PathBuf>,
    /// `shrink_limit`: the share of keys, or of proxies, in percent, that a reload may take away.
    pub shrink_limit: u8,
    /// `shards`: event loops; `None` is `"auto"`, one for each core that the process may use.
    pub shards: Option<usize>,
    /// `driver`.
    pub driver: Driver,
    /// `drain_delay`: how long callers are still accepted after SIGTERM, while `/readyz` sends them elsewhere.
    pub drain_delay: Duration,
    /// `drain_timeout`: how long exchanges may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// `[server.timeouts]`.
    pub timeouts: CallerTimeouts,
    /// `[server.limits]`.
    pub limits: CallerLimits,
}

/// `driver`: how a shard talks to the kernel. `Auto` takes the first of the others that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// `"auto"`.
    Auto,
    /// `"io_uring-defer"`: DEFER_TASKRUN, Linux 6.1.
    UringDefer,
    /// `"io_uring-coop"`: COOP_TASKRUN, Linux 5.19.
    UringCoop,
    /// `"epoll"`.
    Epoll,
}

/// `[server.timeouts]`: how long a caller may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerTimeouts {
    /// `head`: from the first byte of a request to the end of its head (and from the connection's start).
    pub head: Duration,
    /// `body`: between two pieces of a body, in either direction.
    pub body: Duration,
    /// `idle`: between two requests.
    pub idle: Duration,
}

/// `[server.limits]`: how much a caller may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerLimits {
    /// `head_bytes`.
    pub head_bytes: usize,
    /// `headers`.
    pub headers: usize,
    /// `target_bytes`.
    pub target_bytes: usize,
    /// `body_bytes`; `None` is `"none"`.
    pub body_bytes: Option<u64>,
    /// `connections` of callers, in all; `None` is `"auto"`, derived from the limit on open files.
    pub connections: Option<usize>,
    /// `connections_per_address`, not of trusted proxies; `None` is `"none"`.
    pub connections_per_address: Option<usize>,
}

/// `[[listener]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `address`; port 0 lets the system choose.
    pub address: Endpoint,
    /// `tls`; none for plain HTTP.
    pub tls: Option<Arc<ListenerTls>>,
    /// Whom it believes what, and what it does with requests.
    pub edge: Edge,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `address`; loopback unless the operator says otherwise.
    pub address: Endpoint,
    /// `mode` of its Unix socket.
    pub mode: u32,
}

/// `[access_log]`: one line for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// `path`.
    pub sink: LogSink,
    /// `ring_entries`: lines that may wait at each shard.
    pub ring_entries: usize,
}

/// `path` of `[access_log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    /// `"-"`.
    StandardOutput,
    /// Anything else, taken from where its file is.
    Path(PathBuf),
}

/// `[[target]]`: an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `name`.
    pub name: String,
    /// Host of `url`: a name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// Port of `url`; if it has none, 80, or 443 with `https`.
    pub port: u16,
    /// `host[:port]` as it goes into `Host` (the port only when `url` has one that is not the usual one).
    pub authority: String,
    /// Path of `url` without a slash at its end: `""` or `"/base"`.
    pub base_path: String,
    /// `tls`, with its defaults, if `url` begins with `https`.
    pub tls: Option<Arc<TargetTls>>,
    /// `preserve_host`: pass the caller's `Host` on instead of `authority`.
    pub preserve_host: bool,
    /// `idle_connections` kept by each shard.
    pub idle_connections: usize,
    /// `[target.timeouts]`.
    pub timeouts: TargetTimeouts,
    /// `[[target.rule]]`.
    pub rules: Arc<Rules>,
}

/// `[target.timeouts]`: how long an API may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetTimeouts {
    /// `connect`.
    pub connect: Duration,
    /// `first_byte`: from the end of the request to the first byte of the answer.
    pub first_byte: Duration,
    /// `body`: between two pieces of the answer, or of the request that it reads.
    pub body: Duration,
    /// `total`: the whole exchange; `None` is `"none"`.
    pub total: Option<Duration>,
    /// `idle`: how long an unused connection is kept.
    pub idle: Duration,
    /// `tunnel`: how long a tunnel may last; `None` is `"none"`.
    pub tunnel: Option<Duration>,
    /// `tunnel_idle`: how long a tunnel may carry nothing in either direction.
    pub tunnel_idle: Duration,
    /// `resolve`: how often the target's name is looked up again.
    pub resolve: Duration,
}

/// `[[consumer]]`: who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// `name`.
    pub name: String,
    /// `legacy_id`: its name in the system that it comes from.
    pub legacy_id: Option<String>,
    /// `scopes`: what it may do, as rules ask for it.
    pub scopes: Vec<String>,
}

/// `[[credential]]` with `type = "proxy"`: what callers present.
#[derive(Debug, PartialEq)]
pub struct ProxyCredential {
    /// `name`.
    pub name: String,
    /// `consumer`, as a position in [`Plan::consumers`].
    pub consumer: Option<usize>,
    /// `locations`: where a caller may put the key, at least one.
    pub locations: Vec<Location>,
    /// `keys`, and the content of each of `key_files`; or `clients`, each under the digest of the name that it is known
    /// by.
    pub keys: Vec<Arc<KeyList>>,
    /// `ca`: who must stand behind the certificates of `clients`.
    pub authorities: Option<Arc<Authorities>>,
    /// `[[credential.rule]]`.
    pub rules: Arc<Rules>,
}

impl ProxyCredential {
    /// Number of keys; one that is in two files counts twice.
    pub fn key_count(&self) -> usize {
        self.keys.iter().map(|list| list.len()).sum()
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = KeyRef<'_>> {
        self.keys.iter().flat_map(|list| list.iter())
    }
}

/// One place in a request where a key may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `"header:NAME"`, the name in lower case. `authorization` is read raw, and behind `Bearer` or `ApiKey`.
    Header(String),
    /// The certificate of the connection, with `auth = "mtls"`.
    ClientCertificate,
}

/// One key of a proxy credential, as its verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `id`; a key from a list of digests has none.
    pub id: Option<String>,
    /// `sha256`, or the hash of a plaintext `key`.
    pub digest: Digest,
    /// `not_before` and `expires`.
    pub window: Window,
    /// `state`.
    pub state: KeyState,
}

/// `[[credential]]` with `type = "target"`: what the API receives.
#[derive(Debug, PartialEq)]
pub struct TargetCredential {
    /// `name`.
    pub name: String,
    /// The header fields that it consists of: lower-case name and whole value (`Bearer …`, `Basic …`, …).
    /// Empty with `auth = "none"`.
    pub fields: Vec<(String, Secret)>,
    /// `[[credential.rule]]`.
    pub rules: Arc<Rules>,
}

/// `[[proxy]]`: one alias, whom it lets in, and where it leads.
#[derive(Debug, PartialEq)]
pub struct Proxy {
    /// What messages call it: `alias`, or else `host`, or else `id`.
    pub label: String,
    /// `id`: it is also served under this first path segment.
    pub id: Option<String>,
    /// `alias`: its first path segment.
    pub alias: Option<String>,
    /// `hosts`: host names in lower case, without port.
    pub hosts: Vec<String>,
    /// `active`.
    pub active: bool,
    /// `upgrades`: protocols that are tunnelled, in lower case; only `websocket` exists.
    pub websocket: bool,
    /// `preflight`: `"pass"` lets the preflight requests of browsers through without credentials.
    pub pass_preflight: bool,
    /// `encoded_slash`: `"keep"` rather than `"refuse"`.
    pub keep_encoded_slash: bool,
    /// `[[proxy.rule]]`.
    pub rules: Arc<Rules>,
    /// Where it stands.
    pub origin: Origin,
    /// Where it leads, or the sentence that says why it cannot.
    pub route: Result<ProxyRoute, String>,
}

/// The references of a proxy, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRoute {
    /// `target`, as a position in [`Plan::targets`].
    pub target: usize,
    /// `target_credential`, as a position in [`Plan::target_credentials`].
    pub target_credential: Option<usize>,
    /// `security` or `proxy_credentials`.
    pub security: Security,
}
