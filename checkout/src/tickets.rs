//! Organiser routes of tickets, for doors: check one, let its bearer in, list all valid ones.

use crate::app::{App, Shop};
use crate::inventory::{IssuedTicket, TicketList};
use crate::sessions::event_id;
use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem, saturating};
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest length of a ticket's code.
const CODE_BYTES_MAX: usize = 300;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_tickets))
        .routes(routes!(check_ticket))
        .routes(routes!(let_in))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeInput {
    /// Text of the ticket's QR code.
    #[schema(max_length = 300)]
    code: String,
}

impl CodeInput {
    fn check(&self) -> Result<(), Problem> {
        let is_short = self.code.len() <= CODE_BYTES_MAX;
        let why = || Problem::invalid("code", format!("at most {CODE_BYTES_MAX} characters"));
        is_short.then_some(()).ok_or_else(why)
    }
}

/// A ticket whose bearer is let in.
#[derive(Serialize, utoipa::ToSchema)]
struct LetIn {
    /// The ticket; `admitted_at` is null if no one came with it before.
    ticket: IssuedTicket,
    /// Whether no one came with it before. A door that asks again after a lost answer is told the
    /// time of its own first question.
    first: bool,
}

/// Check a ticket at the door. 404 `no-such-ticket` for a forged one, one of another event, and one
/// whose order was refunded.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/tickets/check", tag = "organiser",
    params(("event" = String, Path)),
    request_body = CodeInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The ticket is valid", body = IssuedTicket), Refusals))]
async fn check_ticket(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<CodeInput>,
) -> Result<Json<IssuedTicket>, Problem> {
    input.check()?;
    let event = event_id(&event)?;
    Ok(Json(
        shop.inventory.check_ticket(&event, &input.code).await?,
    ))
}

/// Let the bearer of a ticket in, and remember when. 404 as for a check.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/tickets/admit", tag = "organiser",
    params(("event" = String, Path)),
    request_body = CodeInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The ticket is valid; whether it was used before", body = LetIn), Refusals))]
async fn let_in(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<CodeInput>,
) -> Result<Json<LetIn>, Problem> {
    input.check()?;
    let event = event_id(&event)?;
    let letting_in = async move { Ok(shop.inventory.let_in(&event, &input.code).await?) };
    let ticket = to_the_end(letting_in).await?;
    let first = ticket.admitted_at.is_none();
    Ok(Json(LetIn { ticket, first }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TicketsQuery {
    /// `next` of the answer before; absent for the first.
    #[serde(default, deserialize_with = "saturating")]
    #[param(inline, minimum = 0)]
    from: Option<u32>,
}

/// List the valid tickets of an event, for doors without a connection: a code whose SHA-256 is not
/// in the list is not valid, or was sold since. Some thousand at a time.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/tickets", tag = "organiser",
    params(("event" = String, Path), TicketsQuery), security(("organiser" = ["operator"])),
    responses((status = 200, description = "The tickets, in order of seats", body = TicketList), Refusals))]
async fn list_tickets(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<TicketsQuery>,
) -> Result<Json<TicketList>, Problem> {
    let event = event_id(&event)?;
    let from = query.from.unwrap_or(0);
    Ok(Json(shop.inventory.list_tickets(&event, from).await?))
}
