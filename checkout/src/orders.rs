//! Routes of orders and their payment.

use crate::app::{App, Shop};
use crate::error::declined_address;
use crate::holds::subject;
use crate::inventory::{Buyer, ChosenTypes, Money, Order, Purchase, Reader, Refused};
use crate::order_requests::{AcceptedOrder, OrderRequest};
use crate::payment::CardPayment;
use crate::payment::simulated::is_card;
use crate::prefer::Preference;
use crate::sessions::Sessions;
use axum::Json;
use axum::extract::{Extension, FromRef, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::context::{AppContext, check};
use shared::http::client_address::ClientAddress;
use shared::http::credentials::bearer;
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::openapi::Refusals;
use shared::http::page_request::PageRequest;
use shared::http::problem::{Input, Parameters, Problem};
use shared::plain_text::{check_line, is_visible};
use shared::texts::Language;
use shared::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Limits of a buyer's name and address, the latter as in RFC 5321.
const NAME_CHARS_MAX: usize = 200;
const EMAIL_CHARS_MAX: usize = 254;
const EMAIL_NAME_BYTES_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 63;

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
    /// Types of the tickets by seat, such as `{"st-A-2": "child"}`; a seat that is not named gets the
    /// standard one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ticket_types: ChosenTypes,
    /// Total that the fan was shown: 409 `price-changed` with the `total` of now if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<Money>,
    /// Language of the order's mails, tickets and invoices: `en` or `de`. Without one, that of
    /// `Content-Language`, else of the cookie `fairline_lang`, else of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 8)]
    language: Option<String>,
}

/// Checks what is given of a buyer. `at` comes before the names of the fields.
///
/// # Errors
/// 422.
pub(crate) fn check_buyer(
    at: &str,
    name: Option<&str>,
    email: Option<&str>,
) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    if let Some(Err(why)) = name.map(|name| check_line(name, NAME_CHARS_MAX)) {
        wrong.push((format!("{at}name"), why));
    }
    if email.is_some_and(|email| !is_email(email)) {
        let why = "an address such as ada@example.org";
        wrong.push((format!("{at}email"), why.to_owned()));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid_all(wrong))
    }
}

/// Returns the language with a code that was given.
///
/// # Errors
/// 422 if there is none.
pub(crate) fn chosen_language(code: Option<&str>) -> Result<Option<Language>, Problem> {
    let known = |code| {
        let language = Language::parse(code);
        language.ok_or_else(|| Problem::invalid("language", Language::choice()))
    };
    code.map(known).transpose()
}

/// Returns whether a mail can be sent to an address as it stands: a name of words joined by dots,
/// and a domain, in the letters of any script.
fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_in_word = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_word = |word: &str| !word.is_empty() && word.chars().all(is_in_word);
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.chars().count() <= EMAIL_CHARS_MAX
        && text.chars().all(is_visible)
        && name.len() <= EMAIL_NAME_BYTES_MAX
        && name.split('.').all(is_word)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

/// Makes an order of a hold; its seats are frozen for the payment. One that costs nothing is
/// confirmed at once. With `Prefer: respond-async` and an `Idempotency-Key`, the order may be made
/// after the answer, when the store is slow: it is found at `Location` then.
#[utoipa::path(post, path = "/api/v1/orders", tag = "checkout",
    params(IdempotencyKey, Preference,
        ("Content-Language" = Option<String>, Header, description = "Language of the page, if the body names none", example = "de")),
    request_body = OrderInput, security(("session" = [])),
    responses((status = 201, description = "The order, to be paid", body = Order),
        (status = 202, description = "Accepted; not made yet", body = AcceptedOrder), Refusals))]
async fn create_order(
    State(shop): State<Arc<Shop>>,
    Sessions(keys): Sessions,
    key: IdempotencyKey,
    preference: Preference,
    page: PageRequest,
    headers: HeaderMap,
    Input(input, body): Input<OrderInput>,
) -> Result<Response, Problem> {
    let buyer = &input.buyer;
    check_buyer("buyer.", Some(&buyer.name), Some(&buyer.email))?;
    let language = chosen_language(input.language.as_deref())?;
    let of_page = headers.get(header::CONTENT_LANGUAGE);
    let of_page = of_page.and_then(|code| Language::parse(code.to_str().ok()?));
    let request = OrderRequest {
        keys,
        purchase: Purchase {
            hold: input.hold,
            buyer: input.buyer,
            ticket_types: input.ticket_types,
            total: input.total,
            language: language.or(of_page).or(page.chosen()),
        },
        key,
        body: body.to_vec(),
    };
    shop.take_order(request, preference).await
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

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OrderQuery {
    /// Time until which an order that was accepted may be made: 202 until then if it is not found.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-03-01T10:01:10.250Z")]
    until: Option<Time>,
}

/// Returns an order, with its tickets once it is confirmed. Needs the session, or the key of the
/// signed link as the bearer token.
#[utoipa::path(get, path = "/api/v1/orders/{order}", tag = "checkout",
    params(("order" = String, Path), OrderQuery), security(("session" = []), ("link" = [])),
    responses((status = 200, description = "The order", body = Order),
        (status = 202, description = "Accepted; not made yet", body = AcceptedOrder), Refusals))]
async fn show_order(
    State(shop): State<Arc<Shop>>,
    Path(order): Path<String>,
    Parameters(query): Parameters<OrderQuery>,
    OrderReader(reader): OrderReader,
) -> Result<Response, Problem> {
    match shop.inventory.show_order(reader, &order).await {
        Ok(found) => Ok(Json(found).into_response()),
        Err(refused) => shop.not_found(order, query.until, refused),
    }
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
    if !is_card(&card) {
        return Err(Problem::invalid(
            "card",
            "not one of the simulated provider's cards",
        ));
    }
    let own = shop.inventory.session_of_payment(keys, &payment).await?;
    let attempt = key.attempt(&subject(&own), &format!("pay {payment}"), &body);
    let address = address.map(|Extension(ClientAddress(address))| address);
    let now = shop.inventory.now();
    let allowance = shop.declines.allowance(address, now).await;
    let paid = shop.pay(CardPayment {
        keys: vec![own],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_a_mail_can_be_sent_to() {
        let long = format!("{}@example.org", "x".repeat(65));
        for email in [
            "ada@example.org",
            "a.b+c@x-y.example.org",
            "o'neil@example.org",
            "ada@münchen.example",
            "用户@例子.公司",
        ] {
            assert!(is_email(email), "{email:?}");
        }
        for email in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example",
            "<a@b.c>",
            "a@b@c.de",
            "a@b..c",
            "a@b.c:80",
            "(x)a@b.c",
            "a@b.c\u{200b}",
            "a\u{ad}a@b.c",
            "a b@c.de",
            "a@b.c\n",
            ".a@b.c",
            "a.@b.c",
            "a..b@c.de",
            "a@-b.c",
            "a@b-.c",
            "a@[127.0.0.1]",
            "\"a\"@b.c",
            "a,b@c.de",
            "a;b@c.de",
            "a@b.c.",
            "a@b_c.de",
            &long,
        ] {
            assert!(!is_email(email), "{email:?}");
        }
    }
}
