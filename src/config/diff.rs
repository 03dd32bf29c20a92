//! How two plans differ: the names of objects, never what is in them.

use std::sync::Arc;

use super::plan::{Branch, Edge, Listener, Plan, Proxy, ProxyCredential, ProxyRoute, Server};
use crate::types::Endpoint;

/// Names of one sort that a line of the log shows.
const NAMES_MAX: usize = 10;

/// What differs, in words for the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Such as `proxy: added crm; changed billing`.
    pub objects: Vec<String>,
    /// Settings that only count from the next start on.
    pub restart: Vec<&'static str>,
}

/// How `after` differs from `before`, apart from keys.
pub fn difference(before: &Plan, after: &Plan) -> Difference {
    let mut objects = Vec::new();
    let mut add = |sort: &str, changes: Changes<'_>| objects.extend(changes.sentence(sort));
    add("target", Changes::of(&before.targets, &after.targets, |one| &one.name, |a, b| a == b));
    add("consumer", Changes::of(&before.consumers, &after.consumers, |one| &one.name, |a, b| a == b));
    let (old, new) = (&before.proxy_credentials, &after.proxy_credentials);
    let same = |old: &ProxyCredential, new: &ProxyCredential| {
        (&old.locations, &old.authorities, &old.rules) == (&new.locations, &new.authorities, &new.rules)
            && consumer(old, before) == consumer(new, after)
    };
    add("credential", Changes::of(old, new, |one| &one.name, same));
    let (old, new) = (&before.target_credentials, &after.target_credentials);
    add("target credential", Changes::of(old, new, |one| &one.name, |a, b| a == b));
    let same = |old: &Proxy, new: &Proxy| same_but_for_positions((old, before), (new, after));
    add("proxy", Changes::of(&before.proxies, &after.proxies, |one| &one.label, same));
    if before.asserts != after.asserts {
        objects.push("asserts changed".to_owned());
    }
    for (old, new) in before.listeners.iter().filter_map(|old| Some((old, same_socket(old, after)?))) {
        if old.tls != new.tls && old.tls.is_some() == new.tls.is_some() {
            objects.push(format!("listener changed {}", old.address));
        }
    }
    let (old, new) = (&before.server, &after.server);
    let drain = |server: &Server| (server.drain_delay, server.drain_timeout);
    if (old.timeouts, old.limits, drain(old)) != (new.timeouts, new.limits, drain(new)) {
        objects.push("server changed".to_owned());
    }
    Difference { objects, restart: restart(before, after) }
}

fn same_socket<'p>(listener: &Listener, plan: &'p Plan) -> Option<&'p Listener> {
    plan.listeners.iter().find(|one| one.address == listener.address)
}

fn consumer<'p>(credential: &ProxyCredential, plan: &'p Plan) -> Option<&'p str> {
    credential.consumer.and_then(|at| plan.consumers.get(at)).map(|one| one.name.as_str())
}

/// References are positions in lists: what counts is what they lead to.
fn same_but_for_positions((old, before): (&Proxy, &Plan), (new, after): (&Proxy, &Plan)) -> bool {
    let old_route = old.route.as_ref().map(|route| names(route, before));
    let new_route = new.route.as_ref().map(|route| names(route, after));
    let own = |proxy: &Proxy| {
        let names = (proxy.id.clone(), proxy.alias.clone(), proxy.hosts.clone());
        (
            names,
            proxy.active,
            proxy.websocket,
            proxy.pass_preflight,
            proxy.keep_encoded_slash,
            Arc::clone(&proxy.rules),
        )
    };
    old_route == new_route && own(old) == own(new)
}

/// The names of target, target credential, and the members of each branch of the security.
type Names<'p> = (Option<&'p str>, Option<&'p str>, Vec<(Vec<&'p str>, usize)>);

fn names<'p>(route: &ProxyRoute, plan: &'p Plan) -> Names<'p> {
    let target = plan.targets.get(route.target).map(|one| one.name.as_str());
    let presents = route.target_credential.and_then(|at| plan.target_credentials.get(at));
    let named = |at: &usize| plan.proxy_credentials.get(*at).map_or("", |one| one.name.as_str());
    let branch = |branch: &Branch| (branch.members.iter().map(named).collect(), branch.identity);
    let accepts = route.security.branches.iter().map(branch).collect();
    (target, presents.map(|one| one.name.as_str()), accepts)
}

/// What of listeners cannot change while they listen: all but the certificates of those that speak TLS.
fn sockets(plan: &Plan) -> Vec<(&Endpoint, bool, &Edge)> {
    plan.listeners.iter().map(|one| (&one.address, one.tls.is_some(), &one.edge)).collect()
}

/// Settings that shards and sockets are made with.
fn restart(before: &Plan, after: &Plan) -> Vec<&'static str> {
    let (old, new) = (&before.server, &after.server);
    let settings = [
        ("server.shards", old.shards != new.shards),
        ("server.driver", old.driver != new.driver),
        ("server.data_dir", old.data_dir != new.data_dir),
        ("server.limits.connections", old.limits.connections != new.limits.connections),
        (
            "server.limits.connections_per_address",
            old.limits.connections_per_address != new.limits.connections_per_address,
        ),
        ("listener", sockets(before) != sockets(after)),
        ("admin", before.admin != after.admin),
        ("access_log", before.access_log != after.access_log),
    ];
    settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

struct Changes<'p> {
    added: Vec<&'p str>,
    removed: Vec<&'p str>,
    changed: Vec<&'p str>,
}

impl<'p> Changes<'p> {
    fn of<T>(
        before: &'p [T],
        after: &'p [T],
        name: impl Fn(&T) -> &String,
        same: impl Fn(&T, &T) -> bool,
    ) -> Self {
        let old: std::collections::HashMap<&str, &T> =
            before.iter().map(|one| (name(one).as_str(), one)).collect();
        let new: std::collections::HashSet<&str> = after.iter().map(|one| name(one).as_str()).collect();
        let mut changes = Self { added: Vec::new(), removed: Vec::new(), changed: Vec::new() };
        for one in after {
            match old.get(name(one).as_str()) {
                None => changes.added.push(name(one)),
                Some(known) if !same(known, one) => changes.changed.push(name(one)),
                Some(_) => {}
            }
        }
        changes.removed =
            before.iter().map(|one| name(one).as_str()).filter(|one| !new.contains(one)).collect();
        changes
    }

    fn sentence(&self, sort: &str) -> Option<String> {
        let parts: Vec<_> = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(verb, names)| format!("{verb} {}", listed(names)))
            .collect();
        (!parts.is_empty()).then(|| format!("{sort} {}", parts.join(", ")))
    }
}

/// The first few names, and how many more there are.
pub fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(" ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::difference;
    use crate::config::parse_text;

    fn plan(proxies: &str) -> crate::config::Plan {
        let text = format!(
            "[[target]]\nname = \"api\"\nurl = \"http://127.0.0.1:1\"\n[[credential]]\nname = \"c\"\n\
             type = \"proxy\"\nauth = \"key\"\nkeys = [{{ key = \"a-long-enough-key-of-a-caller-4711\" }}]\n{proxies}"
        );
        parse_text(&text).expect("a configuration").plan
    }

    fn proxy(alias: &str, more: &str) -> String {
        format!("[[proxy]]\nalias = \"{alias}\"\ntarget = \"api\"\nproxy_credentials = [\"c\"]\n{more}\n")
    }

    #[test]
    fn objects_are_named() {
        let before = plan(&(proxy("one", "") + &proxy("two", "")));
        let after = plan(&(proxy("two", "active = false") + &proxy("three", "")));
        assert_eq!(difference(&before, &after).objects, ["proxy added three, removed one, changed two"]);
        assert!(difference(&before, &before).objects.is_empty());
    }

    #[test]
    fn what_needs_a_restart_is_told() {
        let before = plan("");
        let after = plan("[server]\nshards = 2\n[[listener]]\naddress = \"127.0.0.1:9\"\n");
        assert_eq!(difference(&before, &after).restart, ["server.shards", "listener"]);
        let listener = "[[listener]]\naddress = \"127.0.0.1:9\"\ntrusted_proxies = [\"unix\"]\n";
        let (before, after) = (plan(listener), plan(&format!("{listener}trusted_header = \"forwarded\"\n")));
        assert_eq!(difference(&before, &after).restart, ["listener"]);
    }
}
