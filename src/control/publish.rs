//! Hands snapshots to the shards and frees the old ones.
//!
//! A shard must never be the one that drops the last reference to a snapshot: freeing a million keys would
//! stop it for milliseconds. So every old snapshot is kept here until each shard has said that it looks at a
//! newer one, and is then freed on this thread.

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

    /// Makes a snapshot current and wakes the shards, so that idle ones let go of the old one too.
    pub fn publish(&mut self, snapshot: Snapshot) {
        self.retired.push(self.current.swap(Arc::new(snapshot)));
        self.shards.iter().for_each(|shard| shard.wake());
    }

    /// Frees what no shard looks at any more.
    pub fn collect(&mut self) {
        let seen = self.shards.iter().map(|shard| shard.cells().acknowledged()).min().unwrap_or(u64::MAX);
        self.retired.retain(|snapshot| snapshot.generation >= seen);
    }

    /// Makes every shard drain.
    pub fn drain(&self) {
        self.shards.iter().for_each(|shard| shard.drain());
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
    use crate::{compile::Compiler, config, snapshot::Snapshot, telemetry::ShardCells};

    struct Link(Arc<ShardCells>);

    impl ShardLink for Link {
        fn cells(&self) -> &Arc<ShardCells> {
            &self.0
        }
        fn wake(&self) {}
        fn drain(&self) {}
    }

    #[test]
    fn a_snapshot_is_freed_when_every_shard_has_seen_a_newer_one() {
        let plan = config::parse_text("").expect("an empty file is a configuration").plan;
        let mut compiler = Compiler::default();
        let cells = [Arc::<ShardCells>::default(), Arc::default()];
        let current = Arc::new(ArcSwap::from_pointee(compiler.compile(&plan, &Vec::new())));
        let first: Weak<Snapshot> = Arc::downgrade(&current.load_full());
        let links =
            cells.iter().map(|cells| Box::new(Link(Arc::clone(cells))) as Box<dyn ShardLink>).collect();
        let mut publisher = Publisher::new(current, links);

        publisher.publish(compiler.compile(&plan, &Vec::new()));
        publisher.collect();
        assert!(first.upgrade().is_some(), "no shard has said anything");
        cells[0].acknowledge(2);
        publisher.collect();
        assert!(first.upgrade().is_some(), "one shard still looks at it");
        cells[1].acknowledge(2);
        publisher.collect();
        assert!(first.upgrade().is_none());
    }
}
