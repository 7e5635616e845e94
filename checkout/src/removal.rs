//! Removal of an event from the checkout, before the waiting room deletes it.

use crate::app::{App, Shop};
use crate::sessions::event_id;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::{StatusCode, request::Parts};
use serde_json::Value;
use shared::audit::Entry;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::Problem;
use shared::service_key::require_service_key;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(remove_event))
}

/// Proof that a request came with the service key, as a handler's first argument, so that nothing
/// else is read before. Without it the answer is 401.
pub(crate) struct Service;

impl FromRequestParts<App> for Service {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, App(shop): &App) -> Result<Self, Problem> {
        require_service_key(&shop.site, parts, shop.service_key.as_deref()).await?;
        Ok(Service)
    }
}

/// Remove an event, for a waiting room in another process: seats, sessions, holds that ended and
/// orders that were never paid go. 409 `event-has-orders` once something was booked or paid, 409
/// `event-in-use` while seats are held or money is on its way; then nothing goes.
#[utoipa::path(delete, path = "/api/v1/events/{event}/seating", tag = "checkout", params(("event" = String, Path)),
    security(("service" = [])), responses((status = 204, description = "Nothing of the event is left"), Refusals))]
async fn remove_event(
    _: Service,
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
) -> Result<StatusCode, Problem> {
    let event = event_id(&event)?;
    to_the_end(async move {
        shop.inventory.remove(&event).await?;
        let entry = Entry {
            at: shop.inventory.now(),
            by: "waiting room".to_owned(),
            action: "event.delete".to_owned(),
            event: event.as_str().to_owned(),
            address: None,
            from: Value::Null,
            to: Value::Null,
        };
        shop.site.audit.record(entry).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
