//! Replacing the running program: a successor is started with the listening sockets, and when it says that nothing can
//! fail any more, it gets the word to serve, and this process stops accepting and drains. Until then nothing changes
//! here, and the successor has accepted nobody; one that fails is no more than a line in the log.
//!
//! ```text
//!  SIGUSR2 ──▶ start(successor) ──▶ await READY ──▶ say GO ──▶ drain            (the successor accepts)
//!                                      │ ended, too late, SIGTERM here
//!                                      ▼
//!                                   kill it, go on as before (or end, as SIGTERM says)
//! ```
//!
//! A process that dies before it says GO leaves everything to its successor, which sees the end of the channel. A kill
//! comes before that end, so that a successor which is not wanted never takes it for such a death.
//!
//! Commands and builds wait meanwhile, so that nothing is written down that the successor has not read. What is revoked
//! afterwards is the matter of `follow.rs`, on the same channel.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream as Channel,
    },
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout_at},
};

/// The variable that describes what is handed over, such as `127.0.0.1:8080=5,7;unix:/run/a.sock=8,file:21:34;ready=11`:
/// names, and for each the descriptors and whose they are, unless they are simply the process's.
const HANDED_OVER: &str = "KEYFERRY_LISTENERS";
/// The name in it of the channel on which a successor says that it is ready, and hears that it is its turn.
pub const READY: &str = "ready";
/// What in it says that a service manager opened the sockets.
const MANAGER: &str = "manager";
/// What in it says which file belongs to the socket, by device and number.
const FILE: &str = "file";

/// What a successor says.
const WORD: &[u8] = b"ready\n";
/// What it hears.
const GO: &[u8] = b"go\n";
/// How long a successor may take.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked whether one that failed is gone.
const EXIT_INTERVAL: Duration = Duration::from_millis(5);

/// Whose listening sockets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Of the process that serves from them.
    Process,
    /// Of the same, together with a file: its device and number.
    File((u64, u64)),
    /// Of the service manager, who keeps them open.
    Manager,
}

/// What the process before hands over under one name.
pub struct Passed {
    /// The name.
    pub name: String,
    /// The descriptors, which are open.
    pub descriptors: Vec<RawFd>,
    /// Whose they are.
    pub owner: Owner,
}

/// Everything that the process before hands over, if there is one.
///
/// # Errors
///
/// The variable is not what such a process writes.
pub fn handed_over() -> io::Result<Vec<Passed>> {
    let Ok(text) = env::var(HANDED_OVER) else { return Ok(Vec::new()) };
    let wrong = || io::Error::other(format!("{HANDED_OVER}={text:?} names no descriptors"));
    let parts = text.split(';').filter(|part| !part.is_empty());
    parts.map(|part| passed(part).ok_or_else(wrong)).collect()
}

fn passed(part: &str) -> Option<Passed> {
    let (name, list) = part.rsplit_once('=')?;
    let mut passed = Passed { name: unescaped(name), descriptors: Vec::new(), owner: Owner::Process };
    for word in list.split(',') {
        match word.split_once(':') {
            Some((FILE, file)) => {
                let (device, number) = file.split_once(':')?;
                passed.owner = Owner::File((device.parse().ok()?, number.parse().ok()?));
            }
            Some(_) => return None,
            None if word == MANAGER => passed.owner = Owner::Manager,
            None => passed.descriptors.push(word.parse().ok()?),
        }
    }
    Some(passed)
}

/// The path of a Unix socket may contain what ends a name.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace(';', "%3B")
}

fn unescaped(name: &str) -> String {
    name.replace("%3B", ";").replace("%25", "%")
}

/// The process before, as its successor sees it.
pub struct Predecessor(File);

impl From<OwnedFd> for Predecessor {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl Predecessor {
    /// Says that nothing can fail here any more, and waits for the turn to accept callers: as long as the process
    /// before serves them, there is no hurry. Returns it if it is there; if not, this is the only one.
    pub fn take_turn(mut self) -> Option<Draining> {
        let mut go = [0; GO.len()];
        self.0.write_all(WORD).and_then(|()| self.0.read_exact(&mut go)).ok()?;
        let channel = Channel::from(OwnedFd::from(self.0));
        channel.set_nonblocking(true).ok()?;
        Some(Draining(channel))
    }
}

/// The process before, which drains.
pub struct Draining(pub(super) Channel);

/// What a successor gets.
pub struct Handover {
    program: PathBuf,
    sockets: Vec<(String, Owner, Vec<OwnedFd>)>,
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
    pub fn add(&mut self, name: &str, owner: Owner, sockets: &[impl AsFd]) -> io::Result<()> {
        let own = sockets.iter().map(|socket| socket.as_fd().try_clone_to_owned());
        self.sockets.push((name.to_owned(), owner, own.collect::<io::Result<_>>()?));
        Ok(())
    }

    /// Starts a successor.
    pub(super) fn start(&self) -> io::Result<Successor> {
        let (ours, theirs) = Channel::pair()?;
        let mut passed = Vec::new();
        let mut text = String::new();
        for (name, owner, sockets) in &self.sockets {
            let first = passed.len();
            for socket in sockets {
                passed.push(socket.try_clone()?);
            }
            describe(&mut text, name, &passed[first..], *owner);
        }
        passed.push(theirs.into());
        describe(&mut text, READY, &passed[passed.len() - 1..], Owner::Process);
        ours.set_nonblocking(true)?;
        let channel = UnixStream::from_std(ours)?;
        let mut command = Command::new(&self.program);
        command.args(env::args_os().skip(1)).env(HANDED_OVER, text);
        // What these say is meant for this process only.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        // Nothing else is started by this process, so these reach the successor and nobody else. What else it may get,
        // such as a caller whom a ring accepts at this moment, it closes first of all.
        for descriptor in &passed {
            SockRef::from(descriptor).set_cloexec(false)?;
        }
        let child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.program.display())))?;
        Ok(Successor { child, channel, deadline: Instant::now() + READY_LIMIT })
    }
}

fn describe(text: &mut String, name: &str, descriptors: &[OwnedFd], owner: Owner) {
    let mut list: Vec<_> = descriptors.iter().map(|one| one.as_raw_fd().to_string()).collect();
    match owner {
        Owner::Process => {}
        Owner::File((device, number)) => list.push(format!("{FILE}:{device}:{number}")),
        Owner::Manager => list.push(MANAGER.to_owned()),
    }
    let _ = write!(text, "{}={};", escaped(name), list.join(","));
}

/// A process that is to take over.
pub(super) struct Successor {
    child: Child,
    channel: UnixStream,
    deadline: Instant,
}

/// The successor that starts, when it was told to serve (its process id, and the channel to it) or has failed.
pub(super) async fn started(successor: &mut Option<Successor>) -> Result<(u32, Channel), String> {
    let outcome = match successor {
        Some(successor) => successor.serves().await,
        None => std::future::pending().await,
    };
    let found = successor.take();
    match (outcome, found) {
        (Ok(()), Some(successor)) => {
            let pid = successor.pid();
            successor.channel.into_std().map(|channel| (pid, channel)).map_err(|error| error.to_string())
        }
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

    /// It is not wanted any more. It has accepted nobody.
    pub(super) fn end(mut self) {
        let _ = self.child.kill(); // before the channel ends
        // It may take its time to be gone, and somebody has to ask for it.
        std::thread::spawn(move || self.child.wait());
    }

    /// When it is gone. It may have to say why after it has let go of everything.
    async fn exit(&mut self) {
        while matches!(self.child.try_wait(), Ok(None)) {
            sleep(EXIT_INTERVAL).await;
        }
    }

    /// Safe to be dropped and called again.
    async fn serves(&mut self) -> Result<(), String> {
        let mut word = [0; WORD.len()];
        loop {
            match timeout_at(self.deadline, self.channel.readable()).await {
                Err(_) => return Err(format!("it was not ready within {READY_LIMIT:?}")),
                Ok(Err(error)) => return Err(error.to_string()),
                Ok(Ok(())) => {}
            }
            match self.channel.try_read(&mut word) {
                Ok(count) if word[..count] == *WORD => {
                    let told = self.channel.try_write(GO);
                    return told
                        .map(drop)
                        .map_err(|error| format!("it does not hear that it may serve: {error}"));
                }
                Ok(_) => {
                    let _ = timeout_at(self.deadline, self.exit()).await;
                    return Err("it ended before it served; its log says why".to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::OwnedFd};

    use super::{Owner, describe, passed};

    #[test]
    fn what_is_described_is_understood() {
        let descriptor = || OwnedFd::from(File::open("/dev/null").unwrap());
        for owner in [Owner::Process, Owner::Manager, Owner::File((21, u64::MAX))] {
            for name in ["127.0.0.1:80", "unix:/a=b;c,d%3B.sock", "admin@[::1]:0"] {
                let mut text = String::new();
                describe(&mut text, name, &[descriptor(), descriptor()], owner);
                let parts: Vec<_> = text.split(';').filter(|part| !part.is_empty()).collect();
                let [part] = parts[..] else { panic!("{text}") };
                let found = passed(part).unwrap();
                assert_eq!((found.name.as_str(), found.owner), (name, owner), "{text}");
                assert_eq!(found.descriptors.len(), 2, "{text}");
            }
        }
    }

    #[test]
    fn what_nobody_writes_is_refused() {
        for part in
            ["", "a", "a=", "a=x", "a=1,2,", "a=1,file", "a=1,file:1", "a=1,file:1:x", "a=1,other:1:1"]
        {
            assert!(passed(part).is_none(), "{part}");
        }
    }
}
