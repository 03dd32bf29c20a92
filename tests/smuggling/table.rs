//! The rows of the tables, and how one is judged.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::{Answer, Api, Caller, Config, Gateway, KEY, eventually, get, message::latin};

/// One sequence of bytes and what becomes of it.
pub struct Case {
    pub name: &'static str,
    pub section: &'static str,
    /// `{k}` stands for the field line with the caller's key.
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

/// What becomes of a request.
pub enum Expect {
    /// Answered with one of these (`"400 field-invalid|431 head-too-large"`) and closed; the API sees
    /// nothing.
    Refused(&'static str),
    /// The same, but found out in the body: the API may have seen a beginning, and never an end.
    Cut(&'static str),
    /// Answered with one of these; the connection may go on, and the API sees nothing of this request.
    Answered(&'static str),
    /// Forwarded once, in this form.
    Forwarded(Form),
}

/// The form in which the API sees a request.
#[derive(Clone, Copy)]
pub struct Form {
    pub line: &'static str,
    /// Texts in its head or body.
    pub has: &'static [&'static str],
    /// Texts that are in neither, in lower case.
    pub lacks: &'static [&'static str],
    /// The connection ends with the answer.
    pub closes: bool,
}

pub fn refused(name: &'static str, section: &'static str, with: &'static str, bytes: &[u8]) -> Case {
    Case { name, section, bytes: bytes.to_vec(), expect: Expect::Refused(with) }
}

pub fn cut(name: &'static str, section: &'static str, with: &'static str, bytes: &[u8]) -> Case {
    Case { name, section, bytes: bytes.to_vec(), expect: Expect::Cut(with) }
}

pub fn answered(name: &'static str, section: &'static str, with: &'static str, bytes: &[u8]) -> Case {
    Case { name, section, bytes: bytes.to_vec(), expect: Expect::Answered(with) }
}

pub fn forwarded(name: &'static str, section: &'static str, line: &'static str, bytes: &[u8]) -> Case {
    let form = Form { line, has: &[], lacks: &[], closes: false };
    Case { name, section, bytes: bytes.to_vec(), expect: Expect::Forwarded(form) }
}

impl Case {
    pub fn has(self, has: &'static [&'static str]) -> Self {
        self.form(|form| Form { has, ..form })
    }

    pub fn lacks(self, lacks: &'static [&'static str]) -> Self {
        self.form(|form| Form { lacks, ..form })
    }

    pub fn closes(self) -> Self {
        self.form(|form| Form { closes: true, ..form })
    }

    fn form(self, change: impl FnOnce(Form) -> Form) -> Self {
        let expect = match self.expect {
            Expect::Forwarded(form) => Expect::Forwarded(change(form)),
            other => other,
        };
        Self { expect, ..self }
    }
}

/// How the bytes of a row are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Alone,
    /// With a well-formed request right behind it, in the same write.
    Followed,
    Bytewise,
}

/// Judges every row in every shape, and reports all that went wrong.
#[track_caller]
pub fn run(driver: &str, cases: &[Case]) {
    run_with(driver, cases, |config| config);
}

/// The same, with a changed configuration.
#[track_caller]
pub fn run_with(driver: &str, cases: &[Case], change: impl FnOnce(Config) -> Config) {
    let api = Api::start(|exchange| {
        let path = exchange.path().to_string();
        exchange.ok(&path)
    });
    let gateway = Gateway::start(driver, &change(Config::to(&api)));
    let mut bystander = gateway.connect();
    let mut failures = Vec::new();
    let mut beginnings = 0;
    for case in cases {
        for shape in [Shape::Alone, Shape::Followed, Shape::Bytewise] {
            beginnings += usize::from(matches!(case.expect, Expect::Cut(_)));
            let result = catch_unwind(AssertUnwindSafe(|| {
                judge(&gateway, &api, case, shape);
                others_are_served(&mut bystander, &api);
                assert!(api.count() <= beginnings, "the API saw a beginning of {:#?}", api.take());
            }));
            if let Err(panic) = result {
                failures.push(format!("{} ({}), {shape:?}: {}", case.name, case.section, text_of(&*panic)));
                bystander = gateway.connect();
                let _ = api.take();
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    nothing_more_becomes_whole(&api);
}

fn judge(gateway: &Gateway, api: &Api, case: &Case, shape: Shape) {
    let mut caller = gateway.connect();
    send(&mut caller, case, shape);
    match case.expect {
        Expect::Refused(with) | Expect::Cut(with) => {
            let answer = caller.answer();
            expected(&answer, with);
            assert!(answer.closes(), "the end is not announced in {:#?}", answer.head);
            caller.closed();
            nothing_seen(api);
        }
        Expect::Answered(with) => answer(&mut caller, api, shape, with),
        Expect::Forwarded(form) => forwarding(&mut caller, api, shape, form),
    }
}

fn send(caller: &mut Caller, case: &Case, shape: Shape) {
    let mut bytes = expand(&case.bytes);
    match shape {
        Shape::Alone => caller.send(&bytes),
        Shape::Followed => {
            bytes.extend(get("/crm/behind"));
            caller.send(&bytes);
        }
        Shape::Bytewise => caller.send_bytewise(&bytes),
    }
}

/// The API sees no request to its end.
fn nothing_seen(api: &Api) {
    let requests = api.take_whole();
    assert!(requests.is_empty(), "the API saw {requests:#?}");
}

/// What the API saw beginnings of came to an end there as well, and not by being whole.
fn nothing_more_becomes_whole(api: &Api) {
    let mut requests = Vec::new();
    eventually("the API sees how each request ended", || {
        requests = api.take_whole();
        !requests.is_empty() || api.all_ended()
    });
    assert!(requests.is_empty(), "the API saw {requests:#?}");
}

fn answer(caller: &mut Caller, api: &Api, shape: Shape, with: &str) {
    let answer = caller.answer();
    expected(&answer, with);
    if answer.closes() {
        caller.closed();
        nothing_seen(api);
    } else if shape == Shape::Followed {
        behind(caller);
        only(api, "GET /base/behind HTTP/1.1");
    } else {
        nothing_seen(api);
    }
}

fn forwarding(caller: &mut Caller, api: &Api, shape: Shape, form: Form) {
    let method = form.line.split(' ').next().unwrap_or_default();
    let answer = caller.answer_to(method);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.closes(), form.closes, "{:#?}", answer.head);
    let served_behind = shape == Shape::Followed && !form.closes;
    if form.closes {
        caller.closed();
    } else if served_behind {
        behind(caller);
    }
    let requests = api.take_whole();
    assert_eq!(requests.len(), 1 + usize::from(served_behind), "{requests:#?}");
    let seen = &requests[0];
    assert_eq!(seen.head.line, form.line);
    let body = seen.body.as_ref().filter(|body| body.whole).expect("the body is whole");
    let text = latin(&seen.head.raw) + &latin(&body.bytes) + &format!("{:?}", body.trailers);
    for has in form.has {
        assert!(text.contains(has), "{has:?} is missing in {text:?}");
    }
    for lacks in form.lacks {
        assert!(!text.to_ascii_lowercase().contains(lacks), "{lacks:?} stands in {text:?}");
    }
}

/// The request behind the one of the row is answered with its own answer.
fn behind(caller: &mut Caller) {
    let answer = caller.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "/base/behind"));
}

/// Another caller gets its own answer, and the API sees that request alone.
fn others_are_served(bystander: &mut Caller, api: &Api) {
    bystander.send(&get("/crm/other"));
    let answer = bystander.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "/base/other"), "another caller's answer");
    only(api, "GET /base/other HTTP/1.1");
}

fn only(api: &Api, line: &str) {
    let requests = api.take_whole();
    assert!(requests.len() == 1 && requests[0].head.line == line, "the API saw {requests:#?}");
}

fn expected(answer: &Answer, with: &str) {
    let got = format!("{} {}", answer.status, answer.word());
    assert!(with.split('|').any(|with| with == got), "answered {got:?} instead of {with:?}");
}

fn expand(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = crate::common::message::find(rest, b"{k}") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(format!("X-API-Key: {KEY}\r\n").as_bytes());
        rest = &rest[at + 3..];
    }
    out.extend_from_slice(rest);
    out
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}
