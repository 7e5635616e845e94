//! Organiser routes of what is posted to webhooks: tests, the list, and posting again.

use super::common::{check_enabled, find, record};
use crate::app::{App, Shop};
use crate::inventory::webhooks::{DELIVERIES_MAX, DeliveryCursor, DeliveryRecord};
use crate::text::{check_after, is_id, unknown_cursor};
use crate::webhooks::test_message;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::http::openapi::Refusals;
use shared::http::problem::{Parameters, Problem, saturating};
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(test_webhook))
        .routes(routes!(list_deliveries))
        .routes(routes!(resend_delivery))
}

/// Some deliveries, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct DeliveryList {
    deliveries: Vec<DeliveryRecord>,
    /// `after` of the next request; null at the end.
    next: Option<String>,
}

/// A delivery that is being made.
#[derive(Serialize, utoipa::ToSchema)]
struct TestDelivery {
    /// Its id, by which the list of deliveries has it.
    id: String,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Largest number of deliveries, 50 if absent; more than 100 count as 100.
    #[serde(default, deserialize_with = "saturating")]
    #[param(inline, minimum = 1)]
    limit: Option<u32>,
    /// `next` of the answer before; absent for the newest.
    #[param(
        inline,
        max_length = 100,
        example = "1803895200000.evt_5e8c7a1f0b6d4932a7c15e8840f3b2d916c07e4a"
    )]
    after: Option<String>,
}

/// Post a test to a webhook, an event of the type `webhook.test`, whatever its filters are. The list
/// of deliveries has its outcome. 409 `webhook-disabled` while it is disabled.
#[utoipa::path(post, path = "/api/v1/organiser/webhooks/{webhook}/test", tag = "organiser",
    params(("webhook" = String, Path)), security(("organiser" = ["operator"])),
    responses((status = 202, description = "It is being posted", body = TestDelivery), Refusals))]
async fn test_webhook(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(webhook): Path<String>,
) -> Result<(StatusCode, Json<TestDelivery>), Problem> {
    check_enabled(&find(&shop, &webhook).await?)?;
    let delivery = test_message(&webhook, shop.inventory.now());
    let id = delivery.id.clone();
    shop.inventory.webhooks().add_delivery(delivery).await?;
    let to = json!({"webhook": webhook, "delivery": id});
    record(&shop, &organiser, "webhook.test", Value::Null, to).await;
    Ok((StatusCode::ACCEPTED, Json(TestDelivery { id })))
}

/// List what was posted to a webhook, the newest first, page by page, each with the last answer.
/// Delivered ones are kept for 3 days, those that were given up for 30.
#[utoipa::path(get, path = "/api/v1/organiser/webhooks/{webhook}/deliveries", tag = "organiser",
    params(("webhook" = String, Path), DeliveriesQuery), security(("organiser" = ["operator"])),
    responses((status = 200, description = "Some deliveries", body = DeliveryList), Refusals))]
async fn list_deliveries(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(webhook): Path<String>,
    Parameters(query): Parameters<DeliveriesQuery>,
) -> Result<Json<DeliveryList>, Problem> {
    find(&shop, &webhook).await?;
    let limit = query.limit.unwrap_or(50).clamp(1, DELIVERIES_MAX);
    // Some clients send an empty one for the first page.
    let after = query.after.as_deref().filter(|after| !after.is_empty());
    let after = after.map(|after| {
        let cursor = DeliveryCursor::parse(after).ok_or_else(unknown_cursor)?;
        check_after("evt_", &cursor.id).map(|()| cursor)
    });
    let after = after.transpose()?;
    let store = shop.inventory.webhooks();
    let deliveries = store.deliveries(&webhook, after.clone(), limit).await?;
    if let Some(after) = after.filter(|_| deliveries.is_empty())
        && !is_delivery(&shop, &webhook, after).await?
    {
        return Err(unknown_cursor());
    }
    let last = deliveries
        .last()
        .filter(|_| deliveries.len() == limit as usize);
    let next = last.map(|last| {
        let (created_at, id) = (last.created_at, last.id.clone());
        DeliveryCursor { created_at, id }.to_string()
    });
    Ok(Json(DeliveryList { deliveries, next }))
}

/// Returns whether a webhook has the delivery of a cursor.
async fn is_delivery(shop: &Shop, webhook: &str, of: DeliveryCursor) -> Result<bool, Problem> {
    // The place right before it: ids are of one length.
    let before = DeliveryCursor {
        id: format!("{}~", of.id),
        created_at: of.created_at,
    };
    let store = shop.inventory.webhooks();
    let found = store.deliveries(webhook, Some(before), 1).await?;
    Ok(found.first().is_some_and(|delivery| delivery.id == of.id))
}

/// Post a delivery again that was made or given up, with the same id, and out of order. 409
/// `webhook-disabled` while the webhook is disabled.
#[utoipa::path(post, path = "/api/v1/organiser/webhooks/{webhook}/deliveries/{delivery}/resend", tag = "organiser",
    params(("webhook" = String, Path), ("delivery" = String, Path)), security(("organiser" = ["operator"])),
    responses((status = 204, description = "It is being posted"), Refusals))]
async fn resend_delivery(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((webhook, delivery)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    check_enabled(&find(&shop, &webhook).await?)?;
    let store = shop.inventory.webhooks();
    if !is_id(&delivery) || !store.resend(&webhook, &delivery).await? {
        let title = "There is no such delivery that is done";
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-delivery",
            title,
        ));
    }
    let to = json!({"webhook": webhook, "delivery": delivery});
    record(&shop, &organiser, "webhook.resend", Value::Null, to).await;
    Ok(StatusCode::NO_CONTENT)
}
