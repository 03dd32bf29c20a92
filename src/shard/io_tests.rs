//! Tests of `io.rs`: what monoio 0.2.4 does wrong does not reach us, on any driver that this machine has.
//!
//! [`run`] never gives its runtime back, so every case has a thread of its own, sends what it found, and is
//! awaited with a deadline. The peers are plain sockets of the standard library.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{ArmedStream, Canceller, Driver, Event, Listener, Look, Stream, run, spawn, was_cancelled};
use crate::{
    compile::{Compiler, Epoch},
    config,
    limits::RING_ENTRIES,
    shard::{
        self, Setup,
        buffer::{Buffer, Class},
        connection::Connection,
        listener,
        state::Shard,
        sys::{self, Peer},
        tick,
        timer::{Deadlines, OnExpiry, until},
    },
    telemetry::ShardCells,
};

/// How long a case may take before it counts as hanging.
pub(in crate::shard) const PATIENCE: Duration = Duration::from_secs(30);
const ROUNDS: usize = 300;
const CONNECTIONS: usize = 500;
const OPERATIONS: usize = 10_000;
/// How often two things are made to happen in one turn, which one of them may win.
const COINCIDENCES: usize = 60;

// --- the ladder (defect 7) ---------------------------------------------------------------------

#[test]
fn every_driver_that_can_be_probed_runs_with_these_very_flags() {
    assert!(Driver::Epoll.probe().is_ok(), "epoll is there always");
    for driver in drivers() {
        assert_eq!(on(driver, async || 7), 7, "{}", driver.word());
    }
}

#[test]
fn a_driver_that_was_chosen_is_the_one_that_runs() {
    for driver in drivers() {
        let blocking = on(driver, async || {
            let listener = shard::bind(loopback(), 1).expect("a port is free").remove(0);
            let listener = Listener::from_socket(listener, false, false).expect("it can be taken over");
            flags(listener.fd()) & O_NONBLOCK == 0
        });
        // The sockets of a ring block, those of epoll do not.
        assert_eq!(blocking, driver != Driver::Epoll, "{}", driver.word());
    }
}

// --- reads that end early ----------------------------------------------------------------------

#[test]
fn a_cancelled_read_loses_nothing() {
    for driver in drivers() {
        let (sent, seen, cancelled) = on(driver, async || {
            let (mut stream, mut peer) = pair();
            let canceller = Rc::new(Canceller::default());
            let turn = Turn;
            let (mut sent, mut seen, mut cancelled) = (Vec::new(), Vec::new(), 0);
            for round in 0..ROUNDS {
                let read = Task::spawn(read_once(stream, Rc::clone(&canceller)));
                turn.pass().await;
                let bytes = [round.to_le_bytes()[0], round.to_le_bytes()[1], b'!'];
                sent.extend_from_slice(&bytes);
                // The bytes have been received, or arrive before the cancellation, after it, or too late.
                match round % 4 {
                    0 => {
                        peer.write_all(&bytes).expect("the connection is open");
                        turn.pass().await;
                        canceller.cancel();
                    }
                    1 => {
                        peer.write_all(&bytes).expect("the connection is open");
                        canceller.cancel();
                    }
                    2 => {
                        canceller.cancel();
                        peer.write_all(&bytes).expect("the connection is open");
                    }
                    _ => {
                        canceller.cancel();
                        turn.pass().await;
                        peer.write_all(&bytes).expect("the connection is open");
                    }
                }
                let (back, result, buffer) = read.await;
                stream = back;
                match result {
                    Ok(_) => seen.extend_from_slice(buffer.filled()),
                    Err(error) if was_cancelled(&error) => cancelled += 1,
                    Err(error) => panic!("round {round}: {error}"),
                }
                while seen.len() < sent.len() {
                    seen.extend_from_slice(&read_some(&mut stream).await);
                }
            }
            (sent, seen, cancelled)
        });
        assert_eq!(sent, seen, "{}", driver.word());
        assert!(cancelled >= ROUNDS / 4, "{}: only {cancelled} reads were cancelled", driver.word());
    }
}

/// What the rule is for: a read that is dropped in the turn in which its bytes come. Where this fails, the rule
/// may go.
#[test]
fn a_dropped_read_would_lose_bytes_on_a_ring() {
    for driver in drivers().into_iter().filter(|driver| *driver != Driver::Epoll) {
        let lost = on(driver, async || {
            let turn = Turn;
            let mut lost = 0;
            for _ in 0..20 {
                let (mut stream, mut peer) = pair();
                let mut buffer = Buffer::take(Class::Small);
                {
                    let mut read = std::pin::pin!(stream.read(&mut buffer));
                    poll_once(read.as_mut()).await;
                    turn.pass().await; // it is with the kernel now
                    peer.write_all(b"x").expect("the connection is open");
                    turn.pass().await;
                }
                lost += usize::from(sys::is_quiet(stream.fd()));
            }
            lost
        });
        assert!(lost > 0, "{}: nothing was lost", driver.word());
    }
}

#[test]
fn a_cancelled_read_gives_its_buffer_back() {
    for driver in drivers() {
        on(driver, async || {
            let (stream, mut peer) = pair();
            let canceller = Rc::new(Canceller::default());
            let turn = Turn;
            let read = Task::spawn(read_once(stream, Rc::clone(&canceller)));
            turn.pass().await;
            canceller.cancel();
            let (mut stream, result, mut buffer) = read.await;
            assert!(result.is_err_and(|error| was_cancelled(&error)));
            assert_eq!((buffer.class(), buffer.len()), (Class::Small, 0));
            assert_eq!(buffer.room(), Buffer::take(Class::Small).room());
            assert!(buffer.append(b"mine again"));
            // Neither the connection nor the canceller is used up.
            peer.write_all(b"more").expect("the connection is open");
            buffer.clear();
            let count = stream.read_cancellable(&mut buffer, &canceller).await.expect("bytes came");
            assert_eq!((count, buffer.filled()), (4, &b"more"[..]));
        });
    }
}

#[test]
fn a_cancellation_does_not_reach_reads_that_begin_later() {
    for driver in drivers() {
        on(driver, async || {
            let (stream, mut peer) = pair();
            let canceller = Rc::new(Canceller::default());
            let turn = Turn;
            canceller.cancel();
            canceller.cancel();
            let read = Task::spawn(read_once(stream, Rc::clone(&canceller)));
            turn.pass().await;
            assert!(!read.is_done());
            peer.write_all(b"late").expect("the connection is open");
            let (_, result, buffer) = read.await;
            assert_eq!((result.ok(), buffer.filled()), (Some(4), &b"late"[..]));
        });
    }
}

#[test]
fn an_armed_read_that_is_given_up_loses_nothing() {
    for driver in drivers() {
        let (sent, seen, given_up) = on(driver, async || {
            let (stream, mut peer) = pair();
            let canceller = Rc::new(Canceller::default());
            let turn = Turn;
            let mut stream = ArmedStream::new(stream, Rc::clone(&canceller));
            let (mut sent, mut seen, mut given_up) = (0, 0, 0);
            for round in 0..ROUNDS {
                stream.arm(Buffer::take(Class::Small));
                if round % 2 == 0 {
                    turn.pass().await;
                    assert_eq!(stream.look(), Look::Quiet, "round {round}");
                }
                if round % 3 == 0 {
                    canceller.cancel();
                    turn.pass().await;
                    given_up += usize::from(stream.look() == Look::Unarmed);
                }
                peer.write_all(b"abc").expect("the connection is open");
                sent += 3;
                if round % 3 == 1 {
                    canceller.cancel();
                }
                if round % 5 == 0 {
                    turn.pass().await;
                    stream.look();
                }
                let mut buffer = if stream.is_armed() { Buffer::none() } else { Buffer::take(Class::Small) };
                while seen < sent {
                    seen += stream.read(&mut buffer).await.expect("bytes come");
                    assert!(buffer.filled().iter().zip(b"abc").all(|(one, other)| one == other));
                    buffer.clear();
                }
            }
            (sent, seen, given_up)
        });
        assert_eq!(sent, seen, "{}", driver.word());
        assert!(given_up > 0, "{}: no read was given up", driver.word());
    }
}

#[test]
fn an_armed_read_sees_what_arrives_unasked() {
    for driver in drivers() {
        on(driver, async || {
            let turn = Turn;
            for unasked in ["bytes", "end", "reset"] {
                let (stream, mut peer) = pair();
                let mut stream = ArmedStream::new(stream, Rc::default());
                assert_eq!(stream.look(), Look::Unarmed);
                stream.arm(Buffer::take(Class::Medium));
                turn.pass().await;
                assert_eq!(stream.look(), Look::Quiet);
                match unasked {
                    "bytes" => peer.write_all(b"HTTP/1.1 200").expect("the connection is open"),
                    "end" => peer.shutdown(Shutdown::Write).expect("the connection is open"),
                    _ => reset(peer),
                }
                let mut looks = 0;
                while stream.look() == Look::Quiet {
                    looks += 1;
                    assert!(looks < 1000, "{unasked} was not seen");
                    turn.pass().await;
                }
                assert_eq!(stream.look(), Look::Arrived, "{unasked}");
                assert_eq!(stream.look(), Look::Arrived, "{unasked}: a look takes nothing away");
            }
        });
    }
}

#[test]
fn a_deadline_ends_a_read_in_every_way_it_can() {
    for driver in drivers() {
        for on_expiry in [OnExpiry::CancelRead, OnExpiry::EndBoth] {
            let (ended, heard) = on(driver, async move || {
                let (mut stream, peer) = pair();
                let deadlines = Rc::<Deadlines>::default();
                let deadline = deadlines.register(stream.fd());
                deadline.arm(5, on_expiry);
                let turn = Turn;
                let read = Task::spawn(async move {
                    let mut buffer = Buffer::take(Class::Small);
                    let read = stream.read_cancellable(&mut buffer, deadline.canceller());
                    let ended = !matches!(read.await, Ok(count) if count > 0);
                    let mut answer = Buffer::take(Class::Small);
                    assert!(answer.append(b"408"));
                    let _ = stream.write_all(&mut answer).await;
                    stream.end_writing();
                    (ended, deadline.expired())
                });
                turn.pass().await;
                deadlines.expire(4);
                turn.pass().await;
                assert!(!read.is_done(), "it ended before its time");
                deadlines.expire(5);
                let (ended, expired) = read.await;
                (ended && expired, everything(peer))
            });
            assert!(ended, "{} {on_expiry:?}", driver.word());
            let expected: &[u8] = if on_expiry == OnExpiry::EndBoth { b"" } else { b"408" };
            assert_eq!(heard, expected, "{} {on_expiry:?}: what can still be sent", driver.word());
        }
    }
}

/// The bytes and the deadline of a head come in the same turn, and now and then the bytes win: what comes behind
/// them must not be waited for without any deadline.
#[test]
fn a_head_that_gets_bytes_at_its_deadline_is_late_all_the_same() {
    for driver in drivers() {
        let answers = on(driver, async || {
            let shard = prepare(Vec::new()).shard;
            let mut answers = Vec::new();
            for round in 0..COINCIDENCES {
                let (stream, mut peer) = pair();
                let address = stream.peer().expect("it is connected");
                let presence = shard.enter().expect("there is room");
                spawn(
                    Connection::new(
                        &shard,
                        crate::shard::stream::Stream::plain(stream),
                        Some(address.ip()),
                        0,
                        presence,
                    )
                    .serve(),
                );
                peer.write_all(b"GET / HTTP/1.1\r\n").expect("the connection is open");
                Turn.pass().await;
                Turn.pass().await; // the deadline of the head is armed, and a read is with the kernel
                let (due, expiring) = (shard.in_millis(60_000), Rc::clone(&shard));
                let bytes = || peer.write_all(b"Host: a").expect("the connection is open");
                in_one_turn(round, move || _ = expiring.deadlines.expire(due), bytes).await;
                for _ in 0..10 {
                    Turn.pass().await; // the answer has gone, if there is one
                }
                shard.deadlines.expire(due + 10_000); // whatever is armed falls due
                Turn.pass().await;
                peer.set_read_timeout(Some(Duration::from_millis(100))).expect("a read timeout can be set");
                let mut answer = [0; 12];
                let came = peer.read_exact(&mut answer).is_ok();
                answers.push(came.then_some(answer));
                if !came {
                    break;
                }
            }
            answers
        });
        for answer in answers {
            assert_eq!(answer.as_ref(), Some(b"HTTP/1.1 408"), "{}: it waits for ever", driver.word());
        }
    }
}

#[test]
fn a_deadline_ends_a_wait_for_readability() {
    for driver in drivers() {
        on(driver, async || {
            let (stream, _peer) = pair();
            let deadlines = Rc::<Deadlines>::default();
            let deadline = deadlines.register(stream.fd());
            deadline.arm(1, OnExpiry::WakeIdle);
            let turn = Turn;
            let rest = Task::spawn(async move { until(&deadline, stream.readable()).await.is_none() });
            turn.pass().await;
            deadlines.expire_idle(1);
            assert!(rest.await);
        });
    }
}

#[test]
fn a_deadline_ends_a_write_that_nobody_takes() {
    for driver in drivers() {
        on(driver, async || {
            let (mut stream, _peer) = pair();
            let deadlines = Rc::<Deadlines>::default();
            let deadline = deadlines.register(stream.fd());
            deadline.arm(1, OnExpiry::EndBoth);
            let turn = Turn;
            let write = Task::spawn(async move {
                loop {
                    let mut piece = Buffer::take(Class::Large);
                    assert!(piece.append(&[b'x'; 100_000]));
                    if stream.write_all(&mut piece).await.is_err() {
                        return deadline.expired();
                    }
                }
            });
            for _ in 0..1000 {
                turn.pass().await; // the socket's buffers fill up
            }
            assert!(!write.is_done());
            deadlines.expire(1);
            assert!(write.await);
        });
    }
}

#[test]
fn a_cancelled_write_says_how_much_went_and_gives_its_buffer_back() {
    for driver in drivers() {
        on(driver, async || {
            let (mut stream, mut peer) = pair();
            let (canceller, turn) = (Rc::new(Canceller::default()), Turn);
            let shared = Rc::clone(&canceller);
            let write = Task::spawn(async move {
                let (mut whole, mut left) = (0, 0);
                loop {
                    let mut piece = Buffer::take(Class::Large);
                    assert!(piece.append(&[b'x'; 100_000]));
                    match stream.write_all_cancellable(&mut piece, &shared).await {
                        Ok(()) => whole += 100_000,
                        Err(error) => {
                            left += piece.len();
                            return (stream, whole, error.written, left);
                        }
                    }
                }
            });
            for _ in 0..1000 {
                turn.pass().await; // the socket's buffers fill up
            }
            canceller.cancel();
            let (stream, whole, written, left) = write.await;
            assert_eq!(written + left, 100_000);
            drop(stream);
            turn.pass().await;
            let mut received = Vec::new();
            peer.read_to_end(&mut received).expect("it ends in order");
            assert_eq!(received.len(), whole + written, "neither more nor less than was said");
        });
    }
}

/// A part of the write completes in the turn in which it is cancelled: the rest must not be waited for without
/// anything that could end it.
#[test]
fn a_write_that_is_cancelled_when_a_part_of_it_has_gone_ends() {
    for driver in drivers() {
        let ended = on(driver, async || {
            for round in 0..COINCIDENCES {
                let (mut stream, mut peer) = full_pair();
                let canceller = Rc::new(Canceller::default());
                let shared = Rc::clone(&canceller);
                let write = Task::spawn(async move {
                    let mut piece = Buffer::take(Class::Large);
                    assert!(piece.append(&[b'x'; 100_000]));
                    assert!(stream.write_all_cancellable(&mut piece, &shared).await.is_err());
                });
                Turn.pass().await;
                Turn.pass().await; // it waits for room
                assert!(!write.is_done());
                peer.set_nonblocking(true).expect("it can be set");
                let take = || while peer.read(&mut [0; 64 * 1024]).is_ok_and(|count| count > 0) {};
                in_one_turn(round, move || canceller.cancel(), take).await;
                for _ in 0..20 {
                    Turn.pass().await;
                }
                if !write.is_done() {
                    return false;
                }
            }
            true
        });
        assert!(ended, "{}: it waits for ever", driver.word());
    }
}

// --- accepting ---------------------------------------------------------------------------------

/// A dropped accept swallowed its connection and leaked the descriptor; ours is never dropped, whatever fires.
#[test]
fn accepting_keeps_every_connection_while_timers_fire() {
    for driver in drivers() {
        let (answers, ticks) = on(driver, async || {
            let (socket, address) = listening();
            let ready = prepare(vec![socket]);
            let (shard, ticks) = (ready.shard, Rc::new(Cell::new(0)));
            spawn(listener::accept_all(Rc::clone(&ready.listeners[0].1), 0, Rc::clone(&shard)));
            spawn(begin_ticks(Rc::clone(&shard), Duration::from_millis(1), Rc::clone(&ticks)));
            let (answers, answered) = mpsc::channel();
            thread::spawn(move || {
                let connect = |_| {
                    let mut caller = StdStream::connect(address).expect("the listener takes it");
                    let request = b"GET / HTTP/1.1\r\nHost: gw.example\r\nConnection: close\r\n\r\n";
                    caller.write_all(request).expect("it is open");
                    thread::park_timeout(Duration::from_micros(200)); // so that timers fire in between
                    caller
                };
                let callers: Vec<_> = (0..CONNECTIONS).map(connect).collect();
                // Each gets its answer and then the end: no descriptor is left over.
                let _ = answers.send(callers.into_iter().map(everything).collect::<Vec<_>>());
            });
            let turn = Turn;
            loop {
                match answered.try_recv() {
                    Ok(answers) => return (answers, ticks.get()),
                    Err(_) => turn.pass().await,
                }
            }
        });
        let whole = answers.iter().filter(|answer| answer.starts_with(b"HTTP/1.1 404 ")).count();
        assert_eq!(whole, CONNECTIONS, "{}", driver.word());
        assert!(ticks > 20, "{}: only {ticks} ticks", driver.word());
    }
}

/// Defect 6.
#[test]
fn no_descriptor_is_inherited_by_other_programs() {
    for driver in drivers() {
        on(driver, async || {
            let (socket, address) = listening();
            let _caller = StdStream::connect(address).expect("the listener takes it");
            let listener = Listener::from_socket(socket, false, false).expect("it can be taken over");
            let (accepted, _) = listener.accept().await.expect("a connection");
            let other = StdListener::bind(loopback()).expect("a port is free");
            let connected = Stream::connect(other.local_addr().expect("bound")).await.expect("it listens");
            let duplicate = accepted.duplicate().expect("a descriptor is free");
            for fd in [listener.fd(), accepted.fd(), connected.fd(), duplicate.fd()] {
                assert_ne!(flags(fd) & O_CLOEXEC, 0, "descriptor {fd}");
            }
        });
    }
}

#[test]
fn ending_a_listener_ends_its_accept_and_serves_who_waits() {
    const WAITING: u64 = 20;
    for driver in drivers() {
        on(driver, async || {
            let (socket, address) = listening();
            let (ready, turn) = (prepare(vec![socket]), Turn);
            let (shard, listener) = (ready.shard, Rc::clone(&ready.listeners[0].1));
            let accepting = Task::spawn(listener::accept_all(Rc::clone(&listener), 0, Rc::clone(&shard)));
            turn.pass().await;
            // No turn passes from here on: they wait at the socket when the listener ends.
            let callers: Vec<_> =
                (0..WAITING).map(|_| StdStream::connect(address).expect("it listens")).collect();
            shard.start_draining(false);
            listener.stop();
            accepting.await;
            for _ in 0..10 {
                turn.pass().await;
            }
            assert_eq!(shard.cells.connections(), WAITING);
            let refused = StdStream::connect(address).expect_err("nobody listens any more");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            drop(callers);
            while shard.cells.connections() > 0 {
                turn.pass().await;
            }
        });
    }
}

#[test]
fn an_accept_that_fails_is_tried_again() {
    for driver in drivers() {
        on(driver, async || {
            let (socket, _) = listening();
            let other = socket.try_clone().expect("a descriptor is free");
            let ready = prepare(vec![socket]);
            let shard = Rc::clone(&ready.shard);
            spawn(tick(Rc::clone(&shard), ready.ticker));
            let accepting =
                Task::spawn(listener::accept_all(Rc::clone(&ready.listeners[0].1), 0, Rc::clone(&shard)));
            let turn = Turn;
            turn.pass().await;
            // Ended by somebody else while nobody drains: from here on each accept fails.
            sys::shutdown(std::os::fd::AsRawFd::as_raw_fd(&other), sys::Direction::Both);
            let before = shard.cells.heartbeat();
            while shard.cells.heartbeat() < before + 3 {
                turn.pass().await;
            }
            assert!(!accepting.is_done());
            shard.start_draining(false);
            ready.listeners[0].1.stop();
            accepting.await;
        });
    }
}

// --- taking turns (defects 1 and 2) ------------------------------------------------------------

#[test]
fn a_task_that_waits_for_the_next_turn_for_ever_starves_nobody() {
    for driver in drivers() {
        let (turns, heartbeats) = on(driver, async || {
            let ready = prepare(Vec::new());
            let shard = ready.shard;
            spawn(tick(Rc::clone(&shard), ready.ticker));
            spawn(begin_turns(Rc::clone(&shard), ready.wake));
            let turns = Rc::new(Cell::new(0_u64));
            for _ in 0..2 {
                let (shard, turns) = (Rc::clone(&shard), Rc::clone(&turns));
                spawn(async move {
                    loop {
                        shard.next_turn().await;
                        turns.set(turns.get() + 1);
                    }
                });
            }
            let (mut stream, peer) = pair();
            let mut echo = peer.try_clone().expect("a descriptor is free");
            thread::spawn(move || {
                let mut bytes = [0; 4];
                while echo.read_exact(&mut bytes).is_ok() && echo.write_all(&bytes).is_ok() {}
            });
            for _ in 0..100 {
                let mut buffer = Buffer::take(Class::Small);
                assert!(buffer.append(b"ping"));
                stream.write_all(&mut buffer).await.expect("the connection is open");
                assert_eq!(read_some(&mut stream).await, b"ping");
            }
            let _ = peer.shutdown(Shutdown::Both);
            while shard.cells.heartbeat() < 3 {
                shard.next_tick().await;
            }
            (turns.get(), shard.cells.heartbeat())
        });
        assert!(turns > 100, "{}: {turns} turns", driver.word());
        assert!(heartbeats >= 3, "{}: {heartbeats} ticks", driver.word());
    }
}

#[test]
fn those_who_wait_for_a_tick_are_all_woken_once_a_tick() {
    for driver in drivers() {
        on(driver, async || {
            let ready = prepare(Vec::new());
            let shard = ready.shard;
            let woken = Rc::new(Cell::new(0));
            for _ in 0..3 {
                let (shard, woken) = (Rc::clone(&shard), Rc::clone(&woken));
                spawn(async move {
                    shard.next_tick().await;
                    woken.set(woken.get() + 1);
                });
            }
            spawn(tick(Rc::clone(&shard), ready.ticker));
            shard.next_tick().await;
            shard.next_tick().await;
            assert_eq!(woken.get(), 3);
        });
    }
}

// --- many operations (defect 4) ----------------------------------------------------------------

#[test]
fn more_operations_in_one_turn_than_the_ring_has_entries() {
    assert!(OPERATIONS > RING_ENTRIES as usize * 2);
    many_operations(OPERATIONS);
}

/// Completions that come all at once are kept by the kernel even where the ring has no room for them.
#[test]
fn more_completions_in_one_turn_than_the_ring_has_entries() {
    for driver in drivers().into_iter().filter(|driver| *driver != Driver::Epoll) {
        let count = RING_ENTRIES as usize * 4 + 4000;
        let done = on(driver, async move || {
            let (stream, mut peer) = pair();
            let (stream, done, turn) = (Rc::new(stream), Rc::new(Cell::new(0)), Turn);
            for _ in 0..count {
                let (stream, done) = (Rc::clone(&stream), Rc::clone(&done));
                spawn(async move {
                    stream.readable().await.expect("it becomes readable");
                    done.set(done.get() + 1);
                });
            }
            turn.pass().await;
            assert_eq!(done.get(), 0);
            peer.write_all(b"x").expect("the connection is open");
            while done.get() < count {
                turn.pass().await;
            }
            done.get()
        });
        assert_eq!(done, count, "{}", driver.word());
    }
}

/// Each on a descriptor of its own: under epoll one descriptor can have one waiting reader only.
fn many_operations(count: usize) {
    assert!(sys::raise_file_limit() > count + 200, "the limit on open files is too low for this test");
    for driver in drivers() {
        let done = on(driver, async move || {
            let (stream, mut peer) = pair();
            let (done, turn) = (Rc::new(Cell::new(0)), Turn);
            for _ in 0..count {
                let (stream, done) = (stream.duplicate().expect("a descriptor is free"), Rc::clone(&done));
                spawn(async move {
                    stream.readable().await.expect("it becomes readable");
                    done.set(done.get() + 1);
                });
            }
            turn.pass().await;
            assert_eq!(done.get(), 0);
            peer.write_all(b"x").expect("the connection is open");
            while done.get() < count {
                turn.pass().await;
            }
            turn.pass().await; // as many descriptors are closed in this one
            turn.pass().await;
            done.get()
        });
        assert_eq!(done, count, "{}", driver.word());
    }
}

// --- the runtime's end (defects 5 and 8) -------------------------------------------------------

/// What an operation that was given up had stays with the kernel until it completes. A runtime that is dropped
/// lets go of it at once: the buffer, and the connection, which is what shows here.
#[test]
fn a_main_task_that_ends_takes_nothing_from_the_kernel() {
    for driver in drivers().into_iter().filter(|driver| *driver != Driver::Epoll) {
        let (handed_out, peer) = mpsc::channel();
        let thread = thread::spawn(move || {
            run(driver, async move {
                let (mut stream, peer) = pair();
                let mut buffer = Buffer::take(Class::Small);
                let mut read = Box::pin(async move { stream.read(&mut buffer).await });
                poll_once(read.as_mut()).await;
                Turn.pass().await; // the kernel has it now
                drop(read);
                let _ = handed_out.send(peer);
            })
        });
        assert!(thread.join().expect("it does not panic").is_ok());
        let mut peer: StdStream = peer.recv().expect("the case ran");
        peer.set_read_timeout(Some(Duration::from_millis(100))).expect("a read timeout can be set");
        let waited = loop {
            match peer.read(&mut [0]).map_err(|error| error.kind()) {
                Err(ErrorKind::Interrupted) => {} // the thread that ended may cause one
                waited => break waited,
            }
        };
        assert_eq!(waited, Err(ErrorKind::WouldBlock), "{}: it was let go", driver.word());
    }
}

// --- looking without taking --------------------------------------------------------------------

#[test]
fn a_look_sees_bytes_the_end_and_a_reset() {
    for driver in drivers() {
        on(driver, async || {
            let look = |stream: &Stream| (sys::is_quiet(stream.fd()), sys::look_at_peer(stream.fd()));
            let (mut stream, mut peer) = pair();
            assert_eq!(look(&stream), (true, Peer::Present), "nothing has happened");
            peer.write_all(b"x").expect("the connection is open");
            assert_eq!(look(&stream), (false, Peer::Present), "a byte waits");
            assert_eq!(look(&stream), (false, Peer::Present), "it was not taken");
            assert_eq!(read_some(&mut stream).await, b"x");
            assert_eq!(look(&stream), (true, Peer::Present), "it was read");
            peer.shutdown(Shutdown::Write).expect("the connection is open");
            assert_eq!(look(&stream), (false, Peer::Ended), "the peer has ended its side");
            let [(one, peer), (other, other_peer)] = [pair(), pair()];
            reset(peer);
            reset(other_peer);
            // The kernel tells of a reset once, after that it is an end.
            assert!(!sys::is_quiet(one.fd()), "the peer has reset the connection");
            assert_eq!(sys::look_at_peer(other.fd()), Peer::Gone, "the peer has reset the connection");
        });
    }
}

// --- what the tests above are made of ----------------------------------------------------------

/// The flags of descriptors as `/proc` shows them.
const O_NONBLOCK: u32 = 0o4000;
const O_CLOEXEC: u32 = 0o2000000;

/// The drivers that the kernel gives this process.
pub(in crate::shard) fn drivers() -> Vec<Driver> {
    let available = |driver: &Driver| match driver.probe() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{} is not tested here: {error}", driver.word());
            false
        }
    };
    Driver::LADDER.into_iter().filter(available).collect()
}

/// Runs `main` on a thread and a runtime of its own, and returns what it found.
#[track_caller]
pub(in crate::shard) fn on<T, F>(driver: Driver, main: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (found, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        let main = async move {
            let _ = found.send(main().await);
        };
        run(driver, main).expect("a driver that was probed runs");
    });
    match result.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{}: it hangs", driver.word()),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(()) => panic!("{}: it ended without a result", driver.word()),
            Err(panic) => {
                eprintln!("with {}:", driver.word());
                std::panic::resume_unwind(panic)
            }
        },
    }
}

/// A task whose result can be awaited.
pub(in crate::shard) struct Task<T>(Rc<RefCell<(Option<T>, Option<std::task::Waker>)>>);

impl<T: 'static> Task<T> {
    pub(in crate::shard) fn spawn(work: impl Future<Output = T> + 'static) -> Self {
        let state = Rc::new(RefCell::new((None, None::<std::task::Waker>)));
        let shared = Rc::clone(&state);
        spawn(async move {
            let result = work.await;
            let mut state = shared.borrow_mut();
            state.0 = Some(result);
            if let Some(waker) = state.1.take() {
                waker.wake();
            }
        });
        Self(state)
    }

    pub(in crate::shard) fn is_done(&self) -> bool {
        self.0.borrow().0.is_some()
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let mut state = self.0.borrow_mut();
        match state.0.take() {
            Some(result) => std::task::Poll::Ready(result),
            None => {
                state.1 = Some(context.waker().clone());
                std::task::Poll::Pending
            }
        }
    }
}

/// Lets the kernel and every other task have a turn.
pub(in crate::shard) struct Turn;

impl Turn {
    /// Each time with a descriptor of its own: epoll remembers that one was readable, and would not be asked.
    pub(in crate::shard) async fn pass(&self) {
        let signal = sys::event().expect("a descriptor is free");
        sys::signal_event(&signal);
        Event::new(signal).expect("an event").wait().await;
    }
}

/// Has a task do `expire` in the turn in which the kernel completes what `complete` makes possible. Which of the
/// two the other tasks see first changes with the round.
async fn in_one_turn(round: usize, expire: impl FnOnce() + 'static, complete: impl FnOnce()) {
    let signal = sys::event().expect("a descriptor is free");
    let event = Event::new(signal.try_clone().expect("a descriptor is free")).expect("an event");
    let expired = Task::spawn(async move {
        event.wait().await;
        expire();
    });
    Turn.pass().await;
    if round.is_multiple_of(2) {
        sys::signal_event(&signal);
        complete();
    } else {
        complete();
        sys::signal_event(&signal);
    }
    expired.await;
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn listening() -> (StdListener, SocketAddr) {
    let socket = shard::bind(loopback(), 1).expect("a port is free").remove(0);
    let address = socket.local_addr().expect("it is bound");
    (socket, address)
}

/// A connection: our end, and a peer's that waits for nobody longer than `PATIENCE`.
pub(in crate::shard) fn pair() -> (Stream, StdStream) {
    let listener = StdListener::bind(loopback()).expect("a port is free");
    let ours = StdStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (peer, _) = listener.accept().expect("the connection is there");
    for socket in [&ours, &peer] {
        socket.set_nodelay(true).expect("TCP_NODELAY can be set");
    }
    peer.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
    (Stream::from_descriptor(ours.into()).expect("it can be taken over"), peer)
}

/// The same, with small buffers that are full of what we sent.
fn full_pair() -> (Stream, StdStream) {
    let listener = StdListener::bind(loopback()).expect("a port is free");
    socket2::SockRef::from(&listener).set_recv_buffer_size(32 * 1024).expect("it can be set");
    let mut ours = StdStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    socket2::SockRef::from(&ours).set_send_buffer_size(4 * 1024).expect("it can be set");
    let (peer, _) = listener.accept().expect("the connection is there");
    ours.set_nonblocking(true).expect("it can be set");
    while ours.write(&[b'-'; 1024]).is_ok() {}
    ours.set_nonblocking(false).expect("it can be set");
    (Stream::from_descriptor(ours.into()).expect("it can be taken over"), peer)
}

fn reset(peer: StdStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("SO_LINGER can be set");
}

/// All that comes until the end, however it ends.
fn everything(mut peer: StdStream) -> Vec<u8> {
    peer.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
    let mut bytes = Vec::new();
    if let Err(error) = peer.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no end came");
    }
    bytes
}

async fn read_once(mut stream: Stream, canceller: Rc<Canceller>) -> (Stream, std::io::Result<usize>, Buffer) {
    let mut buffer = Buffer::take(Class::Small);
    let result = stream.read_cancellable(&mut buffer, &canceller).await;
    (stream, result, buffer)
}

async fn read_some(stream: &mut Stream) -> Vec<u8> {
    let mut buffer = Buffer::take(Class::Small);
    let count = stream.read(&mut buffer).await.expect("bytes come");
    assert_ne!(count, 0, "the connection ended");
    buffer.filled().to_vec()
}

async fn poll_once(mut future: std::pin::Pin<&mut impl Future>) {
    std::future::poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
}

/// Ticks that come faster than the shard's own.
async fn begin_ticks(shard: Rc<Shard>, interval: Duration, ticks: Rc<Cell<u64>>) {
    let timer = Event::new(sys::interval_timer(interval).expect("a timer")).expect("an event");
    loop {
        timer.wait().await;
        shard.begin_tick();
        ticks.set(ticks.get() + 1);
    }
}

async fn begin_turns(shard: Rc<Shard>, wake: Event) {
    loop {
        wake.wait().await;
        shard.begin_turn();
    }
}

/// A shard of its own, with nothing configured.
fn prepare(listeners: Vec<StdListener>) -> shard::Ready {
    let plan = config::parse_text("").expect("an empty file is a configuration").plan;
    let compiled = Compiler::default().compile(&Arc::new(plan), Epoch::FIRST).expect("it compiles");
    let snapshot = compiled.snapshot(1, &Vec::new(), &Arc::default());
    let setup = Setup {
        index: 0,
        core: None,
        driver: Driver::Epoll, // `prepare` does not look at it
        listeners: listeners
            .into_iter()
            .enumerate()
            .map(|(number, socket)| shard::Listening { number, socket, kept: false })
            .collect(),
        snapshots: Arc::new(ArcSwap::from_pointee(snapshot)),
        connections_max: 1000,
        upstream_idle_max: 1000,
        ring: None,
        doors: Arc::default(),
        address_counts: None,
        boot: [0; 5],
    };
    let wake = sys::event().expect("a descriptor is free");
    shard::prepare(setup, Arc::<ShardCells>::default(), wake).expect("a shard can be prepared")
}

/// The flags of an open descriptor.
fn flags(fd: std::os::fd::RawFd) -> u32 {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("the descriptor is open");
    let line = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("it has flags");
    u32::from_str_radix(line.trim(), 8).expect("an octal number")
}
