//! Steps that an API under test waits for, so that a test decides what happens first.

use std::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
};

use super::PATIENCE;

/// A test's side: lets the API take a step.
pub struct Steps {
    go: Sender<()>,
    done: Receiver<()>,
}

/// The API's side: waits for the step, and says when it is taken.
pub struct Stepped {
    go: Mutex<Receiver<()>>,
    done: Sender<()>,
}

/// Both sides.
pub fn steps() -> (Steps, Stepped) {
    let ((go, went), (finish, done)) = (channel(), channel());
    (Steps { go, done }, Stepped { go: Mutex::new(went), done: finish })
}

impl Steps {
    /// Lets the API go on, and waits until it has taken its step.
    #[track_caller]
    pub fn step(&self) {
        self.go();
        self.done();
    }

    /// Waits until the API says that its step is taken.
    #[track_caller]
    pub fn done(&self) {
        self.done.recv_timeout(PATIENCE).expect("the API takes its step");
    }

    /// Lets the API go on.
    #[track_caller]
    pub fn go(&self) {
        self.go.send(()).expect("the API waits");
    }
}

impl Stepped {
    /// Waits until the test lets it go on.
    pub fn wait(&self) {
        let _ = self.go.lock().unwrap().recv_timeout(PATIENCE);
    }

    /// The step is taken.
    pub fn done(&self) {
        let _ = self.done.send(());
    }
}
