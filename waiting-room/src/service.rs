//! Routes for a checkout in another process, authorized by the service key.

use crate::app::{App, Room};
use crate::cancellation::cancel;
use crate::credentials::find_any;
use crate::waits::waits;
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::{StatusCode, request::Parts};
use serde::Deserialize;
use shared::cancellation::Cancellation;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem, saturating};
use shared::ids::Availability;
use shared::line_log::{LOG_ENTRIES_MAX, LogPage, LogPlace};
use shared::line_mail::{LineWaits, WAITS_MAX, WaitsInput};
use shared::service_key::require_service_key;
use shared::sign_outs::SignOut;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(report_availability))
        .routes(routes!(cancel_line))
        .routes(routes!(list_sign_outs))
        .routes(routes!(read_log))
        .routes(routes!(read_waits))
}

/// Proof that a request came with the service key, as a handler's first argument, so that nothing
/// else is read before. Without it the answer is 401.
struct Service;

impl FromRequestParts<App> for Service {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, App(room): &App) -> Result<Self, Problem> {
        require_service_key(&room.site, parts, Some(&room.service_key)).await?;
        Ok(Service)
    }
}

/// Report the seats of a checkout in another process.
#[utoipa::path(put, path = "/api/v1/events/{event}/availability", tag = "line",
    params(("event" = String, Path)), request_body = Availability, security(("service" = [])),
    responses((status = 204, description = "The report is noted"), Refusals))]
async fn report_availability(
    _: Service,
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    Input(seats, _): Input<Availability>,
) -> Result<StatusCode, Problem> {
    let (event, _) = find_any(&room, &event).await?;
    room.line.report(&event, seats).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Close the line of a show that a checkout in another process cancelled, for good. Repeating it changes
/// nothing.
#[utoipa::path(put, path = "/api/v1/events/{event}/cancellation", tag = "line",
    params(("event" = String, Path)), request_body = Cancellation, security(("service" = [])),
    responses((status = 204, description = "The line is closed"), Refusals))]
async fn cancel_line(
    _: Service,
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    Input(cancellation, _): Input<Cancellation>,
) -> Result<StatusCode, Problem> {
    let (event, hub) = find_any(&room, &event).await?;
    cancel(&*room.line, &event, &cancellation).await?;
    if let Ok(front) = room.line.tick(&event).await {
        hub.show(front);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// List the console sessions that were signed out and have not ended by themselves.
#[utoipa::path(get, path = "/api/v1/organiser/signed-out", tag = "integration", security(("service" = [])),
    responses((status = 200, description = "The sign-outs", body = Vec<SignOut>), Refusals))]
async fn list_sign_outs(_: Service, State(room): State<Arc<Room>>) -> Json<Vec<SignOut>> {
    Json(room.site.organisers.sign_outs().all())
}

/// A place in the log of a line.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// Lives of the line, as the last answer had them; nothing was read if absent.
    #[param(example = "7a1f0b6d4932a7c1")]
    life: Option<String>,
    /// The last entry that was read then; 0 if absent.
    #[serde(default, deserialize_with = "saturating")]
    #[param(example = 4112, minimum = 0)]
    after: Option<u32>,
    /// Largest number of entries, at most 20; 20 if absent.
    #[serde(default, deserialize_with = "saturating")]
    #[param(example = 20, minimum = 0)]
    limit: Option<u32>,
}

/// Read what the line decided after a place in its log: admissions and their ends, the draw.
#[utoipa::path(get, path = "/api/v1/events/{event}/log", tag = "line",
    params(("event" = String, Path), LogQuery), security(("service" = [])),
    responses((status = 200, description = "What follows, the oldest first", body = LogPage), Refusals))]
async fn read_log(
    _: Service,
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    Parameters(query): Parameters<LogQuery>,
) -> Result<Json<LogPage>, Problem> {
    let (event, _) = find_any(&room, &event).await?;
    let place = LogPlace {
        life: query.life.unwrap_or_default(),
        entry: query.after.unwrap_or(0).into(),
    };
    let limit = query.limit.map_or(LOG_ENTRIES_MAX, |limit| limit as usize);
    let page = room.line.decisions(&event, &place, limit).await?;
    Ok(Json(page))
}

/// Read the waits that visitors are told, at most 200 of them, for those who left an address. Visitors who
/// do not wait, or wait no longer, are left out.
#[utoipa::path(post, path = "/api/v1/events/{event}/waits", tag = "line",
    params(("event" = String, Path)), request_body = WaitsInput, security(("service" = [])),
    responses((status = 200, description = "The waits", body = LineWaits), Refusals))]
async fn read_waits(
    _: Service,
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    Input(asked, _): Input<WaitsInput>,
) -> Result<Json<LineWaits>, Problem> {
    if asked.visitors.len() > WAITS_MAX {
        return Err(Problem::invalid("visitors", "at most 200"));
    }
    let (event, _) = find_any(&room, &event).await?;
    Ok(Json(waits(&*room.line, &event, &asked.visitors).await?))
}
