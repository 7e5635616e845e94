//! Buckets that all nodes share in a store.

use super::bucket::{BUCKETS, Limiter, Used};
use crate::crypto::Secret;
use async_trait::async_trait;
use std::sync::Arc;

/// A store that all nodes use, where there is one.
#[async_trait]
pub trait SharedBuckets: Send + Sync {
    /// Counts uses of buckets by the store's clock. Returns for each the microseconds until it has
    /// room again, 0 if it had room; none if the store did not answer.
    async fn take(&self, buckets: &[SharedBucket]) -> Option<Vec<u64>>;
}

/// A bucket in the store, and what to put into it.
#[derive(Clone, Copy, Debug)]
pub struct SharedBucket {
    /// Kind of the limiter that it belongs to.
    pub kind: u8,
    /// Number below 262,144 that stands for the key, so that the store keeps no address and no more
    /// than that many buckets.
    pub id: u32,
    /// Uses that it does not know of yet.
    pub count: u64,
    /// Time after which one more use is free, in microseconds.
    pub interval_us: u64,
    /// Largest number of uses at once.
    pub burst: u64,
    /// Largest number of uses beyond these that count as well, because they were counted only after
    /// they were allowed.
    pub excess_max: u64,
}

/// The store, and the secret by which nodes name buckets alike.
pub(super) struct Sharing {
    pub(super) store: Arc<dyn SharedBuckets>,
    pub(super) secret: Secret,
}

impl Sharing {
    /// Tells the store what this node counted. Returns for each bucket the microseconds for which
    /// it is full.
    pub(super) async fn take(&self, filling: &[Filling<'_>]) -> Vec<u64> {
        let buckets: Vec<SharedBucket> = filling.iter().map(|it| self.bucket(it)).collect();
        self.store.take(&buckets).await.unwrap_or_default()
    }

    fn bucket(&self, filling: &Filling<'_>) -> SharedBucket {
        let mac = self.secret.sign(filling.name.as_bytes());
        let hash = mac.first_chunk().expect("a signature has 32 bytes");
        SharedBucket {
            kind: filling.kind,
            id: (u64::from_be_bytes(*hash) % BUCKETS) as u32,
            count: filling.limiter.take_unshared(filling.bucket),
            interval_us: filling.limiter.rate.interval_us,
            burst: filling.limiter.rate.burst,
            excess_max: filling.excess_max,
        }
    }
}

/// A bucket that is filling up.
pub(super) struct Filling<'a> {
    pub(super) limiter: &'a Limiter,
    /// Index of the bucket in the limiter.
    pub(super) bucket: usize,
    /// Kind of the limiter, the same at all nodes, as is the name of the key.
    pub(super) kind: u8,
    pub(super) name: String,
    /// See [`SharedBucket::excess_max`].
    pub(super) excess_max: u64,
}

impl<'a> Filling<'a> {
    /// Returns the bucket that was used, if it is worth sharing before the use is allowed.
    pub(super) fn find(
        limiter: &'a Limiter,
        kind: u8,
        used: Option<Used>,
        name: impl FnOnce() -> String,
    ) -> Option<Filling<'a>> {
        let used = used.filter(|used| limiter.is_worth_sharing(*used))?;
        Some(Filling {
            limiter,
            bucket: used.bucket,
            kind,
            name: name(),
            excess_max: 0,
        })
    }
}
