//! A limit on each of many keys, such as visitors, that nodes share.

use super::reports::Reports;
use super::{Limited, Limiter, SharedBuckets};
use crate::crypto::{Secret, hex, sha256};
use std::fmt::Display;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Longest key that is kept as it is.
const KEY_BYTES_MAX: usize = 64;

/// A limit on each key. Nodes with the same store count together: each counts by itself and reports
/// keys that come often, so that no request waits for the store.
pub struct KeyLimiter {
    limited: Limited,
    limiter: [Limiter; 1],
    reports: Reports<String>,
}

impl KeyLimiter {
    /// Creates the limit that `limiter` sets for each key.
    pub fn new(limited: Limited, limiter: Limiter) -> KeyLimiter {
        KeyLimiter {
            limited,
            limiter: [limiter],
            reports: Reports::default(),
        }
    }

    /// Counts one for a key, whose text is the same at all nodes.
    ///
    /// # Errors
    /// The whole seconds after which it is worth trying again.
    pub fn check(&self, key: impl Display) -> Result<(), u32> {
        let [limiter] = &self.limiter;
        let mut key = key.to_string();
        if key.len() > KEY_BYTES_MAX {
            key = hex(&sha256(key.as_bytes()));
        }
        let used = limiter.take(&key)?;
        let used = used.filter(|used| limiter.is_worth_sharing(*used));
        if let Some(used) = used.filter(|_| self.reports.is_shared()) {
            self.reports.add((0, used.bucket), key);
        }
        Ok(())
    }

    /// Counts together with all nodes that have the same store and secret, once [`Self::report`]
    /// runs.
    pub fn share(&self, store: Arc<dyn SharedBuckets>, secret: Secret) {
        self.reports.share(store, secret);
    }

    /// Reports to the store, and learns from it, until the stop signal. Returns at once where there
    /// is no store.
    pub async fn report(&self, stop: &CancellationToken) {
        self.reports.run(&self.limiter, self.limited, stop).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Counts;
    use super::*;

    #[tokio::test]
    async fn a_key_is_limited_by_all_nodes_together() {
        let store = Arc::new(Counts::default());
        let nodes = [(); 3].map(|()| {
            let node = KeyLimiter::new(Limited::Visitors, Limiter::per_second(1, 40));
            node.share(store.clone(), Secret::derive(b"secret", "limits"));
            node
        });
        let mut allowed = 0;
        for _ in 0..100 {
            for node in &nodes {
                allowed += usize::from(node.check("ann").is_ok());
                node.reports.send(&node.limiter, node.limited).await;
            }
        }
        // Up to a quarter of the limit is not known to the others at first.
        assert!((40..=70).contains(&allowed), "{allowed}");
        for node in &nodes {
            assert!(node.check("ann").is_err());
            assert_eq!(node.check("ben"), Ok(()));
        }
    }
}
