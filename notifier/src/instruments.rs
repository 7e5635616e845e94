//! Metrics of the consumers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use shared::metrics::Registry;
use std::sync::LazyLock;

static EVENTS: LazyLock<Family<OutcomeLabels, Counter>> = LazyLock::new(Family::default);
static FAILURES: LazyLock<Family<FailureLabels, Counter>> = LazyLock::new(Family::default);
static WAITING: LazyLock<Family<ConsumerLabels, Gauge>> = LazyLock::new(Family::default);
static DEAD_LETTERS: LazyLock<Family<ConsumerLabels, Gauge>> = LazyLock::new(Family::default);
static HELD: LazyLock<Family<ConsumerLabels, Gauge>> = LazyLock::new(Family::default);
static CONNECTED: LazyLock<Family<ConsumerLabels, Gauge>> = LazyLock::new(Family::default);

/// Outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had its effect.
    Done,
    /// There was nothing to do: an order without a buyer's address, or without points.
    Skipped,
    /// It became a dead letter.
    DeadLetter,
}

impl Outcome {
    const ALL: [Outcome; 3] = [Outcome::Done, Outcome::Skipped, Outcome::DeadLetter];

    fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Skipped => "skipped",
            Outcome::DeadLetter => "dead_letter",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConsumerLabels {
    consumer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    consumer: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    consumer: &'static str,
    kind: &'static str,
}

/// Begins all series of a consumer at 0.
pub fn begin(consumer: &'static str) {
    for outcome in Outcome::ALL {
        count(consumer, outcome, 0);
    }
    for kind in ["broker", "event"] {
        let labels = FailureLabels { consumer, kind };
        drop(FAILURES.get_or_create_owned(&labels));
    }
    set_connected(consumer, false);
    set_waiting(consumer, 0);
    set_letters(consumer, 0, 0);
}

/// Counts events by their outcome.
pub fn count(consumer: &'static str, outcome: Outcome, events: u64) {
    let outcome = outcome.name();
    let labels = OutcomeLabels { consumer, outcome };
    EVENTS.get_or_create_owned(&labels).inc_by(events);
}

/// Counts a failure of the broker, or of an attempt at an event.
pub fn count_failure(consumer: &'static str, kind: &'static str) {
    let labels = FailureLabels { consumer, kind };
    FAILURES.get_or_create_owned(&labels).inc();
}

/// Sets how many events the broker has for a consumer.
pub fn set_waiting(consumer: &'static str, events: u64) {
    set(&WAITING, consumer, events);
}

/// Sets how many dead letters there are, and how many events let others go first.
pub fn set_letters(consumer: &'static str, dead: i64, held: i64) {
    set(&DEAD_LETTERS, consumer, u64::try_from(dead).unwrap_or(0));
    set(&HELD, consumer, u64::try_from(held).unwrap_or(0));
}

/// Sets whether the broker gives events to a consumer.
pub fn set_connected(consumer: &'static str, is_connected: bool) {
    set(&CONNECTED, consumer, u64::from(is_connected));
}

fn set(family: &Family<ConsumerLabels, Gauge>, consumer: &'static str, value: u64) {
    let gauge = family.get_or_create_owned(&ConsumerLabels { consumer });
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Registers the metrics.
pub fn register(registry: &mut Registry) {
    registry.add(
        "fairline_notifier_events_total",
        "Events that a consumer has settled, by outcome: done, skipped (there was nothing to do), dead_letter",
        EVENTS.clone(),
    );
    registry.add(
        "fairline_notifier_failures_total",
        "Failures that are tried again, by kind: broker (no events come), event (an attempt at an event)",
        FAILURES.clone(),
    );
    registry.add(
        "fairline_notifier_waiting",
        "Events that wait at the broker for a consumer, as far as the broker tells",
        WAITING.clone(),
    );
    registry.add(
        "fairline_notifier_dead_letters",
        "Events that could not have their effect, and wait for an operator",
        DEAD_LETTERS.clone(),
    );
    registry.add(
        "fairline_notifier_held",
        "Events that keep failing and let others go first, until it shows whether they alone are at fault",
        HELD.clone(),
    );
    registry.add(
        "fairline_notifier_connected",
        "Whether the broker gives events to a consumer",
        CONNECTED.clone(),
    );
}
