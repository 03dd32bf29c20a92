//! The gateway as a process: started with a file, found through its log, ended with its handle.
//!
//! At the end of every life its log and its status are searched for secrets and for panics.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Answer, Caller, Config, KEY, PATIENCE, TOKEN, get, pause, tls};

pub const BINARY: &str = env!("CARGO_BIN_EXE_keyferry");

/// A running gateway; dropping it ends it.
pub struct Gateway {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    /// Where its files are; it goes with the gateway.
    pub directory: PathBuf,
    /// What its configuration names as the driver.
    pub driver: String,
    /// One for each `[[listener]]`.
    pub addresses: Vec<SocketAddr>,
    pub admin: SocketAddr,
    /// Texts that must never be in the log or the status.
    secrets: Vec<String>,
}

impl Gateway {
    /// Starts a gateway and waits until it is ready.
    #[track_caller]
    pub fn start(driver: &str, config: &Config) -> Self {
        Self::start_as(Command::new(BINARY), driver, config, &[])
    }

    /// The same, with files beside the configuration.
    #[track_caller]
    pub fn start_with_files(driver: &str, config: &Config, files: &[(&str, &str)]) -> Self {
        Self::start_as(Command::new(BINARY), driver, config, files)
    }

    /// The same, with a limit on its open files.
    #[track_caller]
    pub fn start_with_open_files(driver: &str, config: &Config, limit: usize) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\""), BINARY]);
        Self::start_as(shell, driver, config, &[])
    }

    /// The same, with a limit on the length of any file that it writes, in blocks of 512 bytes.
    #[track_caller]
    pub fn start_with_file_blocks(driver: &str, config: &Config, limit: usize) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {limit} && exec \"$0\" \"$@\""), BINARY]);
        Self::start_as(shell, driver, config, &[])
    }

    /// The same, as this command says.
    #[track_caller]
    pub fn start_as(command: Command, driver: &str, config: &Config, files: &[(&str, &str)]) -> Self {
        let directory = directory();
        write_all(&directory, &config.text(driver), files);
        let child = spawn(command, &directory);
        let secrets = vec![KEY.into(), TOKEN.into()];
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        let (log, driver) = (Arc::default(), driver.to_string());
        let mut gateway =
            Self { child, log, reader: None, directory, driver, addresses: Vec::new(), admin, secrets };
        gateway.follow();
        gateway
    }

    /// Ends it at once, and starts it again with the files as they are now.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.child = spawn(Command::new(BINARY), &self.directory);
        self.log = Arc::default();
        self.follow();
    }

    /// Ends it at once.
    #[track_caller]
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.look_back(None);
    }

    /// What it says when it is started with the files as they are now, which it must refuse.
    #[track_caller]
    pub fn start_is_refused(&mut self) -> String {
        self.stop();
        self.child = spawn(Command::new(BINARY), &self.directory);
        self.log = Arc::default();
        self.reader = self.child.stderr.take().map(|stderr| read_log(stderr, Arc::clone(&self.log)));
        assert!(!self.exit().success(), "it has started:\n{}", self.log());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.log()
    }

    /// Reads the log of the child from here on, and waits until it is ready.
    #[track_caller]
    fn follow(&mut self) {
        self.reader = self.child.stderr.take().map(|stderr| read_log(stderr, Arc::clone(&self.log)));
        self.addresses.clear();
        self.await_ready();
    }

    /// A further text that must not be in the log or the status.
    pub fn keep_secret(&mut self, secret: &str) {
        self.secrets.push(secret.into());
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// A file in the directory of the configuration.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection of a caller.
    #[track_caller]
    pub fn connect(&self) -> Caller {
        Caller::to(self.address()).expect("the gateway takes a connection")
    }

    /// The answer to one GET with the caller's key, on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        let mut caller = self.connect();
        caller.send(&get(path));
        caller.answer()
    }

    /// The answer to one request, on a connection of its own.
    #[track_caller]
    pub fn ask(&self, request: &[u8]) -> Answer {
        let mut caller = self.connect();
        caller.send(request);
        caller.answer()
    }

    /// The answer of the admin listener.
    pub fn admin(&self, path: &str) -> Option<Answer> {
        let mut caller = Caller::to_admin(self.admin).ok()?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        caller.try_send(head.as_bytes()).ok()?;
        Some(caller.answer())
    }

    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        let answer = self.admin("/status").expect("the admin listener answers");
        serde_json::from_slice(&answer.body).expect("the status is JSON")
    }

    /// How often requests ended for this reason; telemetry is merged on a timer, so wait for it.
    #[track_caller]
    pub fn outcomes(&self, word: &str) -> u64 {
        self.status()["outcomes"][word].as_u64().unwrap_or(0)
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process runs").count()
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the status names it");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("it is a number")
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "SIGTERM was not sent");
    }

    /// How it ended, once it has.
    #[track_caller]
    pub fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway did not end; its log:\n{}", self.log());
            pause(Duration::from_millis(5));
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    #[track_caller]
    fn await_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().lines().any(|line| line.contains("ready") && line.contains("generation=")) {
            let ended = self.child.try_wait().expect("the child can be waited for");
            assert!(ended.is_none(), "the gateway ended with {ended:?}; its log:\n{}", self.log());
            assert!(Instant::now() < deadline, "the gateway was not ready; its log:\n{}", self.log());
            pause(Duration::from_millis(2));
        }
        for line in self.log().lines() {
            let Some(address) = token(line, "address=") else { continue };
            if address.starts_with("unix:") {
                continue;
            }
            let address = address.parse().expect("the log names an address");
            match line {
                _ if line.contains("admin listening") => self.admin = address,
                _ if line.contains("listening") => self.addresses.push(address),
                _ => {}
            }
        }
        assert!(self.log().contains("listening"), "no listener in the log:\n{}", self.log());
    }

    /// No panic, no secret in what an operator may read.
    fn look_back(&mut self, status: Option<String>) {
        let log = self.log();
        assert!(!log.contains("panicked"), "the gateway panicked:\n{log}");
        for text in [Some(log), status].into_iter().flatten() {
            for secret in &self.secrets {
                assert!(!text.contains(secret), "{secret:?} can be read in\n{text}");
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        let failed = thread::panicking();
        let status = (running && !failed).then(|| self.admin("/status")).flatten();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let _ = fs::remove_dir_all(&self.directory);
        if failed {
            eprintln!("--- log of the gateway ---\n{}", self.log());
        } else {
            self.look_back(status.map(|answer| super::message::latin(&answer.body)));
        }
    }
}

fn spawn(mut command: Command, directory: &Path) -> Child {
    command
        .args(["run", "--config"])
        .arg(directory.join("keyferry.toml"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway can be started")
}

fn write_all(directory: &Path, configuration: &str, files: &[(&str, &str)]) {
    if configuration.contains(tls::CERTIFICATE) {
        tls::write_files(directory);
    }
    for (name, text) in files.iter().chain([&("keyferry.toml", configuration)]) {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("it has a directory")).expect("a directory can be made");
        fs::write(path, text).expect("the file can be written");
    }
}

fn read_log(stderr: ChildStderr, log: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    })
}

/// The value of `key` in a log line.
fn token<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key))
}

/// A new directory of this test.
fn directory() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("keyferry-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory).expect("a temporary directory can be made");
    directory
}
