//! Organiser routes of mail: what was sent about an order, what cannot be sent, and sending again.

use crate::app::{App, Shop};
use crate::inventory::Refused;
use crate::inventory::mail::{MailKind, MailRecord, NewMail};

use crate::organiser::{Change, record};
use crate::sessions::event_id;
use crate::text::is_id;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use shared::context::check;
use shared::crypto::random_id;
use shared::http::openapi::Refusals;
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_failed_mails))
        .routes(routes!(retry_mail))
        .routes(routes!(list_order_mails, resend_confirmation))
}

/// Mails, the newest first; some hundred at most.
#[derive(Serialize, utoipa::ToSchema)]
struct MailList {
    /// Whether this site sends mail.
    is_set_up: bool,
    mails: Vec<MailRecord>,
}

impl MailList {
    fn of(shop: &Shop, mails: Vec<MailRecord>) -> Json<MailList> {
        let is_set_up = shop.mail.is_some();
        Json(MailList { is_set_up, mails })
    }
}

/// List the mails about an event's orders that cannot be sent, of the last 30 days, each with the
/// reason.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/mails", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The mails", body = MailList), Refusals))]
async fn list_failed_mails(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<MailList>, Problem> {
    let event = event_id(&event)?;
    let mails = shop.inventory.mails().failed(event.as_str()).await?;
    Ok(MailList::of(&shop, mails))
}

/// Try a mail again that could not be sent.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/mails/{mail}/retry", tag = "organiser",
    params(("event" = String, Path), ("mail" = String, Path)), security(("organiser" = ["operator"])),
    responses((status = 204, description = "It is being sent"), Refusals))]
async fn retry_mail(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, mail)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let event = event_id(&event)?;
    let none = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-mail",
            "There is no such mail that failed",
        )
    };
    if !is_id(&mail) || !shop.inventory.mails().retry(event.as_str(), &mail).await? {
        return Err(none());
    }
    let change = Change {
        action: "mail.retry",
        event: &event,
        from: json!({"mail": mail, "state": "failed"}),
        to: json!({"state": "waiting"}),
    };
    record(&shop, &organiser, change).await;
    Ok(StatusCode::NO_CONTENT)
}

/// List the mails about an order: what was sent, what waits, and what cannot be sent.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/orders/{order}/mails", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The mails", body = MailList), Refusals))]
async fn list_order_mails(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path((event, order)): Path<(String, String)>,
) -> Result<Json<MailList>, Problem> {
    let event = event_id(&event)?;
    if !is_id(&order) {
        return Err(Refused::NoSuchOrder.into());
    }
    let mails = shop
        .inventory
        .mails()
        .of_order(event.as_str(), &order)
        .await?;
    Ok(MailList::of(&shop, mails))
}

/// Adds the mail with the tickets of an order to those that are to be sent, and returns its id.
async fn send_confirmation(shop: &Shop, event: &EventId, order: &str) -> Result<String, Refused> {
    let again = NewMail {
        id: random_id("mail_"),
        event: event.as_str().to_owned(),
        order: order.to_owned(),
        kind: MailKind::Confirmed,
        detail: String::new(),
        created_at: shop.inventory.now(),
    };
    let mail = again.id.clone();
    shop.inventory.mails().add(again).await?;
    Ok(mail)
}

/// Send the confirmation of an order again, with its tickets; three times an hour at most. 409
/// `not-confirmed` for an order without valid tickets; 404 `no-mail` where the site sends no mail.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/orders/{order}/mails", tag = "organiser",
    params(("event" = String, Path), ("order" = String, Path)), security(("organiser" = ["operator"])),
    responses((status = 202, description = "It is being sent"), Refusals))]
async fn resend_confirmation(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, order)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let event = event_id(&event)?;
    let mailer = shop.mail.as_ref().ok_or_else(Problem::no_mail)?;
    let details = shop.inventory.order_details(&event, &order).await?;
    let has_tickets = details
        .order
        .tickets
        .is_some_and(|tickets| !tickets.is_empty());
    if !has_tickets {
        let title = "The order has no valid tickets to send";
        return Err(Problem::new(StatusCode::CONFLICT, "not-confirmed", title));
    }
    if details.order.buyer.is_none() {
        let title = "The buyer of this order was erased";
        return Err(Problem::new(StatusCode::CONFLICT, "no-buyer", title));
    }
    check(&mailer.resent, &details.order.id)?;
    let mail = send_confirmation(&shop, &event, &details.order.id).await?;
    let change = Change {
        action: "order.resend",
        event: &event,
        from: json!({"order": details.order.id}),
        to: json!({"mail": mail}),
    };
    record(&shop, &organiser, change).await;
    Ok(StatusCode::ACCEPTED)
}
