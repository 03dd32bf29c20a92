//! `keyferry status`: how a running gateway is.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{complain, gateway::Gateway, print, reload::texts};
use crate::admin::client::Method;

/// Whose status, and how.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    gateway: Gateway,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the status; exit code 0 if the gateway is ready and serves what its files say.
pub(super) fn run(options: &Status) -> ExitCode {
    let reply = match options.gateway.ask_for(Method::GET, "/status", None) {
        Ok(reply) => reply,
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::FAILURE;
        }
    };
    let status: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let fine = status["ready"] == Value::Bool(true) && status["reloads"]["refusal"].is_null();
    let text = if options.json { format!("{status:#}\n") } else { for_people(&status) };
    let printed = print(&text);
    if fine { printed } else { ExitCode::FAILURE }
}

fn for_people(status: &Value) -> String {
    let word = |member: &str| status[member].as_str().unwrap_or("?").to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let state = match (&status["ready"], &status["draining"]) {
        (_, Value::Bool(true)) => "draining",
        (Value::Bool(true), _) => "ready",
        _ => "not ready",
    };
    let reloads = &status["reloads"];
    let mut lines = vec![
        format!("{state}, version {}, up {}", word("version"), duration(number(&status["uptime_seconds"]))),
        format!(
            "generation {} on {} shards ({}), {} connections",
            status["generation"],
            status["shards"],
            word("driver"),
            status["connections"]
        ),
        format!(
            "reloads: {} applied, {} unchanged, {} refused; revoked: {} keys, {} credentials",
            number(&reloads["applied"]),
            number(&reloads["unchanged"]),
            number(&reloads["refused"]),
            number(&reloads["revoked_keys"]),
            number(&reloads["revoked_credentials"]),
        ),
    ];
    lines.extend(status["certificates"].as_array().into_iter().flatten().map(|one| {
        let of = one["listener"].as_str().map(|address| format!("listener {address}"));
        let of = of.unwrap_or_else(|| format!("target {}", one["target"].as_str().unwrap_or("?")));
        let text = |member: &str| one[member].as_str().unwrap_or("?");
        format!("certificate {} of {of} expires {}", text("name"), text("expires"))
    }));
    let last = &reloads["last"];
    if let (Some(result), Some(at)) = (last["result"].as_str(), last["at"].as_str()) {
        let cause = last["cause"].as_str().unwrap_or("?");
        lines.push(format!("last reload: {result} at {at} ({cause}, {} ms)", number(&last["took_millis"])));
        lines.extend(texts(last, "changes").into_iter().map(|change| format!("  {change}")));
    }
    let refusal = &reloads["refusal"];
    if !refusal.is_null() {
        lines.push("the files cannot be used as they are; what is served is older:".to_owned());
        lines.extend(texts(refusal, "findings").into_iter().map(|finding| format!("  {finding}")));
    }
    if let Some(outcomes) = status["outcomes"].as_object().filter(|outcomes| !outcomes.is_empty()) {
        lines.push("requests:".to_owned());
        let mut outcomes: Vec<_> = outcomes.iter().map(|(word, count)| (number(count), word)).collect();
        outcomes.sort_unstable_by(|one, other| other.cmp(one));
        lines.extend(outcomes.into_iter().map(|(count, word)| format!("  {count:>12}  {word}")));
    }
    lines.join("\n") + "\n"
}

fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes:02}m"),
        (days, hours, _, _) => format!("{days}d{hours:02}h"),
    }
}
