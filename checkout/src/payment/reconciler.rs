//! The reconciler: takes the next steps of payments that are not final, whatever became of the node
//! that began them. Apart from the sweep, so that a provider that is slow holds up no seats.

use crate::app::Shop;
use futures_util::stream::{self, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Largest number of payments asked about at one time.
const AT_ONCE_MAX: usize = 32;

/// Runs until the stop signal. Each payment is taken by one node at a time; with every time that
/// nothing came of it, it rests for longer.
pub(crate) async fn run(shop: &Arc<Shop>) {
    let mut due = interval(LOOK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shop.to_reconcile.notified() => {}
            () = shop.site.stop.cancelled() => return,
        }
        shop.reconcile_due().await;
    }
}

impl Shop {
    /// Takes the next steps of all payments that are due, and looks at parked webhooks.
    pub async fn reconcile_due(&self) {
        match self.inventory.due().await {
            Ok(payments) => {
                let steps = stream::iter(payments).map(|payment| self.drive(payment));
                steps.buffer_unordered(AT_ONCE_MAX).collect::<()>().await;
            }
            Err(error) => tracing::debug!(%error, "payments are looked for again"),
        }
        if self.providers.with_money().next().is_some() {
            self.take_parked().await;
        }
    }
}
