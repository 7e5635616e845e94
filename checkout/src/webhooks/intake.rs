//! The webhooks' place in the outbox: rows for deliveries are added in the transaction that moves it,
//! so that each endpoint has each event once.

use super::message::deliveries;
use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::webhooks::{EndpointState, WebhookStore};
use crate::outbox_intake::{self, Batch, Intake};
use async_trait::async_trait;
use std::sync::Arc;

/// Name under which webhooks have their place in the outbox.
pub(crate) const CONSUMER: &str = "webhooks";

/// Runs until the stop signal.
pub(super) async fn run(shop: &Arc<Shop>) {
    let intake = WebhookIntake(shop.inventory.webhooks());
    outbox_intake::run(&intake, shop.inventory.outbox(), &shop.site.stop).await;
}

struct WebhookIntake<'a>(&'a dyn WebhookStore);

#[async_trait]
impl Intake for WebhookIntake<'_> {
    const CONSUMER: &'static str = CONSUMER;
    /// Each may have a delivery to every endpoint.
    const ROWS_MAX: u32 = 200;

    async fn is_wanted(&self) -> Result<bool, Refused> {
        let endpoints = self.0.endpoints().await?;
        let mut states = endpoints.iter().map(|endpoint| endpoint.state);
        Ok(states.any(|state| state == EndpointState::Enabled))
    }

    async fn take_in(&self, batch: Batch<'_>) -> Result<bool, Refused> {
        // Read after the events: an endpoint that was added before one of them is among these.
        let endpoints = self.0.endpoints().await?;
        let deliveries = deliveries(batch.rows, &endpoints);
        self.0
            .take_in(
                CONSUMER,
                batch.owner,
                batch.shard,
                batch.position,
                deliveries,
            )
            .await
    }
}
