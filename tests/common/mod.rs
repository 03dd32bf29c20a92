//! The harness of the whole-gateway tests: the gateway as a process, an API that records, a caller that
//! sends raw bytes.
//!
//! It knows the program only from outside: its arguments, its files, its log and its sockets. Nothing
//! waits for a fixed time: whatever is awaited has `PATIENCE` to happen, and ends the test if it does not.

#![allow(dead_code, unused_imports, reason = "each test target uses its own part of the harness")]

pub mod api;
pub mod caller;
pub mod config;
pub mod gateway;
pub mod message;
pub mod openmetrics;
pub mod operator;
pub mod steps;
pub mod tls;
pub mod wire;

use std::{
    thread,
    time::{Duration, Instant},
};

pub use api::{Api, Exchange, Then};
pub use caller::{Answer, Caller, Framing, get, request};
pub use config::{Config, KEY, TOKEN, digest};
pub use gateway::Gateway;
pub use openmetrics::Metrics;

/// How long anything that is awaited may take before the test fails. Nothing is ever asserted to be faster.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Makes two tests of each function, one for each driver: io_uring where it works, and epoll.
#[macro_export]
macro_rules! both_drivers {
    ($($name:ident),+ $(,)?) => {
        mod auto {
            $( #[test] fn $name() { super::$name("auto"); } )+
        }
        mod epoll {
            $( #[test] fn $name() { super::$name("epoll"); } )+
        }
    };
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Looked at once more when the time is over: the machine may have stood still in between.
        let late = Instant::now() >= deadline;
        if condition() {
            return;
        }
        assert!(!late, "did not happen in time: {what}");
        pause(Duration::from_millis(5));
    }
}

/// Lets some time pass between two looks, or between two pieces that an API or a caller sends slowly.
pub fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

/// Does the same with every row at once, and fails if it fails for any.
pub fn at_once<T: Sync>(rows: &[T], act: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        let running: Vec<_> = rows.iter().map(|row| scope.spawn(|| act(row))).collect();
        let failed = running.into_iter().filter_map(|thread| thread.join().err()).count();
        assert_eq!(failed, 0, "rows failed; each says above why");
    });
}

/// Runs `action` while a bystander on the same gateway keeps asking; each of its requests must be answered.
pub fn beside_a_bystander<T>(gateway: &Gateway, action: impl FnOnce() -> T) -> T {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let bystander = scope.spawn(|| {
            let mut caller = gateway.connect();
            while !over.load(Ordering::Relaxed) {
                caller.send(&get("/crm/bystander"));
                assert_eq!(caller.answer().status, 200, "the bystander was not served");
                served.fetch_add(1, Ordering::Relaxed);
                pause(Duration::from_millis(10));
            }
        });
        eventually("the bystander is served", || {
            served.load(Ordering::Relaxed) > 0 || bystander.is_finished()
        });
        let before = served.load(Ordering::Relaxed);
        let over = StopAtEnd(&over);
        let result = action();
        eventually("the bystander is served still", || {
            served.load(Ordering::Relaxed) > before || bystander.is_finished()
        });
        drop(over);
        bystander.join().expect("the bystander failed");
        result
    })
}

/// Ends the bystander even when the action panics.
struct StopAtEnd<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
