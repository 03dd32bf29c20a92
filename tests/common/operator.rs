//! What an operator does to a running gateway: files beside its configuration, signals, the admin listener, the
//! command line.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::{Answer, Caller, Config, Gateway, eventually, gateway::BINARY};

impl Gateway {
    /// A file beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file in place.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the file can be written");
    }

    /// Writes a new file and renames it over the old one.
    pub fn replace(&self, name: &str, text: &str) {
        let new = format!("{name}.new");
        self.write(&new, text);
        fs::rename(self.path(&new), self.path(name)).expect("the file can be renamed");
    }

    /// Replaces the configuration by this one.
    pub fn configure(&self, config: &Config) {
        self.replace("keyferry.toml", &config.text(&self.driver));
    }

    /// Asks it to load its files again (SIGHUP).
    pub fn hang_up(&self) {
        let status = Command::new("kill").arg("-HUP").arg(self.pid().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "SIGHUP was not sent");
    }

    /// The answer of the admin listener to a command.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        let mut caller = Caller::to_admin(self.admin).expect("the admin listener takes a connection");
        let (host, length) = (self.admin, body.len());
        caller.send(
            format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .as_bytes(),
        );
        caller.answer()
    }

    /// The command line, with something on its standard input.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(BINARY)
            .args(arguments)
            .args(["--admin", &self.admin.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("the program ends")
    }

    /// What came of reloads so far.
    #[track_caller]
    pub fn reloads(&self) -> Value {
        self.status()["reloads"].clone()
    }

    /// How many reloads had this result.
    #[track_caller]
    pub fn reloaded(&self, result: &str) -> u64 {
        self.reloads()[result].as_u64().expect("it is a count")
    }

    /// Waits until the files are refused, with a finding that has all these words; returns it.
    #[track_caller]
    pub fn await_refusal(&self, words: &[&str]) -> String {
        let mut found = None;
        eventually(&format!("the files are refused with {words:?}"), || {
            let refusal = &self.reloads()["refusal"];
            let findings = refusal["findings"].as_array().cloned().unwrap_or_default();
            let mut findings = findings.iter().filter_map(Value::as_str);
            found = findings.find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned);
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Waits until there is no refusal any more.
    #[track_caller]
    pub fn await_good_files(&self) {
        eventually("the files can be used again", || self.reloads()["refusal"].is_null());
    }
}

impl Caller {
    /// What becomes of a request with this key: `ok`, or the word of the refusal.
    #[track_caller]
    pub fn asks(&mut self, path: &str, key: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\n\r\n").as_bytes());
        let answer = self.answer();
        if answer.status == 200 { "ok".to_owned() } else { answer.word() }
    }

    /// Asks until this becomes of it.
    #[track_caller]
    pub fn await_decision(&mut self, path: &str, key: &str, word: &str) {
        eventually(&format!("{path} is {word}"), || self.asks(path, key) == word);
    }
}
