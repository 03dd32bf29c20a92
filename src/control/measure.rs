//! The second hand of telemetry: adds up what the shards counted, once a second.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::telemetry::Telemetry;

/// How often; also what "the last second" means.
const INTERVAL: Duration = Duration::from_secs(1);

/// Merges for as long as the gateway runs.
pub async fn measure(telemetry: Arc<Telemetry>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Instant::now();
    loop {
        ticks.tick().await;
        let now = Instant::now();
        telemetry.merge(now - before);
        before = now;
    }
}
