//! The task that deletes personal data and events after the time for which they are kept, and seals
//! anew with the current key the texts that an earlier one sealed.

use crate::analytics;
use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::webhooks::EndpointState;
use crate::line_messages;
use crate::mail;
use crate::relay;
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

/// Longest time for which the addresses, subscriptions and numbers of fans in line are kept.
const LINE_MAILS_KEPT_MS: i64 = 30 * 24 * 3_600_000;

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

/// Deletes everything that is too old, step by step, personal data first. What fails stops nothing
/// else, and is tried again in the next round.
async fn round(shop: &Shop) {
    let outcomes = [
        tend_buyers(shop).await,
        purge_visits(shop).await,
        purge_mails(shop).await,
        purge_line_mails(shop).await,
        purge_line_messages(shop).await,
        purge_events(shop).await,
        seal_webhooks(shop).await,
        purge_deliveries(shop).await,
        purge_deliveries_of_removed(shop).await,
    ];
    if let Some(error) = outcomes.into_iter().find_map(Result::err) {
        tracing::warn!(%error, "old personal data and events are deleted later");
    }
}

async fn tend_buyers(shop: &Shop) -> Result<(), Refused> {
    let mut after = None;
    loop {
        let days = shop.retention.buyers_days;
        after = shop.inventory.tend_buyers(after, days).await?;
        if after.is_none() {
            return Ok(());
        }
        sleep(STEP_EVERY).await;
    }
}

async fn purge_visits(shop: &Shop) -> Result<(), Refused> {
    match shop.retention.visits_days {
        Some(days) => all_steps(|| shop.inventory.purge_old_visits(days)).await,
        None => Ok(()),
    }
}

async fn purge_mails(shop: &Shop) -> Result<(), Refused> {
    all_steps(|| shop.inventory.mails().purge(MAILS_KEPT_MS)).await
}

async fn purge_line_mails(shop: &Shop) -> Result<(), Refused> {
    let mails = shop.inventory.line_mails();
    all_steps(|| mails.purge(None, LINE_MAILS_KEPT_MS)).await
}

async fn purge_line_messages(shop: &Shop) -> Result<(), Refused> {
    let messages = shop.inventory.line_messages();
    all_steps(|| messages.purge(None, LINE_MAILS_KEPT_MS)).await
}

async fn purge_events(shop: &Shop) -> Result<(), Refused> {
    let kept_ms = i64::from(shop.retention.events_hours) * 3_600_000;
    // At the start they may not have been heard of yet, for as long as no node was running.
    let relay = shop.events.as_ref().map(|_| relay::CONSUMER);
    let mail = shop.mail.as_ref().map(|_| mail::CONSUMER);
    let has_gateway = !shop.gateways().is_empty();
    let messages = has_gateway.then_some(line_messages::CONSUMER);
    let endpoints = shop.inventory.webhooks().endpoints().await?;
    let mut states = endpoints.iter().map(|endpoint| endpoint.state);
    let has_webhooks = states.any(|state| state == EndpointState::Enabled);
    let webhooks = has_webhooks.then_some(webhooks::CONSUMER);
    let chosen = relay
        .into_iter()
        .chain(mail)
        .chain(messages)
        .chain(webhooks);
    let waits_for: Vec<&str> = chosen.chain([analytics::CONSUMER]).collect();
    all_steps(|| shop.inventory.outbox().purge(kept_ms, &waits_for)).await
}

/// Seals the settings of webhooks anew that an earlier key sealed.
async fn seal_webhooks(shop: &Shop) -> Result<(), Refused> {
    for endpoint in shop.inventory.webhooks().endpoints().await? {
        // One that was changed meanwhile is sealed with the current key by that.
        if endpoint.settings.is_some() && !endpoint.is_current {
            shop.inventory.webhooks().change_endpoint(&endpoint).await?;
        }
    }
    Ok(())
}

async fn purge_deliveries(shop: &Shop) -> Result<(), Refused> {
    let (kept, failed) = (DELIVERIES_KEPT_MS, FAILED_DELIVERIES_KEPT_MS);
    all_steps(|| shop.inventory.webhooks().purge_done(kept, failed)).await
}

async fn purge_deliveries_of_removed(shop: &Shop) -> Result<(), Refused> {
    all_steps(|| shop.inventory.webhooks().purge_removed()).await
}

/// Repeats a step, with pauses, until it says that nothing is left.
async fn all_steps<F>(step: impl Fn() -> F) -> Result<(), Refused>
where
    F: Future<Output = Result<bool, Refused>>,
{
    while step().await? {
        sleep(STEP_EVERY).await;
    }
    Ok(())
}
