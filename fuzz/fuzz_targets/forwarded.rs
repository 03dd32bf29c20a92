//! Entry point; what is checked stands in `tests/fuzz_bodies/forwarded.rs`.
#![no_main]

#[path = "../../tests/fuzz_bodies/forwarded.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
