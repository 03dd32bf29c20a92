//! What an operator can ask of a running gateway, and what it answers. The admin listener sends commands; the control
//! thread carries them out one after the other.

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::keys::{KeyPage, KeyQuery};
use crate::types::Digest;

/// Commands that wait at a time.
const COMMANDS_MAX: usize = 64;

/// Sends commands to the control thread.
#[derive(Debug, Clone)]
pub struct Commands(mpsc::Sender<Command>);

/// The control thread's end.
pub type CommandQueue = mpsc::Receiver<Command>;

/// A way to send commands, and the queue that they arrive in.
pub fn commands() -> (Commands, CommandQueue) {
    let (sender, queue) = mpsc::channel(COMMANDS_MAX);
    (Commands(sender), queue)
}

/// The gateway is ending, and answers no more.
#[derive(Debug)]
pub struct Ending;

impl Commands {
    /// Loads the files again.
    ///
    /// # Errors
    ///
    /// The gateway is ending.
    pub async fn reload(&self, force: bool) -> Result<ReloadReport, Ending> {
        self.ask(|reply| Command::Reload { force, reply }).await
    }

    /// Revokes a key or a credential.
    ///
    /// # Errors
    ///
    /// The gateway is ending.
    pub async fn revoke(&self, what: Revoke) -> Result<Result<RevokeReport, RevokeRefusal>, Ending> {
        self.ask(|reply| Command::Revoke { what, reply }).await
    }

    /// Lists keys.
    ///
    /// # Errors
    ///
    /// The gateway is ending.
    pub async fn keys(&self, query: KeyQuery) -> Result<KeyPage, Ending> {
        self.ask(|reply| Command::Keys { query, reply }).await
    }

    async fn ask<R>(&self, command: impl FnOnce(oneshot::Sender<R>) -> Command) -> Result<R, Ending> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.map_err(|_| Ending)?;
        answer.await.map_err(|_| Ending)
    }
}

/// One command, and where its answer goes.
#[derive(Debug)]
pub enum Command {
    /// Load the files again.
    Reload {
        /// Whether what would be lost may be.
        force: bool,
        /// Takes the answer.
        reply: oneshot::Sender<ReloadReport>,
    },
    /// List keys.
    Keys {
        /// Which.
        query: KeyQuery,
        /// Takes the answer.
        reply: oneshot::Sender<KeyPage>,
    },
    /// Revoke something.
    Revoke {
        /// What.
        what: Revoke,
        /// Takes the answer.
        reply: oneshot::Sender<Result<RevokeReport, RevokeRefusal>>,
    },
}

/// What is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoke {
    /// A key, by its SHA-256, whether it is known or not.
    Digest(Digest),
    /// A credential, or a key by its id: `KEY-ID`, `CREDENTIAL`, or `CREDENTIAL/KEY-ID` where ids are ambiguous.
    Name(String),
}

/// What came of a reload.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadReport {
    /// `applied`, `unchanged` or `refused`.
    pub result: ReloadResult,
    /// Why it took place: `file`, `signal` or `command`.
    pub cause: &'static str,
    /// When, as RFC 3339 writes it.
    pub at: String,
    /// How long loading and compiling took, in milliseconds.
    pub took_millis: u64,
    /// The generation that is served.
    pub generation: u64,
    /// Whether every shard has said that it serves it.
    pub confirmed: bool,
    /// What differs, by the names of objects.
    pub changes: Vec<String>,
    /// Settings that count only from the next start on.
    pub restart: Vec<&'static str>,
    /// What was found wrong or doubtful, one line each.
    pub findings: Vec<String>,
}

/// What came of a reload, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadResult {
    /// It is served.
    Applied,
    /// There is nothing new.
    Unchanged,
    /// What was there before goes on.
    Refused,
}

/// What was revoked.
#[derive(Debug, Clone, Serialize)]
pub struct RevokeReport {
    /// One line for each key or credential.
    pub revoked: Vec<String>,
    /// Whether it was revoked before.
    pub already: bool,
    /// Whether any credential has the key at present.
    pub known: bool,
    /// The generation that refuses it.
    pub generation: u64,
    /// Whether every shard has said that it serves it.
    pub confirmed: bool,
}

/// Why nothing was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokeRefusal {
    /// Nothing has this name.
    Unknown,
    /// Several things have this name: these.
    Ambiguous(String, Vec<String>),
    /// It could not be written down.
    NotKept(String),
}
