//! Analytics: counts the sales of each hour, and the funnel from the line to them, from the outbox, with
//! a place of its own there. The sale never waits for it.

use crate::app::Shop;
use crate::backlog;
use crate::inventory::Refused;
use crate::inventory::hourly_sales::{HourlySalesStore, HourlySums};
use crate::inventory::outbox::{NewPlace, OUTBOX_ROWS_MAX};
use crate::outbox_intake::{self, Batch, Intake};
use async_trait::async_trait;
use prometheus_client::metrics::gauge::Gauge;
use shared::metrics::Registry;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Name under which analytics has its place in the outbox.
pub(crate) const CONSUMER: &str = "analytics";

static UNCOUNTED: LazyLock<Gauge> = LazyLock::new(Gauge::default);
static OLDEST_SECONDS: LazyLock<Gauge> = LazyLock::new(Gauge::default);

/// Counts until the stop signal.
pub(crate) async fn run(shop: &Arc<Shop>) {
    let intake = SalesIntake(shop.inventory.hourly_sales());
    let counting = outbox_intake::run(&intake, shop.inventory.outbox(), &shop.site.stop);
    let measuring = backlog::measure_outbox(shop, CONSUMER, &UNCOUNTED, &OLDEST_SECONDS);
    tokio::join!(counting, measuring);
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
