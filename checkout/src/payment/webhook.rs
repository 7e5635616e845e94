//! The routes of the providers' webhooks.

use super::inbox::Received;
use super::provider::Notice;
use super::{razorpay, stripe};
use crate::app::{App, Shop};
use crate::instruments::webhooks;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use shared::http::client_address::ClientAddress;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Problem, read_body};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest size of a webhook in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(take_stripe_webhook))
        .routes(routes!(take_razorpay_webhook))
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
    let Some(provider) = shop.providers.stripe() else {
        return Err(Problem::of_status(StatusCode::NOT_FOUND));
    };
    let body = read_body(body, BODY_BYTES_MAX).await?;
    // By this machine's own clock: the store may be away, and nothing is decided by it but whether
    // the signature is old.
    let now = shop.site.clock.now();
    if !provider.signed(text(&headers, "stripe-signature"), &body, now) {
        return Err(unsigned(&shop, address));
    }
    let notice = stripe::notice(&body)?;
    take(shop, notice).await
}

/// Take a webhook of Razorpay. 204 only once its effect is on disk, or nothing is to be done; 400 if
/// its signature is missing or wrong, and nothing is recorded; 503 if it has to be sent again.
#[utoipa::path(post, path = "/webhooks/razorpay", tag = "checkout", security(()),
    request_body(content = Object, description = "An event of Razorpay, signed in `X-Razorpay-Signature`"),
    responses((status = 204, description = "It has taken effect"), Refusals))]
async fn take_razorpay_webhook(
    State(shop): State<Arc<Shop>>,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Some(provider) = shop.providers.razorpay() else {
        return Err(Problem::of_status(StatusCode::NOT_FOUND));
    };
    let body = read_body(body, BODY_BYTES_MAX).await?;
    if !provider.signed(text(&headers, "x-razorpay-signature"), &body) {
        return Err(unsigned(&shop, address));
    }
    let notice = razorpay::notice(&body)?;
    take(shop, notice).await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Refuses a webhook whose signature is bad.
fn unsigned(shop: &Shop, address: Option<Extension<ClientAddress>>) -> Problem {
    webhooks("refused").inc();
    // Whoever is not the provider is limited like anyone else.
    if let Some(Extension(ClientAddress(address))) = address
        && let Err(seconds) = shop.site.limits.requests.check(address)
    {
        return Problem::too_many(seconds);
    }
    bad_signature()
}

/// Returns the problem of a signature that is not the provider's.
pub(super) fn bad_signature() -> Problem {
    let title = "The signature is missing, wrong or old";
    Problem::new(StatusCode::BAD_REQUEST, "bad-signature", title)
}

/// Has a webhook take effect.
async fn take(shop: Arc<Shop>, notice: Option<Notice>) -> Result<StatusCode, Problem> {
    let Some(notice) = notice else {
        webhooks("ignored").inc();
        return Ok(StatusCode::NO_CONTENT);
    };
    // To its end, though the provider may hang up.
    let received =
        to_the_end(async move { shop.receive(notice).await.map_err(Problem::from) }).await;
    let received = received.inspect_err(|_| {
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
