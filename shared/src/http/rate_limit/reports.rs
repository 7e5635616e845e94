//! Reports of what a node counted to the store that all nodes share. They are sent behind the
//! requests, none of which waits for them.

use super::shared::{Filling, Sharing};
use super::{Limited, Limiter, SharedBuckets};
use crate::crypto::Secret;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Time between two reports while there is something to report.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// Largest number of buckets of a report.
const REPORTED_MAX: usize = 256;
/// Largest number of buckets that wait for a report. Others wait for their next use.
const WAITING_MAX: usize = 10_000;
/// Number of times that a bucket may be filled beyond its limit by nodes that do not know of each
/// other yet, and still has to be emptied before anything more is allowed.
const EXCESS_FACTOR: u64 = 8;
/// Longest time for which that refuses what a slow limit would allow.
const EXCESS_US_MAX: u64 = 3_600_000_000;

/// A bucket: the index of its limiter, and its own.
type BucketIndex = (usize, usize);

/// Buckets to be reported, each with a key that was counted in it, and the store.
pub(super) struct Reports<K> {
    sharing: OnceLock<Sharing>,
    waiting: Mutex<HashMap<BucketIndex, K>>,
    /// Those whose turn it is. The next ones come once all of these were sent, so that none is left
    /// behind by others that are used all the time.
    turn: Mutex<Vec<(BucketIndex, K)>>,
    wake: Notify,
}

impl<K> Default for Reports<K> {
    fn default() -> Reports<K> {
        Reports {
            sharing: OnceLock::new(),
            waiting: Mutex::default(),
            turn: Mutex::default(),
            wake: Notify::new(),
        }
    }
}

impl<K: Display> Reports<K> {
    pub(super) fn share(&self, store: Arc<dyn SharedBuckets>, secret: Secret) {
        let _ = self.sharing.set(Sharing { store, secret });
    }

    pub(super) fn is_shared(&self) -> bool {
        self.sharing.get().is_some()
    }

    /// Has a bucket reported.
    pub(super) fn add(&self, bucket: BucketIndex, key: K) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX {
            waiting.insert(bucket, key);
            self.wake.notify_one();
        }
    }

    /// Reports what waits until the stop signal. Returns at once where nothing is shared.
    pub(super) async fn run(
        &self,
        limiters: &[Limiter],
        limited: Limited,
        stop: &CancellationToken,
    ) {
        while self.is_shared() {
            tokio::select! {
                () = self.wake.notified() => {}
                () = stop.cancelled() => return,
            }
            self.send(limiters, limited).await;
            tokio::select! {
                () = tokio::time::sleep(REPORT_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Sends one report, and refuses what is full for as long as the store says. While the store is
    /// away each node counts for itself.
    pub(super) async fn send(&self, limiters: &[Limiter], limited: Limited) {
        let Some(sharing) = self.sharing.get() else {
            return;
        };
        limiters.iter().for_each(Limiter::halve_unshared);
        let waiting = self.take_waiting();
        let filling = waiting.into_iter().map(|((at, bucket), key)| {
            let limiter = &limiters[at];
            let rate = limiter.rate;
            let slow_max = EXCESS_US_MAX / rate.interval_us.max(1);
            Filling {
                limiter,
                bucket,
                kind: limited as u8 + at as u8,
                name: key.to_string(),
                excess_max: (rate.burst * EXCESS_FACTOR).min(slow_max),
            }
        });
        let filling: Vec<Filling<'_>> = filling.collect();
        let waits = sharing.take(&filling).await;
        for (filling, wait_us) in filling.iter().zip(waits) {
            if wait_us > 0 {
                filling.limiter.block(filling.bucket, wait_us);
            }
        }
    }

    fn take_waiting(&self) -> Vec<(BucketIndex, K)> {
        let (mut turn, mut waiting) = (self.turn.lock(), self.waiting.lock());
        if turn.is_empty() {
            turn.extend(waiting.drain());
        }
        let rest = turn.len().saturating_sub(REPORTED_MAX);
        let taken = turn.split_off(rest);
        if !turn.is_empty() || !waiting.is_empty() {
            self.wake.notify_one();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_bucket_is_left_behind_by_others_that_are_used_all_the_time() {
        let reports = Reports::default();
        let all: HashSet<BucketIndex> = (0..3 * REPORTED_MAX).map(|at| (0, at)).collect();
        all.iter().for_each(|bucket| reports.add(*bucket, "a key"));
        let mut reported = HashSet::new();
        for _ in 0..3 {
            let taken = reports.take_waiting();
            assert_eq!(taken.len(), REPORTED_MAX);
            for (bucket, key) in taken {
                reported.insert(bucket);
                reports.add(bucket, key);
            }
        }
        assert_eq!(reported, all);
    }
}
