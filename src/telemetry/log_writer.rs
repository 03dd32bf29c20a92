//! The thread that writes the access log: empties the rings of all shards, names what has numbers, writes lines.
//!
//! It looks at the rings on a timer, so that a shard does nothing but put an entry in. It belongs to the control plane:
//! it may wait for a disk.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use super::{
    line,
    log_file::LogFile,
    merge::{LogCounts, Names},
    request_log::Ring,
};

/// How long an entry waits at most; the rings must be able to hold what comes in that time.
const INTERVAL: Duration = Duration::from_millis(50);
/// Bytes of lines that are written at once.
const BATCH_BYTES: usize = 256 * 1024;
/// How long the end of the gateway may wait for the last lines, should nobody read standard output.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// The writer, at work.
pub struct LogWriter {
    end: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl LogWriter {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(
        file: LogFile,
        rings: Vec<Arc<Ring>>,
        names: Names,
        counts: Arc<LogCounts>,
    ) -> io::Result<Self> {
        let (end, told_to_end) = mpsc::channel();
        let (over, ended) = mpsc::channel();
        let mut work = Work { file, rings, names, counts, batch: Vec::with_capacity(BATCH_BYTES) };
        thread::Builder::new().name("access-log".into()).spawn(move || {
            while told_to_end.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                work.write_all();
            }
            work.write_all();
            let _ = over.send(());
        })?;
        Ok(Self { end, ended })
    }

    /// Writes what is left, and ends.
    pub fn finish(self) {
        drop(self.end);
        let _ = self.ended.recv_timeout(END_TIMEOUT);
    }
}

struct Work {
    file: LogFile,
    rings: Vec<Arc<Ring>>,
    names: Names,
    counts: Arc<LogCounts>,
    batch: Vec<u8>,
}

impl Work {
    /// Writes what waits at this moment.
    fn write_all(&mut self) {
        self.file.follow();
        for ring in self.rings.clone() {
            let waiting = ring.len();
            if waiting == 0 {
                continue;
            }
            // Asked for now: whatever is in the ring has a name.
            let names = (self.names)();
            for entry in std::iter::from_fn(|| ring.pop()).take(waiting) {
                line::write(&entry, &names, &mut self.batch);
                if self.batch.len() > BATCH_BYTES - 2048 {
                    self.flush();
                }
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let all = memchr::memchr_iter(b'\n', &self.batch).count() as u64;
        let written = self.file.write(&self.batch);
        self.counts.written.fetch_add(written, Ordering::Relaxed);
        self.counts.lost.fetch_add(all - written, Ordering::Relaxed);
        self.batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Arc, atomic::Ordering},
    };

    use super::{
        super::{
            log_file::{LogFile, Sink},
            merge::LogCounts,
            request_log::{Entry, Ring},
        },
        LogWriter,
    };
    use crate::types::SeriesName;

    #[test]
    fn what_is_in_the_rings_is_written_at_the_end() {
        let path = std::env::temp_dir().join(format!("keyferry-log-writer-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let rings: Vec<Arc<Ring>> = vec![Arc::new(Ring::new(4096)), Arc::new(Ring::new(4096))];
        for ring in &rings {
            for status in 0..3000 {
                assert!(ring.push(Entry { status, ..Entry::default() }));
            }
        }
        let counts = Arc::<LogCounts>::default();
        let file = LogFile::open(Sink::Path(path.clone())).unwrap();
        let names: super::Names = Arc::new(|| SeriesName::first().into_iter().collect());
        let writer = LogWriter::start(file, rings, names, Arc::clone(&counts)).unwrap();
        writer.finish();
        let text = fs::read_to_string(&path).unwrap();
        let _ = fs::remove_file(&path);
        assert_eq!(text.lines().count(), 6000);
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        let (written, lost) = (counts.written.load(Ordering::Relaxed), counts.lost.load(Ordering::Relaxed));
        assert_eq!((written, lost), (6000, 0));
    }
}
