//! Proxies: their locations, what they strip and inject, how they challenge.

use std::sync::Arc;

use super::{CompiledRules, credentials::IDENTITY_FIELDS, series::SeriesNumbers};
use crate::{
    config::plan::{
        Branch, Location as PlannedLocation, Plan, Proxy as PlannedProxy, ProxyRoute, TargetCredential,
    },
    snapshot::{
        Branch as CompiledBranch, Location, LocationKind, NameSet, Proxy, ProxyRules, RuleSet, Security,
        Serving, UpstreamId,
    },
    types::{Effect, Secret},
};

/// Fields that the gateway writes itself: what a caller says under these names never passes.
const GATEWAY_FIELDS: [&str; 8] = [
    "X-Request-Id",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Real-Ip",
    "Forwarded",
];

/// The numbers of targets and proxy credentials, by their positions in the plan.
pub(super) struct Places<'p> {
    pub upstreams: &'p [UpstreamId],
    pub credentials: &'p [u32],
}

pub(super) fn compile_all(
    plan: &Plan,
    places: &Places<'_>,
    rules: &CompiledRules,
    series: &mut SeriesNumbers,
) -> Arc<[Proxy]> {
    let own = plan.proxies.iter().zip(&rules.proxies);
    own.map(|(proxy, own)| compile(proxy, plan, places, proxy_rules(proxy, own, rules), series)).collect()
}

/// The rules of whatever the proxy joins.
fn proxy_rules(proxy: &PlannedProxy, own: &Arc<RuleSet>, rules: &CompiledRules) -> ProxyRules {
    let route = proxy.route.as_ref().ok();
    let target_credential = route.and_then(|route| rules.target_credentials.get(route.target_credential?));
    ProxyRules {
        target_credential: target_credential.cloned().unwrap_or_default(),
        proxy: Arc::clone(own),
        target: route.and_then(|route| rules.targets.get(route.target)).cloned().unwrap_or_default(),
        default: proxy.rules.default.unwrap_or(Effect::Allow),
    }
}

fn compile(
    proxy: &PlannedProxy,
    plan: &Plan,
    places: &Places<'_>,
    rules: ProxyRules,
    series: &mut SeriesNumbers,
) -> Proxy {
    let Places { upstreams, credentials } = places;
    let resolved = proxy.route.as_ref().ok().and_then(|route| Some((route, *upstreams.get(route.target)?)));
    let (route, upstream) = resolved.unzip();
    let security = route.map_or_else(Security::default, |route| security(proxy, route, plan, credentials));
    let target_credential =
        route.and_then(|route| route.target_credential).and_then(|at| plan.target_credentials.get(at));
    Proxy {
        label: proxy.label.as_str().into(),
        serving: serving(proxy, upstream),
        upstream: upstream.unwrap_or(UpstreamId(u32::MAX)),
        upstream_index: route.and_then(|route| u32::try_from(route.target).ok()).unwrap_or(u32::MAX),
        websocket: proxy.websocket,
        keep_encoded_slash: proxy.keep_encoded_slash,
        stripped: Arc::new(stripped(&security.locations, target_credential)),
        injected: injected(target_credential),
        rules,
        challenge: challenge(&proxy.label, &security.locations),
        series: series.of(&proxy.label, accepted(route, plan, credentials)),
        security,
    }
}

fn security(proxy: &PlannedProxy, route: &ProxyRoute, plan: &Plan, numbers: &[u32]) -> Security {
    let branch = |planned: &Branch| CompiledBranch {
        members: planned.members.iter().filter_map(|at| numbers.get(*at).copied()).collect(),
        identity: planned.identity,
    };
    let branches = route.security.branches.iter().map(branch).collect();
    Security::new(locations(route, plan, numbers), branches, proxy.pass_preflight)
}

/// Number, name and consumer of every credential that a route accepts.
fn accepted<'p>(
    route: Option<&'p ProxyRoute>,
    plan: &'p Plan,
    numbers: &'p [u32],
) -> impl Iterator<Item = (u32, &'p str, Option<&'p str>)> {
    let branches = route.map_or(&[][..], |route| &route.security.branches);
    branches.iter().filter_map(Branch::identity).filter_map(|at| {
        let credential = plan.proxy_credentials.get(at)?;
        let consumer = credential.consumer.and_then(|at| plan.consumers.get(at));
        let number = *numbers.get(at)?;
        Some((number, credential.name.as_str(), consumer.map(|consumer| consumer.name.as_str())))
    })
}

fn serving(proxy: &PlannedProxy, upstream: Option<UpstreamId>) -> Serving {
    match (proxy.active, upstream) {
        (false, _) => Serving::Inactive,
        (true, None) => Serving::Broken,
        (true, Some(_)) => Serving::Yes,
    }
}

/// Every place that a credential of the proxy names, once, in the order in which they are first named.
fn locations(route: &ProxyRoute, plan: &Plan, numbers: &[u32]) -> Box<[Location]> {
    let mut found: Vec<(&PlannedLocation, Vec<u32>)> = Vec::new();
    for at in route.security.credentials() {
        let (Some(credential), Some(&number)) = (plan.proxy_credentials.get(at), numbers.get(at)) else {
            continue;
        };
        for location in &credential.locations {
            match found.iter_mut().find(|(known, _)| *known == location) {
                Some((_, credentials)) => credentials.push(number),
                None => found.push((location, vec![number])),
            }
        }
    }
    found.into_iter().map(|(planned, credentials)| location(planned, credentials)).collect()
}

fn location(planned: &PlannedLocation, mut credentials: Vec<u32>) -> Location {
    credentials.sort_unstable();
    credentials.dedup();
    let (name, kind) = match planned {
        PlannedLocation::Header(name) if name == "authorization" => {
            (name.as_str(), LocationKind::Authorization)
        }
        PlannedLocation::Header(name) => (name.as_str(), LocationKind::Plain),
        PlannedLocation::ClientCertificate => ("", LocationKind::Certificate),
    };
    Location { name: name.as_bytes().into(), kind, credentials: credentials.into_boxed_slice() }
}

fn stripped(locations: &[Location], target: Option<&TargetCredential>) -> NameSet {
    let fields = locations.iter().filter(|location| location.kind != LocationKind::Certificate);
    let of_locations = fields.filter_map(|location| std::str::from_utf8(&location.name).ok());
    let of_target = target.into_iter().flat_map(|target| target.fields.iter().map(|(name, _)| name.as_str()));
    NameSet::new(of_locations.chain(of_target).chain(IDENTITY_FIELDS).chain(GATEWAY_FIELDS))
}

fn injected(target: Option<&TargetCredential>) -> Secret {
    let mut lines = Vec::new();
    for (name, value) in target.into_iter().flat_map(|target| &target.fields) {
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.expose());
        lines.extend_from_slice(b"\r\n");
    }
    Secret::new(lines)
}

/// One challenge for each kind of location. `ApiKey` and `ClientCertificate` are no registered schemes; they name what is expected all
/// the same, and RFC 9110 §11.6.1 asks for at least one challenge.
fn challenge(realm: &str, locations: &[Location]) -> Box<[u8]> {
    let mut lines = match locations {
        [only] if only.kind == LocationKind::Certificate => {
            format!("WWW-Authenticate: ClientCertificate realm=\"{realm}\"\r\n")
        }
        _ => format!("WWW-Authenticate: ApiKey realm=\"{realm}\"\r\n"),
    };
    if locations.iter().any(|location| location.kind == LocationKind::Authorization) {
        lines.push_str(&format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"));
    }
    lines.into_bytes().into_boxed_slice()
}
