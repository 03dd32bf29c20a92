//! `keyferry run`: serves a configuration until it is told to end.

use std::{path::Path, process::ExitCode};

use crate::run;

/// Loads the configuration and serves it.
pub(super) fn run(path: &Path) -> ExitCode {
    super::start_log();
    match run::load(path) {
        Ok(start) => run::run(start, |_| {}),
        Err(diagnostics) => {
            for diagnostic in &diagnostics {
                super::complain(diagnostic);
            }
            super::complain(&format_args!(
                "keyferry does not start with this configuration; `keyferry check` shows the same"
            ));
            ExitCode::FAILURE
        }
    }
}
