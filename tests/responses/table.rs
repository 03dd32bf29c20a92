//! The rows of the tables, and how one is judged.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use crate::common::{
    Answer, Api, Caller, Config, Exchange, Framing, Gateway, KEY, Then, get, message::latin,
};

/// One answer of an API and what becomes of it.
#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    pub section: &'static str,
    /// The caller's request line, with `/crm/x`.
    pub line: &'static str,
    /// What the API sends.
    pub bytes: Vec<u8>,
    pub then: Then,
    pub expect: Expect,
}

/// What the caller sees.
#[derive(Clone, Copy)]
pub enum Expect {
    /// 502 `response-invalid`.
    Refused,
    /// 502, or an answer that is seen to be cut; never one that looks whole.
    Broken,
    /// An answer that is seen to be cut, after this part of its body.
    Cut(&'static str),
    /// This answer, whole.
    Passed(Form),
}

/// The form in which the caller sees an answer.
#[derive(Clone, Copy)]
pub struct Form {
    pub status: u16,
    pub body: &'static str,
    pub framing: Option<Framing>,
    /// Texts in its head or trailers.
    pub has: &'static [&'static str],
    /// Texts that are in neither, in lower case.
    pub lacks: &'static [&'static str],
}

fn case(name: &'static str, section: &'static str, bytes: &[u8], expect: Expect) -> Case {
    Case { name, section, line: "GET /crm/x HTTP/1.1", bytes: bytes.to_vec(), then: Then::Keep, expect }
}

pub fn refused(name: &'static str, section: &'static str, bytes: &[u8]) -> Case {
    case(name, section, bytes, Expect::Refused)
}

pub fn broken(name: &'static str, section: &'static str, bytes: &[u8]) -> Case {
    case(name, section, bytes, Expect::Broken)
}

pub fn cut(name: &'static str, section: &'static str, part: &'static str, bytes: &[u8]) -> Case {
    case(name, section, bytes, Expect::Cut(part))
}

pub fn passed(
    name: &'static str,
    section: &'static str,
    status: u16,
    body: &'static str,
    bytes: &[u8],
) -> Case {
    let form = Form { status, body, framing: None, has: &[], lacks: &[] };
    case(name, section, bytes, Expect::Passed(form))
}

impl Case {
    /// The API ends the connection behind these bytes.
    pub fn closes(self) -> Self {
        Self { then: Then::Close, ..self }
    }

    /// The same, without TLS's word for it.
    pub fn ends_silently(self) -> Self {
        Self { then: Then::Silence, ..self }
    }

    /// The API tears the connection down behind these bytes.
    pub fn resets(self) -> Self {
        Self { then: Then::Reset, ..self }
    }

    /// The caller's request line.
    pub fn to(self, line: &'static str) -> Self {
        Self { line, ..self }
    }

    pub fn framed(self, framing: Framing) -> Self {
        self.form(|form| Form { framing: Some(framing), ..form })
    }

    pub fn has(self, has: &'static [&'static str]) -> Self {
        self.form(|form| Form { has, ..form })
    }

    pub fn lacks(self, lacks: &'static [&'static str]) -> Self {
        self.form(|form| Form { lacks, ..form })
    }

    fn form(self, change: impl FnOnce(Form) -> Form) -> Self {
        let expect = match self.expect {
            Expect::Passed(form) => Expect::Passed(change(form)),
            other => other,
        };
        Self { expect, ..self }
    }
}

/// What the API is to send next: the bytes, whether one by one, and what then.
type Script = Arc<Mutex<(Vec<u8>, bool, Then)>>;

/// Judges every row, and reports all that went wrong.
#[track_caller]
pub fn run(driver: &str, cases: &[Case]) {
    let script = Script::new(Mutex::new((Vec::new(), false, Then::Keep)));
    let api = scripted(Arc::clone(&script));
    let gateway = Gateway::start(driver, &Config::to(&api));
    let mut bystander = gateway.connect();
    let mut failures = Vec::new();
    for case in cases {
        for bytewise in [false, true] {
            *script.lock().unwrap() = (case.bytes.clone(), bytewise, case.then);
            let result = catch_unwind(AssertUnwindSafe(|| {
                judge(&gateway, case);
                others_are_served(&mut bystander);
            }));
            if let Err(panic) = result {
                let shape = if bytewise { "byte by byte" } else { "whole" };
                failures.push(format!("{} ({}), {shape}: {}", case.name, case.section, text_of(&*panic)));
                bystander = gateway.connect();
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Plays the script to `/base/x`, and answers anything else with its own path.
fn scripted(script: Script) -> Api {
    Api::start(move |exchange| {
        if exchange.path() == "/base/x" {
            exchange.body();
            let (bytes, bytewise, then) = script.lock().unwrap().clone();
            play(exchange, &bytes, bytewise);
            return then;
        }
        let path = exchange.path().to_string();
        exchange.ok(&path)
    })
}

fn play(exchange: &mut Exchange<'_>, bytes: &[u8], bytewise: bool) {
    let step = if bytewise { 1 } else { bytes.len().max(1) };
    for piece in bytes.chunks(step) {
        if exchange.wire.send(piece).is_err() {
            break;
        }
    }
}

fn judge(gateway: &Gateway, case: &Case) {
    let mut caller = gateway.connect();
    caller.send(format!("{}\r\nHost: gw\r\nX-API-Key: {KEY}\r\n\r\n", case.line).as_bytes());
    let method = case.line.split(' ').next().unwrap_or_default();
    match case.expect {
        Expect::Refused => caller.answer_to(method).refused(502, "response-invalid"),
        Expect::Broken => {
            let answer = caller.answer_to(method);
            match answer.status {
                502 => answer.refused(502, "response-invalid"),
                _ => assert!(!answer.whole, "looks whole: {answer:#?}"),
            }
        }
        Expect::Cut(part) => {
            let answer = caller.answer_to(method);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(!answer.whole, "looks whole: {answer:#?}");
            assert!(part.starts_with(&answer.text()), "{answer:#?}");
        }
        Expect::Passed(form) => passing(&mut caller, method, form),
    }
}

fn passing(caller: &mut Caller, method: &str, form: Form) {
    let answer = caller.answer_to(method);
    assert_eq!((answer.status, answer.text().as_str()), (form.status, form.body), "{answer:#?}");
    assert!(answer.whole, "cut: {answer:#?}");
    if let Some(framing) = form.framing {
        assert_eq!(answer.framing, framing, "{answer:#?}");
    }
    let text = latin(&answer.head.raw) + &format!("{:?}", answer.trailers);
    for has in form.has {
        assert!(text.contains(has), "{has:?} is missing in {text:?}");
    }
    for lacks in form.lacks {
        assert!(!text.to_ascii_lowercase().contains(lacks), "{lacks:?} stands in {text:?}");
    }
    goes_on(caller, &answer);
}

/// Either the end was announced and comes, or the connection is good for another request.
fn goes_on(caller: &mut Caller, answer: &Answer) {
    if answer.closes() || answer.framing == Framing::UntilClose {
        return caller.closed();
    }
    caller.send(&get("/crm/again"));
    let again = caller.answer();
    assert_eq!((again.status, again.text().as_str()), (200, "/base/again"), "the next answer");
}

fn others_are_served(bystander: &mut Caller) {
    bystander.send(&get("/crm/other"));
    let answer = bystander.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "/base/other"), "another caller's answer");
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}
