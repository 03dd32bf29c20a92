//! A large reload runs beside requests and must not be felt by them: it gives way, and rests as long as it works.
//!
//! Giving way alone does not do. Linux moves a waiting thread to the core of one that gives way only when it wakes, and
//! every wait counts as long as the work goes on: what lasts half as much of the time is felt half as often.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::types::Pace;

/// How long it works before it rests as long.
const TURN: Duration = Duration::from_millis(1);
/// The longest rest: a turn also takes long when it had to wait for its core.
const TURN_LONGEST: Duration = Duration::from_millis(4);

/// How long it may take in all. On cores that are never idle it hardly comes to anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pace of one load on a thread of its own.
pub(super) struct Gentle {
    /// Makes the calling thread give way to the shards, for the rest of its life; none where that was tried already.
    give_way: Option<fn()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When it turned out that there is much to do.
    began: Option<Instant>,
    /// When the turn began.
    turn: Option<Instant>,
    late: bool,
}

impl Gentle {
    /// Rests, and first gives way with `give_way`: whether that is going to end is seen after a while.
    pub(super) fn new(give_way: Option<fn()>) -> Self {
        Self { give_way, state: Mutex::default() }
    }

    /// Whether the work was to be left because it took too long.
    pub(super) fn is_late(&self) -> bool {
        self.state().late
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::disallowed_methods, reason = "the control plane's own clock, on a thread that may sleep")]
impl Pace for Gentle {
    fn bulky(&self) {
        let mut state = self.state();
        if state.began.is_none() {
            self.give_way.iter().for_each(|give_way| give_way());
            let now = Some(Instant::now());
            (state.began, state.turn) = (now, now);
        }
    }

    fn breathe(&self) -> bool {
        let mut state = self.state();
        let Some(began) = state.began else { return true };
        if let Some(worked) = state.turn.map(|since| since.elapsed()).filter(|worked| *worked >= TURN) {
            thread::sleep(worked.min(TURN_LONGEST));
            state.turn = Some(Instant::now());
        }
        state.late |= self.give_way.is_some() && began.elapsed() > PATIENCE;
        !state.late
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test of time")]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::{Duration, Instant},
    };

    use super::{Gentle, PATIENCE};
    use crate::types::Pace as _;

    static GAVE_WAY: AtomicUsize = AtomicUsize::new(0);

    #[test]
    fn only_bulk_work_gives_way_and_rests() {
        let work = |pace: &Gentle| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(3) {}
            let worked = Instant::now();
            assert!(pace.breathe());
            worked.elapsed()
        };
        let pace = Gentle::new(Some(|| _ = GAVE_WAY.fetch_add(1, Ordering::Relaxed)));
        assert!(work(&pace) < Duration::from_millis(3) && GAVE_WAY.load(Ordering::Relaxed) == 0);
        pace.bulky();
        pace.bulky();
        assert!(work(&pace) >= Duration::from_millis(3), "it rests as long as it has worked");
        assert_eq!(GAVE_WAY.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_takes_too_long_is_left_once() {
        let long_ago = Instant::now().checked_sub(PATIENCE * 2);
        for (give_way, goes_on) in [(Some((|| ()) as fn()), false), (None, true)] {
            let pace = Gentle::new(give_way);
            pace.bulky();
            pace.state().began = long_ago;
            assert_eq!((pace.breathe(), pace.is_late()), (goes_on, !goes_on));
        }
    }
}
