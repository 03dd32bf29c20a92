//! The command line: what `keyferry` can be told, and which file does it.
//!
//! It decides nothing about requests. Called by `main` only; each subcommand has a file of its own.

mod check;
mod demo;
mod explain;
mod gateway;
mod hash;
mod key;
mod key_list;
mod reload;
mod revoke;
mod rules;
mod run;
mod status;
mod top;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// The command line as a whole.
#[derive(Debug, Parser)]
#[command(
    name = "keyferry",
    version,
    about = "An edge proxy that changes how callers authenticate without breaking any of them",
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve what the configuration describes, until SIGTERM or SIGINT
    Run(Configuration),
    /// Serve a small example on this machine, with a key to try it, and nothing to configure
    Demo,
    /// Read the configuration, show everything that is wrong with it, and what each proxy does
    ///
    /// Nothing is started. The exit code is 0 if the configuration is complete, and 1 if anything in it is
    /// an error or broken; warnings do not count.
    Check(Configuration),
    /// Show how a running gateway is: generation, reloads, connections, outcomes
    ///
    /// The exit code is 0 if it is ready and serves what its files say, and 1 otherwise.
    Status(status::Status),
    /// Make a running gateway load its files again
    ///
    /// It does so by itself when a file changes; this says what came of it. The exit code is 0 if the files are served.
    Reload(reload::Reload),
    /// Refuse a key, or a credential with all its keys, for good
    ///
    /// It is written to server.data_dir first and holds after a restart, whatever the files say then. When the command
    /// returns 0, every shard refuses it; tunnels that it opened are cut.
    #[command(after_help = "Examples: keyferry revoke partners/k17    keyferry revoke - < key.txt")]
    Revoke(revoke::Revoke),
    /// Show how a request would be judged: its proxy, its credential, what each rule says, and how it ends
    ///
    /// Nothing is sent anywhere. The exit code is 0 whether the request is allowed or not.
    #[command(after_help = "Example: keyferry explain GET /crm/v2/contacts --credential payments-service")]
    Explain {
        #[command(flatten)]
        asked: explain::Asked,
        #[command(flatten)]
        configuration: Configuration,
    },
    /// Show who calls what, how often, how fast and with what success, each second
    Top(top::Options),
    /// Make keys for callers, and list those that a gateway has
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Read one key from standard input and print its SHA-256, for the configuration
    ///
    /// The key goes in through standard input only: an argument would end up in the history of the shell and
    /// in the list of processes.
    #[command(after_help = "Example: keyferry hash < key.txt")]
    Hash {
        /// Refused, so that a key on the command line is told off rather than quoted.
        #[arg(hide = true, num_args = 0.., allow_hyphen_values = true, trailing_var_arg = true)]
        refused: Vec<OsString>,
    },
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct Configuration {
    /// The configuration; conf.d/*.toml beside it is read too
    #[arg(short, long, value_name = "FILE", default_value = "keyferry.toml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make one key with 192 bits from the system's generator, and the record that lets it in
    ///
    /// The key is printed once and stored nowhere. The configuration needs only the record, which holds the
    /// key's SHA-256.
    New(key::New),
    /// List the keys of a running gateway: state, window, and when each was last used
    List(key_list::List),
}

/// Runs the program and returns its exit code: 0 for success, 1 for failure, 2 for wrong arguments.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(Configuration { config }) => run::run(&config),
        Command::Demo => demo::run(),
        Command::Check(Configuration { config }) => check::run(&config),
        Command::Status(options) => status::run(&options),
        Command::Reload(options) => reload::run(&options),
        Command::Revoke(options) => revoke::run(&options),
        Command::Explain { asked, configuration } => explain::run(&configuration.config, &asked),
        Command::Top(options) => top::run(&options),
        Command::Key { command: KeyCommand::New(options) } => key::run(&options),
        Command::Key { command: KeyCommand::List(options) } => key_list::run(&options),
        Command::Hash { refused } => hash::run(&refused),
    }
}

/// Logs of the control plane go to standard error; `RUST_LOG` changes how much.
fn start_log() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal();
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // A log that cannot be written (a full disk, a collector that ended) must not end the gateway.
    let _ = log.with_target(false).log_internal_errors(false).try_init();
}

/// Prints a line to standard error, as far as that can be written.
fn complain(line: &dyn std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints to standard output. A reader that has gone away (`| head`) is no reason to die with a message.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
