//! Proxies: their locations, what they strip and inject, how they challenge.

use std::sync::Arc;

use super::{credentials::IDENTITY_FIELDS, series::SeriesNumbers};
use crate::{
    config::plan::{Location as PlannedLocation, Plan, Proxy as PlannedProxy, ProxyRoute, TargetCredential},
    snapshot::{Location, LocationKind, NameSet, Proxy, Serving, Upstream, UpstreamId},
    types::Secret,
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

pub(super) fn compile(
    proxy: &PlannedProxy,
    plan: &Plan,
    upstreams: &[Upstream],
    series: &mut SeriesNumbers,
) -> Proxy {
    let resolved = proxy.route.as_ref().ok().and_then(|route| Some((route, upstreams.get(route.target)?)));
    let (route, upstream) = resolved.unzip();
    let locations = route.map_or_else(Box::default, |route| locations(route, plan));
    let target_credential =
        route.and_then(|route| route.target_credential).and_then(|at| plan.target_credentials.get(at));
    Proxy {
        label: proxy.label.as_str().into(),
        serving: serving(proxy, upstream),
        upstream: upstream.map_or(UpstreamId(u32::MAX), |upstream| upstream.id),
        upstream_index: route.and_then(|route| u32::try_from(route.target).ok()).unwrap_or(u32::MAX),
        websocket: proxy.websocket,
        keep_encoded_slash: proxy.keep_encoded_slash,
        stripped: Arc::new(stripped(&locations, target_credential)),
        injected: injected(target_credential),
        challenge: challenge(&proxy.label, &locations),
        series: series.of(&proxy.label, accepted(route, plan)),
        locations,
    }
}

/// Number, name and consumer of every credential that a route accepts.
fn accepted<'p>(
    route: Option<&'p ProxyRoute>,
    plan: &'p Plan,
) -> impl Iterator<Item = (u32, &'p str, Option<&'p str>)> {
    let positions = route.map_or(&[][..], |route| &route.proxy_credentials);
    positions.iter().filter_map(|&at| {
        let credential = plan.proxy_credentials.get(at)?;
        let consumer = credential.consumer.and_then(|at| plan.consumers.get(at));
        let number = u32::try_from(at).ok()?;
        Some((number, credential.name.as_str(), consumer.map(|consumer| consumer.name.as_str())))
    })
}

fn serving(proxy: &PlannedProxy, upstream: Option<&Upstream>) -> Serving {
    match (proxy.active, upstream) {
        (false, _) => Serving::Inactive,
        (true, None) => Serving::Broken,
        (true, Some(_)) => Serving::Yes,
    }
}

/// Every place that a credential of the proxy names, once, in the order in which they are first named.
fn locations(route: &ProxyRoute, plan: &Plan) -> Box<[Location]> {
    let mut found: Vec<(&str, Vec<u32>)> = Vec::new();
    for &at in &route.proxy_credentials {
        let (Some(credential), Ok(index)) = (plan.proxy_credentials.get(at), u32::try_from(at)) else {
            continue;
        };
        for PlannedLocation::Header(name) in &credential.locations {
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, credentials)) => credentials.push(index),
                None => found.push((name, vec![index])),
            }
        }
    }
    found.into_iter().map(|(name, credentials)| location(name, credentials)).collect()
}

fn location(name: &str, mut credentials: Vec<u32>) -> Location {
    credentials.sort_unstable();
    credentials.dedup();
    let kind = if name == "authorization" { LocationKind::Authorization } else { LocationKind::Plain };
    Location { name: name.as_bytes().into(), kind, credentials: credentials.into_boxed_slice() }
}

fn stripped(locations: &[Location], target: Option<&TargetCredential>) -> NameSet {
    let of_locations = locations.iter().filter_map(|location| std::str::from_utf8(&location.name).ok());
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

/// One challenge for each kind of location. `ApiKey` is not a registered scheme; it names what is expected all
/// the same, and RFC 9110 §11.6.1 asks for at least one challenge.
fn challenge(realm: &str, locations: &[Location]) -> Box<[u8]> {
    let mut lines = format!("WWW-Authenticate: ApiKey realm=\"{realm}\"\r\n");
    if locations.iter().any(|location| location.kind == LocationKind::Authorization) {
        lines.push_str(&format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"));
    }
    lines.into_bytes().into_boxed_slice()
}
