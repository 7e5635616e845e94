//! The route of Stripe's webhooks.

use super::inbox::Received;
use super::stripe::Intent;
use crate::app::{App, Shop};
use crate::instruments::webhooks;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use shared::http::client_address::ClientAddress;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Problem, parse_json, read_body};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest size of a webhook in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest number of characters of an id.
const ID_CHARS_MAX: usize = 255;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(take_stripe_webhook))
}

#[derive(Deserialize)]
struct StripeEvent {
    id: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: Value,
}

/// Take a webhook of Stripe. 204 only once its effect is on disk, or nothing is to be done; 400 if
/// its signature is missing, wrong or older than five minutes, and nothing is recorded; 503 if it
/// has to be sent again.
#[utoipa::path(post, path = "/webhooks/stripe", tag = "checkout", security(()),
    request_body(content = Object, description = "An event of Stripe, signed in `Stripe-Signature`"),
    responses((status = 204, description = "It has taken effect"), Refusals))]
async fn take_stripe_webhook(
    State(shop): State<Arc<Shop>>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Some(stripe) = shop.providers.stripe() else {
        return Err(Problem::of_status(StatusCode::NOT_FOUND));
    };
    let body = read_body(body, BODY_BYTES_MAX).await?;
    let signature = headers.get("stripe-signature");
    let signature = signature.and_then(|value| value.to_str().ok());
    // By this machine's own clock: the store may be away, and nothing is decided by it but whether
    // the signature is old.
    let now = shop.site.clock.now();
    if !signature.is_some_and(|signature| stripe.webhooks.accept(signature, &body, now)) {
        webhooks("refused").inc();
        // Whoever is not Stripe is limited like anyone else.
        if let Some(Extension(ClientAddress(address))) = address {
            let counted = shop.site.limits.requests.check(address);
            counted.map_err(Problem::too_many)?;
        }
        let title = "The signature is missing, wrong or old";
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-signature",
            title,
        ));
    }
    let event: StripeEvent = parse_json(&body)?;
    let object = event.data.object;
    let Some(reference) = reference(&object).filter(|_| event.id.len() <= ID_CHARS_MAX) else {
        webhooks("ignored").inc();
        return Ok(StatusCode::NO_CONTENT);
    };
    let reference = reference.to_owned();
    let told: Option<Intent> = match object["object"].as_str() {
        Some("payment_intent") => serde_json::from_value(object).ok(),
        _ => None,
    };
    // To its end, though Stripe may hang up.
    let received = to_the_end(async move {
        let received = shop.receive(&event.id, &reference, told).await;
        received.map_err(Problem::from)
    });
    let received = received.await.inspect_err(|_| {
        webhooks("unavailable").inc();
    })?;
    webhooks(match received {
        Received::Done => "done",
        Received::Repeated => "repeated",
        Received::Parked => "parked",
        Received::Ignored => "ignored",
    })
    .inc();
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the PaymentIntent that an object is, or belongs to.
fn reference(object: &Value) -> Option<&str> {
    let reference = match object["object"].as_str()? {
        "payment_intent" => object["id"].as_str()?,
        _ => object["payment_intent"].as_str()?,
    };
    let is_id = reference.len() <= ID_CHARS_MAX
        && reference
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_id && reference.starts_with("pi_")).then_some(reference)
}
