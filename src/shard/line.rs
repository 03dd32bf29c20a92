//! A line of tasks of which only a few may go on in one turn of the shard's loop.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::{Poll, Waker},
};

/// The line, and how many have gone on in this turn.
pub(super) struct Line {
    per_turn: u32,
    gone: Cell<u32>,
    waiting: RefCell<VecDeque<Waker>>,
}

/// What somebody who comes finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The first of a turn, which must be brought to an end.
    First,
    /// There is still room in this turn.
    Another,
    /// There is none: wait.
    Behind,
}

impl Line {
    pub(super) fn new(per_turn: u32) -> Self {
        Self { per_turn, gone: Cell::new(0), waiting: RefCell::default() }
    }

    /// Goes on at once, if that may be.
    pub(super) fn enter(&self) -> Place {
        match self.gone.get() {
            gone if gone >= self.per_turn => return Place::Behind,
            gone => self.gone.set(gone + 1),
        }
        if self.gone.get() == 1 { Place::First } else { Place::Another }
    }

    /// Waits for the time to go on, in front of all others or behind them.
    pub(super) async fn wait(&self, in_front: bool) {
        let mut waits = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waits, true) {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            match in_front {
                true => waiting.push_front(context.waker().clone()),
                false => waiting.push_back(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Lets the next one go on instead of one that has no use for it.
    pub(super) fn pass_on(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some(next) => next.wake(),
            None => self.gone.update(|gone| gone.saturating_sub(1)),
        }
    }

    /// Lets the next few go on. Says whether there was anybody, so that this turn must be brought to an end too.
    pub(super) fn begin_turn(&self) -> bool {
        self.gone.set(0);
        while self.gone.get() < self.per_turn {
            let Some(next) = self.waiting.borrow_mut().pop_front() else { break };
            self.gone.update(|gone| gone + 1);
            next.wake();
        }
        self.gone.get() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll, Wake, Waker},
    };

    use super::{Line, Place};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Waiter<'a> {
        future: Pin<Box<dyn Future<Output = ()> + 'a>>,
        woken: Arc<Woken>,
    }

    impl<'a> Waiter<'a> {
        fn new(line: &'a Line, in_front: bool) -> Self {
            let mut one = Self { future: Box::pin(line.wait(in_front)), woken: Arc::default() };
            let waker = Waker::from(Arc::clone(&one.woken));
            assert_eq!(one.future.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
            one
        }

        fn times(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_few_go_on_in_each_turn_and_nobody_else_is_woken() {
        let line = Line::new(2);
        assert_eq!([line.enter(), line.enter(), line.enter()], [Place::First, Place::Another, Place::Behind]);
        let waiters = [false, false, true, false].map(|in_front| Waiter::new(&line, in_front));
        let times = || waiters.each_ref().map(Waiter::times);
        assert!(line.begin_turn());
        assert_eq!(times(), [1, 0, 1, 0], "who is in a hurry, then who came first");
        assert_eq!(line.enter(), Place::Behind, "those who waited have used it up");
        line.pass_on();
        assert_eq!(times(), [1, 1, 1, 0]);
        assert!(line.begin_turn());
        assert_eq!(times(), [1, 1, 1, 1]);
        assert_eq!(line.enter(), Place::Another);
        line.pass_on();
        assert_eq!(line.enter(), Place::Another, "nobody else wanted it");
        assert!(!line.begin_turn());
        assert_eq!(line.enter(), Place::First);
    }

    #[test]
    fn a_waiter_that_was_woken_goes_on() {
        let line = Line::new(1);
        let mut future = pin!(line.wait(false));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
        assert!(line.begin_turn());
        assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(()));
    }
}
