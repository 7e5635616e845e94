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
use shared::http::path_prefix::PathPrefix;
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
    prefix: PathPrefix,
) -> Response {
    let Ok(event) = EventId::parse(&event) else {
        return no_such_event(&prefix);
    };
    let chosen = shop.providers.chosen().id();
    let is_test = shop.providers.chosen().is_test();
    let stripe = shop.providers.stripe();
    let stripe = stripe.filter(|_| chosen == ProviderId::Stripe);
    let stripe = stripe.and_then(|stripe| Some((stripe, stripe.publishable_key.as_deref()?)));
    let (script, key) = stripe.map_or(("", ""), |(stripe, key)| (stripe.script.as_str(), key));
    let mailed = match &shop.mail {
        Some(_) => ", and they come by mail.",
        None => ": they are not sent by mail.",
    };
    let values = [
        ("event", event.as_str()),
        ("stripe", key),
        ("stripe_script", script),
        ("mailed", mailed),
        ("test_mode_hidden", if is_test { "" } else { "hidden" }),
    ];
    let mut response = page(&prefix, "seats.html", &values);
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
    let edge = &shop.site.edge;
    edge.keep(response.headers_mut(), Lifetime::Page, &event);
    response
}

/// Shows the page of all orders whose sessions the browser has.
async fn show_orders(State(shop): State<Arc<Shop>>, prefix: PathPrefix) -> Response {
    let find_hidden = if shop.mail.is_some() { "" } else { "hidden" };
    page(&prefix, "orders.html", &[("find_hidden", find_hidden)])
}

/// Shows an order's page. The key of a signed link stays in the page's address; the page sends it on
/// in a header.
async fn show_order(Path(order): Path<String>, prefix: PathPrefix) -> Response {
    page(&prefix, "order.html", &[("order", &order)])
}

/// Shows the page of a door, the only one with a use for the camera.
async fn show_door(Path(event): Path<String>, prefix: PathPrefix) -> Response {
    let Ok(event) = EventId::parse(&event) else {
        return no_such_event(&prefix);
    };
    let mut response = page(&prefix, "door.html", &[("event", event.as_str())]);
    let features = HeaderValue::from_static(WITH_CAMERA);
    let name = HeaderName::from_static("permissions-policy");
    response.headers_mut().insert(name, features);
    response
}

/// Serves the door's service worker, under the path of the pages that it works for.
async fn show_door_worker(headers: HeaderMap) -> Result<Response, Problem> {
    serve("door-worker.js", &headers).await
}
