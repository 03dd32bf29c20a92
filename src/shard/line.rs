//! A line for work of which a turn of the shard's loop takes only so much, so that everybody else's is soon.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::{Poll, Waker},
};

/// The line, and how much was done in this turn.
pub(super) struct Line {
    per_turn: usize,
    done: Cell<usize>,
    /// Those in a hurry, and the others.
    queues: [Queue; 2],
    /// Whose the next place is, if both wait.
    hurry: Cell<bool>,
}

/// Those who wait, in the order in which they came.
#[derive(Default)]
struct Queue {
    waiting: RefCell<VecDeque<(usize, Waker)>>,
    /// The number of the first that waits, counted from the beginning of time.
    first: Cell<u64>,
}

/// What somebody who comes finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// There is room in this turn.
    Free,
    /// The same, and the turn is full with it: it must be brought to an end.
    Last,
    /// There is none: wait.
    Behind,
}

impl Line {
    pub(super) fn new(per_turn: usize) -> Self {
        Self { per_turn, done: Cell::new(0), queues: Default::default(), hurry: Cell::new(true) }
    }

    /// Does so much at once, if that may be.
    pub(super) fn enter(&self, weight: usize) -> Place {
        let done = self.done.get();
        if done >= self.per_turn {
            return Place::Behind;
        }
        self.done.set(done + weight);
        if done + weight < self.per_turn { Place::Free } else { Place::Last }
    }

    /// Waits for the time to do so much, behind those who came before. Of a turn every second place, the first
    /// included, is for those who are in a hurry, as long as both wait.
    pub(super) async fn wait(&self, weight: usize, in_a_hurry: bool) {
        let [hurried, ordinary] = &self.queues;
        let queue = if in_a_hurry { hurried } else { ordinary };
        let mut number = None;
        poll_fn(|context| match number {
            Some(number) if number < queue.first.get() => Poll::Ready(()),
            Some(_) => Poll::Pending, // another future of the same task was meant
            None => {
                let mut waiting = queue.waiting.borrow_mut();
                number = Some(queue.first.get() + waiting.len() as u64);
                waiting.push_back((weight, context.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }

    /// Lets others do so much instead of one that has no use for it.
    pub(super) fn pass_on(&self, weight: usize) {
        self.done.update(|done| done.saturating_sub(weight));
        self.grant();
    }

    /// Lets the next ones go on. Says whether they fill the turn, so that it must be brought to an end too.
    pub(super) fn begin_turn(&self) -> bool {
        self.done.set(0);
        self.hurry.set(true);
        self.grant();
        self.done.get() >= self.per_turn
    }

    fn grant(&self) {
        let [hurried, ordinary] = &self.queues;
        while self.done.get() < self.per_turn {
            let hurry = self.hurry.replace(!self.hurry.get());
            let (first, second) = if hurry { (hurried, ordinary) } else { (ordinary, hurried) };
            let Some((weight, waker)) = first.pop().or_else(|| second.pop()) else { break };
            self.done.update(|done| done + weight);
            waker.wake();
        }
    }
}

impl Queue {
    fn pop(&self) -> Option<(usize, Waker)> {
        let next = self.waiting.borrow_mut().pop_front()?;
        self.first.update(|first| first + 1);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Wake, Waker},
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
        fn new(line: &'a Line, weight: usize, in_a_hurry: bool) -> Self {
            let mut one = Self { future: Box::pin(line.wait(weight, in_a_hurry)), woken: Arc::default() };
            assert!(!one.goes_on());
            one
        }

        /// Polls it, whether it was woken or not.
        fn goes_on(&mut self) -> bool {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        }

        fn times(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_few_go_on_in_each_turn_and_nobody_else_is_woken() {
        let line = Line::new(2);
        assert_eq!([1, 1, 1].map(|weight| line.enter(weight)), [Place::Free, Place::Last, Place::Behind]);
        let mut waiters = [false, false, true, false].map(|in_a_hurry| Waiter::new(&line, 1, in_a_hurry));
        assert!(waiters.iter_mut().all(|one| !one.goes_on()), "it is nobody's turn");
        assert!(line.begin_turn());
        assert_eq!(
            waiters.each_ref().map(Waiter::times),
            [1, 0, 1, 0],
            "who is in a hurry, then who came first"
        );
        assert_eq!(waiters.each_mut().map(Waiter::goes_on), [true, false, true, false]);
        assert_eq!(line.enter(1), Place::Behind, "those who waited have used it up");
        line.pass_on(1);
        assert_eq!(waiters.each_ref().map(Waiter::times), [1, 1, 1, 0]);
        assert!(!line.begin_turn(), "there is room for another");
        assert_eq!(waiters.each_ref().map(Waiter::times), [1, 1, 1, 1]);
        assert!(waiters[1].goes_on() && waiters[3].goes_on());
        assert_eq!(line.enter(1), Place::Last);
        line.pass_on(1);
        assert_eq!(line.enter(1), Place::Last, "nobody else wanted it");
        assert!(!line.begin_turn());
        assert_eq!(line.enter(5), Place::Last, "what is too much for a turn has one for itself");
        let heavy = Waiter::new(&line, 5, false);
        let light = Waiter::new(&line, 1, false);
        assert!(line.begin_turn());
        assert_eq!([heavy.times(), light.times()], [1, 0]);
        assert!(!line.begin_turn());
        assert_eq!([heavy.times(), light.times()], [1, 1]);
    }

    #[test]
    fn however_many_are_in_a_hurry_the_others_have_their_share() {
        let line = Line::new(2);
        line.enter(2);
        let waiters = [true, true, true, false, false, false].map(|hurry| Waiter::new(&line, 1, hurry));
        line.begin_turn();
        assert_eq!(waiters.each_ref().map(Waiter::times), [1, 0, 0, 1, 0, 0]);
        line.begin_turn();
        assert_eq!(waiters.each_ref().map(Waiter::times), [1, 1, 0, 1, 1, 0]);
    }
}
