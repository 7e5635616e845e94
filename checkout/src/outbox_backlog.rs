//! The gauges that show how far a consumer of the outbox is behind.

use crate::app::Shop;
use prometheus_client::metrics::gauge::Gauge;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Time between two looks at the outbox.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// Keeps the gauges of a consumer current until the stop signal: the number of events that it has not
/// had, and the age of the oldest of them.
pub(crate) async fn measure(shop: &Shop, consumer: &str, unread: &Gauge, oldest_seconds: &Gauge) {
    let mut due = interval(MEASURE_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shop.site.stop.cancelled() => return,
        }
        // A store that is away has metrics of its own.
        if let Ok(state) = shop.inventory.outbox().state(consumer).await {
            unread.set(i64::try_from(state.unsent).unwrap_or(i64::MAX));
            oldest_seconds.set(i64::try_from(state.oldest_seconds).unwrap_or(i64::MAX));
        }
    }
}
