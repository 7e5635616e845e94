//! Counters and timers of the waiting room. `metrics.rs` registers them.

use crate::line::Admission;
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

/// Entries of the logs of the lines that cannot be read.
pub(crate) static LOG_UNREADABLE: LazyLock<Counter> = LazyLock::new(Counter::default);

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
    /// Number of the same fans whose wait was within the range, shorter, longer.
    pub(crate) within: Counter,
    pub(crate) sooner: Counter,
    pub(crate) later: Counter,
    /// Time of the newest view. Locked for a look-up or a change.
    viewed_at: Mutex<Instant>,
}

impl Default for HubMetrics {
    fn default() -> HubMetrics {
        HubMetrics {
            told_seconds: wait_seconds(),
            true_seconds: wait_seconds(),
            within: Counter::default(),
            sooner: Counter::default(),
            later: Counter::default(),
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
        let (low, high) = told.range;
        let seconds = told.at.elapsed().as_secs_f64();
        self.told_seconds.observe(f64::from(high));
        self.true_seconds.observe(seconds);
        let outcome = if seconds < f64::from(low) {
            &self.sooner
        } else if seconds > f64::from(high) {
            &self.later
        } else {
            &self.within
        };
        outcome.inc();
    }

    /// Returns the time since the line last answered with a view.
    pub(crate) fn age(&self) -> Duration {
        self.viewed_at.lock().elapsed()
    }
}

/// First wait that a fan was told, and the settings under which it was.
pub(crate) struct ToldWait {
    /// In seconds.
    range: (u32, u32),
    rate_per_minute: u32,
    max_active: u32,
    at: Instant,
}

impl ToldWait {
    /// Notes a wait that is told now.
    pub(crate) fn now(range: (u32, u32), admission: &Admission) -> ToldWait {
        ToldWait {
            range,
            rate_per_minute: admission.rate_per_minute,
            max_active: admission.max_active,
            at: Instant::now(),
        }
    }

    /// Returns whether the organiser has not changed the pace since.
    pub(crate) fn holds(&self, admission: &Admission) -> bool {
        self.rate_per_minute == admission.rate_per_minute && self.max_active == admission.max_active
    }
}
