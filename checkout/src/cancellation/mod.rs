//! Cancelled shows: the routes of organisers, and the job that ends what is left of the sale.

mod ending;
mod walk;

pub(crate) use ending::run;
pub(crate) use walk::Endings;

use crate::app::{App, Shop};
use crate::inventory::{CancellationProgress, EventCancelled};
use crate::organiser::{Change, known, record};
use crate::sessions::event_id;
use crate::waiting_room::Reported;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::cancellation::REASON_CHARS_MAX;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::organiser::Organiser;
use shared::plain_text::check_line;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(cancel_event, show_cancellation))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CancelInput {
    /// Reason, as fans and buyers read it: 1 to 300 characters on one line.
    #[schema(min_length = 1, max_length = 300, pattern = r"\S")]
    reason: String,
}

/// Cancel a show, for good. From now on nothing of it is sold, held or let in; its line is closed,
/// payments that are under way are given up, and every order is refunded whole, also the fees, step
/// by step. Cancelling it again changes nothing, not even the reason, and answers with the progress.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/cancel", tag = "organiser",
    params(("event" = String, Path)), request_body = CancelInput, security(("organiser" = ["operator"])),
    responses((status = 202, description = "The show is cancelled; what is left of its sale is being ended",
        body = CancellationProgress), Refusals))]
async fn cancel_event(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<CancelInput>,
) -> Result<(StatusCode, Json<CancellationProgress>), Problem> {
    let reason = check_line(&input.reason, REASON_CHARS_MAX);
    reason.map_err(|why| Problem::invalid("reason", why))?;
    let event = known(&shop, &event).await?;
    to_the_end(async move {
        let reason = input.reason.trim();
        let cancelled = shop.inventory.cancel_event(&event, reason).await?;
        let EventCancelled {
            cancellation,
            is_new,
        } = cancelled;
        if is_new {
            let change = Change {
                action: "event.cancel",
                event: &event,
                from: Value::Null,
                to: json!(cancellation),
            };
            record(&shop, &organiser, change).await;
        }
        let told = shop.waiting_room.cancel(&event, &cancellation).await;
        shop.to_end.notify_one();
        // The job ends the sale of a plan, and goes on telling; without one only this request does.
        let is_told = matches!(told, Reported::Taken | Reported::Lapsed);
        if !is_told && shop.inventory.seat_map(&event).is_none() {
            let why =
                "the waiting room does not answer: its line is still open, repeat the request";
            return Err(Problem::unavailable().detail(why));
        }
        let progress = shop.inventory.cancellation(&event).await?;
        Ok((StatusCode::ACCEPTED, Json(progress)))
    })
    .await
}

/// Show how far the cancellation of a show has come. Of a show that was not cancelled the figures say
/// what would be refunded.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/cancel", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The progress", body = CancellationProgress), Refusals))]
async fn show_cancellation(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<CancellationProgress>, Problem> {
    Ok(Json(shop.inventory.cancellation(&event_id(&event)?).await?))
}
