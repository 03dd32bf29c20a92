//! A configuration of any text gives a plan or diagnostics, and never a panic.

pub fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = keyferry::config::parse_text(text);
    }
}
