//! The checkout: seats, holds, orders, payments, tickets. It trusts nothing but the admission
//! token.

mod accepted_orders;
mod analytics;
mod app;
mod background;
mod backlog;
mod cancellation;
mod csv_table;
mod desk;
pub mod error;
mod event_change;
mod event_words;
mod export_file;
mod exports;
mod holds;
mod hourly_table;
mod housekeeping;
mod instruments;
pub mod inventory;
mod invoice_pdf;
mod invoices;
pub mod jwks;
mod known_events;
mod line_contact;
mod line_events;
mod line_mail;
mod line_messages;
pub mod mail;
pub mod metrics;
mod order_look_up;
mod order_requests;
mod order_tickets;
mod orders;
mod organiser;
mod organiser_blocks;
mod organiser_changes;
mod organiser_funnel;
mod organiser_mail_previews;
mod organiser_mails;
mod organiser_orders;
mod organiser_plans;
mod organiser_reseat;
mod organiser_sales;
mod organiser_webhooks;
mod outbox_intake;
mod pages;
pub mod payment;
mod pdf;
mod people;
mod prefer;
mod qr;
mod qr_picture;
mod relay;
mod removal;
pub mod retention;
mod seats;
mod sessions;
pub mod settings;
pub mod sms;
mod spreadsheet;
pub mod tail;
mod text;
mod ticket_pdf;
mod tickets;
mod unsubscribe;
pub mod waiting_room;
pub mod web_push;
pub mod webhooks;

pub use app::Shop;
pub use background::run;

use app::App;
use axum::Router;
use axum::response::Response;
use shared::time::Time;
use std::sync::Arc;
use tower::util::MapResponseLayer;
use utoipa_axum::router::OpenApiRouter;

/// Returns all routes of the checkout and their OpenAPI description. The caller wraps them in
/// `shared::http::middleware::with_middleware`.
pub fn router(shop: Arc<Shop>) -> (Router, utoipa::openapi::OpenApi) {
    let clock = shop.clone();
    // Deadlines are decided by the time of the store, so it stands in a header of these answers.
    let stamp = MapResponseLayer::new(move |mut response: Response| {
        let now = clock.inventory.now();
        // Unknown until a database has answered for the first time.
        if now > Time(0) {
            now.stamp(response.headers_mut());
        }
        response
    });
    let with_deadlines = OpenApiRouter::new()
        .merge(sessions::routes())
        .merge(holds::routes())
        .merge(orders::routes())
        .route_layer(stamp);
    let (router, description) = with_deadlines
        .merge(seats::routes())
        .merge(organiser::routes())
        .merge(organiser_blocks::routes())
        .merge(organiser_orders::routes())
        .merge(organiser_plans::routes())
        .merge(organiser_reseat::routes())
        .merge(organiser_sales::routes())
        .merge(organiser_funnel::routes())
        .merge(cancellation::routes())
        .merge(desk::routes())
        .merge(invoices::routes())
        .merge(order_tickets::routes())
        .merge(people::routes())
        .merge(exports::routes())
        .merge(tickets::routes())
        .merge(removal::routes())
        .merge(relay::routes())
        .merge(order_look_up::routes())
        .merge(line_mail::routes())
        .merge(line_contact::routes())
        .merge(organiser_mails::routes())
        .merge(organiser_mail_previews::routes())
        .merge(organiser_changes::routes())
        .merge(organiser_webhooks::routes())
        .merge(payment::webhook::routes())
        .merge(payment::razorpay_return::routes())
        .split_for_parts();
    let router = router
        .merge(order_look_up::pages())
        .merge(unsubscribe::pages())
        .merge(pages::routes())
        .merge(qr::routes());
    (router.with_state(App(shop)), description)
}
