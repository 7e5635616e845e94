//! Warnings of the settings, for organisers.

use crate::context::AppContext;
use crate::http::openapi::Refusals;
use crate::organiser::Organiser;
use axum::extract::State;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Returns the route of the warnings, and its description.
pub(super) fn routes() -> (Router<Arc<AppContext>>, OpenApi) {
    OpenApiRouter::new()
        .routes(routes!(list_settings_warnings))
        .split_for_parts()
}

/// Warnings of the settings.
#[derive(Serialize, utoipa::ToSchema)]
struct SettingsWarnings {
    /// Sentences for the operator: variables of the environment that are no setting, and settings
    /// that are not fit for a sale.
    warnings: Vec<String>,
}

/// List what the node that answers warned of in its settings when it started.
#[utoipa::path(get, path = "/api/v1/organiser/settings-warnings", tag = "organiser",
    security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The warnings, none where all is well", body = SettingsWarnings), Refusals))]
async fn list_settings_warnings(
    State(site): State<Arc<AppContext>>,
    _: Organiser,
) -> Json<SettingsWarnings> {
    let warnings = site.settings_warnings.clone();
    Json(SettingsWarnings { warnings })
}
