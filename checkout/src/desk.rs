//! The route of sales at the desk: seats sold or given away by an organiser.

use crate::app::{App, Shop};
use crate::inventory::{Best, Buyer, ChosenTypes, DeskSale, Money, ProviderId, Refused, Wish};
use crate::orders::{check_buyer, chosen_language};
use crate::organiser::{Change, known, record};
use crate::organiser_orders::OrganiserOrder;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::organiser::Organiser;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest number of seats, and of tickets, named in one sale.
const SEATS_MAX: usize = 1000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(sell_at_desk))
}

/// How a sale at the desk is paid. The desk has the money; the sale is confirmed at once.
#[derive(Clone, Copy, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeskMethod {
    /// Cash.
    Cash,
    /// A card, at a terminal of the organiser's own.
    CardAtDesk,
    /// An invoice of the organiser's own.
    Invoice,
    /// Nothing: the tickets are given away, and cost 0.
    Comp,
}

impl DeskMethod {
    fn provider(self) -> ProviderId {
        match self {
            DeskMethod::Cash => ProviderId::Cash,
            DeskMethod::CardAtDesk => ProviderId::CardAtDesk,
            DeskMethod::Invoice => ProviderId::Invoice,
            DeskMethod::Comp => ProviderId::Comp,
        }
    }
}

/// Buyer at the desk.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DeskBuyer {
    /// Name, 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// E-mail address for the tickets; without one no mail is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Email, max_length = 254)]
    email: Option<String>,
}

/// A sale at the desk: of either `seats` or `best_available`.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DeskSaleInput {
    /// Exactly these seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<String>>,
    /// The best available seats, adjacent ones first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best_available: Option<Best>,
    /// Whether `seats` are blocked ones, all of them: they are sold without going on sale in between.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    blocked: bool,
    /// Types of the tickets by seat, such as `{"st-A-2": "child"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ticket_types: ChosenTypes,
    /// Numbers of tickets by type, such as `{"child": 1}`, for the seats that `ticket_types` does not
    /// name, in their order; the others get the standard type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    type_counts: BTreeMap<String, u32>,
    /// The buyer.
    buyer: DeskBuyer,
    /// How it is paid.
    method: DeskMethod,
    /// Total that was asked for: 409 `price-changed` with the `total` of now if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<Money>,
    /// Language of the order's mails, tickets and invoices: `en` or `de`; that of the event if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 8)]
    language: Option<String>,
}

impl DeskSaleInput {
    fn sale(self) -> Result<DeskSale, Problem> {
        check_buyer(
            "buyer.",
            Some(&self.buyer.name),
            self.buyer.email.as_deref(),
        )?;
        let named = self.seats.as_ref().map_or(0, Vec::len);
        if named > SEATS_MAX {
            return Err(Problem::invalid(
                "seats",
                format!("at most {SEATS_MAX} seats"),
            ));
        }
        let wish = match (self.seats, self.best_available, self.blocked) {
            (Some(seats), None, false) => Wish::Seats(seats),
            (Some(seats), None, true) => Wish::Blocked(seats),
            (None, Some(best), false) => Wish::Best(best),
            _ => {
                return Err(Problem::invalid(
                    "seats",
                    "either seats, which may be blocked ones, or best_available",
                ));
            }
        };
        Ok(DeskSale {
            wish,
            ticket_types: self.ticket_types,
            type_counts: self.type_counts,
            buyer: Buyer {
                name: self.buyer.name,
                email: self.buyer.email.unwrap_or_default(),
            },
            method: self.method.provider(),
            total: self.total,
            language: chosen_language(self.language.as_deref())?,
        })
    }
}

/// Returns a refusal, with a word on blocked seats where that may be the reason.
fn explained(refused: Refused, sells_blocked: bool) -> Problem {
    let is_taken = matches!(refused, Refused::SeatsTaken(_));
    let problem = Problem::from(refused);
    match (is_taken, sells_blocked) {
        (false, _) => problem,
        (true, false) => problem.detail("They are held, sold or blocked. Blocked seats are sold only if the sale says that they are"),
        (true, true) => problem.detail("They are not blocked: the sale says that all of them are"),
    }
}

/// Sell seats at the desk, or give them away: without the line and without a provider, within the
/// limits that fans have. The order is confirmed at once. Seats that are held or sold are refused, and
/// blocked ones unless `blocked` says that they are: 409 `seats-taken`.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/orders", tag = "organiser",
    params(("event" = String, Path), IdempotencyKey), security(("organiser" = ["operator"])),
    request_body = DeskSaleInput,
    responses((status = 201, description = "The order", body = OrganiserOrder), Refusals))]
async fn sell_at_desk(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    key: IdempotencyKey,
    Input(input, body): Input<DeskSaleInput>,
) -> Result<Response, Problem> {
    let event = known(&shop, &event).await?;
    let subject = format!("organiser {}", organiser.name);
    let attempt = key.attempt(&subject, &format!("desk {event}"), &body);
    let sale = input.sale()?;
    let sells_blocked = matches!(sale.wish, Wish::Blocked(_));
    let sold = shop.inventory.sell_at_desk(&event, &sale, attempt).await;
    let once = sold.map_err(|refused| explained(refused, sells_blocked))?;
    if !once.is_replayed {
        let order = &once.value;
        let seats: Vec<&str> = order.seats.iter().map(|seat| &*seat.id).collect();
        let change = Change {
            action: "order.desk",
            event: &event,
            from: Value::Null,
            to: json!({"order": order.id, "method": order.payment.provider, "total": order.total, "seats": seats,
                "blocked": sells_blocked}),
        };
        record(&shop, &organiser, change).await;
    }
    let order = OrganiserOrder::of(once.value, &organiser);
    let response = (StatusCode::CREATED, Json(order)).into_response();
    Ok(mark_replayed(response, once.is_replayed))
}
