//! Metrics of the writers, which turn requests into batches with one commit.

use super::registry::{REQUESTS, Registry, seconds};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use std::sync::LazyLock;

/// Writers of lines, on each engine.
pub static LINE: LazyLock<WriterMetrics> = LazyLock::new(|| WriterMetrics::of("line"));
/// Writers of seats, on each engine.
pub static INVENTORY: LazyLock<WriterMetrics> = LazyLock::new(|| WriterMetrics::of("inventory"));

static BATCH_REQUESTS: LazyLock<Family<WriterLabels, Histogram>> =
    LazyLock::new(|| Family::new_with_constructor(|| Histogram::new(REQUESTS)));
static FLIGHT_SECONDS: LazyLock<Family<WriterLabels, Histogram>> =
    LazyLock::new(|| Family::new_with_constructor(seconds));
static CONFLICTS: LazyLock<Family<WriterLabels, Counter>> = LazyLock::new(Family::default);
static RETRIES: LazyLock<Family<WriterLabels, Counter>> = LazyLock::new(Family::default);

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_writer_batch_requests",
        "Requests that shared a commit",
        BATCH_REQUESTS.clone(),
    );
    registry.add(
        "fairline_writer_flight_seconds",
        "Time that a batch takes until the store has answered",
        FLIGHT_SECONDS.clone(),
    );
    registry.add(
        "fairline_writer_conflicts_total",
        "Requests decided again because another node had changed their rows (Postgres)",
        CONFLICTS.clone(),
    );
    registry.add(
        "fairline_writer_retries_total",
        "Batches sent again for want of an answer (Postgres), requests repeated while a line recovers (Redis)",
        RETRIES.clone(),
    );
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriterLabels {
    writer: &'static str,
}

/// Metrics of the writers of one kind, looked up once.
pub struct WriterMetrics {
    /// Requests of a batch.
    pub batch_requests: Histogram,
    /// Time that a batch takes.
    pub flight_seconds: Histogram,
    /// Requests decided again.
    pub conflicts: Counter,
    /// Batches or requests sent again.
    pub retries: Counter,
}

impl WriterMetrics {
    fn of(writer: &'static str) -> WriterMetrics {
        let labels = WriterLabels { writer };
        WriterMetrics {
            batch_requests: BATCH_REQUESTS.get_or_create_owned(&labels),
            flight_seconds: FLIGHT_SECONDS.get_or_create_owned(&labels),
            conflicts: CONFLICTS.get_or_create_owned(&labels),
            retries: RETRIES.get_or_create_owned(&labels),
        }
    }
}
