//! RFC 9110 §15.2: interim answers.

use super::table::{passed, refused, run};
use crate::{
    both_drivers,
    common::{Api, Config, Gateway, KEY, Then, get},
};

both_drivers!(around_the_final_one, each_is_relayed, none_for_http_1_0);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn behind(interim: &[u8]) -> Vec<u8> {
    [interim, OK].concat()
}

fn around_the_final_one(driver: &str) {
    let section = "RFC 9110 §15.2";
    let many = |count| behind(&b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count));
    run(
        driver,
        &[
            passed(
                "100 that nobody asked for",
                section,
                200,
                "ok",
                &behind(b"HTTP/1.1 100 Continue\r\n\r\n"),
            ),
            passed(
                "103",
                "RFC 8297 §2",
                200,
                "ok",
                &behind(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            ),
            passed("102", "RFC 2518 §10.1", 200, "ok", &behind(b"HTTP/1.1 102 Processing\r\n\r\n")),
            refused(
                "one with a length",
                "RFC 9110 §8.6",
                &behind(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 38\r\n\r\n"),
            ),
            refused(
                "one with a coding",
                "RFC 9112 §6.1",
                &behind(b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n"),
            ),
            passed("sixteen", section, 200, "ok", &many(16)),
            refused("seventeen", section, &many(17)).closes(),
            refused(
                "101 that nobody asked for",
                "RFC 9110 §15.2.2",
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            ),
            refused(
                "101 without an upgrade",
                "RFC 9110 §15.2.2",
                &behind(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            ),
            refused(
                "a malformed final one",
                section,
                &[b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), b"HTTP/1.1 abc\r\n\r\n"].concat(),
            )
            .closes(),
            refused(
                "a malformed interim one",
                section,
                &behind(b"HTTP/1.1 103 Early Hints\r\nX : y\r\n\r\n"),
            )
            .closes(),
        ],
    );
}

fn each_is_relayed(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n");
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n");
        exchange.send(OK);
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for _ in 0..2 {
        caller.send(&get("/crm/x"));
        for link in ["</a>", "</b>"] {
            let interim = caller.next();
            assert_eq!((interim.status, interim.head.one("link")), (103, link));
            assert!(!interim.head.has("x-hop"), "RFC 9110 §7.6.1: {:#?}", interim.head);
        }
        assert_eq!(caller.next().text(), "ok");
    }
}

/// RFC 9110 §15.2: a server must not send one to a caller of HTTP/1.0.
fn none_for_http_1_0(driver: &str) {
    let api = Api::start(|exchange| {
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n");
        exchange.send(OK);
        Then::Keep
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(format!("GET /crm/x HTTP/1.0\r\nHost: gw\r\nX-API-Key: {KEY}\r\n\r\n").as_bytes());
    let answer = caller.next();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    caller.closed();
}
