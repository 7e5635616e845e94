//! Counters of the relay, and its gauges of the outbox.

use brokers::FailureKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use shared::metrics::Registry;
use std::sync::LazyLock;

/// Events that the broker has acknowledged.
pub(super) static SENT: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Rows of the outbox that are not sent.
pub(super) static UNSENT: LazyLock<Gauge> = LazyLock::new(Gauge::default);
/// Age of the oldest of them, in seconds.
pub(super) static OLDEST_SECONDS: LazyLock<Gauge> = LazyLock::new(Gauge::default);

/// Failures by kind. Each count begins at 0, not with its first failure.
static FAILURES: LazyLock<Family<FailureLabels, Counter>> = LazyLock::new(|| {
    let family = Family::<FailureLabels, Counter>::default();
    for kind in FailureKind::ALL {
        drop(family.get_or_create_owned(&FailureLabels { kind: kind.name() }));
    }
    family
});

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    kind: &'static str,
}

/// Counts a message that was not sent.
pub(super) fn count_failure(kind: FailureKind) {
    FAILURES
        .get_or_create_owned(&FailureLabels { kind: kind.name() })
        .inc();
}

/// Registers the metrics of the relay.
pub(crate) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_events_sent_total",
        "Events that the message broker has acknowledged to this node",
        SENT.clone(),
    );
    registry.add(
        "fairline_event_failures_total",
        "Attempts to send an event that failed, by kind: away (the broker does not answer), denied (it refuses the login), \
         unroutable (it has no topic, stream or queue for it), rejected (it never takes this one)",
        FAILURES.clone(),
    );
    registry.add(
        "fairline_outbox_unsent",
        "Events that wait for the message broker, counted up to 100,000; 0 where none is set; every node reports all of \
         them, so take the largest",
        UNSENT.clone(),
    );
    registry.add(
        "fairline_outbox_oldest_seconds",
        "Time for which the oldest of them waits; every node reports the same",
        OLDEST_SECONDS.clone(),
    );
}
