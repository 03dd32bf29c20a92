//! Tests of `timer.rs`: the table without any socket first, then what a deadline does to an operation.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    rc::Rc,
};

use super::{Deadline, Deadlines, NEVER, OnExpiry, until};
use crate::{
    limits::{EXPIRED_PER_TURN_MAX, HALF_CLOSED_TICKS, LOOK_TICKS},
    shard::{
        io::{
            Stream,
            tests::{Task, Turn, drivers, on, pair},
        },
        sys,
    },
};

/// No descriptor: ending its directions does nothing.
const NOTHING: i32 = -1;

#[test]
fn a_deadline_falls_due_at_its_tick_and_once() {
    let table = Rc::<Deadlines>::default();
    let deadline = table.register(NOTHING);
    table.expire(NEVER - 1);
    assert!(!deadline.expired(), "nothing was armed");
    deadline.arm(10, OnExpiry::Wake);
    table.expire(9);
    assert!(!deadline.expired());
    table.expire(10);
    assert!(deadline.expired());
    deadline.arm(20, OnExpiry::Wake);
    assert!(!deadline.expired(), "what was armed last has not fallen due");
    table.expire(15);
    assert!(!deadline.expired());
    table.expire(99);
    assert!(deadline.expired(), "a tick that was missed is made up for");
}

#[test]
fn what_falls_due_together_is_done_in_portions() {
    let table = Rc::<Deadlines>::default();
    let deadlines: Vec<_> = (0..EXPIRED_PER_TURN_MAX * 2 + 1).map(|_| table.register(NOTHING)).collect();
    deadlines.iter().for_each(|deadline| deadline.arm(10, OnExpiry::Wake));
    let expired = || deadlines.iter().filter(|deadline| deadline.expired()).count();
    assert!(table.expire(10));
    assert_eq!(expired(), EXPIRED_PER_TURN_MAX);
    assert!(table.expire(10));
    deadlines[EXPIRED_PER_TURN_MAX * 2].disarm();
    assert!(!table.expire(10), "what is left was disarmed in between");
    assert_eq!(expired(), EXPIRED_PER_TURN_MAX * 2);
    deadlines[0].arm(11, OnExpiry::Wake);
    assert!(!table.expire(11) && deadlines[0].expired(), "the next pass begins at the front");
}

#[test]
fn a_deadline_that_is_disarmed_never_falls_due() {
    let table = Rc::<Deadlines>::default();
    let deadline = table.register(NOTHING);
    deadline.arm(10, OnExpiry::Wake);
    deadline.disarm();
    table.expire(NEVER - 1);
    table.expire_idle(1);
    assert!(!deadline.expired());
}

#[test]
fn a_deadline_can_be_moved_both_ways() {
    let table = Rc::<Deadlines>::default();
    let deadline = table.register(NOTHING);
    deadline.arm(10, OnExpiry::Wake);
    deadline.arm(30, OnExpiry::Wake);
    table.expire(29);
    assert!(!deadline.expired(), "it was moved behind");
    deadline.arm(5, OnExpiry::Wake);
    table.expire(5);
    assert!(deadline.expired(), "it was moved to the front");
}

#[test]
fn the_last_tick_of_all_is_a_deadline_too() {
    let table = Rc::<Deadlines>::default();
    let deadline = table.register(NOTHING);
    deadline.arm(NEVER, OnExpiry::Wake);
    table.expire(NEVER - 2);
    assert!(!deadline.expired());
    table.expire(NEVER - 1);
    assert!(deadline.expired());
}

#[test]
fn a_slot_is_used_again_and_keeps_nothing() {
    let table = Rc::<Deadlines>::default();
    let first = table.register(NOTHING);
    let second = table.register(NOTHING);
    first.arm(3, OnExpiry::WakeIdle);
    second.arm(3, OnExpiry::Wake);
    drop(first);
    let third = table.register(NOTHING);
    table.expire(3);
    assert!(second.expired());
    assert!(!third.expired(), "what was armed before belonged to another connection");
    assert_eq!(table.due.borrow().len(), 2, "two slots serve three connections, two at a time");
    third.arm(4, OnExpiry::Wake);
    table.expire(4);
    assert!(third.expired());
}

/// A descriptor's number is given away again: a deadline that is gone must not reach its next owner.
#[test]
fn a_dropped_deadline_does_not_touch_its_descriptor() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let ours = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let table = Rc::<Deadlines>::default();
    let deadline = table.register(ours.as_raw_fd());
    deadline.arm(1, OnExpiry::EndBoth);
    drop(deadline);
    table.expire(1);
    assert!(sys::is_quiet(ours.as_raw_fd()), "the connection is as it was");
    let deadline = table.register(ours.as_raw_fd());
    deadline.arm(2, OnExpiry::EndBoth);
    table.expire(2);
    assert!(!sys::is_quiet(ours.as_raw_fd()), "this one was ended");
}

#[test]
fn a_drain_ends_those_that_merely_wait_and_nobody_else() {
    let table = Rc::<Deadlines>::default();
    let ways = [OnExpiry::WakeIdle, OnExpiry::EndBoth, OnExpiry::CancelRead, OnExpiry::Wake];
    let deadlines = ways.map(|on_expiry| {
        let deadline = table.register(NOTHING);
        deadline.arm(1000, on_expiry);
        deadline
    });
    let disarmed = table.register(NOTHING);
    disarmed.arm(1000, OnExpiry::WakeIdle);
    disarmed.disarm();
    table.expire_idle(1);
    assert_eq!(deadlines.each_ref().map(|deadline| deadline.expired()), [true, false, false, false]);
    assert!(!disarmed.expired());
    table.expire(1000);
    assert!(deadlines.iter().all(Deadline::expired), "the others keep their time");
}

/// The descriptor whose deadline it is, the caller who waits for the outcome, and that caller's own end.
fn wanted() -> (Rc<Deadlines>, Deadline, [TcpStream; 4]) {
    let pair = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        (one, listener.accept().expect("the connection is there").0)
    };
    let ((api, api_end), (caller, caller_end)) = (pair(), pair());
    let table = Rc::<Deadlines>::default();
    let deadline = table.register(api.as_raw_fd());
    deadline.arm_while_wanted(0, 1000, caller.as_raw_fd());
    (table, deadline, [api, api_end, caller, caller_end])
}

#[test]
fn what_is_wanted_goes_on_until_its_time_is_over() {
    let (table, deadline, [api, _api_end, _caller, _caller_end]) = wanted();
    for tick in 1..1000 {
        table.expire(tick);
        assert!(!deadline.expired() && !deadline.is_unwanted() && sys::is_quiet(api.as_raw_fd()), "{tick}");
    }
    table.expire(1000);
    assert!(deadline.expired() && !deadline.is_unwanted());
    assert!(!sys::is_quiet(api.as_raw_fd()), "it was ended");
}

#[test]
fn what_nobody_wants_any_more_ends_at_the_next_look() {
    let (table, deadline, [api, _api_end, _caller, caller_end]) = wanted();
    socket2::SockRef::from(&caller_end).set_linger(Some(std::time::Duration::ZERO)).expect("it can be set");
    drop(caller_end);
    (1..=LOOK_TICKS).for_each(|tick| _ = table.expire(tick));
    assert!(deadline.is_unwanted() && !deadline.expired());
    assert!(!sys::is_quiet(api.as_raw_fd()), "it was ended");
}

#[test]
fn a_caller_that_ended_its_side_still_gets_its_answer_for_a_while() {
    let (table, deadline, [api, _api_end, _caller, caller_end]) = wanted();
    caller_end.shutdown(std::net::Shutdown::Write).expect("the connection is open");
    (1..=HALF_CLOSED_TICKS).for_each(|tick| _ = table.expire(tick));
    assert!(!deadline.is_unwanted() && sys::is_quiet(api.as_raw_fd()));
    let last = HALF_CLOSED_TICKS + 2 * LOOK_TICKS;
    (HALF_CLOSED_TICKS..=last).for_each(|tick| _ = table.expire(tick));
    assert!(deadline.is_unwanted() && !sys::is_quiet(api.as_raw_fd()));
}

#[test]
fn what_was_wanted_once_is_an_ordinary_deadline_when_it_is_armed_anew() {
    let (table, deadline, [_api, _api_end, _caller, caller_end]) = wanted();
    drop(caller_end);
    deadline.arm(50, OnExpiry::EndBoth);
    (1..50).for_each(|tick| _ = table.expire(tick));
    assert!(!deadline.expired() && !deadline.is_unwanted());
    table.expire(50);
    assert!(deadline.expired() && !deadline.is_unwanted());
}

#[test]
fn a_deadline_may_be_made_and_dropped_by_whom_it_woke() {
    for driver in drivers() {
        on(driver, async || {
            let table = Rc::<Deadlines>::default();
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let table = Rc::clone(&table);
                    Task::spawn(async move {
                        let deadline = table.register(NOTHING);
                        deadline.arm(1, OnExpiry::Wake);
                        assert!(until(&deadline, std::future::pending::<()>()).await.is_none());
                        drop(deadline);
                        table.register(NOTHING).arm(1, OnExpiry::Wake);
                    })
                })
                .collect();
            Turn.pass().await;
            table.expire(1);
            for task in tasks {
                task.await;
            }
        });
    }
}

#[test]
fn until_gives_the_result_of_what_was_in_time() {
    for driver in drivers() {
        on(driver, async || {
            let table = Rc::<Deadlines>::default();
            let deadline = table.register(NOTHING);
            deadline.arm(1, OnExpiry::Wake);
            assert_eq!(until(&deadline, async { 7 }).await, Some(7));
            let (stream, mut peer) = pair();
            let read = Task::spawn(async move {
                let deadline = deadline;
                until(&deadline, stream.readable()).await.is_some_and(|result| result.is_ok())
            });
            Turn.pass().await;
            std::io::Write::write_all(&mut peer, b"x").expect("the connection is open");
            assert!(read.await);
        });
    }
}

#[test]
fn until_gives_a_connect_up_at_its_deadline() {
    for driver in drivers() {
        let (address, _full) = silent();
        let left = on(driver, async move || {
            let table = Rc::<Deadlines>::default();
            let deadline = table.register(NOTHING);
            deadline.arm(1, OnExpiry::Wake);
            let connect =
                Task::spawn(async move { until(&deadline, Stream::connect(address)).await.is_none() });
            let turn = Turn;
            for _ in 0..20 {
                turn.pass().await;
            }
            assert!(!connect.is_done(), "nobody answers there");
            assert_eq!(attempts(address), 1);
            table.expire(1);
            assert!(connect.await, "it was given up");
            let mut looks = 0;
            while attempts(address) > 0 && looks < 10_000 {
                looks += 1;
                turn.pass().await;
            }
            attempts(address)
        });
        assert_eq!(left, 0, "{}: the socket is still trying", driver.word());
    }
}

/// An address that takes no connection and refuses none: its queue is full.
fn silent() -> (SocketAddr, (socket2::Socket, Vec<TcpStream>)) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port is free");
    socket.listen(0).expect("it can listen");
    let address = socket.local_addr().expect("bound").as_socket().expect("an IPv4 address");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, std::time::Duration::from_millis(100)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue never fills");
    }
    (address, (socket, waiting))
}

/// Connections to `address` that this machine is trying to make.
fn attempts(address: SocketAddr) -> usize {
    const SYN_SENT: &str = "02";
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the kernel shows its connections");
    let port = format!(":{:04X}", address.port());
    let is_one = |line: &&str| {
        let mut words = line.split_whitespace().skip(2);
        words.next().is_some_and(|remote| remote.ends_with(&port)) && words.next() == Some(SYN_SENT)
    };
    table.lines().filter(is_one).count()
}
