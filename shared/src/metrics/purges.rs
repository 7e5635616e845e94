//! Purges at the edge.

use super::registry::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::sync::LazyLock;

/// Requests to purge that the edge accepted.
pub(crate) static SENT: LazyLock<Counter> = LazyLock::new(|| of("sent"));
/// Requests to purge that failed.
pub(crate) static FAILED: LazyLock<Counter> = LazyLock::new(|| of("failed"));

static PURGES: LazyLock<Family<PurgeLabels, Counter>> = LazyLock::new(Family::default);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurgeLabels {
    outcome: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    LazyLock::force(&SENT);
    LazyLock::force(&FAILED);
    registry.add(
        "fairline_purges_total",
        "Requests to purge the edge, by outcome: 'sent' or 'failed'",
        PURGES.clone(),
    );
}

fn of(outcome: &'static str) -> Counter {
    PURGES.get_or_create_owned(&PurgeLabels { outcome })
}
