//! The configuration file of a gateway under test, and the secrets in it.

use std::fmt::Write as _;

use super::{Api, tls};

/// The caller's key.
pub const KEY: &str = "caller-key-5Jx0pWq2LrT8vB4nM7cY1zK6";
/// The token that the API expects from the gateway.
pub const TOKEN: &str = "upstream-token-9Qd3hVf7XsA2eR5uG8kN4mJ1";

/// What a file says beyond the usual: the proxy `crm` of credential `callers`, leading to target `api`.
///
/// Each text is put in its table as it stands.
#[derive(Clone)]
pub struct Config {
    pub shards: usize,
    pub listeners: Vec<String>,
    /// Lines of each `[[listener]]`.
    pub listener: String,
    /// Where the admin listener is.
    pub admin: String,
    /// Lines of `[server]`.
    pub server: String,
    /// Lines of `[server.timeouts]`.
    pub timeouts: String,
    /// Lines of `[server.limits]`.
    pub limits: String,
    /// `url` of the target.
    pub url: String,
    /// Lines of `[[target]]`.
    pub target: String,
    /// Lines of `[target.timeouts]`.
    pub target_timeouts: String,
    /// Lines of `[[proxy]]`.
    pub proxy: String,
    /// Whole tables behind the others.
    pub more: String,
}

impl Config {
    /// Leads to `api` under `/base`.
    pub fn to(api: &Api) -> Self {
        Self::to_url(&api.url("/base"))
    }

    pub fn to_url(url: &str) -> Self {
        Self {
            shards: 1,
            listeners: vec!["127.0.0.1:0".into()],
            listener: String::new(),
            admin: "127.0.0.1:0".into(),
            server: String::new(),
            timeouts: String::new(),
            limits: String::new(),
            url: url.into(),
            target: String::new(),
            target_timeouts: String::new(),
            proxy: String::new(),
            more: String::new(),
        }
    }

    /// The file.
    pub fn text(&self, driver: &str) -> String {
        let Self { shards, server, timeouts, limits, url, target, target_timeouts, proxy, more, .. } = self;
        let mut text = format!("[server]\nshards = {shards}\ndriver = \"{driver}\"\n{server}\n");
        let _ = write!(text, "[server.timeouts]\n{timeouts}\n[server.limits]\n{limits}\n");
        for address in &self.listeners {
            let tls = if tls::is_on() && !self.listener.contains(tls::LISTENER) { tls::LISTENER } else { "" };
            let _ = write!(text, "[[listener]]\naddress = \"{address}\"\n{}\n{tls}", self.listener);
        }
        let _ = write!(text, "[admin]\naddress = \"{}\"\n", self.admin);
        let tls = if url.starts_with("https:") { tls::TARGET } else { "" };
        let _ = write!(text, "[[target]]\nname = \"api\"\nurl = \"{url}\"\n{tls}{target}\n");
        let _ = write!(text, "[target.timeouts]\n{target_timeouts}\n");
        text.push_str("[[consumer]]\nname = \"payments\"\nlegacy_id = \"kong:9c1e\"\n");
        let _ = write!(
            text,
            "[[credential]]\nname = \"upstream\"\ntype = \"target\"\nauth = \"bearer\"\ntoken = \"{TOKEN}\"\n"
        );
        text.push_str(&credential("callers", "consumer = \"payments\"", &[&key("k1", KEY, "")]));
        let _ = write!(text, "{}{proxy}\n{more}\n", proxy_table("alias = \"crm\"", "callers"));
        text
    }
}

/// Lines of a `[[target]]` beside the url of an [`Api`].
pub fn target_tls() -> &'static str {
    if tls::is_on() { tls::TARGET } else { "" }
}

/// A `[[credential]]` that callers present.
pub fn credential(name: &str, lines: &str, keys: &[&str]) -> String {
    let keys = keys.join(", ");
    format!("[[credential]]\nname = \"{name}\"\ntype = \"proxy\"\nauth = \"key\"\n{lines}\nkeys = [{keys}]\n")
}

/// One member of `keys`.
pub fn key(id: &str, secret: &str, more: &str) -> String {
    format!("{{ id = \"{id}\", sha256 = \"{}\"{more} }}", digest(secret))
}

/// A `[[proxy]]` to the usual target; lines may follow.
pub fn proxy_table(name: &str, credential: &str) -> String {
    format!(
        "[[proxy]]\n{name}\ntarget = \"api\"\ntarget_credential = \"upstream\"\n\
         proxy_credentials = [\"{credential}\"]\n"
    )
}

/// SHA-256 in hex.
pub fn digest(secret: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}
