//! `keyferry key list`: the keys of a running gateway, and when each was last used.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{complain, gateway::Gateway, print};
use crate::admin::client::Method;

/// Which keys, and how.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of this credential
    credential: Option<String>,
    #[command(flatten)]
    gateway: Gateway,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Prints every key, page by page.
pub(super) fn run(options: &List) -> ExitCode {
    let mut offset = Some(0);
    if !options.json {
        print(&row(["CREDENTIAL", "KEY", "STATE", "EXPIRES", "LAST USED"]));
    }
    while let Some(from) = offset {
        let page = match page(options, from) {
            Ok(page) => page,
            Err(sentence) => {
                complain(&sentence);
                return ExitCode::FAILURE;
            }
        };
        let keys = page["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines = keys.iter().map(|key| if options.json { format!("{key}\n") } else { line(key) });
        let printed = print(&lines.collect::<String>());
        if printed != ExitCode::SUCCESS {
            return printed;
        }
        offset = page["next"].as_u64();
    }
    ExitCode::SUCCESS
}

fn page(options: &List, offset: u64) -> Result<Value, String> {
    let mut path = format!("/keys?offset={offset}&limit=1000");
    if let Some(credential) = &options.credential {
        let encoded: String = credential.bytes().map(encoded).collect();
        path.push_str(&format!("&credential={encoded}"));
    }
    let reply = options.gateway.ask_for(Method::GET, &path, None)?;
    reply.json().map_err(|error| error.to_string())
}

/// RFC 3986 §2.1.
fn encoded(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

fn line(key: &Value) -> String {
    let text = |member: &str| key[member].as_str().unwrap_or("-").to_owned();
    let name = match key["id"].as_str() {
        Some(id) => id.to_owned(),
        None => format!("sha256:{}…", text("sha256")),
    };
    row([&text("credential"), &name, &text("state"), &text("expires"), &text("last_used")])
}

fn row([credential, key, state, expires, used]: [&str; 5]) -> String {
    format!("{credential:<24} {key:<24} {state:<10} {expires:<24} {used}\n")
}
