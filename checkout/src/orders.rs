//! Routes of orders and their payment.

use crate::app::{App, Shop};
use crate::error::declined_address;
use crate::holds::subject;
use crate::inventory::{Buyer, Order, Reader, Refused};
use crate::payment::CardPayment;
use crate::sessions::Sessions;
use axum::Json;
use axum::extract::{Extension, FromRef, FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::context::{AppContext, check};
use shared::http::client_address::ClientAddress;
use shared::http::credentials::bearer;
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_own_orders, create_order))
        .routes(routes!(show_order))
        .routes(routes!(pay))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct OrderInput {
    /// Id of the hold to buy.
    hold: String,
    /// The buyer.
    buyer: Buyer,
}

fn check_buyer(buyer: &Buyer) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    let visible = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
    if !visible(&buyer.name) || buyer.name.chars().count() > 200 {
        wrong.push(("buyer.name".to_owned(), "1 to 200 characters".to_owned()));
    }
    let email = &buyer.email;
    let is_address = email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    });
    if !is_address
        || email.chars().count() > 254
        || email.contains(char::is_whitespace)
        || !visible(email)
    {
        wrong.push((
            "buyer.email".to_owned(),
            "an address such as ada@example.org".to_owned(),
        ));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid_all(wrong))
    }
}

/// Makes an order of a hold; its seats are frozen for the payment.
#[utoipa::path(post, path = "/api/v1/orders", tag = "checkout", params(IdempotencyKey),
    request_body = OrderInput, security(("session" = [])),
    responses((status = 201, description = "The order, to be paid", body = Order), Refusals))]
async fn create_order(
    State(shop): State<Arc<Shop>>,
    Sessions(keys): Sessions,
    key: IdempotencyKey,
    Input(input, body): Input<OrderInput>,
) -> Result<Response, Problem> {
    check_buyer(&input.buyer)?;
    let attempt = key.attempt(&subject(&keys), "order", &body);
    let once = shop
        .inventory
        .order(keys, &input.hold, input.buyer, attempt)
        .await?;
    let response = (StatusCode::CREATED, Json(once.value)).into_response();
    Ok(mark_replayed(response, once.is_replayed))
}

/// Returns the orders of all sessions sent with the request, across their events, newest first.
#[utoipa::path(get, path = "/api/v1/orders", tag = "checkout", security(("session" = [])),
    responses((status = 200, description = "The orders", body = Vec<Order>), Refusals))]
async fn list_own_orders(
    State(shop): State<Arc<Shop>>,
    Sessions(keys): Sessions,
) -> Result<Json<Vec<Order>>, Problem> {
    Ok(Json(shop.inventory.own_orders(keys).await?))
}

/// Extractor of what opens an order: the key of its signed link as the bearer token, or a session.
pub(crate) struct OrderReader(pub(crate) Reader);

impl<S> FromRequestParts<S> for OrderReader
where
    Arc<AppContext>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let link = bearer(&parts.headers).filter(|word| word.starts_with("lnk_"));
        if let Some(word) = link {
            let site: Arc<AppContext> = FromRef::from_ref(state);
            check(&site.limits.visitors, &word)?;
            return Ok(OrderReader(Reader::Link(word)));
        }
        let Sessions(keys) = Sessions::from_request_parts(parts, state).await?;
        Ok(OrderReader(Reader::Session(keys)))
    }
}

/// Returns an order, with its tickets once it is confirmed. Needs the session, or the key of the
/// signed link as the bearer token.
#[utoipa::path(get, path = "/api/v1/orders/{order}", tag = "checkout", params(("order" = String, Path)),
    security(("session" = []), ("link" = [])), responses((status = 200, description = "The order",
        body = Order), Refusals))]
async fn show_order(
    State(shop): State<Arc<Shop>>,
    Path(order): Path<String>,
    OrderReader(reader): OrderReader,
) -> Result<Json<Order>, Problem> {
    Ok(Json(shop.inventory.show_order(reader, &order).await?))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CardInput {
    /// 16 digits: 4242424242424242 pays, 4000000000000002 is declined, 4000000000009995 has
    /// insufficient funds, 4000000000000259 pays 20 seconds late.
    #[schema(pattern = "^(4242424242424242|40000000000(00002|09995|00259))$")]
    card: String,
}

/// Pays with a card of the simulated provider and returns the updated order. 409
/// `too-many-attempts` after 20 attempts that were declined: the order stays as it is until its
/// time to pay is over or its hold is released. 409 `too-many-declines` after 40 declined attempts
/// of one fan, 429 `too-many-declines` after three while an address has had more than 60 in an
/// hour.
#[utoipa::path(post, path = "/api/v1/payments/simulated/{payment}", tag = "checkout",
    params(("payment" = String, Path), IdempotencyKey),
    request_body = CardInput, security(("session" = [])),
    responses((status = 200, description = "The order after this attempt", body = Order), Refusals))]
async fn pay(
    State(shop): State<Arc<Shop>>,
    Path(payment): Path<String>,
    Sessions(keys): Sessions,
    address: Option<Extension<ClientAddress>>,
    key: IdempotencyKey,
    Input(input, body): Input<CardInput>,
) -> Result<Response, Problem> {
    let card: String = input.card.chars().filter(|c| !c.is_whitespace()).collect();
    if !shop.provider.knows(&card) {
        return Err(Problem::invalid(
            "card",
            "not one of the simulated provider's cards",
        ));
    }
    let attempt = key.attempt(&subject(&keys), &format!("pay {payment}"), &body);
    let address = address.map(|Extension(ClientAddress(address))| address);
    let now = shop.inventory.now();
    let allowance = shop.declines.allowance(address, now).await;
    let paid = shop.pay(CardPayment {
        keys,
        payment,
        card,
        attempt,
        address,
        declines_max: allowance.attempts,
    });
    let once = paid
        .await
        .map_err(|refused| match (&refused, allowance.more_after) {
            (Refused::TooManyDeclines(_), Some(seconds)) => declined_address(seconds),
            _ => refused.into(),
        })?;
    Ok(mark_replayed(
        Json(once.value).into_response(),
        once.is_replayed,
    ))
}
