//! Well-formed requests with a few bytes changed, a thousand times: whatever becomes of one, the API sees only
//! requests that were judged, and the caller exactly one answer for each.
//!
//! The numbers look random and are the same each time; a failure names the bytes.

use crate::{
    both_drivers,
    common::{
        Api, Caller, Config, Gateway, KEY, TOKEN,
        api::Seen,
        get,
        message::{find, latin},
    },
};

both_drivers!(of_a_few_bytes, of_whole_lines);

const ROUNDS: usize = 1000;

/// Bytes that mean something to some parser.
const BYTES: &[u8] = b"\r\n\0 \t:;,=/?#%.-_+\"\\@[]{}0159afxGHT\x0b\x0c\x7f\x80\xff";

/// Lines that mean something to some parser.
const LINES: [&str; 14] = [
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 44\r\n",
    "content_length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding : chunked\r\n",
    " Transfer-Encoding: chunked\r\n",
    "Host: other\r\n",
    "Connection: content-length, authorization, host\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "X-Consumer-Id: forged\r\n",
    "\r\n",
];

/// Numbers that look random (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn seeds() -> [Vec<u8>; 5] {
    let head =
        |line: &str, lines: &str| format!("{line} HTTP/1.1\r\nHost: gw\r\nX-API-Key: {KEY}\r\n{lines}\r\n");
    let hidden = "GET /base/hidden HTTP/1.1\r\nHost: gw\r\n\r\n";
    [
        head("GET /crm/a/../b?q=1", "Accept: */*\r\n").into(),
        head("GET http://gw/crm/x", "").into(),
        (head("POST /crm/x", "Content-Length: 39\r\n") + hidden).into(),
        (head("POST /crm/x", "Transfer-Encoding: chunked\r\n")
            + "27\r\n"
            + hidden
            + "\r\n0\r\nX-A: b\r\n\r\n")
            .into(),
        (head("POST /crm/x", "Transfer-Encoding: chunked\r\n") + "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
            .into(),
    ]
}

fn of_a_few_bytes(driver: &str) {
    run(driver, |bytes, numbers| {
        for _ in 0..=numbers.below(3) {
            let (at, byte) = (numbers.below(bytes.len()), BYTES[numbers.below(BYTES.len())]);
            match numbers.below(4) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + 1 + numbers.below(8)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
    });
}

fn of_whole_lines(driver: &str) {
    run(driver, |bytes, numbers| {
        for _ in 0..=numbers.below(2) {
            let ends: Vec<_> = (2..=bytes.len()).filter(|&at| bytes[..at].ends_with(b"\r\n")).collect();
            let at = ends[numbers.below(ends.len())];
            bytes.splice(at..at, LINES[numbers.below(LINES.len())].bytes());
        }
    });
}

#[track_caller]
fn run(driver: &str, mutate: impl Fn(&mut Vec<u8>, &mut Numbers)) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut bystander = gateway.connect();
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for round in 0..ROUNDS {
        let mut bytes = seeds()[round % seeds().len()].clone();
        mutate(&mut bytes, &mut numbers);
        let mut caller = gateway.connect();
        caller.send(&[bytes.as_slice(), &get("/crm/behind")].concat());
        caller.wire.finish();
        let served = answers(&mut caller);
        let seen = api.take_whole();
        assert_eq!(served, seen.len(), "{:?} became {seen:#?}", latin(&bytes));
        seen.iter().for_each(|seen| judged(seen, &bytes));
        if round % 10 == 0 {
            bystander.still_served();
            assert_eq!(api.take_whole().len(), 1);
        }
    }
}

/// How many answers came that are the API's, until the end of the connection.
#[track_caller]
fn answers(caller: &mut Caller) -> usize {
    let mut served = 0;
    loop {
        let deadline = std::time::Instant::now() + crate::common::PATIENCE;
        if caller.wire.buffer.is_empty() && !caller.wire.fill(deadline) {
            return served;
        }
        let answer = caller.answer();
        if answer.status == 200 {
            assert_eq!(answer.text(), "ok");
            served += 1;
        } else {
            answer.word();
        }
    }
}

/// What no request at the API is without, and what none has.
#[track_caller]
fn judged(seen: &Seen, bytes: &[u8]) {
    let sent = latin(bytes);
    assert!(seen.head.line.contains(" /base"), "{sent:?} became {:?}", seen.head.line);
    assert_ne!(seen.head.line, "GET /base/hidden HTTP/1.1", "{sent:?}");
    assert_eq!(seen.head.one("authorization"), format!("Bearer {TOKEN}"), "{sent:?}");
    assert_eq!(seen.head.one("x-consumer-id"), "payments", "{sent:?}");
    assert!(find(&seen.head.raw, KEY.as_bytes()).is_none(), "{sent:?} became {:?}", latin(&seen.head.raw));
}
