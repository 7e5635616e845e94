//! Holding seats and giving them back.

use crate::inventory::{Hold, SessionKey, Wish};
use crate::session::{Sessions, event_id};
use crate::{App, Shop};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::idempotency::{IdempotencyKey, replayed};
use shared::openapi::Refusals;
use shared::problem::{Input, Problem};
use shared::secret::hex;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Seats that one request may name.
const SEATS_NAMED_MAX: usize = 1000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(hold))
        .routes(routes!(show_hold, release))
}

/// Either `seats` or `best_available`.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct HoldInput {
    /// Exactly these seats.
    seats: Option<Vec<String>>,
    /// The best that there are, adjacent ones first.
    best_available: Option<Best>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Best {
    quantity: u32,
    category: Option<String>,
}

/// Hold seats: all of them or none.
#[utoipa::path(post, path = "/api/v1/events/{event}/holds", tag = "checkout", params(("event" = String, Path)),
    request_body = HoldInput, security(("session" = [])), responses((status = 201, body = Hold), Refusals))]
async fn hold(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    Sessions(keys): Sessions,
    key: IdempotencyKey,
    Input(input, body): Input<HoldInput>,
) -> Result<Response, Problem> {
    let event = event_id(&event)?;
    let wish = match (input.seats, input.best_available) {
        (Some(seats), None) if seats.len() > SEATS_NAMED_MAX => {
            return Err(Problem::invalid(
                "seats",
                format!("at most {SEATS_NAMED_MAX}"),
            ));
        }
        (Some(seats), None) => Wish::Seats(seats),
        (None, Some(best)) => Wish::Best {
            quantity: best.quantity,
            category: best.category,
        },
        _ => return Err(Problem::invalid("seats", "either seats or best_available")),
    };
    let attempt = key.attempt(&subject(&keys), &format!("hold {event}"), &body);
    let once = shop.inventory.hold(keys, &event, wish, attempt).await?;
    let response = (StatusCode::CREATED, Json(once.value)).into_response();
    Ok(if once.is_replayed {
        replayed(response)
    } else {
        response
    })
}

/// Who an idempotency key belongs to: nobody else has these session words.
pub(crate) fn subject(keys: &[SessionKey]) -> String {
    keys.iter().map(|key| hex(&key.hash)).collect()
}

/// A hold.
#[utoipa::path(get, path = "/api/v1/holds/{hold}", tag = "checkout", params(("hold" = String, Path)),
    security(("session" = [])), responses((status = 200, body = Hold), Refusals))]
async fn show_hold(
    State(shop): State<Arc<Shop>>,
    Path(hold): Path<String>,
    Sessions(keys): Sessions,
) -> Result<Json<Hold>, Problem> {
    Ok(Json(shop.inventory.show_hold(keys, &hold).await?))
}

/// Give the seats back.
#[utoipa::path(delete, path = "/api/v1/holds/{hold}", tag = "checkout", params(("hold" = String, Path)),
    security(("session" = [])), responses((status = 204), Refusals))]
async fn release(
    State(shop): State<Arc<Shop>>,
    Path(hold): Path<String>,
    Sessions(keys): Sessions,
) -> Result<StatusCode, Problem> {
    shop.inventory.release(keys, &hold).await?;
    Ok(StatusCode::NO_CONTENT)
}
