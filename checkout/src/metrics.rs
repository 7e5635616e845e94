//! Metrics of the checkout.

use crate::app::Shop;
use crate::inventory::{SeatMap, Verdict};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use shared::metrics::{EVENTS_MEASURED_MAX, Reading, Registry, seconds, sockets, stores, writers};
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// Payments, by what became of them.
pub(crate) static PAYMENTS: LazyLock<PaymentMetrics> = LazyLock::new(PaymentMetrics::new);
/// Orders that were confirmed.
pub(crate) static ORDERS_CONFIRMED: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Time from an order to its confirmation.
pub(crate) static ORDER_SECONDS: LazyLock<Histogram> = LazyLock::new(seconds);

static PAYMENT_STEPS: LazyLock<Family<StepLabels, Counter>> = LazyLock::new(Family::default);
static PROVIDER_SECONDS: LazyLock<Histogram> = LazyLock::new(seconds);
static POOL_BUSY: LazyLock<Family<PoolLabels, Gauge>> = LazyLock::new(Family::default);
static POOL_MAX: LazyLock<Family<PoolLabels, Gauge>> = LazyLock::new(Family::default);
static POOL_WAIT_SECONDS: LazyLock<Family<PoolLabels, Histogram>> =
    LazyLock::new(|| Family::new_with_constructor(seconds));

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: &'static str,
}

/// Registers the metrics of a checkout.
pub fn register(registry: &mut Registry, shop: &Arc<Shop>) {
    LazyLock::force(&sockets::SEATS);
    LazyLock::force(&stores::INVENTORY);
    LazyLock::force(&writers::INVENTORY);
    LazyLock::force(&PAYMENTS);
    registry.add(
        "fairline_orders_confirmed_total",
        "Orders that were paid and booked",
        ORDERS_CONFIRMED.clone(),
    );
    registry.add(
        "fairline_order_seconds",
        "Time from the request for an order to its confirmation",
        ORDER_SECONDS.clone(),
    );
    registry.add(
        "fairline_payments_total",
        "Payments by step: begun, then captured, declined or pending (the provider decides later), and refunded",
        PAYMENT_STEPS.clone(),
    );
    registry.add(
        "fairline_payment_provider_seconds",
        "Time that the payment provider takes to answer",
        PROVIDER_SECONDS.clone(),
    );
    registry.add(
        "fairline_pool_connections_busy",
        "Connections to Postgres in use, by pool: writer (batches), reader (ordinary statements), slow (statements about \
         a whole event), replica (lists)",
        POOL_BUSY.clone(),
    );
    registry.add(
        "fairline_pool_connections_max",
        "Most connections to Postgres, by pool",
        POOL_MAX.clone(),
    );
    registry.add(
        "fairline_pool_wait_seconds",
        "Time that a statement waits for a connection of its pool",
        POOL_WAIT_SECONDS.clone(),
    );
    registry.add_collector(SeatsCollector(shop.clone()));
}

/// Metrics of payments, looked up once.
pub(crate) struct PaymentMetrics {
    pub(crate) begun: Counter,
    captured: Counter,
    declined: Counter,
    pending: Counter,
    pub(crate) refunded: Counter,
    pub(crate) provider_seconds: Histogram,
}

impl PaymentMetrics {
    fn new() -> PaymentMetrics {
        let of = |step| PAYMENT_STEPS.get_or_create_owned(&StepLabels { step });
        PaymentMetrics {
            begun: of("begun"),
            captured: of("captured"),
            declined: of("declined"),
            pending: of("pending"),
            refunded: of("refunded"),
            provider_seconds: PROVIDER_SECONDS.clone(),
        }
    }

    /// Counts a verdict that the inventory has taken.
    pub(crate) fn count(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Captured => self.captured.inc(),
            Verdict::Declined(_) => self.declined.inc(),
            Verdict::Pending(_) => self.pending.inc(),
        };
    }
}

/// Metrics of a pool of connections.
pub(crate) struct PoolMetrics {
    busy: Gauge,
    wait_seconds: Histogram,
}

impl PoolMetrics {
    /// Creates the metrics of a pool with this many connections. Pools of the same name are added up.
    pub(crate) fn new(pool: &'static str, connections: u32) -> PoolMetrics {
        let labels = PoolLabels { pool };
        POOL_MAX
            .get_or_create(&labels)
            .inc_by(i64::from(connections));
        PoolMetrics {
            busy: POOL_BUSY.get_or_create_owned(&labels),
            wait_seconds: POOL_WAIT_SECONDS.get_or_create_owned(&labels),
        }
    }

    /// Waits for a connection, and measures that.
    pub(crate) async fn wait<T>(&self, connection: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let connection = connection.await;
        self.wait_seconds.observe(begun.elapsed().as_secs_f64());
        connection
    }

    /// Counts a connection as busy until what this returns is dropped.
    pub(crate) fn enter(&self) -> Busy<'_> {
        self.busy.inc();
        Busy(&self.busy)
    }
}

/// A connection in use.
pub(crate) struct Busy<'a>(&'a Gauge);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(EncodeLabelSet)]
struct SeatLabels {
    event: String,
    state: &'static str,
}

/// Reads the seat maps when the metrics are read. An event that is removed has no series from then on.
struct SeatsCollector(Arc<Shop>);

impl fmt::Debug for SeatsCollector {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("SeatsCollector").finish_non_exhaustive()
    }
}

/// States in the order of a seat map's counts.
const STATES: [&str; 4] = ["available", "held", "booked", "blocked"];

impl Collector for SeatsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut seat_maps = self.0.inventory.seat_maps();
        seat_maps.sort_by(|a, b| a.event.as_str().cmp(b.event.as_str()));
        let left_out = seat_maps.len().saturating_sub(EVENTS_MEASURED_MAX);
        seat_maps.truncate(EVENTS_MEASURED_MAX);
        let mut reading = Reading::from(encoder);
        reading.one(
            "fairline_seats_events_left_out",
            "Events with seats that have no series, because too many have one",
            ConstGauge::new(left_out),
        )?;
        reading.family(
            "fairline_seats",
            "Seats by state; every node reports all of them, so take the largest",
            seat_maps.iter().flat_map(|seat_map| counts(seat_map)),
        )
    }
}

fn counts(seat_map: &SeatMap) -> impl Iterator<Item = (SeatLabels, ConstGauge<u32>)> {
    let event = seat_map.event.as_str().to_owned();
    let counts = seat_map.current().counts;
    STATES.into_iter().zip(counts).map(move |(state, count)| {
        let event = event.clone();
        (SeatLabels { event, state }, ConstGauge::new(count))
    })
}
