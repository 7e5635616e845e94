//! Mails to fans in line: the waiting room hands over the addresses that they leave with their places.

use crate::app::{App, Shop};
use crate::inventory::{InLine, comparable};
use crate::orders::check_buyer;
use crate::removal::Service;
use crate::sessions::event_id;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::ids::VisitorId;
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
    pub async fn keep_line_mail(&self, place: &InLine, mail: &LineMail) -> Result<(), Problem> {
        let mailer = self.mail.as_ref().ok_or_else(Problem::no_mail)?;
        check_buyer("", None, Some(&mail.email))?;
        if Language::parse(&mail.language).is_none() {
            return Err(Problem::invalid("language", "a language of the pages"));
        }
        if mail.link.len() > LINK_BYTES_MAX {
            return Err(Problem::invalid("link", "at most 300 characters"));
        }
        if self.inventory.seat_map(&place.event).is_none() {
            return Err(Problem::no_mail());
        }
        let mails = self.inventory.line_mails();
        let address = comparable(&mail.email);
        let before = mails.find(place).await?;
        let is_same = before.is_some_and(|row| comparable(&row.mail.email) == address);
        if !is_same && mailer.line_addresses.check(&address).is_err() {
            return Ok(mails.remove(place, Time(i64::MAX)).await?);
        }
        Ok(mails.keep(place, mail).await?)
    }

    /// Forgets the address of a visitor, if there is one.
    ///
    /// # Errors
    /// 503.
    pub async fn forget_line_mail(&self, place: &InLine) -> Result<(), Problem> {
        let mails = self.inventory.line_mails();
        Ok(mails.remove(place, Time(i64::MAX)).await?)
    }
}

/// The place that the path of a request names.
impl<S: Send + Sync> FromRequestParts<S> for InLine {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InLine, Problem> {
        let unknown = || Problem::new(StatusCode::NOT_FOUND, "no-such-visitor", "No such visitor");
        let names = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((event, visitor)) = names.map_err(|_| unknown())?;
        let event = event_id(&event)?;
        let visitor = VisitorId::parse(&visitor).ok_or_else(unknown)?;
        Ok(InLine { event, visitor })
    }
}

/// Keep the address to which a visitor is told of their turn, for a waiting room in another process. 404
/// `no-mail` where no mail is sent.
#[utoipa::path(put, path = "/api/v1/events/{event}/line-mail/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), request_body = LineMail, security(("service" = [])),
    responses((status = 204, description = "The address is kept"), Refusals))]
async fn keep_line_mail(
    _: Service,
    State(shop): State<Arc<Shop>>,
    place: InLine,
    Input(mail, _): Input<LineMail>,
) -> Result<StatusCode, Problem> {
    shop.keep_line_mail(&place, &mail).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget the address of a visitor, for a waiting room in another process.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line-mail/{visitor}", tag = "checkout",
    params(("event" = String, Path), ("visitor" = String, Path)), security(("service" = [])),
    responses((status = 204, description = "There is no address of the visitor any more"), Refusals))]
async fn forget_line_mail(
    _: Service,
    State(shop): State<Arc<Shop>>,
    place: InLine,
) -> Result<StatusCode, Problem> {
    shop.forget_line_mail(&place).await?;
    Ok(StatusCode::NO_CONTENT)
}
