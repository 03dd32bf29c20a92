//! A crowd of callers that ask again and again, on kept connections and on new ones, while something happens to the
//! gateway. A caller reconnects when it is told to or sees the end of its connection before it asks; a request that
//! was sent in whole and gets no answer is a failure.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::common::{Api, Caller, Gateway, eventually, get, pause};

const CALLERS: usize = 24;

/// An API that takes 300 ms for `/base/slow`.
pub fn api() -> Api {
    Api::start(|exchange| {
        if exchange.path() == "/base/slow" {
            exchange.pause(Duration::from_millis(300));
        }
        exchange.ok("ok")
    })
}

/// What its callers share.
pub struct Crowd {
    address: SocketAddr,
    answered: AtomicUsize,
    may_end: AtomicBool,
    over: AtomicBool,
}

impl Crowd {
    /// A crowd calls while something happens to the gateway, and until it is over or may end: nobody fails.
    #[track_caller]
    pub fn during(gateway: &Gateway, happens: impl FnOnce(&Self)) {
        let crowd = Self {
            address: gateway.address(),
            answered: AtomicUsize::new(0),
            may_end: AtomicBool::new(false),
            over: AtomicBool::new(false),
        };
        let failed = thread::scope(|scope| {
            let crowd = &crowd;
            let calling: Vec<_> = (0..CALLERS).map(|n| scope.spawn(move || crowd.call(n))).collect();
            let ended = EndedByFailure(crowd);
            happens(crowd);
            drop(ended);
            calling.into_iter().filter_map(|caller| caller.join().err()).count()
        });
        assert_eq!(failed, 0, "callers failed; each says above why\n{}", gateway.log());
    }

    /// From here on a refused connection is the end, not a failure.
    pub fn may_end(&self) {
        self.may_end.store(true, Ordering::SeqCst);
    }

    /// Nobody asks any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Waits until so many more requests were answered.
    #[track_caller]
    pub fn await_answers(&self, more: usize) {
        let before = self.answered();
        eventually("the crowd is served", || self.answered() >= before + more);
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Calls until it is over: the first third on new connections, the second on kept ones, the last on kept ones that
    /// rest in between.
    fn call(&self, number: usize) {
        let mut kept: Option<Caller> = None;
        let mut asked = number;
        while !self.over.load(Ordering::SeqCst) {
            asked += 1;
            kept = kept.filter(|_| !number.is_multiple_of(3)).and_then(open);
            let is_new = kept.is_none();
            let Some(mut caller) = kept.take().or_else(|| self.connect()) else { return };
            caller.send(&get(if asked.is_multiple_of(5) { "/crm/slow" } else { "/crm/x" }));
            // A connection that was made in the very moment when nobody listens any more is as good as refused.
            let begun = caller.wire.fill(std::time::Instant::now() + crate::common::PATIENCE);
            if !begun && caller.wire.buffer.is_empty() && is_new && self.connect().is_none() {
                return;
            }
            let answer = caller.answer();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
            self.answered.fetch_add(1, Ordering::SeqCst);
            kept = (!answer.closes()).then_some(caller);
            if number % 3 == 2 {
                pause(Duration::from_millis(37 * (asked as u64 % 20)));
            }
        }
    }

    fn connect(&self) -> Option<Caller> {
        match Caller::to(self.address) {
            Ok(caller) => Some(caller),
            Err(error) => {
                assert!(self.may_end.load(Ordering::SeqCst), "refused: {error}");
                None
            }
        }
    }
}

/// Callers do not go on for ever where what happens fails.
struct EndedByFailure<'a>(&'a Crowd);

impl Drop for EndedByFailure<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.may_end();
            self.0.end();
        }
    }
}

/// The connection, unless its end can be seen.
fn open(mut caller: Caller) -> Option<Caller> {
    caller.wire.look(Duration::from_micros(1)).then_some(caller)
}
