//! `keyferry demo`: the real gateway on a sample configuration, with a tiny API of its own behind it.
//!
//! Everything is on free ports of this machine; the keys are made anew each time and forgotten at the end.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use axum::{Json, Router, extract::Request};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value, json};

use crate::{
    config,
    run::{self, Running},
};

/// The sample configuration; what is in braces is filled in.
const SAMPLE: &str = include_str!("demo.toml");

/// Starts the API and the gateway.
pub(super) fn run() -> ExitCode {
    super::start_log();
    let started = start_api().and_then(|api| Ok((api, Keys::new()?)));
    let (api, keys) = match started {
        Ok(started) => started,
        Err(error) => {
            super::complain(&format_args!("the demo cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let text = keys.fill_in(SAMPLE).replace("{api}", &api.to_string());
    let loaded = config::load_text(&text, "demo.toml", Path::new("."), &|_| None);
    match loaded.and_then(run::without_file) {
        Ok(start) => run::run(start, |running| print_lines(running, api, &keys)),
        Err(diagnostics) => {
            diagnostics.iter().for_each(|diagnostic| super::complain(diagnostic));
            ExitCode::FAILURE
        }
    }
}

/// The keys of the demo's callers and the token of its API.
struct Keys {
    payments: String,
    reporting: String,
    token: String,
}

impl Keys {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            payments: secret("demo_payments")?,
            reporting: secret("demo_reporting")?,
            token: secret("api")?,
        })
    }

    /// Puts the digests of the keys and the token itself into the sample.
    fn fill_in(&self, sample: &str) -> String {
        sample
            .replace("{payments}", &sha256(&self.payments))
            .replace("{reporting}", &sha256(&self.reporting))
            .replace("{token}", &self.token)
    }
}

fn secret(prefix: &str) -> std::io::Result<String> {
    let mut bytes = [0; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
    Ok(format!("{prefix}_{}", hex(&bytes)))
}

fn sha256(key: &str) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Serves the API on a thread of its own: it answers everything with what it received.
fn start_api() -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-api".to_owned()).spawn(move || {
        runtime.block_on(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                let _ = axum::serve(listener, Router::new().fallback(echo)).await;
            }
        });
    })?;
    Ok(address)
}

async fn echo(request: Request) -> Json<Value> {
    let fields: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    Json(json!({
        "the_api_saw": {
            "method": request.method().as_str(),
            "target": request.uri().to_string(),
            "fields": fields,
        }
    }))
}

fn print_lines(running: &Running, api: SocketAddr, keys: &Keys) {
    let Some(gateway) = running.listeners.first() else { return };
    let admin = running.admin.as_ref().map_or_else(String::new, |admin| {
        format!("\nWhat the gateway counted:\n\ncurl -s http://{admin}/status\n")
    });
    let text = format!(
        "
keyferry serves on {gateway}; behind it is a tiny API on {api}, which answers with what it saw.

A caller's key opens the alias `crm`; the API sees another credential, and who called:

curl -s 'http://{gateway}/crm/v2/contacts?limit=10' -H 'X-API-Key: {}'

Another caller, its key in Authorization:

curl -s http://{gateway}/crm/v2/contacts -H 'Authorization: Bearer {}' -d '{{\"name\":\"Ada\"}}'

Without a key, and with one that has expired:

curl -si http://{gateway}/crm/v2/contacts
curl -si http://{gateway}/crm/v2/contacts -H 'X-API-Key: an-old-shared-key'
{admin}
Ctrl-C ends it.
",
        keys.payments, keys.reporting
    );
    super::print(&text);
}
