//! Revocations while two processes serve. The one that took over asks the one before, for each, whether its shards
//! refuse it as well, and answers the operator only then: what is revoked is refused by whoever is asked. What is
//! revoked stands in the file that both read; here goes one byte for each question, and one for each answer.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
};

use super::work::Work;

const QUESTION: u8 = b'?';
const ANSWER: u8 = b'!';

/// The process before, which drains: if it has ended, or there was none, it refuses everybody.
#[derive(Default)]
pub(super) struct Before {
    channel: Option<UnixStream>,
    asked: u64,
    answered: u64,
}

impl Before {
    /// At the other end of a channel that does not wait.
    pub(super) fn new(channel: Option<UnixStream>) -> Self {
        Self { channel, ..Self::default() }
    }

    /// Asks whether it has followed everything that stands in the file by now; returns the number of the question.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked += 1;
        if let Some(channel) = &mut self.channel {
            let _ = channel.write(&[QUESTION]); // without room it has stood still for long, and answers nothing
        }
        self.asked
    }

    /// Whether a question was answered, or nobody is there who could be meant by it.
    pub(super) fn has_answered(&mut self, question: u64) -> bool {
        if let Some(channel) = &mut self.channel {
            match drain_bytes(channel, ANSWER) {
                Ok(count) => self.answered += count,
                Err(_) => self.channel = None,
            }
        }
        self.channel.is_none() || self.answered >= question
    }
}

/// The process that took over, while this one drains.
pub(super) struct Next {
    channel: UnixStream,
    asked: u64,
    /// How many questions wait until every shard serves a generation, and the process before this one has answered.
    waiting: VecDeque<(u64, u64, u64)>,
}

impl Next {
    /// At the other end of a channel that does not wait.
    pub(super) fn new(channel: UnixStream) -> Self {
        Self { channel, asked: 0, waiting: VecDeque::new() }
    }

    /// Takes what was revoked, and answers what was asked before that.
    pub(super) fn follow(&mut self, work: &mut Work) {
        self.asked += drain_bytes(&mut self.channel, QUESTION).unwrap_or(0); // one that has ended asks no more
        if work.follow_revocations() && self.asked > 0 {
            let question = work.before.ask();
            let generation = work.control.publisher.generation();
            self.waiting.push_back((std::mem::take(&mut self.asked), generation, question));
        }
        while let Some(&(count, generation, question)) = self.waiting.front()
            && work.control.publisher.acknowledged() >= generation
            && work.before.has_answered(question)
        {
            (0..count).for_each(|_| drop(self.channel.write(&[ANSWER])));
            self.waiting.pop_front();
        }
    }
}

/// How often a byte has come. An error is the end.
fn drain_bytes(channel: &mut UnixStream, byte: u8) -> io::Result<u64> {
    let (mut bytes, mut count) = ([0; 64], 0);
    loop {
        match channel.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(some) => {
                count += bytes.iter().take(some).filter(|one| **one == byte).count() as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream};

    use super::{ANSWER, Before, QUESTION, drain_bytes};

    #[test]
    fn each_question_waits_for_its_answer() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut before = Before::new(Some(ours));
        let (first, second) = (before.ask(), before.ask());
        assert_eq!(drain_bytes(&mut theirs, QUESTION).unwrap(), 2);
        assert!(!before.has_answered(first));
        theirs.write_all(&[ANSWER]).unwrap();
        assert!(before.has_answered(first) && !before.has_answered(second));
        drop(theirs);
        assert!(before.has_answered(second), "it has ended");
        assert!(Before::default().has_answered(1), "there was none");
    }
}
