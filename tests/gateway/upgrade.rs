//! SIGUSR2: another process takes the listening sockets over, and no caller notices.

use std::{fs, process::Command};

use crate::{
    both_drivers,
    common::{Api, Config, Gateway, KEY, config::digest, eventually, get},
    crowd::{Crowd, api},
};

both_drivers!(
    nobody_notices_a_replacement,
    a_successor_that_fails_changes_nothing,
    what_is_revoked_afterwards_is_refused_by_those_before,
);

/// The process that serves now; it ends before its gateway's log is read to the end.
pub struct Serving(pub u32);

impl Serving {
    /// Replaces it once more; so many times it was before.
    #[track_caller]
    pub fn replace(&mut self, gateway: &Gateway, before: usize) {
        signal(self.0, "USR2");
        eventually("it is replaced", || {
            let log = gateway.log();
            assert!(!log.contains("the upgrade failed"), "{log}");
            log.matches("another process serves").count() == before + 1
        });
        self.0 = successor(gateway);
    }
}

/// The process that was started last to serve next.
#[track_caller]
pub fn successor(gateway: &Gateway) -> u32 {
    let log = gateway.log();
    let line = log.lines().rfind(|line| line.contains("a successor starts")).expect("it says so");
    let pid = line.split("pid=").nth(1).and_then(|pid| pid.trim().parse().ok());
    pid.expect("the log names the process")
}

impl Drop for Serving {
    fn drop(&mut self) {
        signal(self.0, "KILL");
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.is_ok(), "no signal can be sent");
}

/// Five times under load, also with other numbers of shards than there are sockets and with another driver: nobody is
/// refused, nobody is reset, everybody is answered.
fn nobody_notices_a_replacement(driver: &str) {
    let api = api();
    let config = |shards| Config { shards, ..Config::to(&api) };
    let mut gateway = Gateway::start(driver, &config(2));
    let mut serving = Serving(gateway.pid());
    Crowd::during(&gateway, |crowd| {
        let rounds = [(2, driver), (1, driver), (3, "epoll"), (2, "auto"), (2, driver)];
        for (before, (shards, driver)) in rounds.into_iter().enumerate() {
            crowd.await_answers(60);
            fs::write(gateway.file("keyferry.toml"), config(shards).text(driver)).unwrap();
            serving.replace(&gateway, before);
        }
        crowd.await_answers(200);
        crowd.end();
    });
    assert_eq!(gateway.exit().code(), Some(0), "the first process has drained");
    assert_eq!(gateway.get("/crm/x").status, 200);
    let status = gateway.status();
    assert_eq!((&status["ready"], &status["shards"]), (&true.into(), &2.into()), "the last one answers");
}

fn a_successor_that_fails_changes_nothing(driver: &str) {
    let api = Api::plain();
    let config = Config::to(&api);
    let gateway = Gateway::start(driver, &config);
    let mut kept = gateway.connect();
    kept.still_served();
    fs::write(gateway.file("keyferry.toml"), "[server]\nshards = \"many\"\n").unwrap();
    signal(gateway.pid(), "USR2");
    eventually("it says that it failed", || gateway.log().contains("the upgrade failed"));
    kept.still_served();
    assert_eq!(gateway.get("/crm/x").status, 200);
    assert_eq!(gateway.admin("/readyz").map(|answer| answer.status), Some(200));
}

/// The processes before serve for a while what they had accepted: who revokes is answered when they refuse it as well.
fn what_is_revoked_afterwards_is_refused_by_those_before(driver: &str) {
    let api = Api::plain();
    let config = Config { server: "data_dir = \"data\"\nshrink_limit = 100".into(), ..Config::to(&api) };
    let mut gateway = Gateway::start(driver, &config);
    let mut serving = Serving(gateway.pid());
    let request = get("/crm/x");
    let (begun, rest) = request.split_at(request.len() / 2);
    let mut callers = Vec::new();
    for before in 0..2 {
        let mut caller = gateway.connect();
        caller.still_served();
        caller.send(begun); // it is judged when it is whole
        callers.push(caller);
        serving.replace(&gateway, before);
    }
    let revoked = format!("{{\"sha256\":\"{}\"}}", digest(KEY));
    let answer = gateway.post("/revoke", &revoked);
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("\"confirmed\":true"), "{}", answer.text());
    for mut caller in callers {
        caller.send(rest);
        assert_eq!(caller.answer().status, 401, "those before");
    }
    assert_eq!(gateway.get("/crm/x").status, 401, "the last one");
    assert_eq!(gateway.exit().code(), Some(0), "the first one has drained");
    // Nobody is before it any more who had to be asked.
    assert!(gateway.post("/revoke", &revoked).text().contains("\"confirmed\":true"));
}
