//! Notifications to fans in line: the waiting room hands over the subscriptions that they leave with
//! their places.

use crate::app::{App, Shop};
use crate::inventory::InLine;
use crate::removal::Service;
use crate::web_push::check_keys;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::line_push::{LinePush, PushKey};
use shared::texts::Language;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_push_key))
        .routes(routes!(keep_line_push, forget_line_push))
}

impl Shop {
    /// Returns the public key with which browsers subscribe; none where no notifications are sent.
    pub fn push_key(&self) -> Option<String> {
        self.pusher.as_ref().map(|pusher| pusher.public_key())
    }

    /// Keeps the subscription by which a visitor is told of their turn, in place of the one from before.
    ///
    /// # Errors
    /// 404 `no-push` where no notifications are sent or nothing is sold here for the event, 422.
    pub async fn keep_line_push(&self, place: &InLine, push: &LinePush) -> Result<(), Problem> {
        let pusher = self.pusher.as_ref().ok_or_else(Problem::no_push)?;
        if self.inventory.seat_map(&place.event).is_none() {
            return Err(Problem::no_push());
        }
        let endpoint = self.outbound.check(&push.endpoint);
        let endpoint = endpoint.map_err(|why| Problem::invalid("endpoint", why))?;
        if !pusher.posts_to(&endpoint) {
            let why = "an address at a push service of a browser";
            return Err(Problem::invalid("endpoint", why));
        }
        check_keys(&push.keys).map_err(|(name, why)| Problem::invalid(name, why))?;
        if Language::parse(&push.language).is_none() {
            return Err(Problem::invalid("language", "a language of the pages"));
        }
        Ok(self.inventory.line_pushes().keep(place, push).await?)
    }

    /// Forgets the subscription of a visitor, if there is one.
    ///
    /// # Errors
    /// 503.
    pub async fn forget_line_push(&self, place: &InLine) -> Result<(), Problem> {
        Ok(self.inventory.line_pushes().remove(place).await?)
    }
}

/// Show the public key with which browsers subscribe, to a waiting room in another process. 404 `no-push`
/// where no notifications are sent.
#[utoipa::path(get, path = "/api/v1/push-key", tag = "checkout", security(("service" = [])),
    responses((status = 200, description = "The key", body = PushKey), Refusals))]
async fn show_push_key(
    _: Service,
    State(shop): State<Arc<Shop>>,
) -> Result<Json<PushKey>, Problem> {
    let key = shop.push_key().ok_or_else(Problem::no_push)?;
    Ok(Json(PushKey { key }))
}

/// Keep the subscription by which a visitor is told of their turn, for a waiting room in another process.
/// 404 `no-push` where no notifications are sent.
#[utoipa::path(put, path = "/api/v1/events/{event}/line-push/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), request_body = LinePush, security(("service" = [])),
    responses((status = 204, description = "The subscription is kept"), Refusals))]
async fn keep_line_push(
    _: Service,
    State(shop): State<Arc<Shop>>,
    place: InLine,
    Input(push, _): Input<LinePush>,
) -> Result<StatusCode, Problem> {
    shop.keep_line_push(&place, &push).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget the subscription of a visitor, for a waiting room in another process.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line-push/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), security(("service" = [])),
    responses((status = 204, description = "There is no subscription of the visitor any more"), Refusals))]
async fn forget_line_push(
    _: Service,
    State(shop): State<Arc<Shop>>,
    place: InLine,
) -> Result<StatusCode, Problem> {
    shop.forget_line_push(&place).await?;
    Ok(StatusCode::NO_CONTENT)
}
