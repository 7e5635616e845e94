//! Watches the endpoints: metrics, the health of the node, and disabling those that are away for
//! long.

use super::instruments::{set_backlog, set_disabled};
use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::webhooks::{EndpointNote, EndpointState, WAITING_MAX, WebhookEndpoint};
use serde_json::{Value, json};
use shared::audit::Entry;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Time between two looks at the endpoints.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Time between two counts of what waits for them.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// Time without a success after which an endpoint is disabled by the next delivery that is given up.
const LONG_MS: i64 = 5 * 24 * 3_600_000;

/// Returns whether all deliveries to an endpoint have failed for so long that it is disabled.
pub(super) fn is_long_failure(endpoint: &WebhookEndpoint, now: Time) -> bool {
    let since = endpoint.failing_since;
    since.is_some_and(|since| now.0 - since.0 >= LONG_MS)
}

/// Disables an endpoint, once and unless it was changed meanwhile, and tells the organisers.
pub(super) async fn disable(shop: &Shop, endpoint: &WebhookEndpoint, reason: &str) {
    let note = EndpointNote::Disabled(reason.to_owned());
    let noted = shop.inventory.webhooks().note_endpoint(endpoint, &note);
    // While the store is away, the next delivery that fails disables it.
    if !noted.await.unwrap_or(false) {
        return;
    }
    let (id, name) = (&endpoint.id, name_of(endpoint));
    tracing::warn!(webhook = id, reason, "webhook disabled");
    let entry = Entry {
        at: shop.inventory.now(),
        by: "checkout".to_owned(),
        action: "webhook.disable".to_owned(),
        event: String::new(),
        address: None,
        from: Value::Null,
        to: json!({"webhook": id, "name": name, "reason": reason}),
    };
    shop.site.audit.record(entry).await;
}

fn name_of(endpoint: &WebhookEndpoint) -> &str {
    let settings = endpoint.settings.as_ref();
    settings.map_or("", |settings| &settings.name)
}

/// Watches until the stop signal.
pub(super) async fn run(shop: &Arc<Shop>) {
    let (mut look_due, mut count_due) = (ticks(LOOK_EVERY), ticks(COUNT_EVERY));
    loop {
        // A store that is away has metrics of its own.
        let _ = tokio::select! {
            _ = look_due.tick() => look(shop).await,
            _ = count_due.tick() => count(shop).await,
            () = shop.site.stop.cancelled() => return,
        };
    }
}

fn ticks(period: Duration) -> Interval {
    let mut due = interval(period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due
}

async fn look(shop: &Shop) -> Result<(), Refused> {
    let endpoints = shop.inventory.webhooks().endpoints().await?;
    let failed = |endpoint: &&WebhookEndpoint| endpoint.state == EndpointState::Failed;
    set_disabled(endpoints.iter().filter(failed).count());
    *shop.site.health.webhook_trouble.lock() = endpoints.iter().find_map(trouble);
    Ok(())
}

/// Counts what waits for each endpoint, and disables those for which too much does.
async fn count(shop: &Shop) -> Result<(), Refused> {
    let endpoints = shop.inventory.webhooks().endpoints().await?;
    let ids: Vec<String> = endpoints.iter().map(|it| it.id.clone()).collect();
    let backlog = match ids.is_empty() {
        true => Vec::new(),
        false => shop.inventory.webhooks().backlog(&ids).await?,
    };
    set_backlog(&backlog);
    for endpoint in &endpoints {
        let mut all = backlog.iter();
        let is_full = all.any(|it| it.endpoint == endpoint.id && it.waiting >= WAITING_MAX);
        if is_full && endpoint.state == EndpointState::Enabled {
            let reason = format!("{WAITING_MAX} deliveries wait: it takes fewer than there are");
            disable(shop, endpoint, &reason).await;
        }
    }
    Ok(())
}

/// Returns what is wrong with an endpoint, in a sentence for the operator.
fn trouble(endpoint: &WebhookEndpoint) -> Option<String> {
    let (id, name, why) = (&endpoint.id, name_of(endpoint), &endpoint.reason);
    match (&endpoint.settings, endpoint.state) {
        (None, _) => Some(format!("the settings of the webhook {id} cannot be opened")),
        (_, EndpointState::Failed) => Some(format!("the webhook '{name}' is disabled: {why}")),
        _ => None,
    }
}
