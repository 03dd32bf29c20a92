//! The time in which a key counts: judged at every request, on connections that were there before.
//!
//! Shards read the kernel's coarse clock, so a decision may come one tick of it late, and never early.

use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    both_drivers,
    common::{
        Api, Config, Gateway, PATIENCE,
        config::{credential, key, proxy_table},
    },
    partners::{partner, tables},
};

both_drivers!(from_one_millisecond_on, from_one_millisecond_on_in_a_list);

/// A tick of the coarse clock, at 100 Hz.
const TICK: Duration = Duration::from_millis(10);
/// Time to start and to be asked a first time.
const AHEAD: Duration = Duration::from_millis(1_500);

fn soon() -> (SystemTime, String) {
    let millis =
        (SystemTime::now() + AHEAD).duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).expect("it fits"));
    (moment, OffsetDateTime::from(moment).format(&Rfc3339).expect("it can be written"))
}

/// Asks all the time until the moment is well over: before it one thing, from it on another.
#[track_caller]
fn turns(gateway: &Gateway, moment: SystemTime, before: [&str; 2], after: [&str; 2]) {
    let mut caller = gateway.connect();
    let deadline = moment + PATIENCE;
    let mut asked_before = 0;
    loop {
        for (n, (before, after)) in before.into_iter().zip(after).enumerate() {
            let sent = SystemTime::now();
            let decision = caller.asks("/w/x", &partner(n));
            let received = SystemTime::now();
            assert!(received < deadline, "it is {decision} still");
            if decision == before {
                let late = sent.duration_since(moment).unwrap_or_default();
                assert!(late <= TICK, "key {n} is {decision} {late:?} after its moment");
                asked_before += 1;
            } else {
                assert_eq!(decision, after);
                assert!(received >= moment, "key {n} is {decision} before its moment");
            }
        }
        if SystemTime::now() > moment + 5 * TICK {
            break;
        }
    }
    assert!(asked_before > 0, "the gateway was not ready before the moment");
    caller.still_served();
}

fn from_one_millisecond_on(driver: &str) {
    let api = Api::plain();
    let (moment, text) = soon();
    let keys = [
        key("ends", &partner(0), &format!(", expires = {text}")),
        key("begins", &partner(1), &format!(", not_before = {text}")),
    ];
    let more = credential("windows", "", &[&keys[0], &keys[1]]) + &proxy_table("alias = \"w\"", "windows");
    let gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    turns(&gateway, moment, ["ok", "key-not-yet-valid"], ["key-expired", "ok"]);
}

/// The same in a list that a reload brings while the connection is open.
fn from_one_millisecond_on_in_a_list(driver: &str) {
    let api = Api::plain();
    let more = tables("[\"keys.jsonl\"]").replace("\"p\"", "\"w\"");
    let gateway =
        Gateway::start_with_files(driver, &Config { more, ..Config::to(&api) }, &[("keys.jsonl", "\n")]);
    let (moment, text) = soon();
    let record = |n: usize, member: &str| {
        let digest = crate::common::digest(&partner(n));
        format!(
            "{{\"v\":1,\"{member}\":\"{text}\",\"verifier\":\
             {{\"scheme\":\"sha256\",\"enc\":\"hex\",\"digest\":\"{digest}\"}}}}\n"
        )
    };
    gateway.replace("keys.jsonl", &(record(0, "accept_until") + &record(1, "not_before")));
    assert_eq!(gateway.post("/reload", "{}").status, 200);
    turns(&gateway, moment, ["ok", "key-not-yet-valid"], ["key-expired", "ok"]);
}
