//! How many connections each caller's address has, for the bound on them: one table for all shards.
//!
//! The one thing that shards share and write beside the snapshot's own: callers of one address are spread over shards,
//! so that a share of the bound for each shard would refuse the few that happen to meet. The table has a fixed size and
//! no lock. An address is hashed, with a seed that nobody outside knows, to one count; two addresses with the same
//! count are counted together, which may refuse one too early and never one too late. It is touched once when a
//! connection begins and once when it ends, never for a request.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::limits::ADDRESS_COUNTS;

/// The counts of all addresses.
pub struct AddressCounts {
    counts: Box<[AtomicU32]>,
    most: u32,
    seed: RandomState,
}

impl AddressCounts {
    /// Counts for a bound.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            counts: (0..ADDRESS_COUNTS).map(|_| AtomicU32::new(0)).collect(),
            most: u32::try_from(most).unwrap_or(u32::MAX),
            seed: RandomState::new(),
        })
    }

    /// Counts a connection in, unless its address has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let at = self.place(address);
        let count = self.counts.get(at)?;
        // Relaxed: nothing but the number itself depends on it.
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < self.most).then_some(count + 1)
        });
        entered.ok().map(|_| Counted { counts: Arc::clone(self), at })
    }

    fn place(&self, address: IpAddr) -> usize {
        let hash = self.seed.hash_one(subject(address));
        usize::try_from(hash % ADDRESS_COUNTS as u64).unwrap_or(0)
    }
}

/// What is counted as one: an IPv4 address, or the 64 bits of IPv6 that a single caller is usually given.
fn subject(address: IpAddr) -> (bool, u64) {
    match address.to_canonical() {
        IpAddr::V4(address) => (false, u64::from(address.to_bits())),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            (true, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
    }
}

/// A connection that is counted, until it is dropped.
pub(super) struct Counted {
    counts: Arc<AddressCounts>,
    at: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.counts.counts.get(self.at) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::IpAddr,
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::{AddressCounts, subject};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn as_many_as_may_come_in_and_others_when_they_have_left() {
        let counts = AddressCounts::new(2);
        let first = counts.enter(ip("192.0.2.1"));
        let second = counts.enter(ip("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some() && counts.enter(ip("192.0.2.1")).is_none());
        drop(first);
        assert!(counts.enter(ip("192.0.2.1")).is_some_and(|_| true), "one has left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        assert_eq!(subject(ip("2001:db8::1")), subject(ip("2001:db8::ffff:0:0:2")));
        assert_ne!(subject(ip("2001:db8::1")), subject(ip("2001:db8:0:1::1")));
        assert_ne!(subject(ip("0.0.0.1")), subject(ip("0:0:0:1::")));
    }

    #[test]
    fn however_many_come_and_go_at_once_the_bound_holds_and_nobody_stays() {
        const MOST: usize = 3;
        const THREADS: usize = 8;
        let counts = AddressCounts::new(MOST);
        let (together, inside, refused) = (Barrier::new(THREADS), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    together.wait();
                    for _ in 0..20_000 {
                        let Some(counted) = counts.enter(ip("192.0.2.1")) else {
                            refused.fetch_add(1, Ordering::SeqCst);
                            continue;
                        };
                        // Counted after it came in and before it leaves: never more than there are.
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < MOST, "more than may");
                        thread::park_timeout(std::time::Duration::from_nanos(1));
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(counted);
                    }
                });
            }
        });
        assert!(refused.load(Ordering::SeqCst) > 0, "they never met");
        assert!(
            counts.counts.iter().all(|count| count.load(Ordering::SeqCst) == 0),
            "somebody is still counted"
        );
    }
}
