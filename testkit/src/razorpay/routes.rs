//! The stand-in's routes: those of Razorpay under `/v1`, and those of tests under `/_test`.

use super::books::{Answered, RazorpayBooks, no_such_id, refusal};
use crate::stand_in::{Form, Outcome, StandIn, answer, broken, form};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;

/// Id of the key that the stand-in accepts.
pub const KEY_ID: &str = "rzp_test_standin0000";
/// The header with it and its secret.
const AUTHORIZATION: &str = "Basic cnpwX3Rlc3Rfc3RhbmRpbjAwMDA6a2V5X3NlY3JldF9zdGFuZF9pbg==";
/// Largest number of entries of a page.
const PAGE_MAX: usize = 100;

pub(super) type SharedStandIn = Arc<StandIn<RazorpayBooks>>;
type RazorpayState = State<SharedStandIn>;
type Fields = Query<Form>;

pub(super) fn routes(shared: SharedStandIn) -> Router {
    Router::new()
        .route("/v1/orders", post(create).get(list_orders))
        .route("/v1/orders/{id}", get(show_order))
        .route("/v1/orders/{id}/payments", get(list_attempts))
        .route("/v1/payments", get(list_payments))
        .route("/v1/payments/{id}", get(show_payment))
        .route("/v1/payments/{id}/capture", post(capture))
        .route("/v1/payments/{id}/refund", post(refund))
        .route("/v1/payments/{id}/refunds", get(list_refunds))
        .route("/v1/disputes", get(list_disputes))
        .route("/v1/disputes/{id}", get(show_dispute))
        .route("/_test/dispute/{payment}", post(dispute))
        .route("/_test/pay/{order}", post(pay))
        .route("/_test/authenticate/{payment}", post(authenticate))
        .route("/_test/lapse/{payment}", post(lapse))
        .route("/_test/faults", post(add_fault))
        .route("/_test/endpoint", post(set_endpoint))
        .with_state(shared)
}

/// Answers a request, unless the stand-in has fallen silent.
async fn act(
    shared: &SharedStandIn,
    headers: &HeaderMap,
    operation: &str,
    act: impl FnOnce(&mut RazorpayBooks) -> Answered,
) -> Response {
    let acting = act_once(shared, headers, operation, act);
    shared.answered(operation, acting).await
}

/// Acts with the fault that is next.
async fn act_once(
    shared: &SharedStandIn,
    headers: &HeaderMap,
    operation: &str,
    act: impl FnOnce(&mut RazorpayBooks) -> Answered,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION);
    if authorization.is_none_or(|value| value != AUTHORIZATION) {
        return answer(401, &refusal("Authentication failed"));
    }
    let acted = shared.acted(operation, act).await;
    if acted.is_lost {
        return broken();
    }
    match acted.outcome {
        Outcome::TooMany => answer(429, &refusal("Too many requests")),
        Outcome::Failed => {
            let description = "The server encountered an unexpected condition";
            let error = json!({"code": "SERVER_ERROR", "description": description});
            answer(500, &json!({"error": error}))
        }
        Outcome::Refused => answer(400, &refusal("The payment is under dispute")),
        Outcome::Done(Ok(entity)) => answer(200, &shown(entity)),
        Outcome::Done(Err(refusal)) => answer(400, &refusal),
    }
}

/// Leaves out what the stand-in keeps for itself.
fn shown(mut entity: Value) -> Value {
    let entities = entity.get_mut("items").and_then(Value::as_array_mut);
    for entity in entities.into_iter().flatten() {
        *entity = shown(entity.take());
    }
    if let Some(fields) = entity.as_object_mut() {
        fields.remove("_capture");
    }
    entity
}

/// Returns a page of a list.
fn page(all: Vec<Value>, query: &Form) -> Value {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let count = number("count").unwrap_or(10).clamp(1, PAGE_MAX);
    let from = all.into_iter().skip(number("skip").unwrap_or(0));
    let items: Vec<Value> = from.take(count).collect();
    json!({"entity": "collection", "count": items.len(), "items": items})
}

fn parsed(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

async fn create(State(shared): RazorpayState, headers: HeaderMap, body: Bytes) -> Response {
    let fields = parsed(&body);
    act(&shared, &headers, "create", |books| books.create(&fields)).await
}

async fn list_orders(
    State(shared): RazorpayState,
    Query(query): Fields,
    headers: HeaderMap,
) -> Response {
    let listed = |books: &mut RazorpayBooks| {
        let mut all = books.orders();
        if let Some(receipt) = query.get("receipt") {
            all.retain(|order| order["receipt"] == receipt.as_str());
        }
        Ok(page(all, &query))
    };
    act(&shared, &headers, "orders", listed).await
}

async fn show_order(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    act(&shared, &headers, "order", |books| books.order(&id)).await
}

async fn list_attempts(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let listed = |books: &mut RazorpayBooks| {
        books.order(&id)?;
        let all = books.payments_of(&id);
        Ok(json!({"entity": "collection", "count": all.len(), "items": all}))
    };
    act(&shared, &headers, "attempts", listed).await
}

async fn list_payments(
    State(shared): RazorpayState,
    Query(query): Fields,
    headers: HeaderMap,
) -> Response {
    let listed = |books: &mut RazorpayBooks| {
        let bound = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
        let (from, to) = (bound("from"), bound("to"));
        let mut all = books.payments();
        all.retain(|payment| {
            let at = payment["created_at"].as_u64().unwrap_or(0);
            from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to)
        });
        Ok(page(all, &query))
    };
    act(&shared, &headers, "payments", listed).await
}

async fn show_payment(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    act(&shared, &headers, "payment", |books| books.payment(&id)).await
}

async fn capture(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = parsed(&body);
    act(&shared, &headers, "capture", |books| {
        books.capture(&id, &fields)
    })
    .await
}

async fn refund(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = parsed(&body);
    let key = headers.get("x-refund-idempotency");
    let key = key.and_then(|key| key.to_str().ok());
    act(&shared, &headers, "refund", |books| {
        books.refund(&id, &fields, key)
    })
    .await
}

async fn list_refunds(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    Query(query): Fields,
    headers: HeaderMap,
) -> Response {
    let listed = |books: &mut RazorpayBooks| {
        books.payment(&id)?;
        Ok(page(books.refunds_of(&id), &query))
    };
    act(&shared, &headers, "refunds", listed).await
}

async fn list_disputes(
    State(shared): RazorpayState,
    Query(query): Fields,
    headers: HeaderMap,
) -> Response {
    let listed = |books: &mut RazorpayBooks| Ok(page(books.disputes(), &query));
    act(&shared, &headers, "disputes", listed).await
}

async fn show_dispute(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let found = |books: &mut RazorpayBooks| {
        let mut all = books.disputes().into_iter();
        let found = all.find(|dispute| dispute["id"] == id.as_str());
        found.ok_or_else(no_such_id)
    };
    act(&shared, &headers, "dispute", found).await
}

/// Disputes `amount` of an attempt, or ends its newest dispute with `status`.
async fn dispute(State(shared): RazorpayState, Path(id): Path<String>, body: Bytes) -> Response {
    let fields = form(&body);
    let amount = fields.get("amount").and_then(|amount| amount.parse().ok());
    told(&shared, |books| {
        match fields.get("status") {
            Some(status) => books.end_dispute(&id, status),
            None => books.dispute(&id, amount.unwrap_or(0), None),
        }
        books.payment(&id)
    })
}

fn told(shared: &SharedStandIn, change: impl FnOnce(&mut RazorpayBooks) -> Answered) -> Response {
    let mut books = shared.books.lock();
    let changed = change(&mut books);
    shared.tell(&mut books);
    match changed {
        Ok(value) => answer(200, &value),
        Err(refusal) => answer(400, &refusal),
    }
}

async fn pay(State(shared): RazorpayState, Path(order): Path<String>, body: Bytes) -> Response {
    let fields = form(&body);
    let card = fields.get("card").map_or("card", String::as_str);
    told(&shared, |books| books.pay(&order, card))
}

async fn authenticate(
    State(shared): RazorpayState,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let outcome = form(&body).remove("outcome");
    let is_well = outcome.is_none_or(|outcome| outcome == "succeed");
    told(&shared, |books| books.authenticate(&id, is_well))
}

async fn lapse(State(shared): RazorpayState, Path(id): Path<String>) -> Response {
    told(&shared, |books| {
        books.lapse(&id);
        books.payment(&id)
    })
}

async fn add_fault(State(shared): RazorpayState, body: Bytes) -> StatusCode {
    shared.add_fault(&form(&body))
}

async fn set_endpoint(State(shared): RazorpayState, body: Bytes) -> StatusCode {
    shared.set_endpoint(&form(&body))
}
