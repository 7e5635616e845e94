//! Counters and timers of the checkout. `metrics.rs` registers them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use shared::metrics::seconds;
use std::sync::LazyLock;
use std::time::Instant;

/// Payments, by what became of them.
pub(crate) static PAYMENTS: LazyLock<PaymentMetrics> = LazyLock::new(PaymentMetrics::new);
/// Orders that were confirmed.
pub(crate) static ORDERS_CONFIRMED: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Time from an order to its confirmation.
pub(crate) static ORDER_SECONDS: LazyLock<Histogram> = LazyLock::new(seconds);

pub(crate) static PAYMENT_STEPS: LazyLock<Family<StepLabels, Counter>> =
    LazyLock::new(Family::default);
pub(crate) static PROVIDER_SECONDS: LazyLock<Histogram> = LazyLock::new(seconds);
pub(crate) static POOL_BUSY: LazyLock<Family<PoolLabels, Gauge>> = LazyLock::new(Family::default);
pub(crate) static POOL_MAX: LazyLock<Family<PoolLabels, Gauge>> = LazyLock::new(Family::default);
pub(crate) static POOL_WAIT_SECONDS: LazyLock<Family<PoolLabels, Histogram>> =
    LazyLock::new(|| Family::new_with_constructor(seconds));

/// Webhooks of payment providers by outcome. Each count begins at 0, not with its first webhook.
pub(crate) static WEBHOOKS: LazyLock<Family<WebhookLabels, Counter>> = LazyLock::new(|| {
    let family = Family::<WebhookLabels, Counter>::default();
    for outcome in WEBHOOK_OUTCOMES {
        drop(family.get_or_create_owned(&WebhookLabels { outcome }));
    }
    family
});
const WEBHOOK_OUTCOMES: [&str; 6] = [
    "done",
    "repeated",
    "parked",
    "ignored",
    "refused",
    "unavailable",
];

/// Returns the counter of webhooks with this outcome.
pub(crate) fn webhooks(outcome: &'static str) -> Counter {
    WEBHOOKS.get_or_create_owned(&WebhookLabels { outcome })
}

/// Disputes of payments by state. Each count begins at 0, not with its first dispute.
pub(crate) static DISPUTES: LazyLock<Family<DisputeLabels, Counter>> = LazyLock::new(|| {
    let family = Family::<DisputeLabels, Counter>::default();
    for state in ["open", "won", "lost", "closed"] {
        drop(family.get_or_create_owned(&DisputeLabels { state }));
    }
    family
});

/// Returns the counter of disputes that came to this state.
pub(crate) fn disputes(state: &'static str) -> Counter {
    DISPUTES.get_or_create_owned(&DisputeLabels { state })
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DisputeLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct WebhookLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StepLabels {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PoolLabels {
    pool: &'static str,
}

/// Metrics of payments, looked up once.
pub(crate) struct PaymentMetrics {
    pub(crate) begun: Counter,
    pub(crate) captured: Counter,
    pub(crate) declined: Counter,
    pub(crate) pending: Counter,
    pub(crate) refunded: Counter,
    pub(crate) review: Counter,
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
            review: of("review"),
            provider_seconds: PROVIDER_SECONDS.clone(),
        }
    }
}

/// Metrics of a pool of connections.
pub(crate) struct PoolMetrics {
    busy: Gauge,
    wait_seconds: Histogram,
}

impl PoolMetrics {
    /// Creates the metrics of a pool with this many connections. Pools of the same name are added
    /// up.
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
