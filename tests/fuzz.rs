//! Replays the seeds of every fuzz target, so that what fuzzing found stays fixed.
//!
//! The bodies are shared with `fuzz/fuzz_targets`. To fuzz one for half a minute, with new inputs kept apart:
//! `mkdir -p fuzz/corpus/path && RUSTC_BOOTSTRAP=1 cargo fuzz run path fuzz/corpus/path tests/data/fuzz/path --
//! -max_total_time=30`. An input that breaks something joins the seeds under a name that says what it was.

#[path = "fuzz_bodies/chunked.rs"]
mod chunked;
#[path = "fuzz_bodies/config.rs"]
mod config;
#[path = "fuzz_bodies/path.rs"]
mod path;
#[path = "fuzz_bodies/request_head.rs"]
mod request_head;
#[path = "fuzz_bodies/response_head.rs"]
mod response_head;

/// Seeds that each target has at least.
const SEEDS_MIN: usize = 20;

fn replay(target: &str, body: fn(&[u8])) {
    let directory = format!("{}/tests/data/fuzz/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut seeds = 0;
    for entry in std::fs::read_dir(&directory).expect("the seeds are part of the repository") {
        let path = entry.expect("the directory can be read").path();
        body(&std::fs::read(&path).expect("a seed is a file"));
        seeds += 1;
    }
    assert!(seeds >= SEEDS_MIN, "{directory} holds {seeds} seeds");
}

#[test]
fn request_heads() {
    replay("request_head", request_head::run);
}

#[test]
fn response_heads() {
    replay("response_head", response_head::run);
}

#[test]
fn chunked_bodies() {
    replay("chunked", chunked::run);
}

#[test]
fn paths() {
    replay("path", path::run);
}

#[test]
fn configurations() {
    replay("config", config::run);
}
