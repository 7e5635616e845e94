//! Removing all that the checkout has of an event, before the waiting room deletes it.

use crate::session::event_id;
use crate::{App, Shop};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use shared::audit::Entry;
use shared::browser::bearer;
use shared::openapi::Refusals;
use shared::problem::Problem;
use shared::secret::same;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(remove_event))
}

/// A waiting room in another process deletes an event, with the service key: seats, sessions, holds that ended and orders that
/// were never paid go. 409 `event-has-orders` once something was booked or paid, 409 `event-in-use` while seats are held or
/// money is on its way; then nothing goes.
#[utoipa::path(delete, path = "/api/v1/events/{event}/seating", tag = "checkout", params(("event" = String, Path)),
    security(("service" = [])), responses((status = 204), Refusals))]
async fn remove_event(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let word = bearer(&headers).unwrap_or_default();
    let key = shop.service_key.as_deref();
    if !key.is_some_and(|key| same(key, &word)) {
        let title = "The service key is needed";
        let status = StatusCode::UNAUTHORIZED;
        return Err(Problem::new(status, "no-service-key", title));
    }
    let event = event_id(&event)?;
    shop.inventory.remove(&event).await?;
    let entry = Entry {
        at: shop.inventory.now(),
        by: "waiting room".to_owned(),
        action: "event.delete".to_owned(),
        event: event.as_str().to_owned(),
        from: Value::Null,
        to: Value::Null,
    };
    shop.site.audit.record(entry).await;
    Ok(StatusCode::NO_CONTENT)
}
