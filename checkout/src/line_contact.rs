//! Messages to fans in line: the waiting room hands over the subscriptions of browsers and the numbers of
//! phones that they leave with their places.

use crate::app::{App, Shop};
use crate::inventory::InLine;
use crate::removal::Service;
use crate::web_push::check_keys;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::line_contact::{Channel, LineContact, LineOffers, LineSms, check_phone};
use shared::line_push::LinePush;
use shared::texts::Language;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_line_offers))
        .routes(routes!(keep_line_push, forget_line_push))
        .routes(routes!(keep_line_sms, forget_line_sms))
}

impl Shop {
    /// Returns the ways in which fans are told of their turn beside mail.
    pub fn line_offers(&self) -> LineOffers {
        let prefixes = self.sms.as_ref().map(|sms| sms.prefixes.clone());
        LineOffers {
            push_key: self.pusher.as_ref().map(|pusher| pusher.public_key()),
            sms_prefixes: prefixes.unwrap_or_default(),
        }
    }

    /// Keeps the subscription or the number by which a visitor is told of their turn, in place of the one from
    /// before.
    ///
    /// # Errors
    /// 404 `no-push` or `no-sms` where no such messages are sent or nothing is sold here for the event, 422.
    pub async fn keep_line_contact(
        &self,
        place: &InLine,
        contact: &LineContact,
    ) -> Result<(), Problem> {
        let language = match contact {
            LineContact::Push(push) => self.check_push(push).map(|()| &push.language)?,
            LineContact::Sms(sms) => self.check_sms(sms).map(|()| &sms.language)?,
        };
        if Language::parse(language).is_none() {
            return Err(Problem::invalid("language", "a language of the pages"));
        }
        if self.inventory.seat_map(&place.event).is_none() {
            return Err(Problem::no_channel(contact.channel()));
        }
        Ok(self.inventory.line_messages().keep(place, contact).await?)
    }

    fn check_push(&self, push: &LinePush) -> Result<(), Problem> {
        let pusher = self.pusher.as_ref();
        let pusher = pusher.ok_or_else(|| Problem::no_channel(Channel::Push))?;
        let endpoint = self.outbound.check(&push.endpoint);
        let endpoint = endpoint.map_err(|why| Problem::invalid("endpoint", why))?;
        if !pusher.posts_to(&endpoint) {
            let why = "an address at a push service of a browser";
            return Err(Problem::invalid("endpoint", why));
        }
        check_keys(&push.keys).map_err(|(name, why)| Problem::invalid(name, why))
    }

    fn check_sms(&self, sms: &LineSms) -> Result<(), Problem> {
        let gateway = self.sms.as_ref();
        let gateway = gateway.ok_or_else(|| Problem::no_channel(Channel::Sms))?;
        let checked = check_phone(&sms.phone, &gateway.prefixes);
        checked.map_err(|why| Problem::invalid("phone", why))
    }

    /// Forgets the subscription or the number of a visitor, if there is one.
    ///
    /// # Errors
    /// 503.
    pub async fn forget_line_contact(
        &self,
        place: &InLine,
        channel: Channel,
    ) -> Result<(), Problem> {
        let messages = self.inventory.line_messages();
        Ok(messages.remove(place, channel).await?)
    }
}

/// Show the ways in which fans in line are told of their turn beside mail, to a waiting room in another process.
#[utoipa::path(get, path = "/api/v1/line-offers", tag = "checkout", security(("service" = [])),
    responses((status = 200, description = "The ways", body = LineOffers), Refusals))]
async fn show_line_offers(_: Service, State(shop): State<Arc<Shop>>) -> Json<LineOffers> {
    Json(shop.line_offers())
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
    let push = LineContact::Push(push);
    shop.keep_line_contact(&place, &push).await?;
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
    shop.forget_line_contact(&place, Channel::Push).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keep the number by which a visitor is told of their turn, for a waiting room in another process. 404 `no-sms`
/// where no text messages are sent.
#[utoipa::path(put, path = "/api/v1/events/{event}/line-sms/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), request_body = LineSms, security(("service" = [])),
    responses((status = 204, description = "The number is kept"), Refusals))]
async fn keep_line_sms(
    _: Service,
    State(shop): State<Arc<Shop>>,
    place: InLine,
    Input(sms, _): Input<LineSms>,
) -> Result<StatusCode, Problem> {
    let sms = LineContact::Sms(sms);
    shop.keep_line_contact(&place, &sms).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget the number of a visitor, for a waiting room in another process.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line-sms/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), security(("service" = [])),
    responses((status = 204, description = "There is no number of the visitor any more"), Refusals))]
async fn forget_line_sms(
    _: Service,
    State(shop): State<Arc<Shop>>,
    place: InLine,
) -> Result<StatusCode, Problem> {
    shop.forget_line_contact(&place, Channel::Sms).await?;
    Ok(StatusCode::NO_CONTENT)
}
