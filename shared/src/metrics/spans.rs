//! Spans of traces.

use super::registry::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::sync::LazyLock;

/// Spans that the receiver has taken.
pub(crate) static EXPORTED: LazyLock<Counter> = LazyLock::new(|| of("exported"));
/// Spans that the receiver did not take.
pub(crate) static FAILED: LazyLock<Counter> = LazyLock::new(|| of("failed"));
/// Spans for which the queue had no room.
pub(crate) static DROPPED: LazyLock<Counter> = LazyLock::new(|| of("dropped"));

static SPANS: LazyLock<Family<SpanLabels, Counter>> = LazyLock::new(Family::default);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    outcome: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    for counter in [&EXPORTED, &FAILED, &DROPPED] {
        LazyLock::force(counter);
    }
    registry.add(
        "fairline_spans_total",
        "Spans of traced requests, by outcome: 'exported', 'failed' (the receiver did not take them) or 'dropped' (the queue was full)",
        SPANS.clone(),
    );
}

fn of(outcome: &'static str) -> Counter {
    SPANS.get_or_create_owned(&SpanLabels { outcome })
}
