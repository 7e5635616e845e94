//! Rate limits by client address and by visitor, in memory of a fixed size. Where nodes share a
//! store, a bucket that fills up counts for all of them.

mod bucket;
mod cap;
mod key_limiter;
mod limited;
mod network;
mod reports;
mod shared;
mod shared_count;

pub use bucket::Limiter;
#[cfg(test)]
pub(crate) use cap::tests::Lists;
pub use cap::{Cap, Holder, ListChange, ListMember, MEMBERS_MAX, SharedLists};
pub use key_limiter::KeyLimiter;
pub use limited::Limited;
pub use network::folded;
pub use shared::{SharedBucket, SharedBuckets};
pub use shared_count::SharedCount;

use self::network::{FACTORS, Network, networks};
use self::reports::Reports;
use self::shared::{Filling, Sharing};
use crate::crypto::Secret;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Kind of the buckets of rejoins; those of joins have the number of bits of a network.
const REJOINS: u8 = 0;

/// A limit on each client address and, more widely, on the networks around it. Nodes with the same
/// store count together: each counts by itself and reports addresses that come often, so that no
/// request waits for the store.
pub struct AddressLimiter {
    /// By width, as [`networks`] returns them.
    limiters: [Limiter; network::WIDTHS],
    limited: Limited,
    reports: Reports<Network>,
}

impl AddressLimiter {
    /// Creates a limit for each address; `limiter` creates the limiter of a network that may do
    /// so many times as much as an address.
    pub fn new(limited: Limited, limiter: impl Fn(u32) -> Limiter) -> AddressLimiter {
        AddressLimiter {
            limiters: FACTORS.map(limiter),
            limited,
            reports: Reports::default(),
        }
    }

    /// Counts one for an address and its networks.
    ///
    /// # Errors
    /// The whole seconds after which it is worth trying again.
    pub fn check(&self, address: IpAddr) -> Result<(), u32> {
        let networks = networks(address).into_iter().zip(&self.limiters);
        for (width, (network, limiter)) in networks.enumerate() {
            let Some(network) = network else { continue };
            let used = limiter.take(network)?;
            let used = used.filter(|used| limiter.is_worth_sharing(*used));
            if let Some(used) = used.filter(|_| self.reports.is_shared()) {
                self.reports.add((width, used.bucket), network);
            }
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
        self.reports.run(&self.limiters, self.limited, stop).await;
    }
}

/// Limits that all nodes share where there is a store for it.
pub struct SharedLimits {
    /// By width, as [`networks`] returns them.
    joins: [Limiter; network::WIDTHS],
    rejoins: Limiter,
    sharing: OnceLock<Sharing>,
}

impl SharedLimits {
    /// Creates the limits: new places of an address in a minute, and places of one visitor beyond
    /// the first in an hour; 0 sets none.
    pub fn new(joins_per_minute: u32, rejoins_per_hour: u32) -> SharedLimits {
        SharedLimits {
            joins: FACTORS
                .map(|factor| Limiter::per_minute(joins_per_minute.saturating_mul(factor))),
            rejoins: Limiter::per_hour(rejoins_per_hour),
            sharing: OnceLock::new(),
        }
    }

    /// Shares the limits with all nodes that have the same store and secret.
    pub fn share(&self, store: Arc<dyn SharedBuckets>, secret: Secret) {
        let _ = self.sharing.set(Sharing { store, secret });
    }

    /// Counts a place that an address is about to be given.
    ///
    /// # Errors
    /// The whole seconds after which it is worth trying again.
    pub async fn join(&self, address: IpAddr) -> Result<(), u32> {
        let mut filling = Vec::new();
        self.halve_unshared();
        let limiters = self.joins.iter().zip(networks(address));
        for (limiter, network) in limiters {
            let Some(network) = network else { continue };
            let used = limiter.take(network)?;
            let name = || network.to_string();
            filling.extend(Filling::find(limiter, network.bits, used, name));
        }
        self.agree(filling).await
    }

    /// Counts a place that a visitor is about to be given beyond the first.
    ///
    /// # Errors
    /// The whole seconds after which it is worth trying again.
    pub async fn rejoin(&self, visitor: impl Hash + std::fmt::Display) -> Result<(), u32> {
        self.halve_unshared();
        let used = self.rejoins.take(&visitor)?;
        let filling = Filling::find(&self.rejoins, REJOINS, used, || visitor.to_string());
        self.agree(filling.into_iter().collect()).await
    }

    fn halve_unshared(&self) {
        if self.sharing.get().is_some() {
            let joins = self.joins.iter();
            joins
                .chain([&self.rejoins])
                .for_each(Limiter::halve_unshared);
        }
    }

    /// Counts what this node counted with the other nodes as well. While the store is away each
    /// node goes on alone.
    async fn agree(&self, filling: Vec<Filling<'_>>) -> Result<(), u32> {
        let Some(sharing) = self.sharing.get().filter(|_| !filling.is_empty()) else {
            return Ok(());
        };
        let waits = sharing.take(&filling).await;
        let mut refused = Ok(());
        for (filling, wait_us) in filling.iter().zip(waits) {
            if wait_us > 0 {
                refused = Err(filling.limiter.block(filling.bucket, wait_us));
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use std::collections::HashMap;

    /// A store that counts and forgets nothing.
    #[derive(Default)]
    pub(super) struct Counts {
        by_id: Mutex<HashMap<u32, u64>>,
        calls: Mutex<usize>,
    }

    #[async_trait]
    impl SharedBuckets for Counts {
        async fn take(&self, buckets: &[SharedBucket]) -> Option<Vec<u64>> {
            *self.calls.lock() += 1;
            let mut by_id = self.by_id.lock();
            let waits = buckets.iter().map(|bucket| {
                let count = by_id.entry(bucket.id).or_default();
                *count += bucket.count;
                if *count > bucket.burst { 30_000_000 } else { 0 }
            });
            Some(waits.collect())
        }
    }

    struct Away;

    #[async_trait]
    impl SharedBuckets for Away {
        async fn take(&self, _: &[SharedBucket]) -> Option<Vec<u64>> {
            None
        }
    }

    fn nodes(store: &Arc<Counts>) -> [SharedLimits; 2] {
        [(); 2].map(|()| {
            let node = SharedLimits::new(40, 0);
            node.share(store.clone(), Secret::derive(b"secret", "limits"));
            node
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_has_the_same_limit_however_many_nodes_it_asks() {
        let store = Arc::new(Counts::default());
        let nodes = nodes(&store);
        let mut given = 0;
        for at in 0..100 {
            let joined = nodes[at % 2].join(address("192.0.2.7")).await;
            given += usize::from(joined.is_ok());
        }
        assert_eq!(given, 40);
        assert!(nodes[0].join(address("192.0.2.7")).await.unwrap_err() > 20);
        let calls = *store.calls.lock();
        assert!(calls <= 40, "{calls}: a full bucket asks the store no more");
    }

    /// Nodes that have two hundred requests of an address at once, and as good as none later.
    fn shared_requests(count: usize, store: &Arc<Counts>) -> Vec<AddressLimiter> {
        let node = || {
            let node = AddressLimiter::new(Limited::Requests, |factor| {
                Limiter::per_second(1, 200 * factor)
            });
            node.share(store.clone(), Secret::derive(b"secret", "limits"));
            node
        };
        std::iter::repeat_with(node).take(count).collect()
    }

    async fn send(node: &AddressLimiter) {
        node.reports.send(&node.limiters, node.limited).await;
    }

    #[tokio::test]
    async fn requests_of_an_address_are_limited_together_behind_their_back() {
        for count in [1, 2, 10] {
            let store = Arc::new(Counts::default());
            let nodes = shared_requests(count, &store);
            let address = address("192.0.2.7");
            let mut allowed = 0;
            for _ in 0..400 {
                for node in &nodes {
                    allowed += usize::from(node.check(address).is_ok());
                }
                for node in &nodes {
                    send(node).await;
                }
            }
            // Up to a quarter of the limit is not known to the others at first.
            let most = 200 + 51 * (count - 1) + 20;
            assert!((200..=most).contains(&allowed), "{allowed} at {count}");
            for node in &nodes {
                assert!(node.check(address).is_err());
                assert_eq!(node.check("192.0.2.8".parse().unwrap()), Ok(()));
            }
        }
    }

    #[tokio::test]
    async fn requests_of_addresses_that_come_now_and_then_are_not_reported() {
        let store = Arc::new(Counts::default());
        let [node] = &shared_requests(1, &store)[..] else {
            panic!("one node");
        };
        for at in 0..50 {
            for host in 0..10 {
                let address = IpAddr::from([198, 51, at, host]);
                (0..5).for_each(|_| node.check(address).unwrap());
            }
        }
        send(node).await;
        assert_eq!(store.by_id.lock().len(), 0);
    }

    #[tokio::test]
    async fn while_the_store_is_away_requests_are_limited_at_each_node() {
        let node = AddressLimiter::new(Limited::Requests, |factor| {
            Limiter::per_second(1, 200 * factor)
        });
        node.share(Arc::new(Away), Secret::derive(b"secret", "limits"));
        let mut allowed = 0;
        for _ in 0..400 {
            allowed += usize::from(node.check(address("192.0.2.7")).is_ok());
            send(&node).await;
        }
        assert!((200..210).contains(&allowed), "{allowed}");
    }

    #[tokio::test]
    async fn fans_who_come_one_by_one_cost_the_store_nothing() {
        let store = Arc::new(Counts::default());
        let [node, _] = nodes(&store);
        for at in 0..10_000u32 {
            let joined = node.join(IpAddr::from(u32::to_be_bytes(at << 8))).await;
            assert_eq!(joined, Ok(()));
        }
        assert_eq!(*store.calls.lock(), 0);
    }

    #[tokio::test]
    async fn while_the_store_is_away_each_node_counts_for_itself() {
        let node = SharedLimits::new(40, 0);
        node.share(Arc::new(Away), Secret::derive(b"secret", "limits"));
        let mut given = 0;
        for _ in 0..100 {
            given += usize::from(node.join(address("192.0.2.7")).await.is_ok());
        }
        assert_eq!(given, 40);
    }

    #[tokio::test]
    async fn networks_of_an_address_have_wider_limits() {
        let given = async |of: &dyn Fn(u16) -> IpAddr| {
            let limits = SharedLimits::new(10, 0);
            let mut given = 0;
            for at in 0..256 {
                for _ in 0..2 {
                    given += usize::from(limits.join(of(at)).await.is_ok());
                }
            }
            given
        };
        let v4 = |at: u16| IpAddr::from([198, 51, 100, at as u8]);
        // A little more where the test itself is slow.
        assert!((160..170).contains(&given(&v4).await));
        let of_56 = |at: u16| IpAddr::from([0x2001, 0xdb8, 1, 0x200 + at, 0, 0, 0, 1]);
        assert!((40..50).contains(&given(&of_56).await));
        let of_48 = |at: u16| IpAddr::from([0x2001, 0xdb8, 1, at << 8, 0, 0, 0, 1]);
        assert!((160..170).contains(&given(&of_48).await));
        let apart = |at: u16| IpAddr::from([0x2001, 0xdb8, at, 0, 0, 0, 0, 1]);
        assert_eq!(given(&apart).await, 512);
    }

    #[tokio::test]
    async fn a_visitor_has_a_few_places_an_hour_beyond_the_first() {
        let limits = SharedLimits::new(0, 3);
        for _ in 0..3 {
            assert_eq!(limits.rejoin("ann").await, Ok(()));
        }
        assert_eq!(limits.rejoin("ann").await, Err(1200));
        assert_eq!(limits.rejoin("ben").await, Ok(()));
    }
}
