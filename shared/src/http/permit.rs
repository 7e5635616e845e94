//! Permission to keep a connection open, and the number of connections of each client address.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// The address of a connection's client.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Number of open connections by client address.
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
        let count = counts.entry(address).or_default();
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

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counted = self.counted.0.lock();
        if let Some(count) = counted.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counted.remove(&self.address);
            }
        }
    }
}
