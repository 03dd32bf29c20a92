//! The gateway as a process: what it costs by `/proc`, what it says in its log, and signals to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A process, by its id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process(pub u32);

impl Process {
    pub fn signal(self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.0.to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "SIG{name} cannot be sent");
    }

    /// Resident memory, `VmRSS`.
    pub fn resident_kib(self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }

    /// Open descriptors. Linux tells their number as the size of the directory from 6.2 on.
    pub fn descriptors(self) -> u64 {
        let directory = format!("/proc/{}/fd", self.0);
        match fs::metadata(&directory).map_or(0, |of| of.len()) {
            0 => fs::read_dir(&directory).map_or(0, |entries| entries.count() as u64),
            count => count,
        }
    }

    /// CPU time of all threads so far.
    pub fn cpu(self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        tasks.map(|task| cpu(&task.path().join("schedstat").to_string_lossy())).sum()
    }

    /// Whether it is there and no zombie.
    pub fn is_alive(self) -> bool {
        let stat = self.read("stat");
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    fn read(self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap_or_default()
    }
}

/// CPU time of the calling thread so far.
pub fn own_cpu() -> Duration {
    cpu("/proc/thread-self/schedstat")
}

fn cpu(schedstat: &str) -> Duration {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Soft limit on open files of this program.
pub fn descriptors_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(usize::MAX)
}

/// Complaints that an experiment wants to hear, and counts.
pub const PROVOKED: [&str; 2] = ["does not belong to the certificate", "the one before goes on serving"];

/// What a gateway and its successors have said so far; complaints are shown as well.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    /// Nobody is left to say more.
    is_all: bool,
}

impl Log {
    pub fn of(output: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let said = Arc::clone(&log.0);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let complains = ["WARN", "ERROR", "panic"].iter().any(|word| line.contains(word));
                if complains && !PROVOKED.iter().any(|words| line.contains(words)) {
                    eprintln!("{line}");
                }
                said.lock().unwrap().lines.push(line);
            }
            said.lock().unwrap().is_all = true;
        });
        log
    }

    /// All lines, once so many of them have these words.
    pub fn await_lines(&self, words: &str, count: usize, deadline: Instant) -> Option<Vec<String>> {
        while self.count(words) < count {
            if Instant::now() > deadline || self.0.lock().unwrap().is_all {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Some(self.0.lock().unwrap().lines.clone())
    }

    /// How many lines have these words.
    pub fn count(&self, words: &str) -> usize {
        self.0.lock().unwrap().lines.iter().filter(|line| line.contains(words)).count()
    }
}
