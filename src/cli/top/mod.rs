//! `keyferry top`: who calls what at this moment, how often, how fast and with what success.
//!
//! It asks a running gateway's admin listener for `/telemetry` once a second. On a terminal it fills the screen until
//! `q`; elsewhere, and with `--once`, it prints a table.

mod report;
mod screen;
mod table;

use std::{process::ExitCode, time::Duration};

use clap::Args;

use self::report::Report;
use super::{complain, gateway::Gateway, print};
use crate::{
    admin::client::{ClientError, Method, request_blocking},
    types::Endpoint,
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What `top` can be told.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    gateway: Gateway,
    /// Look once and print a table; also what happens if standard output is no terminal
    #[arg(long)]
    once: bool,
    /// Print what the gateway tells as one line of JSON, each second or once
    #[arg(long)]
    json: bool,
}

/// Shows what a gateway does.
pub(super) fn run(options: &Options) -> ExitCode {
    let address = match options.gateway.address() {
        Ok(address) => address,
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::FAILURE;
        }
    };
    let result = match (options.json, options.once || !screen::is_there()) {
        (true, _) => print_json(&address, options.once),
        (false, true) => look(&address).map(|report| print(&table::plain(&report))),
        (false, false) => screen::show(|| look(&address), INTERVAL),
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

fn look(address: &Endpoint) -> Result<Report, ClientError> {
    ask(address)?.json()
}

fn ask(address: &Endpoint) -> Result<crate::admin::client::Reply, ClientError> {
    let reply = request_blocking(address, Method::GET, "/telemetry", None)?;
    if reply.is_success() {
        return Ok(reply);
    }
    Err(ClientError::NotUnderstood(format!("GET /telemetry was answered with {}", reply.status)))
}

fn print_json(address: &Endpoint, once: bool) -> Result<ExitCode, ClientError> {
    loop {
        let text = ask(address)?.text().into_owned();
        let printed = print(&format!("{}\n", text.trim_end()));
        if once || printed != ExitCode::SUCCESS {
            return Ok(printed);
        }
        std::thread::park_timeout(INTERVAL);
    }
}
