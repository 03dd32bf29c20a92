//! From what the operator wants to what the data plane needs: `Plan` + addresses → `Snapshot`.
//!
//! The only room that knows both the operator's words and the tables. Pure: it reads no file, resolves no
//! name and reads no clock; `control/` calls it for every change and publishes the result.

mod credentials;
mod doors;
mod keys;
mod numbers;
mod proxies;
mod rules;
mod series;
mod tls;

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

pub use doors::doors;
pub use keys::{KeyChanges, KeyCounts, RevokedKey};
pub use numbers::Epoch;
pub use tls::{CertificateInUse, CertificateRole};

use keys::{Conflict, Keys, Source};
use numbers::NumberedNames;
use proxies::Places;
use series::SeriesNumbers;
use tls::{CompiledTls, Tls};

use crate::{
    config::{
        Diagnostic, Severity,
        plan::{Plan, Target, TargetTls},
    },
    snapshot::{
        Callers, Credential, HeadLimits, KeyTable, MILLIS_NEVER, Proxy, Revoked, RevokedFor, Routes,
        Snapshot, Upstream, UpstreamId, UpstreamTimeouts, UpstreamTls,
    },
    store::Revocations,
    types::{Pace, SeriesName},
};

pub use rules::{CompiledRules, RuleCache};

/// The addresses of targets, by position in the plan.
pub type Addresses = Vec<Vec<SocketAddr>>;

/// A target's number, and how far it was trusted under it.
type KnownUpstream = (UpstreamId, Option<Arc<TargetTls>>);

/// What outlives one plan: numbers, and the parts that did not change. A plan is compiled with a clone, which is kept
/// only if its outcome is.
#[derive(Clone, Default)]
pub struct Compiler {
    upstream_ids: HashMap<(String, String), KnownUpstream>,
    upstreams_ever: u32,
    credentials: NumberedNames,
    keys: Keys,
    rules: RuleCache,
    series: SeriesNumbers,
    tls: Tls,
}

/// A plan as tables. What may change without it, the addresses of targets and what is revoked, goes into each snapshot
/// that is made of it.
pub struct Compiled {
    /// What it was made from.
    pub plan: Arc<Plan>,
    /// How its keys differ from those before.
    pub key_changes: KeyChanges,
    routes: Arc<Routes>,
    proxies: Arc<[Proxy]>,
    credentials: Arc<[Option<Credential>]>,
    keys: Arc<KeyTable>,
    numbers: HashMap<String, u32>,
    upstream_ids: Vec<UpstreamId>,
    tls: CompiledTls,
    callers: Callers,
    series: Arc<[SeriesName]>,
}

impl Compiler {
    /// A compiler whose rules have lazy automata alone, so that those can be tested.
    pub fn with_lazy_rules() -> Self {
        Self { rules: RuleCache::lazy_only(), ..Self::default() }
    }

    /// Who is told how work in bulk goes on.
    pub fn set_pace(&mut self, pace: Option<Arc<dyn Pace>>) {
        self.keys.pace = pace;
    }

    /// Compiles a plan.
    ///
    /// # Errors
    ///
    /// What only shows when everything comes together: two records of one key in different files, or more patterns in
    /// one scope than an automaton can hold.
    pub fn compile(&mut self, plan: &Arc<Plan>, epoch: Epoch) -> Result<Compiled, Vec<Diagnostic>> {
        self.credentials.assign(plan.proxy_credentials.iter().map(|one| one.name.as_str()), epoch);
        let numbers: Vec<u32> = plan.proxy_credentials.iter().map(|one| self.number(&one.name)).collect();
        let sources = plan.proxy_credentials.iter().zip(&numbers);
        let sources = sources.map(|(one, number)| Source { credential: *number, lists: one.keys.clone() });
        let key_changes = self.keys.update(sources.collect(), epoch).map_err(diagnostics)?;
        let upstream_ids = self.upstream_ids(plan);
        let rules = self.rules.compile(plan);
        if !rules.failures.is_empty() {
            return Err(rules.failures);
        }
        let tls = self.tls.compile(plan)?;
        self.series.begin(plan.proxies.iter().map(|proxy| proxy.label.as_str()));
        let places = Places { upstreams: &upstream_ids, credentials: &numbers };
        let proxies = proxies::compile_all(plan, &places, &rules, &mut self.series);
        let mut credentials: Vec<_> = (0..self.credentials.end()).map(|_| None).collect();
        for ((at, one), &number) in plan.proxy_credentials.iter().enumerate().zip(&numbers) {
            if let Some(place) = credentials.get_mut(number as usize) {
                *place = Some(credentials::compile(
                    number,
                    one,
                    plan,
                    rules.of_credential(plan, at),
                    tls.callers.get(at).cloned().flatten(),
                ));
            }
        }
        Ok(Compiled {
            plan: Arc::clone(plan),
            key_changes,
            routes: Arc::new(routes(plan)),
            proxies,
            credentials: credentials.into(),
            keys: Arc::clone(&self.keys.table),
            numbers: plan.proxy_credentials.iter().map(|one| one.name.clone()).zip(numbers).collect(),
            upstream_ids,
            tls,
            callers: callers(plan),
            series: self.series.names(),
        })
    }

    /// The number of a credential of the plan compiled last.
    fn number(&self, credential: &str) -> u32 {
        self.credentials.number(credential).unwrap_or(u32::MAX)
    }

    /// The numbers of targets: a name at the same address keeps its own, and with it its connections; not one that is
    /// to be trusted differently now.
    fn upstream_ids(&mut self, plan: &Plan) -> Vec<UpstreamId> {
        let mut before = std::mem::take(&mut self.upstream_ids);
        let mut ids = Vec::with_capacity(plan.targets.len());
        for target in &plan.targets {
            let identity = (target.name.clone(), format!("{}:{}", target.host, target.port));
            let known = before.remove(&identity).filter(|(_, tls)| *tls == target.tls).map(|(id, _)| id);
            let id = known.unwrap_or_else(|| {
                self.upstreams_ever += 1;
                UpstreamId(self.upstreams_ever)
            });
            self.upstream_ids.insert(identity, (id, target.tls.clone()));
            ids.push(id);
        }
        ids
    }
}

impl Compiled {
    /// The snapshot of these tables with addresses and revocations.
    pub fn snapshot(&self, generation: u64, addresses: &Addresses, revoked: &Arc<Revoked>) -> Snapshot {
        let targets = self.plan.targets.iter().zip(&self.upstream_ids).enumerate();
        let upstream = |(at, (target, id)): (usize, (&Target, &UpstreamId))| {
            upstream(
                *id,
                target,
                addresses.get(at).map_or(&[], Vec::as_slice),
                self.tls.upstreams.get(at).cloned().flatten(),
            )
        };
        Snapshot {
            generation,
            routes: Arc::clone(&self.routes),
            proxies: Arc::clone(&self.proxies),
            credentials: Arc::clone(&self.credentials),
            keys: Arc::clone(&self.keys),
            revoked: Arc::clone(revoked),
            upstreams: targets.map(upstream).collect(),
            listeners: Arc::clone(&self.tls.listeners),
            callers: self.callers,
            series: Arc::clone(&self.series),
        }
    }

    /// What is revoked, by the numbers of these credentials.
    pub fn revoked(&self, revocations: &Revocations) -> Arc<Revoked> {
        let mut credentials = vec![false; self.credentials.len()].into_boxed_slice();
        for credential in self.credentials() {
            if let Some(flag) = credentials.get_mut(credential.number as usize) {
                *flag = revocations.credential(&credential.name);
            }
        }
        let keys = revocations.keys().map(|(digest, revoked)| {
            let of = |names: &BTreeSet<String>| {
                let numbers = names.iter().filter_map(|name| self.number_of(name));
                RevokedFor::Credentials(numbers.collect())
            };
            (*digest, revoked.as_ref().map_or(RevokedFor::All, of))
        });
        Arc::new(Revoked::new(keys, credentials))
    }

    /// The number of a credential.
    pub fn number_of(&self, credential: &str) -> Option<u32> {
        self.numbers.get(credential).copied()
    }

    /// The name of the credential with a number.
    pub fn name_of(&self, number: u32) -> Option<&str> {
        Some(&self.credentials.get(number as usize)?.as_ref()?.name)
    }

    /// The proxy credentials.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.iter().flatten()
    }

    /// The certificates of ours that are in use.
    pub fn certificates(&self) -> &[CertificateInUse] {
        &self.tls.certificates
    }

    /// The keys.
    pub fn keys(&self) -> &KeyTable {
        &self.keys
    }
}

fn upstream(
    id: UpstreamId,
    target: &Target,
    addresses: &[SocketAddr],
    tls: Option<Arc<UpstreamTls>>,
) -> Upstream {
    let timeouts = &target.timeouts;
    Upstream {
        id,
        name: target.name.as_str().into(),
        addresses: addresses.into(),
        base_path: target.base_path.as_bytes().into(),
        authority: target.authority.as_bytes().into(),
        preserve_host: target.preserve_host,
        tls,
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

fn diagnostics(conflicts: Vec<Conflict>) -> Vec<Diagnostic> {
    let diagnostic = |conflict: Conflict| Diagnostic {
        severity: Severity::Error,
        file: conflict.file,
        line: conflict.line as usize,
        column: 0,
        key: None,
        value: None,
        message: format!("the same key is already at {}", conflict.other),
        help: Some("remove one of the two".to_owned()),
    };
    conflicts.into_iter().map(diagnostic).collect()
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
