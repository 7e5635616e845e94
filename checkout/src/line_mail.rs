//! Mails to fans in line: the waiting room hands over the addresses that they leave with their places.

use crate::app::{App, Shop};
use crate::inventory::{InLine, comparable};
use crate::orders::check_buyer;
use crate::removal::Service;
use crate::sessions::event_id;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::ids::{EventId, VisitorId};
use shared::line_mail::LineMail;
use shared::texts::Language;
use shared::time::Time;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest proof of a place.
const LINK_BYTES_MAX: usize = 300;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(keep_line_mail, forget_line_mail))
}

impl Shop {
    /// Returns whether mail is sent.
    pub fn sends_mail(&self) -> bool {
        self.mail.is_some()
    }

    /// Keeps the address to which a visitor is told of their turn, in place of the one from before. One
    /// that was named for several places of late is not told of more, and nothing says so, as that would
    /// tell who asks that others did.
    ///
    /// # Errors
    /// 404 `no-mail` where no mail is sent or nothing is sold here for the event, 422.
    pub async fn keep_line_mail(
        &self,
        event: &EventId,
        visitor: VisitorId,
        mail: &LineMail,
    ) -> Result<(), Problem> {
        let mailer = self.mail.as_ref().ok_or_else(Problem::no_mail)?;
        check_buyer("", None, Some(&mail.email))?;
        if Language::parse(&mail.language).is_none() {
            return Err(Problem::invalid("language", "a language of the pages"));
        }
        if mail.link.len() > LINK_BYTES_MAX {
            return Err(Problem::invalid("link", "at most 300 characters"));
        }
        if self.inventory.seat_map(event).is_none() {
            return Err(Problem::no_mail());
        }
        let place = InLine {
            event: event.clone(),
            visitor,
        };
        let mails = self.inventory.line_mails();
        let address = comparable(&mail.email);
        let before = mails.find(&place).await?;
        let is_same = before.is_some_and(|row| comparable(&row.mail.email) == address);
        if !is_same && mailer.line_addresses.check(&address).is_err() {
            return Ok(mails.remove(&place, Time(i64::MAX)).await?);
        }
        Ok(mails.keep(&place, mail).await?)
    }

    /// Forgets the address of a visitor, if there is one.
    ///
    /// # Errors
    /// 503.
    pub async fn forget_line_mail(
        &self,
        event: &EventId,
        visitor: VisitorId,
    ) -> Result<(), Problem> {
        let place = InLine {
            event: event.clone(),
            visitor,
        };
        let mails = self.inventory.line_mails();
        Ok(mails.remove(&place, Time(i64::MAX)).await?)
    }
}

pub(crate) fn visitor_id(visitor: &str) -> Result<VisitorId, Problem> {
    VisitorId::parse(visitor)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no-such-visitor", "No such visitor"))
}

/// Keep the address to which a visitor is told of their turn, for a waiting room in another process. 404
/// `no-mail` where no mail is sent.
#[utoipa::path(put, path = "/api/v1/events/{event}/line-mail/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), request_body = LineMail, security(("service" = [])),
    responses((status = 204, description = "The address is kept"), Refusals))]
async fn keep_line_mail(
    _: Service,
    State(shop): State<Arc<Shop>>,
    Path((event, visitor)): Path<(String, String)>,
    Input(mail, _): Input<LineMail>,
) -> Result<StatusCode, Problem> {
    let (event, visitor) = (event_id(&event)?, visitor_id(&visitor)?);
    shop.keep_line_mail(&event, visitor, &mail).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget the address of a visitor, for a waiting room in another process.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line-mail/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), security(("service" = [])),
    responses((status = 204, description = "There is no address of the visitor any more"), Refusals))]
async fn forget_line_mail(
    _: Service,
    State(shop): State<Arc<Shop>>,
    Path((event, visitor)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (event, visitor) = (event_id(&event)?, visitor_id(&visitor)?);
    shop.forget_line_mail(&event, visitor).await?;
    Ok(StatusCode::NO_CONTENT)
}
