//! The admin listener: what an operator and an orchestrator may ask of a running gateway.
//!
//! | path | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process works |
//! | `GET /readyz` | 200 while callers should be sent here, 503 while it drains or a shard does not respond |
//! | `GET /status` | generation, driver, shards, connections, outcomes by reason, as JSON |
//! | `GET /metrics` | counters and histograms, as OpenMetrics |
//! | `GET /telemetry` | counts, rates and quantiles by proxy and credential, as JSON |
//!
//! It runs on the control thread and never touches a shard.

pub mod client;
mod metrics;
mod telemetry;

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;

use crate::control::{Report, Status};

/// Serves the admin listener for ever; returns the address that it has.
pub async fn serve(address: SocketAddr, status: Arc<Status>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes(status)).await });
    Ok(address)
}

fn routes(status: Arc<Status>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(report))
        .with_state(Arc::clone(&status))
        .merge(metrics::routes(Arc::clone(&status)))
        .merge(telemetry::routes(status))
}

async fn ready(State(status): State<Arc<Status>>) -> (StatusCode, &'static str) {
    if status.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn report(State(status): State<Arc<Status>>) -> Json<Report> {
    Json(status.report())
}
