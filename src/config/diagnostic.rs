//! What the operator is told about the files: one finding, with its place, what stands there and what to write.
//!
//! It is not a log line and carries no secret: whoever makes one masks the value first (`raw::Value` does).

use std::fmt;

/// What a finding means for the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// A reference leads nowhere: the proxies that need it are out of service, everything else works.
    Broken,
    /// It works, and is probably not what was meant, or not wise.
    Warning,
}

/// One finding. Its `Display` is the line that operators read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it means.
    pub severity: Severity,
    /// The file, as it was named to us.
    pub file: String,
    /// Line, from 1; 0 is the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 is the line as a whole.
    pub column: usize,
    /// Dotted path, such as `proxy[2].target`. Positions count from 0 and are left out of a list of one.
    pub key: Option<String>,
    /// The value as it is written; `…` where it is or may be a secret, `[…]` and `{…}` for lists and tables.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Broken => "broken",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        for number in [self.line, self.column] {
            if number > 0 {
                write!(formatter, ":{number}")?;
            }
        }
        write!(formatter, ": {}: ", self.severity)?;
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(formatter, "{key} = {value}: ")?,
            (Some(key), None) => write!(formatter, "{key}: ")?,
            (None, Some(value)) => write!(formatter, "{value}: ")?,
            (None, None) => {}
        }
        formatter.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(formatter, "; {help}"),
            None => Ok(()),
        }
    }
}
