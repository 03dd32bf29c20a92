//! Listeners: what the plan says of them beside their certificates.

use std::sync::Arc;

use crate::{
    config::plan::{Listener, Plan, Redirect},
    snapshot::{Door, RedirectTo},
    types::Endpoint,
};

/// The listeners of the plan that the process starts with, by their numbers.
pub fn doors(plan: &Plan) -> Arc<[Door]> {
    plan.listeners.iter().map(door).collect()
}

fn door(listener: &Listener) -> Door {
    let edge = &listener.edge;
    let redirect = |planned: &Redirect| match planned {
        Redirect::Https => RedirectTo::SameHost,
        Redirect::Origin(origin) => RedirectTo::Origin(origin.as_str().into()),
    };
    Door {
        unix: matches!(listener.address, Endpoint::Unix(_)),
        proxy_protocol: edge.proxy_protocol.clone(),
        trusted_proxies: edge.trusted_proxies.clone(),
        trusted_header: edge.trusted_header,
        redirect: edge.redirect.as_ref().map(redirect),
    }
}
