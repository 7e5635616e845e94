//! The webhook that a route is about, and its change in the audit log.

use crate::app::Shop;
use crate::inventory::webhooks::{EndpointState, WebhookEndpoint};
use axum::http::StatusCode;
use serde_json::Value;
use shared::audit::Entry;
use shared::http::problem::Problem;
use shared::organiser::Organiser;

pub(super) fn no_webhook() -> Problem {
    let title = "There is no such webhook";
    Problem::new(StatusCode::NOT_FOUND, "no-such-webhook", title)
}

pub(super) async fn find(shop: &Shop, webhook: &str) -> Result<WebhookEndpoint, Problem> {
    let endpoints = shop.inventory.webhooks().endpoints().await?;
    let mut found = endpoints.into_iter();
    found.find(|it| it.id == webhook).ok_or_else(no_webhook)
}

pub(super) fn check_enabled(endpoint: &WebhookEndpoint) -> Result<(), Problem> {
    match endpoint.state {
        EndpointState::Enabled => Ok(()),
        EndpointState::Disabled | EndpointState::Failed => Err(Problem::new(
            StatusCode::CONFLICT,
            "webhook-disabled",
            "The webhook is disabled: enable it first",
        )),
    }
}

pub(super) async fn record(
    shop: &Shop,
    organiser: &Organiser,
    action: &str,
    from: Value,
    to: Value,
) {
    let entry = organiser.entry(shop.inventory.now(), action, "");
    shop.site.audit.record(Entry { from, to, ..entry }).await;
}
