//! The event loop and its sockets: the only file that names monoio's types.
//!
//! Everything else on a shard is written against `Stream`, `Listener`, `Event`, `Canceller`, `spawn` and
//! [`run`], so that another runtime could take monoio's place here. What monoio 0.2.4 does wrong is avoided
//! in this file, and `io_tests.rs` shows each time that it is:
//!
//! * its own choice of driver does not try the flags that are asked for: [`run`] has its own ladder;
//! * a dropped read loses bytes on a ring: a read is ended by [`Canceller::cancel`] and then awaited, or by
//!   ending the connection;
//! * a dropped accept loses a connection: a listener's one task accepts until [`Listener::stop`] gives the accept
//!   up, and awaits what comes of that;
//! * accepted descriptors would be inherited by other programs: `Listener::accept` closes that;
//! * a task that wakes itself starves the others and the timers: nothing here does, and [`super::state`] has a
//!   way to wait for the next turn;
//! * a full submission queue is a panic: the ring is larger than one turn's operations, and monoio submits
//!   before it is full;
//! * a runtime that is dropped frees buffers that the kernel still writes to: [`run`] never returns one.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream as StdUnixStream,
    },
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use monoio::{
    IoUringDriver, LegacyDriver, RuntimeBuilder,
    buf::{IoBuf, IoBufMut},
    io::{
        AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent, CancelableAsyncWriteRent, OwnedReadHalf,
        OwnedWriteHalf, Splitable,
    },
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::{buffer::Buffer, sys};
use crate::limits::RING_ENTRIES;

/// How a shard talks to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring, completions run when the shard asks for them (Linux 6.1).
    UringDefer,
    /// io_uring, completions run when the shard enters the kernel (Linux 5.19).
    UringCoop,
    /// epoll, where io_uring is not permitted.
    Epoll,
}

impl Driver {
    /// The order in which they are tried.
    pub const LADDER: [Self; 3] = [Self::UringDefer, Self::UringCoop, Self::Epoll];

    /// The word in the configuration and in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::UringDefer => "io_uring-defer",
            Self::UringCoop => "io_uring-coop",
            Self::Epoll => "epoll",
        }
    }

    fn ring(self) -> Option<io_uring::Builder> {
        let mut builder = io_uring::IoUring::builder();
        builder.setup_clamp().setup_single_issuer().setup_cqsize(4 * RING_ENTRIES);
        match self {
            Self::UringDefer => builder.setup_defer_taskrun(),
            Self::UringCoop => builder.setup_coop_taskrun(),
            Self::Epoll => return None,
        };
        Some(builder)
    }

    /// Whether the kernel gives this process a ring with these very flags. epoll always works.
    pub fn probe(self) -> io::Result<()> {
        self.ring().map_or(Ok(()), |builder| builder.build(RING_ENTRIES).map(drop))
    }
}

/// Runs `main` on the calling thread, for ever: the runtime behind it is never dropped, because the kernel may
/// still own buffers of its operations. The process ends by exiting.
pub(super) fn run<F: Future<Output = ()>>(driver: Driver, main: F) -> io::Result<()> {
    match driver.ring() {
        Some(ring) => {
            let builder =
                RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).uring_builder(ring);
            let mut runtime = std::mem::ManuallyDrop::new(builder.build()?);
            runtime.block_on(main);
        }
        None => {
            let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES);
            let mut runtime = std::mem::ManuallyDrop::new(builder.build()?);
            runtime.block_on(main);
        }
    }
    Ok(())
}

/// Whether this shard runs on epoll.
pub(super) fn is_epoll() -> bool {
    monoio::utils::is_legacy()
}

/// Starts a task on this shard.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(task));
}

/// A listening socket.
pub(super) struct Listener {
    socket: Acceptor,
    kept: bool,
    canceller: Canceller,
    stopped: Cell<bool>,
    /// Whoever waits for [`Listener::stop`] beside a connection.
    waker: Cell<Option<Waker>>,
}

enum Acceptor {
    Tcp(TcpListener),
    /// A Unix socket, which the shards share.
    Unix(UnixListener),
}

impl Listener {
    /// Takes over a socket that listens already. One that is kept goes on listening after this process.
    pub(super) fn from_socket(socket: StdListener, unix: bool, kept: bool) -> io::Result<Self> {
        if is_epoll() {
            socket.set_nonblocking(true)?;
        }
        let socket = match unix {
            true => Acceptor::Unix(UnixListener::from_std(OwnedFd::from(socket).into())?),
            false => Acceptor::Tcp(TcpListener::from_std(socket)?),
        };
        Ok(Self {
            socket,
            kept,
            canceller: Canceller::default(),
            stopped: Cell::new(false),
            waker: Cell::new(None),
        })
    }

    /// The next connection, or an error once the listener is stopped. Never drop this future.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        loop {
            if self.is_stopped() {
                return Err(io::Error::from_raw_os_error(libc::ECANCELED));
            }
            match self.accept_once().await {
                // A process that shares the socket may want that nobody waits in an accept: a ring obeys.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable().await,
                accepted => return accepted,
            }
        }
    }

    async fn accept_once(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        let handle = self.canceller.0.borrow().handle();
        match &self.socket {
            Acceptor::Tcp(listener) => {
                let (stream, peer) = listener.cancelable_accept(handle).await?;
                sys::close_on_exec(stream.as_raw_fd());
                Ok((Stream(stream), Some(peer.ip())))
            }
            Acceptor::Unix(listener) => {
                let (stream, _) = listener.cancelable_accept(handle).await?;
                sys::close_on_exec(stream.as_raw_fd());
                // A stream is a stream: reading and writing are the same calls for both.
                let stream = Stream::from_descriptor(sys::duplicate(stream.as_raw_fd())?)?;
                Ok((stream, None))
            }
        }
    }

    /// Waits until a connection is there or the listener is stopped. What is dropped takes no connection.
    async fn readable(&self) {
        let mut readable = std::pin::pin!(async {
            match &self.socket {
                Acceptor::Tcp(listener) => listener.readable(false).await,
                Acceptor::Unix(listener) => listener.readable(false).await,
            }
        });
        poll_fn(|context| {
            self.waker.set(Some(context.waker().clone()));
            match readable.as_mut().poll(context) {
                Poll::Pending if !self.is_stopped() => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Gives the accept up that is under way. If a connection comes in that moment, it is accepted all the same. The
    /// socket goes on listening.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
        self.canceller.cancel();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Whether it is not this process that ends it.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whether its callers have no address.
    pub(super) fn is_unix(&self) -> bool {
        matches!(self.socket, Acceptor::Unix(_))
    }

    pub(super) fn fd(&self) -> RawFd {
        match &self.socket {
            Acceptor::Tcp(listener) => listener.as_raw_fd(),
            Acceptor::Unix(listener) => listener.as_raw_fd(),
        }
    }
}

/// A connection: of TCP, or of a Unix socket in its place. What only TCP has is asked of those that were connected here.
pub(super) struct Stream(TcpStream);

impl Stream {
    /// Connects. Dropping the future gives the attempt up; nothing is kept of it.
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_addr(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Takes over a descriptor of a connected socket.
    pub(super) fn from_descriptor(fd: OwnedFd) -> io::Result<Self> {
        let socket = StdStream::from(fd);
        if is_epoll() {
            socket.set_nonblocking(true)?;
        }
        Ok(Self(TcpStream::from_std(socket)?))
    }

    /// A second descriptor of the same connection: one side reads on one while the other writes on the other.
    pub(super) fn duplicate(&self) -> io::Result<Self> {
        Self::from_descriptor(sys::duplicate(self.fd())?)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The address of the other side. Not of a Unix socket: monoio panics when that is asked.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.0.peer_addr().ok()
    }

    /// Receives into the buffer's room; 0 is the end. Dropping the future may lose bytes: only where the
    /// connection is given up.
    pub(super) async fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let (memory, start, end) = buffer.lend_room();
        let (result, slice) = self.0.read(memory.slice_mut(start..end)).await;
        buffer.give_back(slice.into_inner(), *result.as_ref().unwrap_or(&0));
        result
    }

    /// The same, ended by [`Canceller::cancel`] with an error for which [`was_cancelled`] holds, unless
    /// bytes came first.
    pub(super) async fn read_cancellable(
        &mut self,
        buffer: &mut Buffer,
        canceller: &Canceller,
    ) -> io::Result<usize> {
        let (memory, start, end) = buffer.lend_room();
        let handle = canceller.0.borrow().handle();
        let (result, slice) = self.0.cancelable_read(memory.slice_mut(start..end), handle).await;
        buffer.give_back(slice.into_inner(), *result.as_ref().unwrap_or(&0));
        result
    }

    /// Waits until there is something to read, without holding a buffer.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable(false).await
    }

    /// Sends all that is filled. The error carries how much had gone before.
    pub(super) async fn write_all(&mut self, buffer: &mut Buffer) -> Result<(), WriteError> {
        write_all(&mut self.0, buffer).await
    }

    /// The same, given up by [`Canceller::cancel`].
    pub(super) async fn write_all_cancellable(
        &mut self,
        buffer: &mut Buffer,
        canceller: &Canceller,
    ) -> Result<(), WriteError> {
        let mut written = 0;
        // One handle for all of it: a cancellation between two writes counts for the next one.
        let handle = canceller.0.borrow().handle();
        while !buffer.is_empty() {
            let (memory, start, end) = buffer.lend_filled();
            let (result, slice) = self.0.cancelable_write(memory.slice(start..end), handle.clone()).await;
            buffer.give_back(slice.into_inner(), 0);
            match result {
                Ok(count) if count > 0 => {
                    written += count;
                    buffer.consume(count);
                }
                _ => return Err(WriteError { written }),
            }
        }
        Ok(())
    }

    /// Tells the peer that nothing more will be sent.
    pub(super) fn end_writing(&self) {
        sys::shutdown(self.fd(), sys::Direction::Write);
    }
}

/// A connection whose next read is in flight even while nobody uses it, so that what arrives unasked, the end
/// included, is seen before the connection is used again. Writing goes on beside it.
pub(super) struct ArmedStream {
    fd: RawFd,
    /// Reads whenever a buffer lies in the mailbox; polled by whoever holds the connection.
    reader: Pin<Box<dyn Future<Output = ()>>>,
    mailbox: Rc<Mailbox>,
    writer: OwnedWriteHalf<TcpStream>,
}

#[derive(Default)]
struct Mailbox {
    empty: Cell<Option<Buffer>>,
    received: Cell<Option<(io::Result<usize>, Buffer)>>,
    armed: Cell<bool>,
}

/// What a look at an [`ArmedStream`] shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A read is in flight and nothing has arrived.
    Quiet,
    /// No read is in flight.
    Unarmed,
    /// Something arrived: bytes, the end, or an error.
    Arrived,
}

impl ArmedStream {
    /// Takes a connection over. `canceller` gives up reads that merely wait.
    pub(super) fn new(stream: Stream, canceller: Rc<Canceller>) -> Self {
        let fd = stream.fd();
        let (reader, writer) = stream.0.into_split();
        let mailbox = Rc::<Mailbox>::default();
        Self { fd, reader: Box::pin(read_all(reader, Rc::clone(&mailbox), canceller)), mailbox, writer }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    /// Begins a read into the buffer's room. Only while none is in flight.
    pub(super) fn arm(&mut self, buffer: Buffer) {
        debug_assert!(!self.mailbox.armed.get(), "one read at a time");
        self.mailbox.armed.set(true);
        self.mailbox.empty.set(Some(buffer));
        let _ = self.reader.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Looks whether anything has arrived, without taking it. A read that was given up is not in flight any more,
    /// and its buffer is let go.
    pub(super) fn look(&mut self) -> Look {
        let _ = self.reader.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match self.mailbox.received.take() {
            Some((Err(error), _)) if was_cancelled(&error) => {
                self.mailbox.armed.set(false);
                Look::Unarmed
            }
            Some(received) => {
                self.mailbox.received.set(Some(received));
                Look::Arrived
            }
            None if self.mailbox.armed.get() => Look::Quiet,
            None => Look::Unarmed,
        }
    }

    /// Whether a read is in flight or has received something.
    pub(super) fn is_armed(&self) -> bool {
        self.mailbox.armed.get()
    }

    /// What the read in flight receives.
    pub(super) async fn received(&mut self) -> (io::Result<usize>, Buffer) {
        let received = poll_fn(|context| {
            let _ = self.reader.as_mut().poll(context);
            self.mailbox.received.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.mailbox.armed.set(false);
        received
    }

    /// What has arrived; no read is in flight then. Only after a look that found something.
    pub(super) fn take_received(&mut self) -> Option<(io::Result<usize>, Buffer)> {
        let received = self.mailbox.received.take()?;
        self.mailbox.armed.set(false);
        Some(received)
    }

    /// Receives into the buffer's room, or what a read that was in flight before receives into its own.
    pub(super) async fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        loop {
            if !self.is_armed() {
                let empty = std::mem::replace(buffer, Buffer::none());
                self.arm(empty);
            }
            let (result, filled) = self.received().await;
            *buffer = filled;
            // It may have been given up just when the connection came into use.
            if !result.as_ref().is_err_and(was_cancelled) {
                return result;
            }
        }
    }

    /// Sends all that is filled. The error carries how much had gone before.
    pub(super) async fn write_all(&mut self, buffer: &mut Buffer) -> Result<(), WriteError> {
        write_all(&mut self.writer, buffer).await
    }

    /// A second descriptor of the same connection.
    pub(super) fn duplicate(&self) -> io::Result<Stream> {
        Stream::from_descriptor(sys::duplicate(self.fd)?)
    }
}

/// Reads into each buffer that is put into the mailbox, for as long as somebody polls.
async fn read_all(mut reader: OwnedReadHalf<TcpStream>, mailbox: Rc<Mailbox>, canceller: Rc<Canceller>) {
    loop {
        let mut buffer = poll_fn(|_| mailbox.empty.take().map_or(Poll::Pending, Poll::Ready)).await;
        let (memory, start, end) = buffer.lend_room();
        let handle = canceller.0.borrow().handle();
        let (result, slice) = reader.cancelable_read(memory.slice_mut(start..end), handle).await;
        buffer.give_back(slice.into_inner(), *result.as_ref().unwrap_or(&0));
        mailbox.received.set(Some((result, buffer)));
    }
}

async fn write_all(writer: &mut impl AsyncWriteRent, buffer: &mut Buffer) -> Result<(), WriteError> {
    let mut written = 0;
    while !buffer.is_empty() {
        let (memory, start, end) = buffer.lend_filled();
        let (result, slice) = writer.write(memory.slice(start..end)).await;
        buffer.give_back(slice.into_inner(), 0);
        match result {
            Ok(count) if count > 0 => {
                written += count;
                buffer.consume(count);
            }
            _ => return Err(WriteError { written }),
        }
    }
    Ok(())
}

/// A connection took no more bytes.
#[derive(Debug)]
pub(super) struct WriteError {
    /// What it had taken of this buffer.
    pub(super) written: usize,
}

/// Ends reads from outside the task that awaits them.
#[derive(Default)]
pub(super) struct Canceller(RefCell<monoio::io::Canceller>);

impl Canceller {
    /// Ends every read that was begun with it; reads begun afterwards are not touched.
    pub(super) fn cancel(&self) {
        drop(self.0.take().cancel()); // with the room that it had; few connections are cancelled often
    }
}

/// Whether an error is the work of [`Canceller::cancel`].
pub(super) fn was_cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}

/// A descriptor whose becoming readable is an event: a timer, or a counter that other threads write to.
pub(super) struct Event(UnixStream);

impl Event {
    /// Takes over a timer or counter.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(UnixStream::from_std(StdUnixStream::from(fd))?))
    }

    /// Waits for the event and resets it.
    pub(super) async fn wait(&self) {
        let _ = self.0.readable(false).await;
        sys::drain_count(&self.0);
    }
}

#[cfg(test)]
#[path = "io_tests.rs"]
pub(super) mod tests;
