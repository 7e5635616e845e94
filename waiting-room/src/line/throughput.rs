//! Throughput of a line: counts of the last minute and in total, waiting times.

use serde::{Deserialize, Serialize};
use shared::time::Time;
use std::collections::VecDeque;

const WINDOW_SECONDS: i64 = 60;
const WAITS_MAX: usize = 1000;

/// Number of visitors by what they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rates {
    /// Joined the line.
    pub joined: u64,
    /// Were admitted.
    pub admitted: u64,
    /// Finished shopping.
    pub finished: u64,
    /// Missed their turn or were away too long.
    pub missed: u64,
    /// Left on their own.
    pub left: u64,
}

impl Rates {
    /// Returns the counts since the counters stood at `before`.
    pub(super) fn since(&self, before: &Rates) -> Rates {
        Rates {
            joined: self.joined.saturating_sub(before.joined),
            admitted: self.admitted.saturating_sub(before.admitted),
            finished: self.finished.saturating_sub(before.finished),
            missed: self.missed.saturating_sub(before.missed),
            left: self.left.saturating_sub(before.left),
        }
    }

    fn add(&mut self, other: &Rates) {
        self.joined += other.joined;
        self.admitted += other.admitted;
        self.finished += other.finished;
        self.missed += other.missed;
        self.left += other.left;
    }
}

/// Counters of one line. Kept in memory: after a restart the rates are measured anew, the totals
/// continue.
#[derive(Default)]
pub struct Flow {
    /// Counts since the line was created.
    pub total: Rates,
    seconds: VecDeque<(i64, Rates)>,
    waits_ms: VecDeque<i64>,
}

impl Flow {
    /// Adds counts at this time.
    pub fn count(&mut self, now: Time, what: Rates) {
        self.total.add(&what);
        let second = now.seconds();
        match self.seconds.back_mut() {
            Some((last, sum)) if *last == second => sum.add(&what),
            _ => self.seconds.push_back((second, what)),
        }
        while self
            .seconds
            .front()
            .is_some_and(|(at, _)| *at <= second - WINDOW_SECONDS)
        {
            self.seconds.pop_front();
        }
    }

    /// Records the waiting time of an admitted visitor.
    pub fn waited(&mut self, ms: i64) {
        if self.waits_ms.len() == WAITS_MAX {
            self.waits_ms.pop_front();
        }
        self.waits_ms.push_back(ms);
    }

    /// Returns the counts of the last 60 seconds.
    pub fn last_minute(&self, now: Time) -> Rates {
        let second = now.seconds() - WINDOW_SECONDS;
        let mut sum = Rates::default();
        for (_, rates) in self.seconds.iter().rev().take_while(|(at, _)| *at > second) {
            sum.add(rates);
        }
        sum
    }

    /// Returns the waiting time of the visitors admitted last.
    pub fn waited_seconds(&self) -> Waited {
        Waited::of(self.waits_ms.iter().map(|ms| ms / 1000).collect())
    }
}

/// Quantiles in seconds; null until the first admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Waited {
    /// Median.
    pub p50: Option<u32>,
    /// 90th percentile.
    pub p90: Option<u32>,
    /// 99th percentile.
    pub p99: Option<u32>,
}

impl Waited {
    /// Returns the quantiles of waiting times in seconds.
    pub(super) fn of(mut seconds: Vec<i64>) -> Waited {
        seconds.sort_unstable();
        let quantile = |hundredths: usize| {
            let last = seconds.len().checked_sub(1)?;
            u32::try_from(seconds[last * hundredths / 100]).ok()
        };
        Waited {
            p50: quantile(50),
            p90: quantile(90),
            p99: quantile(99),
        }
    }
}
