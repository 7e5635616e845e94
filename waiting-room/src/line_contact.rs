//! Messages for fans who wait: a browser's subscription, or the number of a phone, that is left with a place.

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
use shared::line_contact::{Channel, LineContact, LineOffers, LineSms};
use shared::line_push::{LinePush, PushKeys};
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Time after which the checkout is asked again what it offers.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// The same where it did not answer.
const UNANSWERED: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(set_push, remove_push))
        .routes(routes!(set_sms, remove_sms))
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

/// Number of a phone.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LineSmsInput {
    /// Number with `+` and country code (E.164), of a country to which the site sends text messages.
    #[schema(max_length = 16)]
    phone: String,
    /// Code of the message's language, such as `de`; that of the event if absent.
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
    let language = fan.language(parse_language(input.language.as_deref())?);
    let push = LineContact::Push(LinePush {
        endpoint: input.endpoint,
        keys: input.keys,
        language: language.code().to_owned(),
    });
    fan.leave_contact(&room, address, &push).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stop notifications: the subscription is forgotten.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line/me/push", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 204, description = "There is no subscription with the place"), Refusals))]
async fn remove_push(
    fan: PassHolder,
    State(room): State<Arc<Room>>,
) -> Result<StatusCode, Problem> {
    fan.withdraw_contact(&room, Channel::Push).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Be told by a text message once it is the caller's turn: one number for a place, in place of the one from
/// before. A number gets at most two messages for an event, and the caller is not told when it has. 404 `no-sms`
/// where no text messages are sent, 409 `not-waiting` unless the caller waits; 429 after many from one network.
#[utoipa::path(put, path = "/api/v1/events/{event}/line/me/sms", tag = "line", params(("event" = String, Path)),
    request_body = LineSmsInput, security(("pass" = [])),
    responses((status = 204, description = "The number is kept until the turn was told"), Refusals))]
async fn set_sms(
    fan: PassHolder,
    State(room): State<Arc<Room>>,
    address: Option<Extension<ClientAddress>>,
    Input(input, _): Input<LineSmsInput>,
) -> Result<StatusCode, Problem> {
    let language = fan.language(parse_language(input.language.as_deref())?);
    let sms = LineContact::Sms(LineSms {
        phone: input.phone,
        language: language.code().to_owned(),
    });
    fan.leave_contact(&room, address, &sms).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stop text messages: the number is forgotten.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line/me/sms", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 204, description = "There is no number with the place"), Refusals))]
async fn remove_sms(fan: PassHolder, State(room): State<Arc<Room>>) -> Result<StatusCode, Problem> {
    fan.withdraw_contact(&room, Channel::Sms).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl PassHolder {
    /// Leaves a subscription or a number with the place.
    pub(crate) async fn leave_contact(
        &self,
        room: &Room,
        address: Option<Extension<ClientAddress>>,
        contact: &LineContact,
    ) -> Result<(), Problem> {
        let channel = contact.channel();
        let checkout = checkout_of(room, channel)?;
        let visitor = self.waiting(room, address).await?.visitor;
        checkout.keep_contact(&self.event, visitor, contact).await?;
        // A turn that came meanwhile may have been told already, to no one.
        if let Err(problem) = self.still_waiting(room, visitor).await {
            let event = &self.event;
            checkout.forget_contact(event, visitor, channel).await?;
            return Err(problem);
        }
        Ok(())
    }

    /// Takes it back.
    pub(crate) async fn withdraw_contact(
        &self,
        room: &Room,
        channel: Channel,
    ) -> Result<(), Problem> {
        let checkout = checkout_of(room, channel)?;
        let (event, visitor) = (&self.event, self.pass.visitor);
        checkout.forget_contact(event, visitor, channel).await
    }
}

fn checkout_of(room: &Room, channel: Channel) -> Result<&dyn Checkout, Problem> {
    let checkout = room.checkout.as_deref();
    checkout.ok_or_else(|| Problem::no_channel(channel))
}

impl Room {
    /// Returns what fans in this line are offered beside mail, as far as this node knows.
    pub(crate) fn line_offers(&self, front: &LineView) -> Arc<LineOffers> {
        match front.availability {
            Some(_) => self.offers.read().clone(),
            None => Arc::default(),
        }
    }

    /// Forgets what a visitor who has left had left with the place. If that fails, it is deleted once the line
    /// is over.
    pub(crate) async fn forget_contacts(&self, event: &EventId, visitor: VisitorId) {
        let Some(checkout) = &self.checkout else {
            return;
        };
        let offers = self.offers.read().clone();
        for channel in Channel::ALL.into_iter().filter(|it| offers.has(*it)) {
            let _ = checkout.forget_contact(event, visitor, channel).await;
        }
    }

    /// Keeps itself informed of what the checkout offers, until the stop signal.
    pub(crate) async fn follow_offers(&self) {
        let Some(checkout) = &self.checkout else {
            return;
        };
        let asking = async {
            loop {
                let answer = checkout.line_offers().await;
                let pause = if answer.is_some() {
                    ASK_EVERY
                } else {
                    UNANSWERED
                };
                if let Some(offers) = answer {
                    *self.offers.write() = Arc::new(offers);
                }
                tokio::time::sleep(pause).await;
            }
        };
        self.site.stop.run_until_cancelled(asking).await;
    }
}
