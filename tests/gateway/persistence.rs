//! RFC 9112 §9: kept connections, pipelined requests, and requests that arrive in pieces.

use crate::{
    both_drivers,
    common::{Answer, Api, Caller, Config, Gateway, KEY, Then, beside_a_bystander, eventually, get, request},
};

both_drivers!(
    kept,
    closed_when_asked,
    http_1_0,
    pipelined,
    pipelined_with_other_endings,
    pipelined_behind_a_slow_one,
    in_pieces,
    many_at_once,
    behind_a_large_body,
    with_the_callers_side_ended,
    cut_by_the_caller,
);

/// A GET with these lines and this version.
fn with(version: &str, lines: &str) -> Vec<u8> {
    format!("GET /crm/x HTTP/{version}\r\nHost: gw\r\nX-API-Key: {KEY}\r\n{lines}\r\n").into_bytes()
}

fn own_path() -> Api {
    Api::start(|exchange| {
        let body = exchange.body();
        let text = format!("{} {}", exchange.path(), crate::common::message::latin(&body.bytes));
        exchange.ok(text.trim_end())
    })
}

fn kept(driver: &str) {
    let api = own_path();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    for n in 0..200 {
        caller.send(&get(&format!("/crm/{n}")));
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text()), (200, format!("/base/{n}")));
        assert!(!answer.closes());
    }
    assert_eq!(api.connections(), 1, "the connection to the API is kept as well");
}

fn closed_when_asked(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for lines in [
        "Connection: close\r\n",
        "Connection: Close\r\n",
        "Connection: x-a, close\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Connection: keep-alive, close\r\n",
    ] {
        let mut caller = gateway.connect();
        caller.send(&[with("1.1", lines), get("/crm/never")].concat());
        let answer = caller.answer();
        assert_eq!(answer.status, 200);
        assert!(answer.closes(), "{lines:?}");
        caller.closed_in_order();
        assert_eq!(api.only().head.line, "GET /base/x HTTP/1.1", "RFC 9112 §9.6: {lines:?}");
    }
}

fn http_1_0(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (lines, kept) in [
        ("", false),
        ("Connection: keep-alive\r\n", true),
        ("Connection: Keep-Alive\r\n", true),
        ("Connection: close\r\n", false),
        ("Connection: keep-alive, close\r\n", false),
    ] {
        let mut caller = gateway.connect();
        for _ in 0..2 {
            caller.send(&with("1.0", lines));
            let answer = caller.answer();
            assert_eq!(answer.status, 200);
            if !kept {
                caller.closed_in_order();
                break;
            }
            assert!(answer.head.lists("connection", "keep-alive"), "RFC 9112 §9.3: {:#?}", answer.head);
        }
    }
}

/// RFC 9112 §9.3.2: answered in the order in which they came.
fn pipelined(driver: &str) {
    let api = own_path();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for bytewise in [false, true] {
        let mut caller = gateway.connect();
        let (bytes, expected) = ten_requests(!bytewise);
        match bytewise {
            true => caller.send_bytewise(&bytes),
            false => caller.send(&bytes),
        }
        for (n, expected) in expected.iter().enumerate() {
            let answer = caller.answer();
            match expected {
                Some(text) => assert_eq!((answer.status, &answer.text()), (200, text), "request {n}"),
                None => answer.refused(401, "key-unknown"),
            }
        }
        caller.send(&get("/crm/end"));
        assert_eq!(caller.answer().text(), "/base/end");
        assert_eq!(api.take().len(), 10);
    }
}

/// Ten requests, some with bodies, the sixth with a wrong key, and their answers. A refusal ends the
/// connection unless the body is there with its head, so the sixth has one only if all come in one piece.
fn ten_requests(in_one_piece: bool) -> (Vec<u8>, Vec<Option<String>>) {
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for n in 0..10 {
        let path = format!("/crm/{n}");
        let (request, body) = match n {
            2 => (request("POST", &path, "Content-Length: 5\r\n", b"fixed"), " fixed"),
            4 => (
                request(
                    "POST",
                    &path,
                    "Transfer-Encoding: chunked\r\n",
                    b"3\r\nchu\r\n3\r\nnks\r\n0\r\n\r\n",
                ),
                " chunks",
            ),
            5 => (refused(&path, if in_one_piece { "body" } else { "" }), ""),
            _ => (get(&path), ""),
        };
        bytes.extend(request);
        expected.push((n != 5).then(|| format!("/base/{n}{body}")));
    }
    (bytes, expected)
}

fn refused(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: gw\r\nX-API-Key: wrong\r\nContent-Length: {length}\r\n\r\n{body}")
        .into()
}

fn pipelined_with_other_endings(driver: &str) {
    let api = Api::start(|exchange| match exchange.path() {
        "/base/chunked" => {
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
            Then::Keep
        }
        "/base/close" => {
            exchange.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the close");
            Then::Close
        }
        "/base/none" => {
            exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n");
            Then::Keep
        }
        _ => exchange.ok("fixed"),
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    let rows = [
        ("/crm/chunked", "ok"),
        ("/crm/close", "until the close"),
        ("/crm/none", ""),
        ("/crm/fixed", "fixed"),
    ];
    let rows = [rows, rows].concat();
    caller.send(&rows.iter().flat_map(|(path, _)| get(path)).collect::<Vec<_>>());
    for (path, text) in rows {
        let Answer { body, whole, .. } = caller.answer();
        assert_eq!((body.as_slice(), whole), (text.as_bytes(), true), "{path}");
    }
}

/// What was sent behind a request waits, and is not lost.
fn pipelined_behind_a_slow_one(driver: &str) {
    let api = Api::start(|exchange| {
        if exchange.path() == "/base/slow" {
            exchange.pause(std::time::Duration::from_millis(150));
        }
        let path = exchange.path().to_string();
        exchange.ok(&path)
    });
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut caller = gateway.connect();
    caller.send(&[get("/crm/slow"), get("/crm/a")].concat());
    api.await_requests(1);
    caller.send(&[get("/crm/b"), get("/crm/c")].concat());
    for path in ["/base/slow", "/base/a", "/base/b", "/base/c"] {
        assert_eq!(caller.answer().text(), path);
    }
}

/// A request means the same however it is cut into pieces.
fn in_pieces(driver: &str) {
    let api = own_path();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let whole = request(
        "POST",
        "/crm/x",
        "Transfer-Encoding: chunked\r\n",
        b"5;a=b\r\nhello\r\n2\r\n, \r\n3\r\nyou\r\n0\r\nX-A: b\r\n\r\n",
    );
    let served = |caller: &mut Caller| {
        assert_eq!(caller.answer().text(), "/base/x hello, you");
    };
    let mut caller = gateway.connect();
    for at in (1..whole.len()).step_by(7) {
        caller.send_slowly(&[&whole[..at], &whole[at..]]);
        served(&mut caller);
    }
    caller.send_bytewise(&whole);
    served(&mut caller);
}

/// More requests than one turn of the loop answers, in one write; a bystander is served meanwhile.
fn many_at_once(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    beside_a_bystander(&gateway, || {
        let mut caller = gateway.connect();
        caller.send(&b"GET /unknown HTTP/1.1\r\nHost: gw\r\n\r\n".repeat(1000));
        for _ in 0..1000 {
            caller.answer().refused(404, "alias-unknown");
        }
        caller.send(&get("/crm/x").repeat(100));
        for _ in 0..100 {
            assert_eq!(caller.answer().text(), "ok");
        }
    });
}

/// Behind a body that did not come with its head.
fn behind_a_large_body(driver: &str) {
    let api = own_path();
    let gateway = Gateway::start(driver, &Config::to(&api));
    let body = "x".repeat(200_000);
    let fixed = request("POST", "/crm/a", "Content-Length: 200000\r\n", body.as_bytes());
    let chunks = format!("30d40\r\n{body}\r\n0\r\n\r\n");
    let chunked = request("POST", "/crm/b", "Transfer-Encoding: chunked\r\n", chunks.as_bytes());
    let bytes = [fixed, get("/crm/c"), chunked, get("/crm/d"), get("/crm/e")].concat();
    let mut caller = gateway.connect();
    let mut sender = caller.wire.share();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(&bytes).expect("it is read"));
        for (path, body) in [("a", body.as_str()), ("c", ""), ("b", &body), ("d", ""), ("e", "")] {
            let answer = caller.answer();
            assert!(
                answer.text() == format!("/base/{path} {body}").trim_end(),
                "{path}: {:.100}",
                answer.text()
            );
        }
    });
}

/// A caller that ends its side behind its last request still gets the answers (RFC 9112 §9.6).
fn with_the_callers_side_ended(driver: &str) {
    let api = own_path();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for lines in ["", "Connection: close\r\n"] {
        let mut caller = gateway.connect();
        caller.send(
            &[get("/crm/a"), request("POST", "/crm/b", &format!("{lines}Content-Length: 2\r\n"), b"hi")]
                .concat(),
        );
        caller.wire.finish();
        assert_eq!(caller.answer().text(), "/base/a");
        assert_eq!(caller.answer().text(), "/base/b hi");
        caller.closed_in_order();
    }
}

/// One that ends its side in the middle gets no answer of the API, and the API no whole request.
fn cut_by_the_caller(driver: &str) {
    let api = Api::echo();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for (lines, part) in [
        ("Content-Length: 10\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n"),
    ] {
        let mut caller = gateway.connect();
        caller.send(&request("POST", "/crm/x", lines, part.as_bytes()));
        caller.wire.finish();
        let rest = crate::common::message::latin(&caller.wire.rest());
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "RFC 9112 §8: {rest}");
        eventually("the API sees it cut", || api.all_ended());
        assert!(api.take_whole().is_empty(), "{lines:?} {part:?}");
    }
    let mut caller = gateway.connect();
    caller.send(b"GET /crm/x HTTP/1.1\r\nHost: gw\r\n");
    caller.wire.finish();
    let rest = crate::common::message::latin(&caller.wire.rest());
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "RFC 9112 §8: {rest}");
}
