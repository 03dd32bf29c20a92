//! Freeing what was served before: a million keys take their time, and the control thread has answers to give.

use std::{io, sync::mpsc, thread};

use crate::limits::GARBAGE_KEPT_MAX;

type Garbage = Box<dyn Send>;

/// A thread that frees what it is given, and gives way to everything else. Where others leave it no time, what it
/// cannot take is freed by who gives it: a busy machine keeps a few old tables, never all of them.
pub struct Freer(mpsc::SyncSender<Garbage>);

impl Freer {
    /// Starts the thread; `give_way` is called on it first.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub fn start(give_way: fn()) -> io::Result<Self> {
        let (sender, garbage) = mpsc::sync_channel::<Garbage>(GARBAGE_KEPT_MAX);
        thread::Builder::new().name("free".into()).spawn(move || {
            give_way();
            garbage.iter().for_each(drop);
        })?;
        Ok(Self(sender))
    }

    /// Lets go of something. Others may still hold on to what it shares.
    pub(super) fn free(&self, garbage: impl Send + 'static) {
        drop(self.0.try_send(Box::new(garbage))); // what is not taken comes back, and is dropped here
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::{Freer, GARBAGE_KEPT_MAX};

    struct Told(mpsc::Sender<Option<String>>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(str::to_owned));
        }
    }

    #[test]
    fn what_is_freed_is_freed_on_the_thread() {
        let (sender, freed) = mpsc::channel();
        let freer = Freer::start(|| ()).expect("there is a thread");
        freer.free(Told(sender));
        let on = freed.recv_timeout(Duration::from_secs(10)).expect("it was freed");
        assert_eq!(on.as_deref(), Some("free"));
    }

    #[test]
    fn what_the_thread_cannot_take_is_freed_at_once() {
        fn never() {
            loop {
                thread::park();
            }
        }
        let (sender, freed) = mpsc::channel();
        let freer = Freer::start(never).expect("there is a thread");
        for _ in 0..GARBAGE_KEPT_MAX {
            freer.free(Told(sender.clone()));
        }
        assert!(freed.try_recv().is_err(), "there is room for these");
        freer.free(Told(sender));
        assert!(freed.try_recv().is_ok(), "there is none for another");
    }
}
