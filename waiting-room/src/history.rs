//! Samples of an event's figures over the last hours, for the plots of the console.

use crate::line::Stats;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Samples kept of an event: four hours.
const SAMPLES_MAX: usize = 2880;
/// Time between two samples.
pub(crate) const SAMPLE_SECONDS: u64 = 5;

/// Samples of one event at this node, oldest first. Locked for a push or a copy.
#[derive(Default)]
pub(crate) struct History(Mutex<VecDeque<Stats>>);

impl History {
    /// Returns the samples of the last `minutes`, oldest first.
    pub(crate) fn last(&self, minutes: u32) -> Vec<Stats> {
        let samples = self.0.lock();
        let count = (minutes as usize)
            .saturating_mul(60 / SAMPLE_SECONDS as usize)
            .min(SAMPLES_MAX);
        samples
            .iter()
            .skip(samples.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    /// Returns the newest sample.
    pub(crate) fn newest(&self) -> Option<Stats> {
        self.0.lock().back().cloned()
    }

    /// Adds a sample, dropping the oldest once [`SAMPLES_MAX`] are kept.
    pub(crate) fn push(&self, stats: Stats) {
        let mut samples = self.0.lock();
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(stats);
    }
}
