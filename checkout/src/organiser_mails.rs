//! Organiser routes of mail: what was sent about an order, what cannot be sent, and sending again.

use crate::app::{App, Shop};
use crate::inventory::Refused;
use crate::inventory::mail::{MailKind, MailRecord, NewMail};
use crate::organiser::{Change, record};
use crate::sessions::event_id;
use crate::text::is_id;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use shared::context::check;
use shared::crypto::random_id;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Problem, read_body};
use shared::ids::EventId;
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest size of a delivery report in bytes.
const REPORT_BYTES_MAX: usize = 256 * 1024;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(take_delivery_report))
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

/// List the mails about an event's orders that cannot be sent or came back, of the last 30 days, each
/// with the reason.
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

/// Try a mail again that could not be sent, or came back; further mails to its address are sent again, too.
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
            "There is no such mail that failed or came back",
        )
    };
    if !is_id(&mail) {
        return Err(none());
    }
    let mails = shop.inventory.mails();
    let stored = mails.find(&mail).await?;
    let stored = stored.filter(|stored| stored.mail.event == event.as_str());
    let stored = stored.filter(|stored| stored.state.may_be_retried());
    let stored = stored.ok_or_else(none)?;
    // First, as the mail would be given up again otherwise.
    shop.resume_mails_of(&stored.mail).await?;
    if !mails.retry(event.as_str(), &mail).await? {
        return Err(none());
    }
    let change = Change {
        action: "mail.retry",
        event: &event,
        from: json!({"mail": mail, "state": stored.state}),
        to: json!({"state": "waiting"}),
    };
    record(&shop, &organiser, change).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A report of a mail server, as it arrived.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
struct MailReport(#[expect(dead_code, reason = "describes a body that is read as it is")] Vec<u8>);

/// Outcome of a report.
#[derive(Serialize, utoipa::ToSchema)]
struct TakenReport {
    /// Number of mails that came back by it: 0 or 1.
    bounced: u32,
}

/// Take a report of a mail server on a mail that it could not deliver (RFC 3464), as it arrives at the
/// return path. It counts if the mail was sent by this site to the recipient that the report names: then
/// the mail is listed with the reason, and an address without a mailbox gets no further mails about orders until
/// one is sent again. 422 for any other mail; at most 256 KiB.
#[utoipa::path(post, path = "/api/v1/organiser/mails/bounces", tag = "organiser",
    request_body(content = inline(MailReport), content_type = "application/octet-stream", description = "The report, as it arrived",
        example = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n…"),
    security(("organiser" = ["operator"])),
    responses((status = 200, description = "The report is taken", body = TakenReport), Refusals))]
async fn take_delivery_report(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    body: Body,
) -> Result<Json<TakenReport>, Problem> {
    let text = read_body(body, REPORT_BYTES_MAX).await?;
    to_the_end(async move {
        let taken = shop.take_delivery_report(&text).await?;
        let bounced = taken.map_err(|why| Problem::invalid("body", format!("{why} is needed")))?;
        if let Some(mail) = &bounced
            && let Ok(event) = event_id(&mail.event)
        {
            let change = Change {
                action: "mail.bounce",
                event: &event,
                from: json!({"mail": mail.id}),
                to: json!({"state": "bounced"}),
            };
            record(&shop, &organiser, change).await;
        }
        let bounced = u32::from(bounced.is_some());
        Ok(Json(TakenReport { bounced }))
    })
    .await
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
    if let Some(buyer) = &details.order.buyer {
        shop.resume_mails_to(&buyer.email).await?;
    }
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
