//! Organiser routes of blocked seats: blocked and unblocked, with reason and owner, listed, exported.

use crate::app::{App, Shop};
use crate::export_file::ExportFile;
use crate::inventory::{Block, BlockNote, BlockedSeat, Sales};
use crate::organiser::{Change, record};
use crate::sessions::event_id;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem};
use shared::ids::EventId;
use shared::organiser::Organiser;
use shared::plain_text::{disturbs_text, has_visible};
use shared::time::Time;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest number of characters of a reason to block seats.
const REASON_CHARS_MAX: usize = 200;
/// Largest number of characters of the owner of blocked seats.
const OWNER_CHARS_MAX: usize = 100;
/// Largest number of blocked seats that are listed; an export has all.
const LISTED_MAX: usize = 5000;
/// Columns of the export.
pub(crate) const COLUMNS: [&str; 7] = [
    "seat",
    "category",
    "owner",
    "reason",
    "blocked by",
    "blocked at",
    "seat id",
];

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(block))
        .routes(routes!(unblock))
        .routes(routes!(list_blocks))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SeatsInput {
    seats: Vec<String>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct BlockInput {
    seats: Vec<String>,
    /// Reason: up to 200 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    reason: Option<String>,
    /// For whom they are kept, such as a promoter: up to 100 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    owner: Option<String>,
}

impl BlockInput {
    /// Returns the note on the seats, with blanks around its parts removed.
    fn note(&self, by: &str, at: Time) -> Result<BlockNote, Problem> {
        Ok(BlockNote {
            owner: line("owner", self.owner.as_deref(), OWNER_CHARS_MAX)?,
            reason: line("reason", self.reason.as_deref(), REASON_CHARS_MAX)?,
            by: by.to_owned(),
            at,
        })
    }
}

/// Returns a text on one line, or nothing if nothing of it can be seen.
fn line(field: &str, text: Option<&str>, max: usize) -> Result<Option<String>, Problem> {
    let text = text.unwrap_or_default().trim();
    if !has_visible(text) {
        return Ok(None);
    }
    if text.chars().count() > max || text.chars().any(disturbs_text) {
        let why = format!("up to {max} characters, on one line");
        return Err(Problem::invalid(field, why));
    }
    Ok(Some(text.to_owned()))
}

/// Take seats out of the sale, with a reason and for whom they are kept. Seats that are blocked already
/// get these in place of theirs.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/seats/block", tag = "organiser",
    params(("event" = String, Path)),
    request_body = BlockInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The figures after the change", body = Sales), Refusals))]
async fn block(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<BlockInput>,
) -> Result<Response, Problem> {
    let to = json!(input);
    let note = input.note(&organiser.name, shop.site.clock.now())?;
    let change = (Block::Block, Some(note));
    change_block(&shop, &organiser, &event, (input.seats, to), change).await
}

/// Put blocked seats back into the sale.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/seats/unblock", tag = "organiser",
    params(("event" = String, Path)),
    request_body = SeatsInput, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The figures after the change", body = Sales), Refusals))]
async fn unblock(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<SeatsInput>,
) -> Result<Response, Problem> {
    let to = json!(input);
    let change = (Block::Unblock, None);
    change_block(&shop, &organiser, &event, (input.seats, to), change).await
}

async fn change_block(
    shop: &Shop,
    organiser: &Organiser,
    event: &str,
    (seats, to): (Vec<String>, Value),
    (change, note): (Block, Option<BlockNote>),
) -> Result<Response, Problem> {
    let event = event_id(event)?;
    shop.inventory.block(&event, seats, change, note).await?;
    let action = match change {
        Block::Block => "seats.block",
        Block::Unblock => "seats.unblock",
    };
    let change = Change {
        action,
        event: &event,
        from: Value::Null,
        to,
    };
    record(shop, organiser, change).await;
    let sales = shop.inventory.sales(&event).await?;
    Ok((StatusCode::OK, Json(sales)).into_response())
}

/// Query of the blocked seats.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct BlocksQuery {
    /// Only those kept for this owner; empty for those that name none.
    #[serde(default)]
    #[param(inline, example = "Promoter")]
    owner: Option<String>,
}

/// Blocked seats of an event.
#[derive(Serialize, utoipa::ToSchema)]
struct BlockedSeats {
    /// All owners.
    owners: Vec<BlockOwner>,
    /// The seats, in the order of the plan.
    #[schema(max_items = 5000)]
    seats: Vec<BlockedSeat>,
    /// Number of those that are not listed; an export has all.
    more: u32,
}

/// An owner of blocked seats.
#[derive(Serialize, utoipa::ToSchema)]
struct BlockOwner {
    /// The owner; null for seats that name none.
    owner: Option<String>,
    /// Number of seats.
    seats: u32,
}

/// List the seats that were blocked, with reason and owner. Those that the plan keeps out of the sale
/// are not among them.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/seats/blocks", tag = "organiser",
    params(("event" = String, Path), BlocksQuery), security(("organiser" = ["operator"])),
    responses((status = 200, description = "The blocked seats", body = BlockedSeats), Refusals))]
async fn list_blocks(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<BlocksQuery>,
) -> Result<Json<BlockedSeats>, Problem> {
    let event = event_id(&event)?;
    let mut seats = shop.inventory.blocked_seats(&event).await?;
    let mut owners: BTreeMap<Option<String>, u32> = BTreeMap::new();
    for seat in &seats {
        *owners.entry(seat.owner.clone()).or_default() += 1;
    }
    let owners = owners.into_iter();
    let owners = owners.map(|(owner, seats)| BlockOwner { owner, seats });
    if let Some(owner) = &query.owner {
        seats.retain(|seat| seat.owner.as_deref().unwrap_or_default() == owner);
    }
    let more = seats.len().saturating_sub(LISTED_MAX) as u32;
    seats.truncate(LISTED_MAX);
    Ok(Json(BlockedSeats {
        owners: owners.collect(),
        seats,
        more,
    }))
}

/// Writes the export of all blocked seats.
pub(crate) async fn write_blocks(
    shop: &Shop,
    event: &EventId,
    mut file: ExportFile,
) -> Result<Vec<u8>, Problem> {
    let seats = shop.inventory.blocked_seats(event).await?;
    let written = (|| -> io::Result<Vec<u8>> {
        for seat in &seats {
            let at = seat.at.map(|at| at.to_string()).unwrap_or_default();
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let [owner, reason, by] = [text(&seat.owner), text(&seat.reason), text(&seat.by)];
            file.add_row(&[
                &seat.label,
                &seat.category,
                &owner,
                &reason,
                &by,
                &at,
                &seat.seat,
            ])?;
        }
        file.finish()
    })();
    written.map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR))
}
