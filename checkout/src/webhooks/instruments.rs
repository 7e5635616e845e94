//! Counters of webhooks, and their gauges.

use crate::inventory::webhooks::EndpointBacklog;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use shared::metrics::Registry;
use shared::outbound::OutboundFailureKind;
use std::sync::LazyLock;

static DELIVERED: LazyLock<Counter> = LazyLock::new(Counter::default);
static WAITING: LazyLock<Gauge> = LazyLock::new(Gauge::default);
static OLDEST_SECONDS: LazyLock<Gauge> = LazyLock::new(Gauge::default);
static DISABLED: LazyLock<Gauge> = LazyLock::new(Gauge::default);

/// Failures by kind. Each count begins at 0, not with its first failure.
static FAILURES: LazyLock<Family<DeliveryFailureLabels, Counter>> = LazyLock::new(|| {
    let family = Family::<DeliveryFailureLabels, Counter>::default();
    for kind in DeliveryFailureKind::ALL {
        drop(family.get_or_create_owned(&DeliveryFailureLabels { kind: kind.name() }));
    }
    family
});

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryFailureLabels {
    kind: &'static str,
}

/// The kind of an attempt's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryFailureKind {
    /// Its host has no address that may be reached.
    Forbidden,
    /// It takes no connection.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// It answered by another status than one of success.
    Status,
}

impl DeliveryFailureKind {
    const ALL: [DeliveryFailureKind; 4] = [
        DeliveryFailureKind::Forbidden,
        DeliveryFailureKind::Unreachable,
        DeliveryFailureKind::Timeout,
        DeliveryFailureKind::Status,
    ];

    pub(super) fn of(kind: OutboundFailureKind) -> DeliveryFailureKind {
        match kind {
            OutboundFailureKind::Forbidden => DeliveryFailureKind::Forbidden,
            OutboundFailureKind::Unreachable | OutboundFailureKind::Lost => {
                DeliveryFailureKind::Unreachable
            }
            OutboundFailureKind::Timeout => DeliveryFailureKind::Timeout,
        }
    }

    fn name(self) -> &'static str {
        match self {
            DeliveryFailureKind::Forbidden => "forbidden",
            DeliveryFailureKind::Unreachable => "unreachable",
            DeliveryFailureKind::Timeout => "timeout",
            DeliveryFailureKind::Status => "status",
        }
    }
}

/// Counts a delivery that its endpoint has taken.
pub(super) fn count_delivered() {
    DELIVERED.inc();
}

/// Counts an attempt that failed.
pub(super) fn count_failure(kind: DeliveryFailureKind) {
    let kind = kind.name();
    FAILURES
        .get_or_create_owned(&DeliveryFailureLabels { kind })
        .inc();
}

/// Sets the gauges of what waits.
pub(super) fn set_backlog(backlog: &[EndpointBacklog]) {
    let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    set(&WAITING, backlog.iter().map(|it| it.waiting).sum());
    let oldest = backlog.iter().map(|it| it.oldest_seconds).max();
    set(&OLDEST_SECONDS, oldest.unwrap_or(0));
}

/// Sets the number of endpoints that are disabled as their deliveries fail.
pub(super) fn set_disabled(count: usize) {
    DISABLED.set(count as i64);
}

/// Registers the metrics of webhooks.
pub(crate) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_webhooks_delivered_total",
        "Events that webhooks have taken from this node",
        DELIVERED.clone(),
    );
    registry.add(
        "fairline_webhook_failures_total",
        "Attempts to deliver an event to a webhook that failed, by kind: forbidden (its host has no address that may be \
         reached), unreachable (it takes no connection, or its certificate is not trusted), timeout (it did not answer in \
         time), status (it answered by another status than one of success)",
        FAILURES.clone(),
    );
    registry.add(
        "fairline_webhooks_waiting",
        "Deliveries to webhooks that wait, for the first time or again, counted up to 200,000 for each; every node reports \
         all of them, so take the largest",
        WAITING.clone(),
    );
    registry.add(
        "fairline_webhooks_oldest_seconds",
        "Time for which the oldest delivery to a webhook waits; every node reports the same",
        OLDEST_SECONDS.clone(),
    );
    registry.add(
        "fairline_webhooks_disabled",
        "Webhooks that were disabled as their deliveries fail; every node reports the same",
        DISABLED.clone(),
    );
}
