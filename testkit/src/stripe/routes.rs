//! The stand-in's routes: those of Stripe under `/v1`, and those of tests under `/_test`.

use super::books::{Remembered, StripeBooks, error};
use super::browser::method_of;
use super::state::StandInState;
use crate::stand_in::{Form as Fields, Outcome, answer, broken, form as fields};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;

/// A key that the stand-in accepts.
pub const KEY: &str = "sk_test_stand_in_0000";
/// Publishable key with which browsers confirm.
const PUBLISHABLE_KEY: &str = "pk_test_stand_in_0000";
/// Largest number of entries of a page.
const PAGE_MAX: usize = 100;

pub(super) fn routes(shared: Arc<StandInState>) -> Router {
    Router::new()
        .route("/v1/payment_intents", post(create).get(list))
        .route("/v1/payment_intents/{id}", get(retrieve))
        .route("/v1/payment_intents/{id}/{operation}", post(change))
        .route("/v1/refunds", post(refund).get(list_refunds))
        .route("/v1/disputes", get(list_disputes))
        .route("/v1/disputes/{id}", get(retrieve_dispute))
        .route("/_test/dispute/{id}", post(dispute))
        .route("/_test/authenticate/{id}", post(authenticate))
        .route("/_test/faults", post(add_fault))
        .route("/_test/endpoint", post(set_endpoint))
        .merge(super::browser::routes())
        .with_state(shared)
}

type StripeState = State<Arc<StandInState>>;

/// A request, as far as all have it in common.
struct Asked<'a> {
    operation: &'a str,
    /// The request, which must be the same for one idempotency key.
    request: String,
    headers: &'a HeaderMap,
}

impl StandInState {
    /// Answers a request, unless the stand-in has fallen silent.
    async fn act(
        &self,
        asked: Asked<'_>,
        act: impl FnOnce(&mut StripeBooks) -> Result<Value, Value>,
    ) -> Response {
        let operation = asked.operation;
        self.answered(operation, self.act_once(asked, act)).await
    }

    /// Acts once for an idempotency key, with the fault that is next.
    async fn act_once(
        &self,
        asked: Asked<'_>,
        act: impl FnOnce(&mut StripeBooks) -> Result<Value, Value>,
    ) -> Response {
        if let Some(refusal) = unauthorised(asked.headers, asked.operation) {
            return refusal;
        }
        let key = asked.headers.get("idempotency-key");
        let key = key.and_then(|key| key.to_str().ok()).map(str::to_owned);
        if let Some(before) = key
            .as_ref()
            .and_then(|key| self.before(key, &asked.request))
        {
            return before;
        }
        let acted = self.acted(asked.operation, act).await;
        let told = match acted.outcome {
            Outcome::TooMany => {
                if let Some(key) = &key {
                    self.books.lock().answers.remove(key);
                }
                let body = error("invalid_request_error", "rate_limit", "Too many requests");
                return answer(429, &body);
            }
            Outcome::Failed => (500, error("api_error", "", "An error of the server")),
            Outcome::Refused => {
                let message = "This charge is disputed";
                let refusal = error("invalid_request_error", "charge_disputed", message);
                (400, refusal)
            }
            Outcome::Done(Ok(value)) => (200, value),
            Outcome::Done(Err(refusal)) if refusal["error"]["type"] == "card_error" => {
                (402, refusal)
            }
            Outcome::Done(Err(refusal)) if refusal["error"]["code"] == "resource_missing" => {
                (404, refusal)
            }
            Outcome::Done(Err(refusal)) => (400, refusal),
        };
        if let Some(key) = key {
            let remembered = Remembered {
                request: asked.request,
                answer: Some(told.clone()),
            };
            self.books.lock().answers.insert(key, remembered);
        }
        if acted.is_lost {
            return broken();
        }
        answer(told.0, &told.1)
    }

    /// Returns the answer to a key that was used before, and marks one that was not.
    fn before(&self, key: &str, request: &str) -> Option<Response> {
        let mut books = self.books.lock();
        let Some(known) = books.answers.get(key) else {
            let remembered = Remembered {
                request: request.to_owned(),
                answer: None,
            };
            books.answers.insert(key.to_owned(), remembered);
            return None;
        };
        if known.request != request {
            let message = "Keys for idempotent requests can only be used with the same parameters";
            return Some(answer(400, &error("idempotency_error", "", message)));
        }
        let Some((status, body)) = &known.answer else {
            let message = "There is another request with this key in progress";
            let code = "idempotency_key_in_use";
            return Some(answer(409, &error("idempotency_error", code, message)));
        };
        let mut replayed = answer(*status, body);
        let yes = axum::http::HeaderValue::from_static("true");
        replayed.headers_mut().insert("idempotent-replayed", yes);
        Some(replayed)
    }
}

fn unauthorised(headers: &HeaderMap, operation: &str) -> Option<Response> {
    let bearer = headers.get(header::AUTHORIZATION);
    let bearer = bearer.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let is_browser = operation == "confirm" && bearer == Some(PUBLISHABLE_KEY);
    let is_secret = bearer.is_some_and(|key| key.starts_with("sk_test_"));
    (!is_secret && !is_browser).then(|| {
        let message = "You did not provide a valid API key";
        answer(401, &error("invalid_request_error", "", message))
    })
}

async fn create(State(shared): StripeState, headers: HeaderMap, body: Bytes) -> Response {
    let asked = Asked {
        operation: "create",
        request: format!("create {}", String::from_utf8_lossy(&body)),
        headers: &headers,
    };
    let fields = fields(&body);
    shared.act(asked, |books| books.create(&fields)).await
}

async fn change(
    State(shared): StripeState,
    Path((id, operation)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked {
        operation: &operation,
        request: format!("{operation} {id} {}", String::from_utf8_lossy(&body)),
        headers: &headers,
    };
    let fields = fields(&body);
    let text = |name: &str| fields.get(name).map(String::as_str);
    let act = |books: &mut StripeBooks| match operation.as_str() {
        "confirm" => {
            let typed = text("payment_method_data[card][number]").map(method_of);
            let card = text("payment_method").or(typed).unwrap_or_default();
            books.confirm(&id, text("client_secret"), card)
        }
        "capture" => books.capture(&id),
        "cancel" => books.cancel(&id),
        _ => Err(error(
            "invalid_request_error",
            "resource_missing",
            "No such path",
        )),
    };
    shared.act(asked, act).await
}

async fn refund(State(shared): StripeState, headers: HeaderMap, body: Bytes) -> Response {
    let asked = Asked {
        operation: "refund",
        request: format!("refund {}", String::from_utf8_lossy(&body)),
        headers: &headers,
    };
    let fields = fields(&body);
    shared.act(asked, |books| books.refund(&fields)).await
}

async fn retrieve(
    State(shared): StripeState,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = Asked {
        operation: "retrieve",
        request: String::new(),
        headers: &headers,
    };
    let expand = fields(query.unwrap_or_default().as_bytes());
    let found = |books: &mut StripeBooks| {
        let missing = error(
            "invalid_request_error",
            "resource_missing",
            "No such payment_intent",
        );
        let mut intent = books.intent(&id).ok_or(missing)?;
        let mut expanded = expand.values();
        if expanded.any(|value| value == "latest_charge") && !intent["latest_charge"].is_null() {
            intent["latest_charge"] = books.charge(&intent);
        }
        Ok(intent)
    };
    shared.act(asked, found).await
}

async fn list(
    State(shared): StripeState,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = Asked {
        operation: "list",
        request: String::new(),
        headers: &headers,
    };
    let query = fields(query.unwrap_or_default().as_bytes());
    let pick = |books: &mut StripeBooks| {
        let bound = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
        let (from, to) = (bound("created[gte]"), bound("created[lt]"));
        let is_within = |intent: &&Value| {
            let at = intent["created"].as_u64().unwrap_or(0);
            from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
        };
        let after = query.get("starting_after").map(String::as_str);
        let found = books.intents_before(after).filter(is_within);
        let limit = limit(&query);
        let mut all: Vec<Value> = found.take(limit + 1).cloned().collect();
        let has_more = all.len() > limit;
        all.truncate(limit);
        if query.values().any(|value| value == "data.latest_charge") {
            for intent in &mut all {
                if !intent["latest_charge"].is_null() {
                    intent["latest_charge"] = books.charge(intent);
                }
            }
        }
        Ok(listed("/v1/payment_intents", all, has_more))
    };
    shared.act(asked, pick).await
}

async fn list_refunds(
    State(shared): StripeState,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = Asked {
        operation: "list_refunds",
        request: String::new(),
        headers: &headers,
    };
    let query = fields(query.unwrap_or_default().as_bytes());
    let pick = |books: &mut StripeBooks| {
        let mut all = books.refunds();
        if let Some(of) = query.get("payment_intent") {
            all.retain(|refund| refund["payment_intent"] == of.as_str());
        }
        Ok(page(all, &query, "/v1/refunds"))
    };
    shared.act(asked, pick).await
}

async fn retrieve_dispute(
    State(shared): StripeState,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let asked = Asked {
        operation: "retrieve_dispute",
        request: String::new(),
        headers: &headers,
    };
    let found = |books: &mut StripeBooks| {
        let mut all = books.disputes().into_iter();
        let found = all.find(|dispute| dispute["id"] == id.as_str());
        found.ok_or_else(|| {
            error(
                "invalid_request_error",
                "resource_missing",
                "No such dispute",
            )
        })
    };
    shared.act(asked, found).await
}

async fn list_disputes(
    State(shared): StripeState,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = Asked {
        operation: "list_disputes",
        request: String::new(),
        headers: &headers,
    };
    let query = fields(query.unwrap_or_default().as_bytes());
    let pick = |books: &mut StripeBooks| Ok(page(books.disputes(), &query, "/v1/disputes"));
    shared.act(asked, pick).await
}

/// Disputes `amount` of a payment, or ends its newest dispute with `status`.
async fn dispute(State(shared): StripeState, Path(id): Path<String>, body: Bytes) -> Response {
    let fields = fields(&body);
    let mut books = shared.books.lock();
    let amount = fields.get("amount").and_then(|amount| amount.parse().ok());
    let dispute = match fields.get("status") {
        Some(status) => books.end_dispute(&id, status),
        None => books.dispute(&id, amount.unwrap_or(0), None),
    };
    shared.tell(&mut books);
    match dispute {
        Some(dispute) => answer(200, &dispute),
        None => {
            let missing = error(
                "invalid_request_error",
                "resource_missing",
                "No such payment",
            );
            answer(404, &missing)
        }
    }
}

/// Returns a page of a list, after the entry that was named.
fn page(all: Vec<Value>, query: &Fields, url: &str) -> Value {
    let limit = limit(query);
    let after = query.get("starting_after").and_then(|after| {
        let mut entries = all.iter();
        entries.position(|entry| entry["id"] == after.as_str())
    });
    let rest: Vec<Value> = all.into_iter().skip(after.map_or(0, |at| at + 1)).collect();
    let has_more = rest.len() > limit;
    let data: Vec<Value> = rest.into_iter().take(limit).collect();
    listed(url, data, has_more)
}

/// Returns the largest number of entries of the page that is asked for.
fn limit(query: &Fields) -> usize {
    let limit = query.get("limit").and_then(|limit| limit.parse().ok());
    limit.unwrap_or(10_usize).clamp(1, PAGE_MAX)
}

fn listed(url: &str, data: Vec<Value>, has_more: bool) -> Value {
    json!({"object": "list", "url": url, "has_more": has_more, "data": data})
}

async fn authenticate(State(shared): StripeState, Path(id): Path<String>, body: Bytes) -> Response {
    let is_well = fields(&body)
        .get("outcome")
        .is_none_or(|outcome| outcome == "succeed");
    let mut books = shared.books.lock();
    let intent = books.authenticate(&id, is_well);
    shared.tell(&mut books);
    match intent {
        Some(intent) => answer(200, &intent),
        None => answer(
            404,
            &error("invalid_request_error", "resource_missing", "Not waiting"),
        ),
    }
}

async fn add_fault(State(shared): StripeState, body: Bytes) -> StatusCode {
    shared.add_fault(&fields(&body))
}

async fn set_endpoint(State(shared): StripeState, body: Bytes) -> StatusCode {
    shared.set_endpoint(&fields(&body))
}
