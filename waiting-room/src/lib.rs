//! The waiting room: the line and its draw, the queue page, and the gate in front of other sites.

mod app;
mod archive;
mod calendar;
mod cancellation;
pub mod checkout;
mod credentials;
pub mod draw;
mod draw_routes;
pub mod error;
mod event_markup;
mod extension;
mod fan;
mod gate;
mod history;
mod hub;
mod instruments;
mod landing;
pub mod line;
mod line_contact;
mod line_mail;
mod message_page;
pub mod metrics;
mod organiser;
pub mod pass;
mod place;
mod push;
mod queue_page;
mod queue_words;
mod service;
pub mod settings;
pub mod ticker;
mod waits;
mod watched_place;

pub use app::{Checkout, Parts, Room};
pub use cancellation::cancel;
pub use extension::{Extended, extend};
pub use gate::settings::GateSettings;
pub use place::find_place;
pub use waits::waits;
pub use watched_place::{Update, WatchedPlace};

use app::App;
use axum::Router;
use shared::http::front::Gate;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Returns the gate of the waiting room, which stands in front of its routes.
pub fn gate(room: Arc<Room>) -> Arc<dyn Gate> {
    Arc::new(gate::RoomGate(room))
}

/// Returns all routes of the waiting room and their OpenAPI description, which has the gate as well.
/// The caller wraps them in `shared::http::middleware::with_middleware`.
pub fn router(room: Arc<Room>) -> (Router, utoipa::openapi::OpenApi) {
    let (router, description) = OpenApiRouter::new()
        .merge(fan::routes())
        .merge(line_mail::routes())
        .merge(line_contact::routes())
        .merge(push::routes())
        .merge(gate::routes())
        .merge(draw_routes::routes())
        .merge(organiser::routes())
        .merge(service::routes())
        .split_for_parts();
    let router = router
        .merge(queue_page::routes())
        .merge(line_mail::pages())
        .merge(landing::routes())
        .merge(calendar::routes());
    (router.with_state(App(room)), description)
}
