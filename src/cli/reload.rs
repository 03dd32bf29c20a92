//! `keyferry reload`: makes a running gateway load its files again, and says what came of it.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{
    complain,
    gateway::{Gateway, refusal},
    print,
};
use crate::admin::client::Method;

/// What to reload, and how.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    gateway: Gateway,
    /// Go on without files that are gone, and with many fewer keys or proxies than before
    #[arg(long)]
    force: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Asks for a reload and prints the answer; exit code 0 if the files are served.
pub(super) fn run(options: &Reload) -> ExitCode {
    let body = json!({ "force": options.force });
    let reply = match options.gateway.ask(Method::POST, "/reload", Some(body)) {
        Ok(reply) => reply,
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::FAILURE;
        }
    };
    let Ok(report) = serde_json::from_slice::<Value>(&reply.body) else {
        complain(&refusal(&reply));
        return ExitCode::FAILURE;
    };
    if report.get("result").is_none() {
        complain(&refusal(&reply));
        return ExitCode::FAILURE;
    }
    if options.json {
        print(&format!("{report:#}\n"));
    } else {
        tell(&report);
    }
    if reply.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(report: &Value) {
    for finding in texts(report, "findings") {
        complain(&finding);
    }
    let generation = &report["generation"];
    let millis = &report["took_millis"];
    let mut text = match report["result"].as_str() {
        Some("applied") => format!("applied in {millis} ms: generation {generation} is served\n"),
        Some("unchanged") => format!("nothing has changed: generation {generation} goes on serving\n"),
        _ => format!("refused: generation {generation} goes on serving\n"),
    };
    for change in texts(report, "changes") {
        text.push_str(&format!("  {change}\n"));
    }
    let restart = texts(report, "restart");
    if !restart.is_empty() {
        text.push_str(&format!("  only from the next start on: {}\n", restart.join(", ")));
    }
    if report["confirmed"] == json!(false) {
        text.push_str("  a shard has not yet said that it serves it\n");
    }
    print(&text);
}

/// The strings of a member that is a list.
pub(super) fn texts(report: &Value, member: &str) -> Vec<String> {
    let list = report[member].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
