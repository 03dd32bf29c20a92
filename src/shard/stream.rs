//! A connection with or without TLS: what tasks read from and write to. All of TLS that moves bytes is here.
//!
//! One operation of a connection outstanding is still one operation: with TLS a read receives until a record is
//! whole, a write sends what one buffer holds sealed. Reading one descriptor of a connection and writing to another
//! works with TLS as well, because the two directions share nothing but keys that are never used at one time.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    os::fd::{OwnedFd, RawFd},
    rc::Rc,
};

use super::{
    buffer::{Buffer, Class},
    io::{ArmedStream, Canceller, Look, Stream as Socket, WriteError},
    sys,
    tls::{Received, Session},
};

/// A connection.
pub(super) struct Stream {
    socket: Socket,
    session: Option<Rc<Session>>,
}

impl Stream {
    /// A connection without TLS.
    pub(super) fn plain(socket: Socket) -> Self {
        Self { socket, session: None }
    }

    /// A connection whose handshake is done.
    pub(super) fn secure(socket: Socket, session: Rc<Session>) -> Self {
        Self { socket, session: Some(session) }
    }

    /// Takes over a descriptor of a connected socket.
    pub(super) fn from_descriptor(fd: OwnedFd) -> io::Result<Self> {
        Socket::from_descriptor(fd).map(Self::plain)
    }

    /// A second descriptor of the same connection: one side reads on one while the other writes on the other.
    pub(super) fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.duplicate()?, session: self.session.clone() })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.fd()
    }

    /// The address of the other side, which only TCP has: see [`Socket::peer`].
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer()
    }

    /// Whether what is sent here is sealed.
    pub(super) fn is_secure(&self) -> bool {
        self.session.is_some()
    }

    /// The socket, for what comes before TLS.
    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// What is sent and received from here on is sealed.
    pub(super) fn seal(&mut self, session: Rc<Session>) {
        self.session = Some(session);
    }

    /// Receives into the buffer's room; 0 is the end, which TLS has to say (an end without `close_notify` is an
    /// error, RFC 8446 §6.1). Dropping the future may lose bytes: only where the connection is given up.
    pub(super) async fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let Some(session) = &self.session else { return self.socket.read(buffer).await };
        read_opened(session, buffer, async |sealed| self.socket.read(sealed).await).await
    }

    /// The same, ended by [`Canceller::cancel`] with an error for which [`super::io::was_cancelled`] holds, unless
    /// bytes came first.
    pub(super) async fn read_cancellable(
        &mut self,
        buffer: &mut Buffer,
        canceller: &Canceller,
    ) -> io::Result<usize> {
        let Some(session) = &self.session else {
            return self.socket.read_cancellable(buffer, canceller).await;
        };
        read_opened(session, buffer, async |sealed| self.socket.read_cancellable(sealed, canceller).await)
            .await
    }

    /// Waits until there is something to read, without holding a buffer.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.session {
            Some(session) if session.has_something() => Ok(()),
            _ => self.socket.readable().await,
        }
    }

    /// Sends all that is filled. The error carries how much had gone before.
    pub(super) async fn write_all(&mut self, buffer: &mut Buffer) -> Result<(), WriteError> {
        let Some(session) = &self.session else { return self.socket.write_all(buffer).await };
        write_sealed(session, buffer, async |sealed| self.socket.write_all(sealed).await).await
    }

    /// The same, given up by [`Canceller::cancel`].
    pub(super) async fn write_all_cancellable(
        &mut self,
        buffer: &mut Buffer,
        canceller: &Canceller,
    ) -> Result<(), WriteError> {
        let Some(session) = &self.session else {
            return self.socket.write_all_cancellable(buffer, canceller).await;
        };
        write_sealed(session, buffer, async |sealed| {
            self.socket.write_all_cancellable(sealed, canceller).await
        })
        .await
    }

    /// Sends what the handshake left to be sent along with the first answer, if there was none yet.
    pub(super) async fn flush(&mut self) -> Result<(), WriteError> {
        match self.session.as_ref().and_then(|session| session.take_pending()) {
            Some(mut pending) => self.socket.write_all(&mut pending).await,
            None => Ok(()),
        }
    }

    /// Tells the peer that nothing more will be sent.
    pub(super) fn end_writing(&self) {
        self.say_end();
        self.socket.end_writing();
    }

    /// Says that what was sent is whole, where the connection has words for it.
    pub(super) fn say_end(&self) {
        self.say_last(Session::close_notify);
    }

    /// Says why what was received is not believed, if it is not, where the connection has words for it.
    pub(super) fn complain(&self) {
        self.say_last(Session::complaint);
    }

    /// Says that the certificate which the peer showed is of no use.
    pub(super) fn refuse_certificate(&self) {
        self.say_last(Session::refuse_certificate);
    }

    fn say_last(&self, what: fn(&Session) -> Option<Buffer>) {
        if let Some(last) = self.session.as_deref().and_then(what) {
            sys::send_now(self.fd(), last.filled()); // a peer that takes nothing now will not miss it
        }
    }
}

/// A connection to a target: its next read may be in flight while nobody uses it (see [`ArmedStream`]).
pub(super) struct UpstreamStream {
    socket: ArmedStream,
    session: Option<Rc<Session>>,
}

impl UpstreamStream {
    /// Takes a connection over. `canceller` gives up reads that merely wait.
    pub(super) fn new(stream: Stream, canceller: Rc<Canceller>) -> Self {
        let Stream { socket, session } = stream;
        Self { socket: ArmedStream::new(socket, canceller), session }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.fd()
    }

    /// Begins a read into the buffer's room, unless a part of a record is here. Only while none is in flight.
    pub(super) fn arm(&mut self, buffer: Buffer) {
        match &self.session {
            Some(session) if session.has_part() => {} // a read that is given up would lose it
            _ => self.socket.arm(buffer),
        }
    }

    /// Looks whether anything has arrived that is an answer, an end or an error.
    pub(super) fn look(&mut self) -> Look {
        let Some(session) = &self.session else { return self.socket.look() };
        if !self.socket.is_armed() {
            return if self.has_something() { Look::Arrived } else { Look::Unarmed };
        }
        let look = self.socket.look();
        if look != Look::Arrived {
            return look;
        }
        // It may be a ticket: that is no reason to give a connection up.
        let Some((Ok(1..), sealed)) = self.socket.take_received() else { return Look::Arrived };
        session.put_sealed(sealed);
        if self.has_something() { Look::Arrived } else { Look::Unarmed }
    }

    /// Whether the API has said in TLS that it wants nothing to do with us.
    pub(super) fn was_refused(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.was_refused())
    }

    /// Whether a read is in flight or has received something.
    pub(super) fn is_armed(&self) -> bool {
        self.socket.is_armed()
    }

    /// Whether something was received that belongs to no answer. A ticket is none.
    pub(super) fn has_something(&self) -> bool {
        let Some(session) = &self.session else { return false };
        let quiet = matches!(session.receive(&mut Buffer::none()), Ok(Received::Nothing));
        !quiet || session.has_something()
    }

    /// Receives into the buffer's room, or what a read that was in flight before receives into its own.
    pub(super) async fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let Some(session) = &self.session else { return self.socket.read(buffer).await };
        if buffer.room() == 0 && buffer.is_empty() {
            *buffer = Buffer::take(Class::Medium);
        }
        loop {
            if !self.socket.is_armed() {
                match session.receive(buffer)? {
                    Received::Bytes(count) => return Ok(count),
                    Received::End => return Ok(0),
                    Received::Nothing => {}
                }
            }
            let mut sealed = match self.socket.is_armed() {
                true => Buffer::none(),
                false => session.take_sealed(buffer.class().max(Class::Medium)),
            };
            let received = self.socket.read(&mut sealed).await;
            session.put_sealed(sealed);
            if received? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends all that is filled. The error carries how much had gone before.
    pub(super) async fn write_all(&mut self, buffer: &mut Buffer) -> Result<(), WriteError> {
        let Some(session) = &self.session else { return self.socket.write_all(buffer).await };
        write_sealed(session, buffer, async |sealed| self.socket.write_all(sealed).await).await
    }

    /// A second descriptor of the same connection.
    pub(super) fn duplicate(&self) -> io::Result<Stream> {
        let socket = self.socket.duplicate()?;
        Ok(Stream { socket, session: self.session.clone() })
    }
}

/// Receives with `read` until there is plaintext or an end.
async fn read_opened(
    session: &Session,
    buffer: &mut Buffer,
    mut read: impl AsyncFnMut(&mut Buffer) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match session.receive(buffer)? {
            Received::Bytes(count) => return Ok(count),
            Received::End => return Ok(0),
            Received::Nothing => {}
        }
        let mut sealed = session.take_sealed(Class::Small);
        let received = read(&mut sealed).await;
        session.put_sealed(sealed);
        if received? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Sends with `write` all that is filled, sealed.
async fn write_sealed(
    session: &Session,
    buffer: &mut Buffer,
    mut write: impl AsyncFnMut(&mut Buffer) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut written = 0;
    while !buffer.is_empty() {
        let length = buffer.len();
        let mut sealed = session.seal(buffer).map_err(|_| WriteError { written })?;
        let sent = write(&mut sealed).await;
        sent.map_err(|error| WriteError { written: written + error.written })?;
        written += length - buffer.len();
    }
    Ok(())
}
