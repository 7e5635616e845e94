//! Permission to keep a connection open, and the number of connections of each client address.

use super::rate_limit::folded;
use axum::extract::Request;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Number of open connections by client address; those of an IPv6 /64 share a number.
#[derive(Clone, Default)]
pub(super) struct AddressCounts(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl AddressCounts {
    /// Counts a connection. None if the address has as many as `max`; 0 sets no limit.
    pub(super) fn take(
        &self,
        address: IpAddr,
        permit: OwnedSemaphorePermit,
        max: usize,
    ) -> Option<Arc<ConnectionPermit>> {
        let mut counts = self.0.lock();
        let count = counts.entry(folded(address)).or_default();
        if max > 0 && *count >= max {
            return None;
        }
        *count += 1;
        Some(Arc::new(ConnectionPermit {
            _permit: permit,
            address,
            counted: self.clone(),
        }))
    }
}

/// Permission to keep a connection open, given back when dropped. A WebSocket keeps it for as long
/// as it lives, which is how the drain waits for sockets too.
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    pub(super) address: IpAddr,
    counted: AddressCounts,
}

/// Returns the address of the connection by which a request came; this machine's for one that came
/// by none, as in tests.
pub(super) fn peer(request: &Request) -> IpAddr {
    let permit = request.extensions().get::<Arc<ConnectionPermit>>();
    permit.map_or(Ipv4Addr::LOCALHOST.into(), |permit| permit.address)
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counted = self.counted.0.lock();
        let counted_as = folded(self.address);
        if let Some(count) = counted.get_mut(&counted_as) {
            *count -= 1;
            if *count == 0 {
                counted.remove(&counted_as);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn addresses_of_one_household_share_their_limit_and_give_it_back() {
        let room = Arc::new(Semaphore::new(10));
        let counts = AddressCounts::default();
        let take = |address: &str| {
            let permit = room.clone().try_acquire_owned().unwrap();
            counts.take(address.parse().unwrap(), permit, 1)
        };
        let first = take("2001:db8:0:1::1").unwrap();
        assert!(take("2001:db8:0:1:ffff::2").is_none());
        assert!(take("2001:db8:0:2::1").is_some());
        assert_eq!(first.address.to_string(), "2001:db8:0:1::1");
        drop(first);
        assert!(take("2001:db8:0:1:ffff::2").is_some());
    }
}
