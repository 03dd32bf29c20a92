//! Freeing what was served before: a million keys take their time, and the control thread has answers to give.

use std::{io, sync::mpsc, thread};

type Garbage = Box<dyn Send>;

/// A thread that frees what it is given, and gives way to everything else.
pub struct Freer(mpsc::Sender<Garbage>);

impl Freer {
    /// Starts the thread; `give_way` is called on it first.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub fn start(give_way: fn()) -> io::Result<Self> {
        let (sender, garbage) = mpsc::channel::<Garbage>();
        thread::Builder::new().name("free".into()).spawn(move || {
            give_way();
            garbage.iter().for_each(drop);
        })?;
        Ok(Self(sender))
    }

    /// Lets go of something. Others may still hold on to what it shares.
    pub(super) fn free(&self, garbage: impl Send + 'static) {
        let _ = self.0.send(Box::new(garbage)); // a thread that is gone drops it here and now
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::Freer;

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
}
