//! Where targets are: names are looked up here, never on a shard, and looked up again before they grow old.
//!
//! A failed look-up keeps what is known. What a name may lead to is checked after it was resolved: addresses
//! of the link itself, where clouds keep their metadata services, are left out unless the operator wrote the
//! address down.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tracing::warn;

use crate::{
    compile::Addresses,
    config::plan::{Plan, Target},
    limits::ADDRESSES_MAX,
};

/// How long one look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a name without an address is looked up again.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Looks every target up once, all at the same time.
pub async fn resolve_all(plan: &Plan) -> Addresses {
    resolve_new(plan, HashMap::new()).await
}

/// Where the targets of a plan are: what is known already is taken over, the rest is looked up.
pub async fn resolve_new(plan: &Plan, known: HashMap<(String, u16), Vec<SocketAddr>>) -> Addresses {
    let mut lookups = Vec::with_capacity(plan.targets.len());
    for target in &plan.targets {
        let found = known.get(&(target.host.clone(), target.port)).filter(|found| !found.is_empty());
        lookups.push(match found {
            Some(found) => Ok(found.clone()),
            None => Err(tokio::spawn(lookup(target.clone()))),
        });
    }
    let mut addresses = Vec::with_capacity(lookups.len());
    for lookup in lookups {
        addresses.push(match lookup {
            Ok(found) => found,
            Err(task) => task.await.ok().flatten().unwrap_or_default(),
        });
    }
    addresses
}

/// When each target is looked up next, and the look-up that is under way.
pub struct Resolver {
    due: Vec<Option<Instant>>,
    /// It outlives the future that awaits it: a slow look-up is neither lost nor begun a second time.
    pending: Option<(usize, JoinHandle<Option<Vec<SocketAddr>>>)>,
}

impl Resolver {
    /// For targets that were looked up just now. Addresses that were written down never change.
    pub fn new(plan: &Plan) -> Self {
        let now = Instant::now();
        let due = |target: &Target| {
            literal(target).is_none().then(|| now + RETRY_INTERVAL.min(target.timeouts.resolve))
        };
        Self { due: plan.targets.iter().map(due).collect(), pending: None }
    }

    /// Looks names up as they fall due; returns when something is different. Can be dropped at any time.
    pub async fn next_change(&mut self, plan: &Plan, known: &Addresses) -> Addresses {
        loop {
            let (at, found) = self.next_found(plan).await;
            let Some(target) = plan.targets.get(at) else { continue };
            let before = known.get(at).map_or(&[][..], Vec::as_slice);
            let missing = found.as_ref().is_none_or(Vec::is_empty) && before.is_empty();
            let wait =
                if missing { RETRY_INTERVAL.min(target.timeouts.resolve) } else { target.timeouts.resolve };
            self.due[at] = Some(Instant::now() + wait);
            if let Some(found) = found.filter(|found| !found.is_empty() && found != before) {
                let mut changed = known.clone();
                changed.resize(plan.targets.len(), Vec::new());
                changed[at] = found;
                return changed;
            }
        }
    }

    /// The outcome of the next look-up.
    async fn next_found(&mut self, plan: &Plan) -> (usize, Option<Vec<SocketAddr>>) {
        if self.pending.is_none() {
            let Some((at, due)) = self.earliest() else { return std::future::pending().await };
            sleep_until(due).await;
            let Some(target) = plan.targets.get(at) else { return (at, None) };
            self.pending = Some((at, tokio::spawn(lookup(target.clone()))));
        }
        let Some((at, lookup)) = &mut self.pending else { return std::future::pending().await };
        let outcome = (*at, lookup.await.ok().flatten());
        self.pending = None;
        outcome
    }

    fn earliest(&self) -> Option<(usize, Instant)> {
        let due = self.due.iter().enumerate().filter_map(|(at, due)| Some((at, (*due)?)));
        due.min_by_key(|(_, due)| *due)
    }
}

fn literal(target: &Target) -> Option<IpAddr> {
    target.host.parse().ok()
}

/// The addresses of a target, sorted; `None` when the look-up failed.
async fn lookup(target: Target) -> Option<Vec<SocketAddr>> {
    if let Some(address) = literal(&target) {
        return Some(vec![SocketAddr::new(address, target.port)]);
    }
    let name = (target.host.as_str(), target.port);
    let found = match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            warn!(target = target.name, host = target.host, %error, "cannot resolve; known addresses are kept");
            return None;
        }
        Err(_) => {
            warn!(
                target = target.name,
                host = target.host,
                "resolving takes too long; known addresses are kept"
            );
            return None;
        }
    };
    let (mut usable, refused): (Vec<_>, Vec<_>) = found.partition(|address| may_lead_to(address.ip()));
    if !refused.is_empty() {
        warn!(
            target = target.name,
            host = target.host,
            "the name leads to a link-local address, which is left out"
        );
    }
    usable.sort_unstable();
    usable.dedup();
    usable.truncate(ADDRESSES_MAX);
    Some(usable)
}

fn may_lead_to(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            !address.is_link_local() && !address.is_unspecified() && !address.is_multicast()
        }
        IpAddr::V6(address) => {
            !address.is_unicast_link_local() && !address.is_unspecified() && !address.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::may_lead_to;

    #[test]
    fn names_do_not_lead_to_metadata_services() {
        for refused in ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "::", "224.0.0.1"]
        {
            assert!(!may_lead_to(refused.parse().expect("an address")), "{refused}");
        }
        for fine in ["127.0.0.1", "10.0.0.1", "2001:db8::1", "::1"] {
            assert!(may_lead_to(fine.parse().expect("an address")), "{fine}");
        }
    }
}
