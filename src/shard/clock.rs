//! The data plane's clock: the only place on a shard that reads one.
//!
//! Deadlines count ticks of [`TICK_MILLIS`]; the windows of keys want the time of day at the moment a head is
//! complete. Both come from the kernel's coarse clocks, which cost a few nanoseconds. What is measured for telemetry
//! comes from the fine one, which is read at most three times a request.

use std::{cell::Cell, time::Duration};

use super::sys::{self, Source};
use crate::limits::TICK_MILLIS;

/// A number of ticks.
pub(super) type Ticks = u32;

/// The ticks that last at least as long as `duration`; one more than that is never too early.
pub(super) fn ticks(duration: Duration) -> Ticks {
    let whole = duration.as_millis().div_ceil(u128::from(TICK_MILLIS)) + 1;
    Ticks::try_from(whole).unwrap_or(Ticks::MAX / 4).min(Ticks::MAX / 4)
}

/// A shard's clock.
#[derive(Debug)]
pub(super) struct Clock {
    started: i64,
    tick: Cell<Ticks>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { started: sys::read_clock(Source::Monotonic), tick: Cell::new(1) }
    }

    /// The current tick, as of the last [`Clock::advance`].
    pub(super) fn tick(&self) -> Ticks {
        self.tick.get()
    }

    /// Reads the clock and returns the tick that it is now.
    pub(super) fn advance(&self) -> Ticks {
        let elapsed = u64::try_from(sys::read_clock(Source::Monotonic) - self.started).unwrap_or(0);
        let tick = Ticks::try_from(elapsed / TICK_MILLIS + 1).unwrap_or(Ticks::MAX / 2);
        self.tick.set(tick);
        tick
    }

    /// Nanoseconds since some moment in the past, for durations.
    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        sys::read_nanos()
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn wall_millis(&self) -> i64 {
        sys::read_clock(Source::Wall)
    }
}
