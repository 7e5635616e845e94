//! The checkout: seats, holds, orders, payments, tickets. It trusts nothing but the admission token.

mod background;
pub mod error;
mod holds;
pub mod inventory;
mod orders;
mod organiser;
mod pages;
pub mod payment;
mod removal;
mod seats;
mod sessions;
pub mod settings;
pub mod waiting_room;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::middleware::map_response_with_state;
use axum::response::Response;
use inventory::Inventory;
use payment::{Provider, Unsettled};
use shared::context::AppContext;
use shared::time::Time;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use waiting_room::{Jwks, WaitingRoom};

pub use background::run;

/// What every handler of the checkout needs.
pub struct Shop {
    /// The site.
    pub site: Arc<AppContext>,
    /// The seats.
    pub inventory: Arc<dyn Inventory>,
    /// Who takes the money.
    pub provider: Provider,
    /// The keys that admission tokens are signed with.
    pub keys: Jwks,
    /// Where starts, finishes and seats are reported.
    pub waiting_room: Arc<dyn WaitingRoom>,
    /// What a waiting room elsewhere shows to have an event removed; none where it is in this process.
    pub service_key: Option<String>,
    /// Payments whose verdicts are known here alone.
    pub unsettled: Unsettled,
    /// Woken when there is something to report.
    pub to_report: tokio::sync::Notify,
}

/// A shop as the state of a router.
#[derive(Clone)]
pub struct App(Arc<Shop>);

impl FromRef<App> for Arc<Shop> {
    fn from_ref(app: &App) -> Arc<Shop> {
        app.0.clone()
    }
}

impl FromRef<App> for Arc<AppContext> {
    fn from_ref(app: &App) -> Arc<AppContext> {
        app.0.site.clone()
    }
}

/// All routes of the checkout, and their OpenAPI description. The caller puts `shared::http::middleware::with_middleware` around them.
pub fn router(shop: Arc<Shop>) -> (Router, utoipa::openapi::OpenApi) {
    let app = App(shop);
    let with_deadlines = OpenApiRouter::new()
        .merge(sessions::routes())
        .merge(holds::routes())
        .merge(orders::routes())
        .route_layer(map_response_with_state(app.clone(), stamp));
    let (router, description) = with_deadlines
        .merge(seats::routes())
        .merge(organiser::routes())
        .merge(removal::routes())
        .split_for_parts();
    let router = router.merge(pages::routes());
    (router.with_state(app), description)
}

/// Puts the time of the store, which decides about deadlines, into the head of an answer.
async fn stamp(State(shop): State<Arc<Shop>>, mut response: Response) -> Response {
    let now = shop.inventory.now();
    // A database that has never answered has told no time.
    if now > Time(0) {
        now.stamp(response.headers_mut());
    }
    response
}
