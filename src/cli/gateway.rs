//! How a subcommand finds the running gateway, and asks it.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::{
    admin::client::{self, Method, Reply},
    config,
    types::Endpoint,
};

/// Where the running gateway is.
#[derive(Debug, Args)]
pub(super) struct Gateway {
    /// Address of its admin listener; without it, the one in the configuration
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<Endpoint>,
    /// The configuration that it runs with
    #[arg(short, long, value_name = "FILE", default_value = "keyferry.toml")]
    config: PathBuf,
}

impl Gateway {
    /// The address of the admin listener, or a sentence that says what to do.
    pub(super) fn address(&self) -> Result<Endpoint, String> {
        self.admin.clone().map_or_else(|| config::admin_address(&self.config), Ok)
    }

    /// Asks the gateway; a sentence if there is no answer.
    pub(super) fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Reply, String> {
        client::request_blocking(&self.address()?, method, path, body).map_err(|error| error.to_string())
    }

    /// The same, where only an answer that says yes will do.
    pub(super) fn ask_for(&self, method: Method, path: &str, body: Option<Value>) -> Result<Reply, String> {
        let reply = self.ask(method, path, body)?;
        if reply.is_success() { Ok(reply) } else { Err(refusal(&reply)) }
    }
}

/// What an answer that says no tells people.
pub(super) fn refusal(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match body.get("detail").and_then(Value::as_str) {
        Some(detail) => detail.to_owned(),
        None => format!("the gateway answers {}: {}", reply.status, reply.text().trim()),
    }
}
