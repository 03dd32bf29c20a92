//! Hands snapshots to the shards and takes the old ones back.
//!
//! A shard must never be the one that drops the last reference to a snapshot: freeing a million keys would
//! stop it for milliseconds. So every old snapshot is kept here until each shard has said that it looks at a
//! newer one; the thread of `free.rs` has the work.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    snapshot::Snapshot,
    telemetry::{ShardCells, Totals},
};

/// What the control thread can do to a shard.
pub trait ShardLink: Send {
    /// Its counters.
    fn cells(&self) -> &Arc<ShardCells>;
    /// Makes it look at the current snapshot.
    fn wake(&self);
    /// Makes it accept no more callers.
    fn drain(&self);
    /// The same, while another process accepts them from the same sockets.
    fn hand_over(&self);

    /// Whether somebody may still be accepted who is not among the connections yet.
    fn is_listening(&self) -> bool;
}

/// The current snapshot, those that are on their way out, and the shards.
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    retired: Vec<Arc<Snapshot>>,
    shards: Vec<Box<dyn ShardLink>>,
}

impl Publisher {
    /// For shards that read `current`.
    pub fn new(current: Arc<ArcSwap<Snapshot>>, shards: Vec<Box<dyn ShardLink>>) -> Self {
        Self { current, retired: Vec::new(), shards }
    }

    /// Makes the snapshot of the next generation current and wakes the shards, so that idle ones let go of the old
    /// one too. Returns the generation.
    pub fn publish(&mut self, snapshot: impl FnOnce(u64) -> Snapshot) -> u64 {
        let generation = self.generation() + 1;
        let retired = self.current.swap(Arc::new(snapshot(generation)));
        debug_assert!(retired.generation < generation, "generations only ever rise");
        self.retired.push(retired);
        self.shards.iter().for_each(|shard| shard.wake());
        generation
    }

    /// The current generation.
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }

    /// The newest generation such that no shard looks at an older one.
    pub fn acknowledged(&self) -> u64 {
        self.shards.iter().map(|shard| shard.cells().acknowledged()).min().unwrap_or(u64::MAX)
    }

    /// What no shard looks at any more, to be freed.
    pub fn collect(&mut self) -> Vec<Arc<Snapshot>> {
        let seen = self.acknowledged();
        self.retired.extract_if(.., |snapshot| snapshot.generation < seen).collect()
    }

    /// Makes every shard drain.
    pub fn drain(&self) {
        self.shards.iter().for_each(|shard| shard.drain());
    }

    /// Makes every shard drain and leave its sockets to another process.
    pub fn hand_over(&self) {
        self.shards.iter().for_each(|shard| shard.hand_over());
    }

    /// Whether a shard may still accept somebody.
    pub fn is_listening(&self) -> bool {
        self.shards.iter().any(|shard| shard.is_listening())
    }

    /// Callers that are connected.
    pub fn connections(&self) -> u64 {
        self.totals().connections
    }

    /// The counters of all shards.
    pub fn totals(&self) -> Totals {
        Totals::of(self.shards.iter().map(|shard| &**shard.cells()))
    }

    pub(super) fn heartbeats(&self) -> Vec<u64> {
        self.shards.iter().map(|shard| shard.cells().heartbeat()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use arc_swap::ArcSwap;

    use super::{Publisher, ShardLink};
    use crate::{
        compile::{Compiler, Epoch},
        config,
        snapshot::Snapshot,
        telemetry::ShardCells,
    };

    struct Link(Arc<ShardCells>);

    impl ShardLink for Link {
        fn cells(&self) -> &Arc<ShardCells> {
            &self.0
        }
        fn wake(&self) {}
        fn drain(&self) {}
        fn is_listening(&self) -> bool {
            false
        }

        fn hand_over(&self) {}
    }

    #[test]
    fn a_snapshot_is_freed_when_every_shard_has_seen_a_newer_one() {
        let plan = Arc::new(config::parse_text("").expect("an empty file is a configuration").plan);
        let compiled = Compiler::default().compile(&plan, Epoch::FIRST).expect("it compiles");
        let snapshot = |generation| compiled.snapshot(generation, &Vec::new(), &Arc::default());
        let cells = [Arc::<ShardCells>::default(), Arc::default()];
        let current = Arc::new(ArcSwap::from_pointee(snapshot(1)));
        let first: Weak<Snapshot> = Arc::downgrade(&current.load_full());
        let links =
            cells.iter().map(|cells| Box::new(Link(Arc::clone(cells))) as Box<dyn ShardLink>).collect();
        let mut publisher = Publisher::new(current, links);

        assert_eq!(publisher.publish(snapshot), 2);
        drop(publisher.collect());
        assert!(first.upgrade().is_some(), "no shard has said anything");
        cells[0].acknowledge(2);
        drop(publisher.collect());
        assert!(first.upgrade().is_some(), "one shard still looks at it");
        cells[1].acknowledge(2);
        drop(publisher.collect());
        assert!(first.upgrade().is_none());
    }
}
