//! Any file named for certificates, keys and authorities gives a plan or diagnostics, and never a panic; no
//! diagnostic shows a line of it.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::LazyLock};

const TEXT: &str = r#"
[[listener]]
address = "127.0.0.1:8443"
tls = { certificates = [{ cert = "all.pem", key = "all.pem" }], client_ca = "all.pem" }
[[target]]
name = "t"
url = "https://api.example"
tls = { roots = "all.pem" }
"#;
/// Shorter lines may be words of a diagnostic.
const LINE_BYTES_MIN: usize = 40;

/// Beside other processes that do the same.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("keyferry-fuzz-certificates-{}", std::process::id()));
    fs::create_dir_all(&path).expect("a directory can be made");
    path
});

pub fn run(bytes: &[u8]) {
    let file = DIRECTORY.join("all.pem");
    fs::write(&file, bytes).expect("the file can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    let loaded = keyferry::config::load_text(TEXT, "k.toml", &DIRECTORY, &|_| None);
    let shown = match &loaded {
        Ok(loaded) => format!("{:?}{:?}", loaded.diagnostics, loaded.plan),
        Err(diagnostics) => format!("{diagnostics:?}"),
    };
    for line in bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let secret = line.trim();
        let is_label = secret.starts_with("-----");
        assert!(is_label || secret.len() < LINE_BYTES_MIN || !shown.contains(secret), "{shown}");
    }
    let Ok(loaded) = loaded else { return };
    let plan = std::sync::Arc::new(loaded.plan);
    let _ = keyferry::compile::Compiler::default().compile(&plan, keyferry::compile::Epoch::FIRST);
}
