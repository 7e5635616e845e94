//! Counters of notifications.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use shared::metrics::Registry;
use std::sync::LazyLock;

static SENT: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Failures by kind. Each count begins at 0, not with its first failure.
static FAILURES: LazyLock<Family<PushFailureLabels, Counter>> = LazyLock::new(|| {
    let family = Family::<PushFailureLabels, Counter>::default();
    for kind in PushFailureKind::ALL {
        drop(family.get_or_create_owned(&PushFailureLabels { kind: kind.name() }));
    }
    family
});

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushFailureLabels {
    kind: &'static str,
}

/// The kind of an attempt's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushFailureKind {
    /// The browser has ended the subscription.
    Gone,
    /// The push service refuses the message for good, or may not be reached.
    Refused,
    /// The push service does not take it now.
    Deferred,
    /// The push service does not answer.
    Unreachable,
    /// The turn was over before the message was taken.
    Missed,
}

impl PushFailureKind {
    const ALL: [PushFailureKind; 5] = [
        PushFailureKind::Gone,
        PushFailureKind::Refused,
        PushFailureKind::Deferred,
        PushFailureKind::Unreachable,
        PushFailureKind::Missed,
    ];

    fn name(self) -> &'static str {
        match self {
            PushFailureKind::Gone => "gone",
            PushFailureKind::Refused => "refused",
            PushFailureKind::Deferred => "deferred",
            PushFailureKind::Unreachable => "unreachable",
            PushFailureKind::Missed => "missed",
        }
    }
}

/// Counts a message that a push service has taken.
pub(super) fn count_sent() {
    SENT.inc();
}

/// Counts an attempt that failed, or a message that came too late.
pub(super) fn count_failure(kind: PushFailureKind) {
    let kind = kind.name();
    FAILURES
        .get_or_create_owned(&PushFailureLabels { kind })
        .inc();
}

/// Registers the metrics of notifications.
pub(crate) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_pushes_sent_total",
        "Notifications to fans in line that a push service has taken from this node",
        SENT.clone(),
    );
    registry.add(
        "fairline_push_failures_total",
        "Attempts to send a notification that failed, by kind: gone (the browser has ended the subscription), refused (the push \
         service never takes it, or may not be reached), deferred (it does not take it now), unreachable (it does not answer); \
         and notifications whose turn was over before they were taken (missed)",
        FAILURES.clone(),
    );
}
