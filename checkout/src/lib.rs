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

/// State shared by the handlers of the checkout.
pub struct Shop {
    /// Context shared by all handlers of the process.
    pub site: Arc<AppContext>,
    /// The seats, holds and orders.
    pub inventory: Inventory,
    /// The payment provider.
    pub provider: Provider,
    /// Public keys that verify admission tokens.
    pub keys: Jwks,
    /// Receiver of the reports on starts, finishes and seats.
    pub waiting_room: Arc<dyn WaitingRoom>,
    /// Key with which a waiting room in another process may remove an event; `None` if it runs in this process.
    pub service_key: Option<String>,
    /// Payments whose verdict is known to this process alone.
    pub unsettled: Unsettled,
    /// Notified when there is something to report.
    pub to_report: tokio::sync::Notify,
}

/// Router state that holds the shop.
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

/// Returns all routes of the checkout and their OpenAPI description. The caller wraps them in
/// `shared::http::middleware::with_middleware`.
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

/// Adds a header with the current time of the store, which decides on deadlines.
async fn stamp(State(shop): State<Arc<Shop>>, mut response: Response) -> Response {
    let now = shop.inventory.now();
    // Unknown until a database has answered for the first time.
    if now > Time(0) {
        now.stamp(response.headers_mut());
    }
    response
}
