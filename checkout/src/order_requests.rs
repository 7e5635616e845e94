//! Requests for orders: made before the answer, or accepted first and made once the store answers, as
//! the request prefers.

use crate::app::Shop;
use crate::holds::subject;
use crate::inventory::{Once, Order, Purchase, Refused, SessionKeys};
use crate::prefer::Preference;
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::crypto::{hex, random_id, sha256};
use shared::http::detached::carried;
use shared::http::idempotency::{IdempotencyKey, mark_replayed};
use shared::http::problem::Problem;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Time for which an accepted order is tried, and asked for at its status URL.
const TRIED_SECONDS: u32 = 30;
/// Pause before an order that the store did not take is offered again.
const PAUSE: Duration = Duration::from_millis(200);

/// An order that is accepted and not made yet.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AcceptedOrder {
    /// Id that the order will have: `ord_…`
    id: String,
    /// Always `pending`.
    #[schema(pattern = "^pending$")]
    state: &'static str,
    /// Time until which it is tried. If there is no such order by then, ask for it again with the
    /// same `Idempotency-Key`.
    until: Time,
}

/// A fan's request for an order.
pub(crate) struct OrderRequest {
    pub(crate) keys: SessionKeys,
    pub(crate) purchase: Purchase,
    pub(crate) key: IdempotencyKey,
    pub(crate) body: Vec<u8>,
}

impl OrderRequest {
    /// Returns the id that the order of this hold has under this idempotency key, at whichever node
    /// and however often it is asked for; none without a key.
    fn order_id(&self) -> Option<String> {
        let key = self.key.0.as_ref()?;
        let hash = sha256(format!("{}\n{key}", self.purchase.hold).as_bytes());
        Some(format!("ord_{}", hex(&hash[..20])))
    }
}

impl Shop {
    /// Makes an order of a hold, and answers as the request prefers.
    pub(crate) async fn take_order(
        self: &Arc<Shop>,
        request: OrderRequest,
        preference: Preference,
    ) -> Result<Response, Problem> {
        let id = request.order_id();
        match (preference, id) {
            (Preference::Accepted { wait }, Some(id)) => self.accept(id, request, wait).await,
            (_, id) => {
                let id = id.unwrap_or_else(|| random_id("ord_"));
                let made = self.make_order(&id, &request).await;
                Ok(created(made?))
            }
        }
    }

    async fn accept(
        self: &Arc<Shop>,
        id: String,
        request: OrderRequest,
        wait: Duration,
    ) -> Result<Response, Problem> {
        let now = self.inventory.now();
        let until = now.plus_seconds(TRIED_SECONDS);
        if !self.accepted.enter(&id, until, now) {
            return Err(Problem::overloaded(2));
        }
        let (shop, own) = (self.clone(), id.clone());
        let making = self.unsettled.tasks.spawn(carried(async move {
            let made = shop.make_in_time(&own, &request).await;
            shop.accepted.end(&own, made.as_ref().err().cloned());
            made
        }));
        match timeout(wait, making).await {
            Ok(Ok(made)) => Ok(created(made?)),
            Ok(Err(_)) => Err(Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR)),
            Err(_) => Ok(pending(id, until, true)),
        }
    }

    /// Tries to make an order while the store does not answer, for a bounded time.
    async fn make_in_time(
        self: &Arc<Shop>,
        id: &str,
        request: &OrderRequest,
    ) -> Result<Once<Order>, Problem> {
        let until = Instant::now() + Duration::from_secs(TRIED_SECONDS.into());
        loop {
            match self.make_order(id, request).await {
                Err(Refused::Unavailable(_) | Refused::StillRunning)
                    if Instant::now() + PAUSE < until && !self.site.stop.is_cancelled() =>
                {
                    sleep(PAUSE).await;
                }
                made => return Ok(made?),
            }
        }
    }

    async fn make_order(
        self: &Arc<Shop>,
        id: &str,
        request: &OrderRequest,
    ) -> Result<Once<Order>, Refused> {
        let OrderRequest { keys, purchase, .. } = request;
        let own = self.inventory.session_of_hold(keys.clone(), &purchase.hold);
        let own = own.await?;
        let attempt = request.key.attempt(&subject(&own), "order", &request.body);
        let made = self.inventory.order_as(id, vec![own], purchase, attempt);
        let once = made.await?;
        if once.value.state == "confirmed" {
            self.to_report.notify_one();
        }
        Ok(Once {
            value: self.offered(once.value).await,
            is_replayed: once.is_replayed,
        })
    }

    /// Returns the answer to a question for an order that was not found, or not looked for as the
    /// store is slow: it may be made yet.
    ///
    /// # Errors
    /// The refusal with which it ended, if this node tried to make it; or that of the question.
    pub(crate) fn not_found(
        &self,
        id: String,
        until: Option<Time>,
        refused: Refused,
    ) -> Result<Response, Problem> {
        let is_open = match refused {
            Refused::NoSuchOrder => true,
            Refused::Unavailable(_) => false,
            _ => return Err(refused.into()),
        };
        if is_open && let Some(refusal) = self.accepted.refusal(&id) {
            return Err(refusal);
        }
        match until {
            Some(until) if self.inventory.now() < until => Ok(pending(id, until, false)),
            _ => Err(refused.into()),
        }
    }
}

fn created(made: Once<Order>) -> Response {
    let response = (StatusCode::CREATED, Json(made.value)).into_response();
    mark_replayed(response, made.is_replayed)
}

/// Returns the answer while an order is not made.
fn pending(id: String, until: Time, is_first: bool) -> Response {
    let location = format!("/api/v1/orders/{id}?until={until}");
    let state = "pending";
    let body = Json(AcceptedOrder { id, state, until });
    let retry = [(header::RETRY_AFTER, "1")];
    let mut response = (StatusCode::ACCEPTED, retry, body).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, location);
    }
    if is_first {
        headers.insert(
            PREFERENCE_APPLIED,
            HeaderValue::from_static("respond-async"),
        );
    }
    response
}
