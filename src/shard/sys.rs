//! The few system calls that no safe crate offers, each behind a safe function.
//!
//! Called by the other files of this room only. It keeps no state. One operation per unsafe block.
#![allow(unsafe_code, reason = "the one place, with buffer.rs, where STYLE.md allows it")]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Which directions of a connection [`shutdown`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The peer sees the end.
    Write,
    /// Both.
    Both,
}

/// Ends directions of a connection; every operation that waits on it completes. A descriptor that is no
/// connected socket any more is left as it is: the answer to that is on its way already.
pub(super) fn shutdown(fd: RawFd, direction: Direction) {
    let how = match direction {
        Direction::Write => libc::SHUT_WR,
        Direction::Both => libc::SHUT_RDWR,
    };
    // SAFETY: takes no pointer; for a descriptor that is not open it returns EBADF.
    let _ = unsafe { libc::shutdown(fd, how) };
}

/// Sends what fits at once, without waiting.
pub(super) fn send_now(fd: RawFd, bytes: &[u8]) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length are those of a slice that outlives the call.
    let _ = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) };
}

/// What a look at a connection says of its other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// It is there.
    Present,
    /// It will send nothing more, and may still read.
    Ended,
    /// It has reset the connection.
    Gone,
}

/// Whether nothing waits to be read on a connection: no bytes, no end, no error.
pub(super) fn is_quiet(fd: RawFd) -> bool {
    peek(fd) < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

fn peek(fd: RawFd) -> isize {
    let mut byte = MaybeUninit::<u8>::uninit();
    // SAFETY: the pointer is to one writable byte that outlives the call, and the length says one.
    unsafe { libc::recv(fd, byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) }
}

/// Looks at the other side of a connection without taking bytes and without waiting. A reset is reported once, as
/// the kernel does.
pub(super) fn look_at_peer(fd: RawFd) -> Peer {
    match peek(fd) {
        0 => Peer::Ended,
        1.. => Peer::Present,
        _ if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => Peer::Present,
        _ => Peer::Gone,
    }
}

/// Makes the close of a connection a reset, so that a peer cannot take a cut message for a whole one.
pub(super) fn reset_on_close(fd: RawFd) {
    // SAFETY: the caller's connection keeps the descriptor open for the length of this call; a closed one
    // would give EBADF, which is ignored.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

/// Keeps a descriptor out of programs that the process starts: monoio accepts without SOCK_CLOEXEC.
pub(super) fn close_on_exec(fd: RawFd) {
    // SAFETY: takes no pointer; for a descriptor that is not open it returns EBADF.
    let _ = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// A timer that becomes readable every `interval`.
pub(super) fn interval_timer(interval: Duration) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let raw = check(unsafe {
        libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
    })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let timer = unsafe { OwnedFd::from_raw_fd(raw) };
    let each = libc::timespec {
        tv_sec: libc::time_t::try_from(interval.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: interval.subsec_nanos().into(),
    };
    let setting = libc::itimerspec { it_interval: each, it_value: each };
    // SAFETY: the pointer is to a value that outlives the call; the old setting is not asked for.
    check(unsafe { libc::timerfd_settime(raw, 0, &setting, std::ptr::null_mut()) })?;
    Ok(timer)
}

/// A counter that becomes readable when it is written to, from any thread.
pub(super) fn event() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let raw = check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes an [`event`] readable. A counter that is full is readable already.
pub(super) fn signal_event(fd: &impl AsRawFd) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the pointer is to eight readable bytes, which is what the length says.
    let _ = unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Takes the count of a timer or event, so that it is not readable until the next one. Never waits.
pub(super) fn drain_count(fd: &impl AsRawFd) {
    let mut count = [0_u8; 8];
    // SAFETY: the pointer is to eight writable bytes, which is what the length says.
    let _ = unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

/// Takes one connection that waits at a listener, without waiting for one.
pub(super) fn accept_waiting(listener: RawFd) -> Option<OwnedFd> {
    // SAFETY: null pointers mean that the peer's address is not asked for.
    let raw =
        unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    (raw >= 0).then(|| unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Sets whether operations on a listener wait.
pub(super) fn set_nonblocking(fd: RawFd) {
    // SAFETY: takes no pointer.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: takes no pointer.
    let _ = unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) };
}

/// Binds the calling thread to one core.
pub(super) fn pin_to_core(core: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t is an array of integers, for which all zero bits are a value.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `core` is below CPU_SETSIZE, so the bit lies in the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the pointer is to a set of exactly the size that is passed.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) }).map(drop)
}

/// From here on the calling thread gives way to whatever else wants its core, at once. A high nice value does not do
/// that: Linux leaves a thread to the end of its slice, whoever waits (`RUN_TO_PARITY`), unless its policy is
/// `SCHED_IDLE`. It still gets its small share of a core that is never idle. There is no way back without privilege.
pub(super) fn give_way() {
    let no_priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a value that outlives the call; 0 is the calling thread.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &no_priority) };
}

/// The cores that the process may run on.
pub(super) fn cores() -> Vec<usize> {
    // SAFETY: a cpu_set_t is an array of integers, for which all zero bits are a value.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the pointer is to a set of exactly the size that is passed.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } < 0 {
        return vec![0];
    }
    // SAFETY: every number tested is below CPU_SETSIZE.
    (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
}

/// Which of the kernel's clocks [`read_clock`] reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Time since start, for deadlines.
    Monotonic,
    /// Time of day, for the windows of keys.
    Wall,
}

/// Milliseconds of a clock in the kernel's own resolution (1 to 4 ms), which costs no system call.
pub(super) fn read_clock(source: Source) -> i64 {
    let id = match source {
        Source::Monotonic => libc::CLOCK_MONOTONIC_COARSE,
        Source::Wall => libc::CLOCK_REALTIME_COARSE,
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that outlives the call; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Nanoseconds of the monotonic clock in its full resolution: some 25 ns, without a system call.
pub(super) fn read_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that outlives the call; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

/// Raises the limit on open files as far as the process may, and returns it.
pub(super) fn raise_file_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } < 0 {
        return 1024;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: the pointer is to a value that outlives the call.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0;
    usize::try_from(if done { limit.rlim_max } else { limit.rlim_cur }).unwrap_or(usize::MAX)
}

/// Takes over a descriptor that the process was started with, and keeps it out of programs that it starts itself.
pub(super) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer; for a descriptor that is not open it returns EBADF.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, as was just seen, and whoever started the process says that it is passed to us: nothing
    // that this process opened itself is named there.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor from behind the standard streams on, but these. Only in a process that has opened nothing
/// yet. A kernel without the call (before 5.9) closes nothing.
pub(super) fn close_all_but(mut kept: Vec<RawFd>) {
    kept.sort_unstable();
    let mut first = libc::STDERR_FILENO + 1;
    for kept in kept.into_iter().chain([RawFd::MAX]) {
        if first < kept {
            // SAFETY: takes no pointer. Nobody in this process owns one of these: it has opened nothing, as the caller
            // promises, and what it was started with for a purpose is kept.
            let _ = unsafe { libc::syscall(libc::SYS_close_range, first, kept - 1, 0) };
        }
        first = first.max(kept.saturating_add(1));
    }
}

/// A second descriptor of the same connection, for reading and writing at the same time.
pub(super) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer; for a descriptor that is not open it returns EBADF.
    let raw = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
