//! The admin listener: what an operator and an orchestrator may ask of a running gateway.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process works |
//! | `GET /readyz` | 200 while callers should be sent here, 503 while it drains or a shard does not respond |
//! | `GET /status` | generation, reloads, driver, shards, connections, outcomes by reason, as JSON |
//! | `GET /metrics` | counters and histograms, as OpenMetrics |
//! | `GET /telemetry` | counts, rates and quantiles by proxy and credential, as JSON |
//! | `GET /keys?credential=&offset=&limit=` | keys with their states, windows and last use, as JSON |
//! | `POST /reload` | loads the files again; the body is `{}` or `{"force": true}` |
//! | `POST /revoke` | revokes; the body is `{"name": "…"}` or `{"sha256": "…"}` |
//!
//! It runs on the control thread and never touches a shard. It has no access control of its own, so it answers only
//! requests that a browser cannot be made to send: the `Host` must be an address or `localhost` (unless it is asked over
//! its Unix socket), and what changes
//! something must say `Content-Type: application/json`.

mod change;
pub mod client;
mod metrics;
mod telemetry;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State as Shared},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{
    net::{TcpListener, UnixListener},
    task::AbortHandle,
};

use crate::control::{Commands, Report, Status};

/// What the listener needs of the gateway.
#[derive(Clone)]
pub struct State {
    /// What can be told of it.
    pub status: Arc<Status>,
    /// What can be asked of it.
    pub commands: Commands,
}

/// Where it listens.
pub enum Listener {
    /// At an address.
    Tcp(std::net::TcpListener),
    /// At a Unix socket, whose mode says who may ask.
    Unix(std::os::unix::net::UnixListener),
}

/// Serves the admin listener; returns what makes it accept no more.
///
/// # Errors
///
/// The socket cannot be used.
pub fn serve(listener: Listener, state: State) -> std::io::Result<AbortHandle> {
    let serving = match listener {
        Listener::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            let listener = TcpListener::from_std(socket)?;
            let routes = routes(state).layer(middleware::from_fn(only_meant_for_here));
            tokio::spawn(async move { axum::serve(listener, routes).await })
        }
        // No browser connects to a Unix socket: whatever `Host` says is fine there.
        Listener::Unix(socket) => {
            socket.set_nonblocking(true)?;
            let listener = UnixListener::from_std(socket)?;
            tokio::spawn(async move { axum::serve(listener, routes(state)).await })
        }
    };
    Ok(serving.abort_handle())
}

fn routes(state: State) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(report))
        .route("/keys", get(change::keys))
        .route("/reload", post(change::reload))
        .route("/revoke", post(change::revoke))
        .with_state(state.clone())
        .merge(metrics::routes(Arc::clone(&state.status)))
        .merge(telemetry::routes(state.status))
}

/// Refuses a name that somebody else's page was given for this address.
async fn only_meant_for_here(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_own_name) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "the admin listener is asked by its address or as localhost\n")
        .into_response()
}

fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

async fn ready(Shared(state): Shared<State>) -> (StatusCode, &'static str) {
    if state.status.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn report(Shared(state): Shared<State>) -> Json<Report> {
    Json(state.status.report())
}

#[cfg(test)]
mod tests {
    use super::is_own_name;

    #[test]
    fn addresses_and_localhost_are_meant() {
        for fine in
            ["127.0.0.1:9440", "127.0.0.1", "[::1]:9440", "[::1]", "localhost:1", "LOCALHOST", "10.1.2.3:80"]
        {
            assert!(is_own_name(fine), "{fine}");
        }
        for foreign in
            ["evil.example:9440", "evil.example", "", "localhost.evil.example", "127.0.0.1.evil.example:80"]
        {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }
}
