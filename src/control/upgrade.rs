//! Replacing the running program: a successor is started with the listening sockets, and when it says that it serves,
//! this process stops accepting and drains. Until then nothing changes here; a successor that fails is no more than a
//! line in the log.
//!
//! ```text
//!  SIGUSR2 ──▶ start(successor) ──▶ await READY ──▶ hand over ──▶ drain
//!                                      │ ended, too late
//!                                      ▼
//!                                   go on as before
//! ```
//!
//! Commands and builds wait meanwhile, so that nothing is written down that the successor has not read.

use std::{
    env,
    fmt::Write as _,
    io::{self, PipeWriter, Write as _},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::unix::pipe,
    time::{Instant, timeout_at},
};

/// The variable that describes what is handed over, such as `127.0.0.1:8080=5,7;admin=9;ready=11`.
pub const HANDED_OVER: &str = "KEYFERRY_LISTENERS";
/// The name in it of the admin listener's socket.
pub const ADMIN: &str = "admin";
/// The name in it of the pipe on which a successor says that it serves.
pub const READY: &str = "ready";

/// What is written to that pipe.
const WORD: &[u8] = b"ready\n";
/// How long a successor may take.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How a successor tells that it serves.
pub struct ReadyPipe(PipeWriter);

impl From<OwnedFd> for ReadyPipe {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl ReadyPipe {
    /// Every socket is served now.
    ///
    /// # Errors
    ///
    /// The process before does not wait for it any more.
    pub fn tell(mut self) -> io::Result<()> {
        self.0.write_all(WORD)
    }
}

/// What a successor gets.
pub struct Handover {
    program: PathBuf,
    sockets: Vec<(String, Vec<OwnedFd>)>,
}

impl Handover {
    /// Of nothing yet. To be made at the start, while the path of the program still leads to it.
    ///
    /// # Errors
    ///
    /// The system does not say what runs.
    pub fn new() -> io::Result<Self> {
        // A path as it was called is kept as it is: it may be a link that leads to another version later.
        let called = env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let program = called.map_or_else(env::current_exe, std::path::absolute)?;
        Ok(Self { program, sockets: Vec::new() })
    }

    /// Adds the sockets of one address.
    ///
    /// # Errors
    ///
    /// No descriptor is free.
    pub fn add(&mut self, name: &str, sockets: &[impl AsFd]) -> io::Result<()> {
        let own = sockets.iter().map(|socket| socket.as_fd().try_clone_to_owned());
        self.sockets.push((name.to_owned(), own.collect::<io::Result<_>>()?));
        Ok(())
    }

    /// Starts a successor.
    pub(super) fn start(&self) -> io::Result<Successor> {
        let (ready, tell) = io::pipe()?;
        let mut passed = Vec::new();
        let mut text = String::new();
        for (name, sockets) in &self.sockets {
            let first = passed.len();
            for socket in sockets {
                passed.push(socket.try_clone()?);
            }
            describe(&mut text, name, &passed[first..]);
        }
        passed.push(tell.into());
        describe(&mut text, READY, &passed[passed.len() - 1..]);
        let mut command = Command::new(&self.program);
        command.args(env::args_os().skip(1)).env(HANDED_OVER, text);
        // What these say is meant for this process only.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        // Nothing else is started by this process, so these reach the successor and nobody else.
        for descriptor in &passed {
            SockRef::from(descriptor).set_cloexec(false)?;
        }
        let child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.program.display())))?;
        let ready = pipe::Receiver::from_owned_fd(ready.into())?;
        Ok(Successor { child, ready, deadline: Instant::now() + READY_LIMIT })
    }
}

fn describe(text: &mut String, name: &str, descriptors: &[OwnedFd]) {
    let list: Vec<_> = descriptors.iter().map(|one| one.as_raw_fd().to_string()).collect();
    let _ = write!(text, "{name}={};", list.join(","));
}

/// A process that is to take over.
pub(super) struct Successor {
    child: Child,
    ready: pipe::Receiver,
    deadline: Instant,
}

/// The successor that starts, when it serves (with its process id) or has failed.
pub(super) async fn started(successor: &mut Option<Successor>) -> Result<u32, String> {
    let outcome = match successor {
        Some(successor) => successor.serves().await,
        None => std::future::pending().await,
    };
    let found = successor.take();
    match (outcome, found) {
        (Ok(()), Some(successor)) => Ok(successor.pid()),
        (outcome, found) => {
            if let Some(successor) = found {
                successor.end();
            }
            Err(outcome.err().unwrap_or_default())
        }
    }
}

impl Successor {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It is not wanted any more.
    pub(super) fn end(mut self) {
        let _ = self.child.kill();
        // It may take its time to be gone, and somebody has to ask for it.
        std::thread::spawn(move || self.child.wait());
    }

    /// Safe to be dropped and called again.
    async fn serves(&mut self) -> Result<(), String> {
        let mut word = [0; WORD.len()];
        loop {
            match timeout_at(self.deadline, self.ready.readable()).await {
                Err(_) => return Err(format!("it was not ready within {READY_LIMIT:?}")),
                Ok(Err(error)) => return Err(error.to_string()),
                Ok(Ok(())) => {}
            }
            match self.ready.try_read(&mut word) {
                Ok(count) if word[..count] == *WORD => return Ok(()),
                Ok(_) => return Err("it ended before it served; its log says why".to_owned()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
