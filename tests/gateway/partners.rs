//! A gateway with a proxy `p` whose many keys stand in files beside its configuration.

use crate::common::{
    Api, Caller, Config, Gateway,
    config::{credential, digest, key, proxy_table},
};

/// The `n`th key of the partners.
pub fn partner(n: usize) -> String {
    format!("partner-{n:05}-Zq8Lw3Xv6Rn1Tz2W")
}

/// A list of the digests of these keys.
pub fn list(keys: impl IntoIterator<Item = usize>) -> String {
    let lines = keys.into_iter().map(|n| format!("{}\n", digest(&partner(n))));
    format!("# partners\n{}", lines.collect::<String>())
}

/// The usual configuration and the proxy `p` of the credential `partners`, whose keys these patterns name.
pub fn config(api: &Api, patterns: &str) -> Config {
    Config { more: tables(patterns), ..Config::to(api) }
}

/// The tables of `partners`.
pub fn tables(patterns: &str) -> String {
    format!(
        "[[credential]]\nname = \"partners\"\ntype = \"proxy\"\nauth = \"key\"\nkey_files = {patterns}\n{}",
        proxy_table("alias = \"p\"", "partners")
    )
}

/// The tables of a further credential with one key, and of a proxy of that name.
pub fn further(name: &str, n: usize) -> String {
    credential(name, "", &[&key("k1", &partner(n), "")]) + &proxy_table(&format!("alias = \"{name}\""), name)
}

/// With `keys.d/a.sha256` holding these keys.
#[track_caller]
pub fn start(driver: &str, api: &Api, shards: usize, keys: impl IntoIterator<Item = usize>) -> Gateway {
    let config = Config { shards, ..config(api, "[\"keys.d/*.sha256\"]") };
    Gateway::start_with_files(driver, &config, &[("keys.d/a.sha256", &list(keys))])
}

/// Asks with the `n`th key.
pub trait Partner {
    fn partner(&mut self, n: usize) -> String;
    fn await_partner(&mut self, n: usize, word: &str);
}

impl Partner for Caller {
    #[track_caller]
    fn partner(&mut self, n: usize) -> String {
        self.asks("/p/x", &partner(n))
    }

    #[track_caller]
    fn await_partner(&mut self, n: usize, word: &str) {
        self.await_decision("/p/x", &partner(n), word);
    }
}
