//! The task that deletes personal data and events after the time for which they are kept, and seals
//! anew with the current key the texts that an earlier one sealed.

use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::webhooks::EndpointState;
use crate::mail;
use crate::relay;
use crate::retention::Retention;
use crate::webhooks;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Time between two rounds.
const ROUND_EVERY: Duration = Duration::from_secs(3600);
/// Pause between two steps of a round, so that the sale does not notice it.
const STEP_EVERY: Duration = Duration::from_millis(200);

/// Time for which it is known of a mail that it was sent, or cannot be.
const MAILS_KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// Time for which deliveries to webhooks are kept that were made, and those that were given up.
const DELIVERIES_KEPT_MS: i64 = 3 * 24 * 3_600_000;
const FAILED_DELIVERIES_KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// Runs until the stop signal, on any number of nodes.
pub(crate) async fn run(shop: &Arc<Shop>) {
    let rounds = async {
        loop {
            sleep(STEP_EVERY).await;
            round(shop).await;
            sleep(ROUND_EVERY).await;
        }
    };
    shop.site.stop.run_until_cancelled(rounds).await;
}

/// Deletes everything that is too old, step by step. What fails is tried again in the next round.
async fn round(shop: &Shop) {
    if let Err(error) = tend(shop).await {
        tracing::warn!(%error, "old personal data and events are deleted later");
    }
}

async fn tend(shop: &Shop) -> Result<(), Refused> {
    let Retention {
        visits_days,
        buyers_days,
        events_hours,
    } = shop.retention;
    let kept_ms = i64::from(events_hours) * 3_600_000;
    // At the start they may not have been heard of yet, for as long as no node was running.
    let relay = shop.events.as_ref().map(|_| relay::CONSUMER);
    let mail = shop.mail.as_ref().map(|_| mail::CONSUMER);
    let endpoints = shop.inventory.webhooks().endpoints().await?;
    let mut states = endpoints.iter().map(|endpoint| endpoint.state);
    let has_webhooks = states.any(|state| state == EndpointState::Enabled);
    let webhooks = has_webhooks.then_some(webhooks::CONSUMER);
    let waits_for: Vec<&str> = relay.into_iter().chain(mail).chain(webhooks).collect();
    while shop.inventory.outbox().purge(kept_ms, &waits_for).await? {
        sleep(STEP_EVERY).await;
    }
    while shop.inventory.mails().purge(MAILS_KEPT_MS).await? {
        sleep(STEP_EVERY).await;
    }
    for endpoint in endpoints {
        // One that was changed meanwhile is sealed with the current key by that.
        if endpoint.settings.is_some() && !endpoint.is_current {
            shop.inventory.webhooks().change_endpoint(&endpoint).await?;
        }
    }
    let (kept, failed) = (DELIVERIES_KEPT_MS, FAILED_DELIVERIES_KEPT_MS);
    while shop.inventory.webhooks().purge(kept, failed).await? {
        sleep(STEP_EVERY).await;
    }
    let mut after = None;
    loop {
        after = shop.inventory.tend_buyers(after, buyers_days).await?;
        if after.is_none() {
            break;
        }
        sleep(STEP_EVERY).await;
    }
    if let Some(days) = visits_days {
        while shop.inventory.purge_old_visits(days).await? {
            sleep(STEP_EVERY).await;
        }
    }
    Ok(())
}
