//! Gauges of work that waits in the store, kept current.

use crate::app::Shop;
use prometheus_client::metrics::gauge::Gauge;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Time between two looks at the store.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// The times at which gauges are measured.
pub(crate) struct MeasureTimes<'a> {
    due: Interval,
    shop: &'a Shop,
}

impl MeasureTimes<'_> {
    pub(crate) fn of(shop: &Shop) -> MeasureTimes<'_> {
        let mut due = interval(MEASURE_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        MeasureTimes { due, shop }
    }

    /// Waits for the next time. Returns false once the process stops.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.due.tick() => true,
            () = self.shop.site.stop.cancelled() => false,
        }
    }
}

/// Keeps the gauges of a consumer of the outbox current until the stop signal: the number of events that it has not
/// had, and the age of the oldest of them.
pub(crate) async fn measure_outbox(
    shop: &Shop,
    consumer: &str,
    unread: &Gauge,
    oldest_seconds: &Gauge,
) {
    let mut times = MeasureTimes::of(shop);
    while times.next().await {
        // A store that is away has metrics of its own.
        if let Ok(state) = shop.inventory.outbox().state(consumer).await {
            set(unread, state.unsent);
            set(oldest_seconds, state.oldest_seconds);
        }
    }
}

pub(crate) fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
