//! Analytics: counts the sales of each hour from the outbox, with a place of its own there. The sale
//! never waits for it.

use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::hourly_sales::{HourlySalesStore, HourlySums};
use crate::inventory::outbox::{NewPlace, OUTBOX_ROWS_MAX, OutboxState};
use crate::outbox_intake::{self, Batch, Intake};
use async_trait::async_trait;
use prometheus_client::metrics::gauge::Gauge;
use shared::metrics::Registry;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Name under which analytics has its place in the outbox.
pub(crate) const CONSUMER: &str = "analytics";

/// Time between two looks at the outbox for the metrics.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

static UNCOUNTED: LazyLock<Gauge> = LazyLock::new(Gauge::default);
static OLDEST_SECONDS: LazyLock<Gauge> = LazyLock::new(Gauge::default);

/// Counts until the stop signal.
pub(crate) async fn run(shop: &Arc<Shop>) {
    let intake = SalesIntake(shop.inventory.hourly_sales());
    let counting = outbox_intake::run(&intake, shop.inventory.outbox(), &shop.site.stop);
    tokio::join!(counting, measure(shop));
}

struct SalesIntake<'a>(&'a dyn HourlySalesStore);

#[async_trait]
impl Intake for SalesIntake<'_> {
    const CONSUMER: &'static str = CONSUMER;
    const ROWS_MAX: u32 = OUTBOX_ROWS_MAX;
    /// Figures of an hour need not be fresher, and many events are counted by one statement.
    const IDLE: Duration = Duration::from_secs(2);

    async fn is_wanted(&self) -> Result<bool, Refused> {
        Ok(true)
    }

    async fn take_in(&self, batch: Batch<'_>) -> Result<bool, Refused> {
        let place = NewPlace {
            consumer: CONSUMER,
            owner: batch.owner,
            shard: batch.shard,
            after: Some(batch.after),
            position: batch.position,
        };
        self.0.add_sales(place, HourlySums::of(batch.rows)).await
    }
}

/// Keeps the gauges current until the stop signal.
async fn measure(shop: &Arc<Shop>) {
    let mut due = interval(MEASURE_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shop.site.stop.cancelled() => return,
        }
        // A store that is away has metrics of its own.
        if let Ok(state) = shop.inventory.outbox().state(CONSUMER).await {
            let OutboxState {
                unsent,
                oldest_seconds,
            } = state;
            UNCOUNTED.set(i64::try_from(unsent).unwrap_or(i64::MAX));
            OLDEST_SECONDS.set(i64::try_from(oldest_seconds).unwrap_or(i64::MAX));
        }
    }
}

/// Registers the metrics of analytics.
pub(crate) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_analytics_uncounted",
        "Events that are not in the hourly sales yet, counted up to 100,000; every node reports all of them, so take the \
         largest",
        UNCOUNTED.clone(),
    );
    registry.add(
        "fairline_analytics_oldest_seconds",
        "Time for which the oldest of them waits to be counted; every node reports the same",
        OLDEST_SECONDS.clone(),
    );
}
