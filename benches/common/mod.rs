//! What the benches share: messages of a fixed size, keys, and plans that hold many of them.
//!
//! Every bench compiles this file into itself and uses a part of it. Nothing here is random from run to run.

#![allow(dead_code, reason = "no bench uses all of it")]

use std::{sync::Arc, time::Duration};

use criterion::Criterion;
use keyferry::{
    compile::{Addresses, Compiler, Epoch},
    config::{
        parse_text,
        plan::{KeyList, Plan},
    },
    snapshot::Snapshot,
    types::Digest,
};

/// Length of every key.
pub const KEY_BYTES: usize = 36;

const CONFIG: &str = r#"
[[target]]
name = "orders"
url = "http://127.0.0.1:3000"

[[consumer]]
name = "payments"

[[credential]]
name = "partners"
type = "proxy"
auth = "key"
consumer = "payments"
locations = ["header:x-api-key"]
keys = [{ sha256 = "70742f82518e2f4c44a28241e85eac9a4870d8c6b8b11ac034a6d66bb074abf8" }]

[[credential]]
name = "orders-bearer"
type = "target"
auth = "bearer"
token = "tgt_bench_Zr8Qm2Vx7LkP"

[[proxy]]
alias = "crm"
target = "orders"
proxy_credentials = ["partners"]
target_credential = "orders-bearer"
"#;

/// Few and short samples: all of a bench together takes less than a minute.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args()
}

/// The key with a number. Even numbers below twice the size of a [`plan`] are in it, odd ones are in none.
pub fn key(number: usize) -> String {
    let text = format!("sk_bench_{:026x}", scramble(number as u64));
    assert_eq!(text.len(), KEY_BYTES - 1);
    format!("{text}{}", number % 2)
}

/// The digest of the key with a number.
pub fn digest(number: usize) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, key(number).as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Numbers of `count` keys of a plan with `keys` keys, in random order, each as often as any other.
pub fn hits(keys: usize, count: usize) -> Vec<usize> {
    (0..count as u64).map(|at| 2 * (scramble(at) % keys as u64) as usize).collect()
}

/// Numbers of `count` keys that no plan has.
pub fn misses(count: usize) -> Vec<usize> {
    (0..count).map(|at| 2 * at + 1).collect()
}

/// One proxy, `crm`, whose only proxy credential has this many keys.
pub fn plan(keys: usize) -> Arc<Plan> {
    let mut plan = parse_text(CONFIG).expect("the configuration is right").plan;
    let list = KeyList::of_digests("keys", (0..keys).map(|at| digest(2 * at)).collect());
    plan.proxy_credentials[0].keys = vec![Arc::new(list)];
    Arc::new(plan)
}

/// Where the plan's target is.
pub fn addresses() -> Addresses {
    vec![vec![([127, 0, 0, 1], 3000).into()]]
}

/// A plan of this many keys, compiled.
pub fn snapshot(keys: usize) -> Snapshot {
    let compiled = Compiler::default().compile(&plan(keys), Epoch::FIRST).expect("it compiles");
    compiled.snapshot(1, &addresses(), &Arc::default())
}

/// A request of 117 bytes, as a load generator sends it.
pub fn short_request(key_number: usize) -> Vec<u8> {
    let head = format!(
        "GET /crm/bytes/8?i=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nX-API-Key: {}\r\n\r\n",
        key(key_number)
    );
    sized(head, 117)
}

/// A request of 207 bytes, with the fields of an ordinary client.
pub fn request(key_number: usize) -> Vec<u8> {
    let head = format!(
        "GET /crm/v2/orders?id=17 HTTP/1.1\r\nHost: api.example\r\nUser-Agent: curl/8\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept: application/json\r\nConnection: keep-alive\r\n\
         X-API-Key: {}\r\n\r\n",
        key(key_number)
    );
    sized(head, 207)
}

/// A response of 123 bytes without its body.
pub fn response() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\
                Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nX-Cache: MISS\r\n\r\n";
    sized(head.to_owned(), 123)
}

fn sized(head: String, bytes: usize) -> Vec<u8> {
    assert_eq!(head.len(), bytes, "{head}");
    head.into_bytes()
}

/// A bijection that looks random (SplitMix64).
fn scramble(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
