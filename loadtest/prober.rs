//! Changes a gateway under load and says how long each change takes, and whether a single answer was wrong.
//!
//! ```text
//! prober reload   [--keys N] [--files F] [--rounds R] [--how rename|in-place]   from the write to the decision
//! prober swaps    [--keys N] [--count N] [--connections C]      two keys change sides, all others are served
//! prober revoke   [--keys N] [--count N] [--connections C]      no request is accepted after the answer
//! prober replace  [--keys N] [--rounds R] [--connections C] [--rate REQUESTS/S] [--seconds S]
//!                                                               latency while a whole table is replaced
//! ```
//!
//! Also `--gateway PATH` (or the variable `KEYFERRY`), the program under test, and `--shards`, `--driver`. It makes a
//! directory of its own with a configuration and files of keys, runs an API in threads of its own, starts the gateway
//! and ends it. The table on standard output is for people; the line of JSON behind it has the same figures. The exit
//! code is 0 if no answer was wrong. It knows the gateway only from outside.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a tool of the developers, which reads the clock"
)]

#[path = "prober/client.rs"]
mod client;
#[path = "prober/figures.rs"]
mod figures;
#[path = "prober/load.rs"]
mod load;
#[path = "prober/reload.rs"]
mod reload;
#[path = "prober/replace.rs"]
mod replace;
#[path = "prober/revoke.rs"]
mod revoke;
#[path = "prober/scene.rs"]
mod scene;
#[path = "prober/swaps.rs"]
mod swaps;

use std::{path::PathBuf, process::ExitCode};

/// What the command line says; each experiment uses its part.
struct Options {
    keys: usize,
    files: usize,
    rounds: usize,
    count: usize,
    connections: usize,
    rate: usize,
    seconds: usize,
    in_place: bool,
    shards: String,
    driver: String,
    gateway: PathBuf,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(experiment) = arguments.next() else { return usage("which experiment?") };
    let options = match options(&experiment, arguments) {
        Ok(options) => options,
        Err(sentence) => return usage(&sentence),
    };
    let figures = match experiment.as_str() {
        "reload" => reload::run(&options),
        "swaps" => swaps::run(&options),
        "revoke" => revoke::run(&options),
        "replace" => replace::run(&options),
        other => return usage(&format!("{other} is no experiment")),
    };
    figures.print(&experiment);
    if figures.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(sentence: &str) -> ExitCode {
    eprintln!("{sentence}\nusage: prober reload|swaps|revoke|replace [--OPTION VALUE]...");
    ExitCode::from(2)
}

fn options(experiment: &str, mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (keys, count, rounds) = match experiment {
        "replace" => (1_000_000, 0, 5),
        "swaps" => (10_000, 10_000, 0),
        "revoke" => (10_000, 1_000, 0),
        _ => (10_000, 0, 200),
    };
    let gateway = std::env::var_os("KEYFERRY").map_or_else(beside_this_program, PathBuf::from);
    let (shards, driver) = ("\"auto\"".to_owned(), "auto".to_owned());
    let mut options = Options {
        keys,
        files: 10,
        rounds,
        count,
        connections: 32,
        rate: 1_000,
        seconds: 10,
        in_place: false,
        shards,
        driver,
        gateway,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
        let number =
            || value.parse::<usize>().ok().filter(|n| *n > 0).ok_or(format!("{name} wants a number"));
        match name.as_str() {
            "--keys" => options.keys = number()?,
            "--files" => options.files = number()?,
            "--rounds" => options.rounds = number()?,
            "--count" => options.count = number()?,
            "--connections" => options.connections = number()?,
            "--rate" => options.rate = number()?,
            "--seconds" => options.seconds = number()?,
            "--how" if value == "rename" || value == "in-place" => options.in_place = value == "in-place",
            "--shards" if value != "auto" => options.shards = number()?.to_string(),
            "--shards" => {}
            "--driver" => options.driver = value,
            "--gateway" => options.gateway = PathBuf::from(value),
            _ => return Err(format!("{name} {value} is not understood")),
        }
    }
    options.files = options.files.min(options.keys);
    Ok(options)
}

/// `target/release/keyferry`, where this is `target/release/examples/prober`.
fn beside_this_program() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().and_then(|examples| examples.parent()).unwrap().join("keyferry")
}
