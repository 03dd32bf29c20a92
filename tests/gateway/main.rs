//! The gateway as a whole, seen from both sides: what callers get and what APIs see.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and reads the clock")]

#[path = "../common/mod.rs"]
mod common;

mod access_log;
mod bodies;
mod certificates;
mod client_certificates;
mod credentials;
mod crowd;
mod drain;
mod errors;
mod expect;
mod fields;
mod identity;
mod isolation;
mod limits;
mod listeners;
mod listeners_tls;
mod listeners_unix;
mod operators;
mod partners;
mod persistence;
mod reload;
mod reload_refused;
mod revoke;
mod routing;
mod rules;
mod security;
mod service;
mod slow_sides;
mod telemetry;
mod timeouts;
mod timeouts_upstream;
mod tls_targets;
mod top;
mod tunnels;
mod upgrade;
mod upgrade_disturbed;
mod upgrade_unix;
mod upstreams;
mod windows;
