//! The gate: a reverse proxy asks here whether a request may pass to somebody else's site. And the public keys.

use crate::App;
use crate::Room;
use crate::fan::{admission_of, find};
use crate::line::Claimed;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::openapi::Refusals;
use shared::problem::Problem;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ask_gate))
        .routes(routes!(show_keys))
}

/// Whether the bearer of this token or cookie may pass. The first 204 counts as the start.
#[utoipa::path(get, path = "/gate/{event}", tag = "integration", params(("event" = String, Path)),
    security(("admission" = [])), responses((status = 204, description = "May pass; X-Fairline-Visitor says who"), Refusals))]
async fn ask_gate(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (event, _) = find(&room, &event).await?;
    let queue = format!("{}/e/{event}", room.site.public_url);
    let turn_away = |problem: Problem| {
        let head = [("x-fairline-queue", queue.clone())];
        (head, problem).into_response()
    };
    let claims = match admission_of(&room, &headers, &event) {
        Ok((claims, _)) => claims,
        Err(problem) => return Ok(turn_away(problem)),
    };
    match room.line.claim(&event, claims.sub, claims.number).await? {
        Claimed::Until(_) => {
            let head = [("x-fairline-visitor", claims.sub.to_string())];
            Ok((StatusCode::NO_CONTENT, head).into_response())
        }
        Claimed::Lapsed => Ok(turn_away(crate::error::bad_admission())),
    }
}

/// The public keys of admission tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "integration",
    responses((status = 200, description = "A JWK set", body = serde_json::Value)))]
async fn show_keys(State(room): State<Arc<Room>>) -> Response {
    let head = [(header::CACHE_CONTROL, "public, max-age=300")];
    (head, Json(room.signer.jwks())).into_response()
}
