//! `keyferry revoke`: refuses a key, or a credential with all its keys, for good.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{complain, gateway::Gateway, hash, print, reload::texts};
use crate::admin::client::Method;

/// What to revoke.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// KEY-ID, CREDENTIAL, CREDENTIAL/KEY-ID, sha256:HEX, or - to read a key itself from standard input
    #[arg(value_name = "KEY-ID|CREDENTIAL|-")]
    what: String,
    #[command(flatten)]
    gateway: Gateway,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Asks for the revocation; exit code 0 once every shard refuses what was revoked.
pub(super) fn run(options: &Revoke) -> ExitCode {
    let body = match (options.what.as_str(), options.what.strip_prefix("sha256:")) {
        ("-", _) => match hash::digest_of_standard_input() {
            Ok(digest) => json!({ "sha256": digest }),
            Err(sentence) => {
                complain(&sentence);
                return ExitCode::FAILURE;
            }
        },
        (_, Some(digest)) => json!({ "sha256": digest }),
        (name, None) => json!({ "name": name }),
    };
    let reply = match options.gateway.ask_for(Method::POST, "/revoke", Some(body)) {
        Ok(reply) => reply,
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::FAILURE;
        }
    };
    let report: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if options.json {
        return print(&format!("{report:#}\n"));
    }
    let verb = if report["already"] == json!(true) { "was revoked before" } else { "revoked" };
    let mut text = String::new();
    for what in texts(&report, "revoked") {
        text.push_str(&format!("{verb}: {what}\n"));
    }
    text.push_str(&format!("every shard refuses it since generation {}\n", report["generation"]));
    if report["known"] == json!(false) {
        text.push_str(
            "no credential has this key at present: if you expected one to, look for a typing error\n",
        );
    }
    print(&text)
}
