//! Notifications for fans who wait: a browser's subscription that is left with a place.

use crate::app::{App, Checkout, Room};
use crate::line::LineView;
use crate::line_mail::{PassHolder, parse_language};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::http::client_address::ClientAddress;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::ids::{EventId, VisitorId};
use shared::line_push::{LinePush, PushKeys};
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Time after which the checkout is asked again for its key.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// The same where it did not answer.
const UNANSWERED: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set_push, remove_push))
}

/// Subscription of a browser, as its `PushSubscription` has it.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LinePushInput {
    /// Address at the browser's push service.
    #[schema(max_length = 1000)]
    endpoint: String,
    /// Keys with which messages are encrypted.
    keys: PushKeys,
    /// Code of the notification's language, such as `de`; that of the event if absent.
    language: Option<String>,
}

/// Be told by a notification once it is the caller's turn: one subscription for a place, in place of the
/// one from before. 404 `no-push` where no notifications are sent, 409 `not-waiting` unless the caller
/// waits; 429 after many from one network.
#[utoipa::path(put, path = "/api/v1/events/{event}/line/me/push", tag = "line", params(("event" = String, Path)),
    request_body = LinePushInput, security(("pass" = [])),
    responses((status = 204, description = "The subscription is kept until the turn was told"), Refusals))]
async fn set_push(
    fan: PassHolder,
    State(room): State<Arc<Room>>,
    address: Option<Extension<ClientAddress>>,
    Input(input, _): Input<LinePushInput>,
) -> Result<StatusCode, Problem> {
    let language = parse_language(input.language.as_deref())?;
    let checkout = checkout_of(&room)?;
    let spot = fan.waiting(&room, address).await?;
    let push = LinePush {
        endpoint: input.endpoint,
        keys: input.keys,
        language: fan.language(language).code().to_owned(),
    };
    checkout.keep_push(&fan.event, spot.visitor, &push).await?;
    // A turn that came meanwhile may have been told already, to no browser.
    if let Err(problem) = fan.still_waiting(&room, spot.visitor).await {
        checkout.forget_push(&fan.event, spot.visitor).await?;
        return Err(problem);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Be notified no more: the subscription is forgotten.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line/me/push", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 204, description = "There is no subscription with the place"), Refusals))]
async fn remove_push(
    fan: PassHolder,
    State(room): State<Arc<Room>>,
) -> Result<StatusCode, Problem> {
    let checkout = checkout_of(&room)?;
    checkout.forget_push(&fan.event, fan.pass.visitor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn checkout_of(room: &Room) -> Result<&dyn Checkout, Problem> {
    room.checkout.as_deref().ok_or_else(Problem::no_push)
}

impl Room {
    /// Returns the key with which browsers of fans in this line subscribe, as far as this node knows; none
    /// where no notifications are sent.
    pub(crate) fn offered_push_key(&self, front: &LineView) -> Option<Arc<str>> {
        front.availability.as_ref()?;
        self.push_key.read().clone()
    }

    /// Forgets the subscription of a visitor who has left. If that fails, it is deleted once the line is
    /// over.
    pub(crate) async fn forget_push(&self, event: &EventId, visitor: VisitorId) {
        let has_key = self.push_key.read().is_some();
        if let Some(checkout) = self.checkout.as_ref().filter(|_| has_key) {
            let _ = checkout.forget_push(event, visitor).await;
        }
    }

    /// Keeps itself informed of the checkout's key, until the stop signal.
    pub(crate) async fn follow_push_key(&self) {
        let Some(checkout) = &self.checkout else {
            return;
        };
        let asking = async {
            loop {
                let answer = checkout.push_key().await;
                let pause = if answer.is_some() {
                    ASK_EVERY
                } else {
                    UNANSWERED
                };
                if let Some(key) = answer {
                    *self.push_key.write() = key.map(Arc::from);
                }
                tokio::time::sleep(pause).await;
            }
        };
        self.site.stop.run_until_cancelled(asking).await;
    }
}
