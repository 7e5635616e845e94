//! Pages of the checkout.

use crate::app::{App, Shop};
use crate::inventory::ProviderId;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use shared::edge::Lifetime;
use shared::http::message_page::no_such_event;
use shared::http::page_request::PageRequest;
use shared::http::problem::Problem;
use shared::http::static_files::{page, serve};
use shared::ids::EventId;
use std::sync::Arc;

/// Content security policy of the page with Razorpay's checkout: as that of all pages, and its script
/// and the one it loads, its frame, and what they send.
const WITH_RAZORPAY: &str = "default-src 'self'; img-src 'self' data: https://cdn.razorpay.com; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
    script-src 'self' https://checkout.razorpay.com https://cdn.razorpay.com; frame-src https://api.razorpay.com; \
    connect-src 'self' https://lumberjack.razorpay.com https://lumberjack-metrics.razorpay.com";

/// Permissions policy of a door's page: as that of all pages, but with the camera.
const WITH_CAMERA: &str = "accelerometer=(), camera=(self), display-capture=(), geolocation=(), gyroscope=(), \
    magnetometer=(), microphone=(), midi=(), serial=(), usb=()";

/// Cards of the simulated provider, by the names that the text about them gives their outcomes.
const TEST_CARDS: [(&str, &str); 4] = [
    ("paid", "4242 4242 4242 4242"),
    ("declined", "4000 0000 0000 0002"),
    ("poor", "4000 0000 0000 9995"),
    ("late", "4000 0000 0000 0259"),
];

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/e/{event}/seats", get(show_shop))
        .route("/orders", get(show_orders))
        .route("/orders/{order}", get(show_order))
        .route("/door/{event}", get(show_door))
        .route("/door/worker.js", get(show_door_worker))
}

async fn show_shop(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    request: PageRequest,
) -> Response {
    let Ok(event) = EventId::parse(&event) else {
        return no_such_event(&request);
    };
    let facts = shop.event_facts(&event).await;
    let details = facts.as_ref().and_then(|facts| facts.details.as_ref());
    let language = request.language_of(details);
    let chosen = shop.providers.chosen().id();
    let is_test = shop.providers.chosen().is_test();
    let stripe = shop.providers.stripe();
    let stripe = stripe.filter(|_| chosen == ProviderId::Stripe);
    let stripe = stripe.and_then(|stripe| Some((stripe, stripe.publishable_key.as_deref()?)));
    let (script, key) = stripe.map_or(("", ""), |(stripe, key)| (stripe.script.as_str(), key));
    let mailed = match &shop.mail {
        Some(_) => "page.seats.mailed",
        None => "page.seats.not_mailed",
    };
    let mailed = language.phrase(mailed, &[]);
    let cards = TEST_CARDS.map(|(name, card)| (name, card.replace(' ', "\u{a0}")));
    let cards = cards.each_ref().map(|(name, card)| (*name, card.as_str()));
    let test_cards = language.phrase("page.seats.test_card_list", &cards);
    let values = [
        ("event", event.as_str()),
        ("stripe", key),
        ("stripe_script", script),
        ("mailed", &mailed),
        ("test_cards", &test_cards),
        ("test_mode_hidden", if is_test { "" } else { "hidden" }),
    ];
    let mut response = page(&request, language, "seats.html", &values);
    if let Some((stripe, _)) = stripe {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, stripe.policy.clone());
    }
    if chosen == ProviderId::Razorpay {
        // Banks open in windows that report to Razorpay's frame.
        let popups = HeaderValue::from_static("same-origin-allow-popups");
        let policy = HeaderValue::from_static(WITH_RAZORPAY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert("cross-origin-opener-policy", popups);
    }
    // Without the event's facts the page may be in another language than the event's.
    if facts.is_some() && request.is_for_everyone() {
        let edge = &shop.site.edge;
        edge.keep(response.headers_mut(), Lifetime::Page, &event);
    }
    response
}

/// Shows the page of all orders whose sessions the browser has.
async fn show_orders(State(shop): State<Arc<Shop>>, request: PageRequest) -> Response {
    let find_hidden = if shop.mail.is_some() { "" } else { "hidden" };
    let values = [("find_hidden", find_hidden)];
    page(&request, request.language(), "orders.html", &values)
}

/// Shows an order's page. The key of a signed link stays in the page's address; the page sends it on
/// in a header.
async fn show_order(Path(order): Path<String>, request: PageRequest) -> Response {
    let values = [("order", order.as_str())];
    page(&request, request.language(), "order.html", &values)
}

/// Shows the page of a door, the only one with a use for the camera.
async fn show_door(Path(event): Path<String>, request: PageRequest) -> Response {
    let Ok(event) = EventId::parse(&event) else {
        return no_such_event(&request);
    };
    let values = [("event", event.as_str())];
    let mut response = page(&request, request.language(), "door.html", &values);
    let features = HeaderValue::from_static(WITH_CAMERA);
    let name = HeaderName::from_static("permissions-policy");
    response.headers_mut().insert(name, features);
    response
}

/// Serves the door's service worker, under the path of the pages that it works for.
async fn show_door_worker(headers: HeaderMap) -> Result<Response, Problem> {
    serve("door-worker.js", &headers).await
}
