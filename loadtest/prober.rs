//! Changes a gateway under load and says how long each change takes, and whether a single answer was wrong.
//!
//! ```text
//! prober reload   [--keys N] [--files F] [--rounds R] [--how rename|in-place]   from the write to the decision
//! prober swaps    [--keys N] [--count N] [--connections C]      two keys change sides, all others are served
//! prober revoke   [--keys N] [--count N] [--connections C]      no request is accepted after the answer
//! prober replace  [--keys N] [--rounds R] [--connections C] [--rate REQUESTS/S] [--seconds S]
//!                                                               latency while a whole table is replaced
//! prober hostile  [--kind KIND|all] [--tls] [--attack-rate EVENTS/S] [--attack-connections N] [--rounds R]
//!                 [--connections C] [--rate REQUESTS/S] [--seconds S] [--p99-max-ratio X]
//!                                                               others are served while the gateway is misused
//! prober certificates [--count N] [--connections C] [--rate REQUESTS/S]   a certificate and its key are swapped
//! prober drain    [--rounds R] [--connections C]                SIGTERM under load, nothing is cut
//! prober upgrade  [--count N] [--connections C]                 SIGUSR2 under load, nobody notices
//! ```
//!
//! Also `--gateway PATH` (or the variable `KEYFERRY`), the program under test, and `--shards`, `--driver` (`uring` is
//! io_uring or nothing). It makes a
//! directory of its own with a configuration and files of keys, runs an API in threads of its own, starts the gateway
//! and ends it. The table on standard output is for people; the line of JSON behind it has the same figures. The exit
//! code is 0 if no answer was wrong. It knows the gateway only from outside.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a tool of the developers, which reads the clock"
)]

#[path = "prober/api.rs"]
mod api;
#[path = "prober/attack.rs"]
mod attack;
#[path = "prober/attackers.rs"]
mod attackers;
#[path = "prober/authority.rs"]
mod authority;
#[path = "prober/certificates.rs"]
mod certificates;
#[path = "prober/client.rs"]
mod client;
#[path = "prober/crowd.rs"]
mod crowd;
#[path = "prober/drain.rs"]
mod drain;
#[path = "prober/figures.rs"]
mod figures;
#[path = "prober/hostile.rs"]
mod hostile;
#[path = "prober/load.rs"]
mod load;
#[path = "prober/process.rs"]
mod process;
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
#[path = "prober/upgrade.rs"]
mod upgrade;

use std::{path::PathBuf, process::ExitCode};

use attack::Kind;
use attackers::KINDS;

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
    /// Kinds of attack.
    kinds: Vec<&'static Kind>,
    is_tls: bool,
    attack_rate: Option<usize>,
    attack_connections: Option<usize>,
    p99_max_ratio: Option<f64>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(experiment) = arguments.next() else { return usage("which experiment?") };
    let options = match options(&experiment, arguments) {
        Ok(options) => options,
        Err(sentence) => return usage(&sentence),
    };
    let run = match experiment.as_str() {
        "reload" => reload::run,
        "swaps" => swaps::run,
        "revoke" => revoke::run,
        "replace" => replace::run,
        "certificates" => certificates::run,
        "drain" => drain::run,
        "upgrade" => upgrade::run,
        "hostile" => return all_kinds(&options),
        other => return usage(&format!("{other} is no experiment")),
    };
    let figures = run(&options);
    figures.print(&experiment);
    if figures.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Each kind of attack that was asked for, on a gateway of its own.
fn all_kinds(options: &Options) -> ExitCode {
    let mut right = true;
    for kind in &options.kinds {
        let figures = hostile::run(options, kind);
        figures.print(&format!("hostile {}", kind.name));
        right &= figures.is_right();
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(sentence: &str) -> ExitCode {
    eprintln!(
        "{sentence}\nusage: prober reload|swaps|revoke|replace|hostile|certificates|drain|upgrade [--OPTION VALUE]..."
    );
    ExitCode::from(2)
}

fn options(experiment: &str, mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (keys, count, rounds) = match experiment {
        "replace" => (1_000_000, 0, 5),
        "swaps" => (10_000, 10_000, 0),
        "revoke" => (10_000, 1_000, 0),
        "hostile" => (100, 0, 6),
        "certificates" => (100, 100, 0),
        "drain" => (100, 0, 10),
        "upgrade" => (100, 20, 0),
        _ => (10_000, 0, 200),
    };
    let (connections, rate) = match experiment {
        "hostile" | "certificates" => (16, 500),
        "drain" | "upgrade" => (24, 0),
        _ => (32, 1_000),
    };
    let gateway = std::env::var_os("KEYFERRY").map_or_else(beside_this_program, PathBuf::from);
    let (shards, driver) = ("\"auto\"".to_owned(), "auto".to_owned());
    let mut options = Options {
        keys,
        files: 10,
        rounds,
        count,
        connections,
        rate,
        seconds: 10,
        in_place: false,
        shards,
        driver,
        gateway,
        kinds: KINDS.iter().collect(),
        is_tls: false,
        attack_rate: None,
        attack_connections: None,
        p99_max_ratio: None,
    };
    while let Some(name) = arguments.next() {
        if name == "--tls" {
            options.is_tls = true;
            continue;
        }
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
            "--kind" if value == "all" => {}
            "--kind" => options.kinds = vec![kind(&value)?],
            "--attack-rate" => options.attack_rate = Some(number()?),
            "--attack-connections" => options.attack_connections = Some(number()?),
            "--p99-max-ratio" => {
                let ratio = value.parse().map_err(|_| format!("{name} wants a number"))?;
                options.p99_max_ratio = Some(ratio);
            }
            "--driver" if value == "uring" => "io_uring-defer".clone_into(&mut options.driver),
            "--driver" => options.driver = value,
            "--gateway" => options.gateway = PathBuf::from(value),
            _ => return Err(format!("{name} {value} is not understood")),
        }
    }
    options.files = options.files.min(options.keys);
    Ok(options)
}

fn kind(name: &str) -> Result<&'static Kind, String> {
    let names = || KINDS.map(|kind| kind.name).join(", ");
    KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| format!("kinds are {} and all", names()))
}

/// `target/release/keyferry`, where this is `target/release/examples/prober`.
fn beside_this_program() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().and_then(|examples| examples.parent()).unwrap().join("keyferry")
}
