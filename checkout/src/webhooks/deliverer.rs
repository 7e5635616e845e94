//! Posts the deliveries that are due, a bounded number to each endpoint at one time, and records
//! their outcomes.

use super::attempt::{DeliveryAttempt, post};
use super::instruments::{count_delivered, count_failure};
use super::lanes::Lanes;
use super::watch::{disable, is_long_failure};
use crate::app::Shop;
use crate::inventory::webhooks::{
    DeliveryNext, DeliveryOutcome, EndpointNote, EndpointState, QueuedDelivery, WebhookEndpoint,
};
use parking_lot::Mutex;
use shared::outbound::PATIENCE;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Pause while nothing is due.
const IDLE: Duration = Duration::from_millis(200);
/// Pause after a delivery has ended, so that several that end together are followed by one look.
const GATHER: Duration = Duration::from_millis(10);
/// Time for which the endpoints are remembered.
const ENDPOINTS_KEPT: Duration = Duration::from_secs(1);
/// Time after which a delivery that was taken counts as not made.
const LEASE_MS: i64 = 3 * PATIENCE.as_millis() as i64;
/// Pause before an outcome is offered to the store again, and how often it is.
const SETTLE_AGAIN: Duration = Duration::from_millis(500);
const SETTLE_TRIES: usize = 30;

/// The work of this node.
struct Deliverer {
    shop: Arc<Shop>,
    lanes: Mutex<Lanes>,
    /// Notified when a delivery has ended.
    ended: Notify,
}

/// Runs until the stop signal. What is under way then is tracked, and ends by itself.
pub(super) async fn run(shop: &Arc<Shop>) {
    let deliverer = Arc::new(Deliverer {
        shop: shop.clone(),
        lanes: Mutex::default(),
        ended: Notify::new(),
    });
    let _ = shop
        .site
        .stop
        .run_until_cancelled(deliverer.send_all())
        .await;
}

impl Deliverer {
    async fn send_all(self: &Arc<Self>) {
        let mut endpoints = Vec::new();
        let mut read_at: Option<Instant> = None;
        loop {
            if read_at.is_none_or(|at| at.elapsed() >= ENDPOINTS_KEPT) {
                // While the store is away it says so itself.
                let read = self.shop.inventory.webhooks().endpoints().await;
                endpoints = read.unwrap_or_default();
                read_at = Some(Instant::now());
            }
            let has_begun = self.begin_due(&endpoints).await;
            tokio::select! {
                () = sleep(if has_begun { GATHER } else { IDLE }) => {}
                () = self.ended.notified() => sleep(GATHER).await,
            }
        }
    }

    /// Begins deliveries that are due, as far as there is room. Returns whether there were any.
    async fn begin_due(self: &Arc<Self>, known: &[WebhookEndpoint]) -> bool {
        let rooms = self.lanes.lock().rooms(known, self.now());
        if rooms.is_empty() {
            return false;
        }
        let claimed = self.shop.inventory.webhooks().claim(&rooms, LEASE_MS).await;
        let claimed = claimed.unwrap_or_default();
        if claimed.is_empty() {
            return false;
        }
        // As they are now: secrets and states that were changed a moment ago hold at once.
        let read = self.shop.inventory.webhooks().endpoints().await;
        let endpoints = read.unwrap_or_else(|_| known.to_vec()).into_iter();
        let endpoints: Vec<Arc<WebhookEndpoint>> = endpoints.map(Arc::new).collect();
        for delivery in claimed {
            let mut all = endpoints.iter();
            // One that is not posted is due again later, unless its endpoint is gone.
            if let Some(endpoint) = all.find(|endpoint| endpoint.id == delivery.endpoint) {
                self.begin(endpoint.clone(), delivery);
            }
        }
        true
    }

    /// Delivers in a task of its own, which goes on after the stop signal.
    fn begin(self: &Arc<Self>, endpoint: Arc<WebhookEndpoint>, delivery: QueuedDelivery) {
        let deliverer = self.clone();
        self.lanes.lock().begin(&endpoint.id);
        self.shop.delivering.spawn(async move {
            let attempt = deliverer.attempt(&endpoint, &delivery).await;
            deliverer.settle(&delivery, &attempt.outcome).await;
            deliverer.note(&endpoint, &attempt).await;
            let mut lanes = deliverer.lanes.lock();
            match attempt.failure {
                None => lanes.succeed(&endpoint),
                Some(_) => lanes.fail(&endpoint, deliverer.now(), attempt.asked_for),
            }
            drop(lanes);
            deliverer.ended.notify_one();
        });
    }

    async fn attempt(
        &self,
        endpoint: &WebhookEndpoint,
        delivery: &QueuedDelivery,
    ) -> DeliveryAttempt {
        let is_enabled = endpoint.state == EndpointState::Enabled;
        match &endpoint.settings {
            Some(settings) if is_enabled => {
                post(&self.shop.outbound, settings, delivery, self.now()).await
            }
            _ => DeliveryAttempt::of_disabled(),
        }
    }

    /// Records an outcome, also where the store is away for a while: a delivery without one is made
    /// again.
    async fn settle(&self, delivery: &QueuedDelivery, outcome: &DeliveryOutcome) {
        for _ in 0..SETTLE_TRIES {
            let settled = self.shop.inventory.webhooks().settle(delivery, outcome);
            if settled.await.is_ok() {
                return;
            }
            sleep(SETTLE_AGAIN).await;
        }
    }

    /// Notes how deliveries to the endpoint go, and disables it where they have failed for long.
    async fn note(&self, endpoint: &WebhookEndpoint, attempt: &DeliveryAttempt) {
        let store = self.shop.inventory.webhooks();
        let note = match (&attempt.outcome.next, attempt.failure) {
            (DeliveryNext::Delivered, _) => {
                count_delivered();
                endpoint.failing_since.map(|_| EndpointNote::Succeeded)
            }
            (_, Some(kind)) => {
                count_failure(kind);
                endpoint
                    .failing_since
                    .is_none()
                    .then_some(EndpointNote::Failed)
            }
            (_, None) => None,
        };
        if let Some(note) = note {
            // Otherwise the next attempt notes it.
            let _ = store.note_endpoint(endpoint, &note).await;
        }
        let is_given_up = attempt.failure.is_some() && attempt.outcome.next == DeliveryNext::Failed;
        if attempt.is_gone {
            disable(&self.shop, endpoint, "it answered 410 Gone").await;
        } else if is_given_up && is_long_failure(endpoint, self.now()) {
            disable(
                &self.shop,
                endpoint,
                "all deliveries have failed for five days",
            )
            .await;
        }
    }

    fn now(&self) -> Time {
        self.shop.inventory.now()
    }
}
