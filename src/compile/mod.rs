//! From what the operator wants to what the data plane needs: `Plan` + addresses → `Snapshot`.
//!
//! The only room that knows both the operator's words and the tables. Pure: it reads no file, resolves no
//! name and reads no clock; `control/` calls it for every change and publishes the result.

mod credentials;
mod proxies;
mod series;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    config::plan::{Plan, Target},
    snapshot::{
        Callers, HeadLimits, KeyTable, MILLIS_NEVER, Routes, Snapshot, Upstream, UpstreamId, UpstreamTimeouts,
    },
};

/// The addresses of targets, by position in the plan.
pub type Addresses = Vec<Vec<SocketAddr>>;

/// What outlives one snapshot: numbers of targets, and the parts that did not change.
#[derive(Default)]
pub struct Compiler {
    generation: u64,
    upstream_ids: HashMap<(String, String), UpstreamId>,
    keys: Option<Arc<KeyTable>>,
    series: series::SeriesNumbers,
}

impl Compiler {
    /// Compiles a plan whose keys are new.
    pub fn compile(&mut self, plan: &Plan, addresses: &Addresses) -> Snapshot {
        self.keys = Some(Arc::new(credentials::key_table(&plan.proxy_credentials)));
        self.compile_addresses(plan, addresses)
    }

    /// Compiles the plan of the snapshot before with other addresses: the keys are shared.
    pub fn compile_addresses(&mut self, plan: &Plan, addresses: &Addresses) -> Snapshot {
        self.generation += 1;
        let upstreams: Arc<[_]> = plan
            .targets
            .iter()
            .enumerate()
            .map(|(at, target)| self.upstream(target, addresses.get(at).map_or(&[], Vec::as_slice)))
            .collect();
        self.series.begin(plan.proxies.iter().map(|proxy| proxy.label.as_str()));
        let series = &mut self.series;
        let proxies: Arc<[_]> =
            plan.proxies.iter().map(|proxy| proxies::compile(proxy, plan, &upstreams, series)).collect();
        Snapshot {
            generation: self.generation,
            routes: Arc::new(routes(plan)),
            proxies,
            credentials: (0_u32..)
                .zip(&plan.proxy_credentials)
                .map(|(number, one)| Some(credentials::compile(number, one, plan)))
                .collect(),
            keys: Arc::clone(
                self.keys.get_or_insert_with(|| Arc::new(credentials::key_table(&plan.proxy_credentials))),
            ),
            upstreams,
            callers: callers(plan),
            series: self.series.names(),
        }
    }

    fn upstream(&mut self, target: &Target, addresses: &[SocketAddr]) -> Upstream {
        let next = UpstreamId(u32::try_from(self.upstream_ids.len()).unwrap_or(u32::MAX));
        let identity = (target.name.clone(), format!("{}:{}", target.host, target.port));
        let timeouts = &target.timeouts;
        Upstream {
            id: *self.upstream_ids.entry(identity).or_insert(next),
            name: target.name.as_str().into(),
            addresses: addresses.into(),
            base_path: target.base_path.as_bytes().into(),
            authority: target.authority.as_bytes().into(),
            preserve_host: target.preserve_host,
            idle_connections: target.idle_connections,
            timeouts: UpstreamTimeouts {
                connect: millis(timeouts.connect),
                first_byte: millis(timeouts.first_byte),
                body: millis(timeouts.body),
                total: timeouts.total.map_or(MILLIS_NEVER, millis),
                idle: millis(timeouts.idle),
                tunnel: timeouts.tunnel.map_or(MILLIS_NEVER, millis),
                tunnel_idle: millis(timeouts.tunnel_idle),
            },
        }
    }
}

fn routes(plan: &Plan) -> Routes {
    let mut routes = Routes::default();
    for (proxy, at) in plan.proxies.iter().zip(0_u32..) {
        for segment in proxy.alias.iter().chain(&proxy.id) {
            routes.add_segment(segment, at);
        }
        for host in &proxy.hosts {
            routes.add_host(host, at);
        }
    }
    routes
}

fn callers(plan: &Plan) -> Callers {
    let (limits, timeouts) = (&plan.server.limits, &plan.server.timeouts);
    Callers {
        head: HeadLimits {
            head_bytes: limits.head_bytes,
            headers: limits.headers,
            target_bytes: limits.target_bytes,
        },
        body_bytes: limits.body_bytes.unwrap_or(u64::MAX),
        head_millis: millis(timeouts.head),
        body_millis: millis(timeouts.body),
        idle_millis: millis(timeouts.idle),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(MILLIS_NEVER - 1)
}
