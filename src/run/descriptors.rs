//! How many callers and unused connections there may be, so that nobody who is let in fails for want of a descriptor.

use tracing::warn;

use crate::{config::plan::Plan, limits::REFUSALS_MAX, shard};

/// Of one caller at most: two of its own connection and three of that to the target, while a tunnel lasts.
const PER_CALLER: usize = 5;
/// Of the process: logs, `data_dir`, watched files, callers of the admin listener, a configuration that is being read.
const PER_PROCESS: usize = 128;
/// Of a shard, beside its listeners: its ring or epoll, what wakes it and its timer.
const PER_SHARD: usize = 8;
/// Of a listener in each shard: its socket, and the one that a successor will get.
const PER_LISTENER: usize = 2;

/// What each shard may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Callers at a time.
    pub(super) connections: usize,
    /// Unused connections to targets.
    pub(super) upstream_idle: usize,
}

impl Budget {
    /// Shares out the descriptors of the process, whose limit is raised as far as it may be.
    pub(super) fn new(plan: &Plan, shards: usize) -> Self {
        let wanted = plan.server.limits.connections;
        let idle = plan.targets.iter().map(|target| target.idle_connections).sum();
        let limit = shard::raise_file_limit();
        let (budget, possible) = share(limit, shards, plan.listeners.len(), idle, wanted);
        if let Some(wanted) = wanted.filter(|wanted| *wanted > possible) {
            warn!(
                "server.limits.connections = {wanted}, but with at most {limit} open files only {possible} connections \
                 can do all that they may at once: raise the limit (ulimit -n, LimitNOFILE) or lower the bound"
            );
        }
        budget
    }
}

/// What each shard may have, and how many callers are possible in all. `idle` is wanted in each shard, `wanted` in all.
fn share(
    limit: usize,
    shards: usize,
    listeners: usize,
    idle: usize,
    wanted: Option<usize>,
) -> (Budget, usize) {
    let fixed = PER_PROCESS + shards * (PER_SHARD + REFUSALS_MAX + listeners * PER_LISTENER);
    let free = limit.saturating_sub(fixed);
    // A connection that is not used may be dispensed with, a caller may not.
    let upstream_idle = idle.min(free / 4 / shards);
    let possible = (free - upstream_idle * shards) / PER_CALLER;
    let connections = wanted.unwrap_or(possible).div_ceil(shards).max(1);
    (Budget { connections, upstream_idle }, possible)
}

#[cfg(test)]
mod tests {
    use super::{Budget, share};

    #[test]
    fn descriptors_are_shared_out() {
        let of = |limit, shards, idle, wanted| share(limit, shards, 1, idle, wanted);
        assert_eq!(of(4_274, 1, 0, None), (Budget { connections: 814, upstream_idle: 0 }, 814));
        assert_eq!(of(4_350, 2, 512, None).0, Budget { connections: 306, upstream_idle: 509 });
        assert_eq!(of(1_000_000, 2, 512, Some(100)).0, Budget { connections: 50, upstream_idle: 512 });
        assert_eq!(of(100, 2, 512, None), (Budget { connections: 1, upstream_idle: 0 }, 0));
        for limit in [300, 1_024, 4_096, 1_048_576] {
            let (Budget { connections, upstream_idle }, possible) = of(limit, 2, 512, None);
            assert!(possible * 5 + upstream_idle * 2 <= limit && connections * 2 <= possible.max(1) + 1);
        }
    }
}
