//! Counters and timers of the waiting room. `metrics.rs` registers them.

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use shared::metrics::{seconds, wait_seconds};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Opening of the next sale, in seconds since 1970; 0 if none is planned.
pub(crate) static NEXT_SALE: LazyLock<Gauge> = LazyLock::new(Gauge::default);
/// Redis commands without an answer, or refused.
pub(crate) static REDIS_FAILURES: LazyLock<Counter> = LazyLock::new(Counter::default);

pub(crate) static SCRIPT_SECONDS: LazyLock<Family<ScriptLabels, Histogram>> =
    LazyLock::new(|| Family::new_with_constructor(seconds));

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ScriptLabels {
    script: &'static str,
}

/// Returns the histogram of a script's time, for the script to keep.
pub(crate) fn script_seconds(script: &'static str) -> Histogram {
    SCRIPT_SECONDS.get_or_create_owned(&ScriptLabels { script })
}

/// Metrics that an event's hub keeps itself, so that they go with it.
pub(crate) struct HubMetrics {
    /// Wait that was told to fans, once they are admitted.
    pub(crate) told_seconds: Histogram,
    /// Wait of the same fans from that time on.
    pub(crate) true_seconds: Histogram,
    /// Time of the newest view. Locked for a look-up or a change.
    viewed_at: Mutex<Instant>,
}

impl Default for HubMetrics {
    fn default() -> HubMetrics {
        HubMetrics {
            told_seconds: wait_seconds(),
            true_seconds: wait_seconds(),
            viewed_at: Mutex::new(Instant::now()),
        }
    }
}

impl HubMetrics {
    /// Notes that the line answered with its newest view.
    pub(crate) fn note_view(&self) {
        *self.viewed_at.lock() = Instant::now();
    }

    /// Compares the wait that was told to a fan with the one that it took to admit them.
    pub(crate) fn compare(&self, told: &ToldWait) {
        self.told_seconds.observe(f64::from(told.seconds));
        self.true_seconds.observe(told.at.elapsed().as_secs_f64());
    }

    /// Returns the time since the line last answered with a view.
    pub(crate) fn age(&self) -> Duration {
        self.viewed_at.lock().elapsed()
    }
}

/// First wait that a fan was told: the upper end of the range.
pub(crate) struct ToldWait {
    seconds: u32,
    at: Instant,
}

impl ToldWait {
    /// Notes a wait that is told now.
    pub(crate) fn now(seconds: u32) -> ToldWait {
        let at = Instant::now();
        ToldWait { seconds, at }
    }
}
