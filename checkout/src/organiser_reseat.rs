//! The organiser's route that moves tickets of an order to other seats.

use crate::app::{App, Shop};
use crate::inventory::{DifferenceSettlement, Money, Reseat, Reseated, SeatMove};
use crate::organiser::{Change, record};
use crate::sessions::event_id;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem};
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest number of tickets moved at one time: no order has more seats.
const MOVES_MAX: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(reseat))
}

/// Tickets that are to be moved, all or none.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ReseatInput {
    /// The moves, at most 100.
    #[schema(max_items = 100)]
    seats: Vec<SeatMove>,
    /// Whether the new seats may be blocked ones: they are taken without going on sale in between.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    blocked: bool,
    /// `difference` of the preview: 409 `reseat-differs` with the one of now if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected_difference: Option<Money>,
    /// Settlement of a difference that is not 0: `refund` gives it back if the new seats cost less,
    /// `waive` charges nothing and gives nothing back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settlement: Option<DifferenceSettlement>,
}

impl ReseatInput {
    fn reseat(self, is_preview: bool) -> Result<Reseat, Problem> {
        if self.seats.len() > MOVES_MAX {
            let why = format!("at most {MOVES_MAX} seats");
            return Err(Problem::invalid("seats", why));
        }
        let confirmed = match (is_preview, self.expected_difference) {
            (true, _) => None,
            (false, Some(difference)) => Some((difference, self.settlement)),
            (false, None) => {
                let why = "the difference that the preview showed";
                return Err(Problem::invalid("expected_difference", why));
            }
        };
        Ok(Reseat {
            moves: self.seats,
            takes_blocked: self.blocked,
            confirmed,
        })
    }
}

/// Query of a reseat.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReseatQuery {
    /// Whether nothing is moved, and only the difference in price is shown.
    #[serde(default)]
    #[param(inline, example = true)]
    preview: Option<bool>,
}

/// Move tickets of a confirmed order to other seats: the old ones are free and the new ones sold in one
/// step, and the tickets are replaced by others with codes of their own. Seats that are held or sold are
/// refused, and blocked ones unless `blocked` allows them: 409 `seats-taken`. Tickets that were used
/// are not moved: 409 `ticket-used`. The difference in price is shown by `preview` and confirmed by
/// `expected_difference`; no card is charged again. The buyer gets the new tickets by mail, if mail is
/// set up.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/orders/{order}/reseat", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path), ReseatQuery, IdempotencyKey),
    request_body = ReseatInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The moves, and what they come to", body = Reseated), Refusals))]
async fn reseat(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order)): Path<(String, String)>,
    Parameters(query): Parameters<ReseatQuery>,
    key: IdempotencyKey,
    Input(input, body): Input<ReseatInput>,
) -> Result<Response, Problem> {
    let event = event_id(&event)?;
    let subject = format!("organiser {}", organiser.name);
    let attempt = key.attempt(&subject, &format!("reseat {event} {order}"), &body);
    let settlement = input.settlement;
    let reseat = input.reseat(query.preview.unwrap_or(false))?;
    let reseating = shop.inventory.reseat(&event, &order, &reseat, attempt);
    let (once, refund) = reseating.await?;
    let reseated = once.value;
    if reseated.done && !once.is_replayed {
        let change = Change {
            action: "order.reseat",
            event: &event,
            from: json!({"order": order}),
            to: json!({"seats": reseat.moves, "difference": reseated.difference, "settlement": settlement,
                "refund": reseated.refund, "blocked": reseat.takes_blocked}),
        };
        record(&shop, &organiser, change).await;
        shop.to_report.notify_one();
    }
    // The tickets are moved, and the reconciler finishes a refund that has begun.
    if let Some(payment) = refund
        && let Err(error) = shop.give_back(&payment).await
    {
        tracing::warn!(order, %error, "the refund of a difference in price is made later");
    }
    let response = Json(reseated).into_response();
    Ok(mark_replayed(response, once.is_replayed))
}
