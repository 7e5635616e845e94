//! Withdrawal of an address in line by a link in the header of its mails, in one step (RFC 8058), or by a
//! button on the page that the link opens. The link alone does nothing: mail scanners open links.

use crate::app::{App, Shop};
use crate::inventory::{InLine, comparable};
use crate::mail::link_in;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use shared::crypto::{decode, encode};
use shared::http::message_page::message;
use shared::http::page_request::PageRequest;
use shared::http::static_files::page;
use shared::ids::{EventId, VisitorId};
use shared::texts::Language;
use std::sync::Arc;

const HEADING: &str = "page.unsubscribe.heading";

pub(crate) fn pages() -> Router<App> {
    Router::new().route("/e/{event}/unsubscribe", get(show_button).post(withdraw))
}

impl Shop {
    /// Returns the link that withdraws the address of a place, as long as it is this address.
    pub(crate) fn unsubscribe_link(
        &self,
        place: &InLine,
        address: &str,
        language: Language,
    ) -> String {
        let mac = encode(&self.site.mail_secret.sign(&signed(place, address)));
        let (event, visitor) = (&place.event, place.visitor);
        let path = format!("/e/{event}/unsubscribe?fan={visitor}.{mac}");
        link_in(&self.site.public_url, &path, language)
    }
}

/// Returns the text that a link signs.
fn signed(place: &InLine, address: &str) -> Vec<u8> {
    let (event, visitor) = (&place.event, place.visitor);
    format!("unsubscribe\n{event}\n{visitor}\n{}", comparable(address)).into_bytes()
}

#[derive(Deserialize)]
struct UnsubscribeQuery {
    fan: String,
}

/// Shows the button, whatever the link is: the answer tells nothing of who is in line.
async fn show_button(request: PageRequest) -> Response {
    page(&request, request.language(), "unsubscribe.html", &[])
}

/// Withdraws the address. The answer is the same if it was withdrawn before, or the mail of the turn was
/// sent since.
async fn withdraw(
    State(shop): State<Arc<Shop>>,
    Path(event): Path<String>,
    request: PageRequest,
    query: Result<Query<UnsubscribeQuery>, QueryRejection>,
) -> Response {
    let fan = query.map(|Query(query)| query.fan).unwrap_or_default();
    let (status, text) = match withdraw_by(&shop, &event, &fan).await {
        Ok(()) => (StatusCode::OK, "page.unsubscribe.done"),
        Err(status @ StatusCode::SERVICE_UNAVAILABLE) => (status, "page.message.not_taken"),
        Err(status) => (status, "page.unsubscribe.wrong"),
    };
    message(&request, status, HEADING, text)
}

async fn withdraw_by(shop: &Shop, event: &str, fan: &str) -> Result<(), StatusCode> {
    let wrong = StatusCode::NOT_FOUND;
    let (visitor, mac) = fan.split_once('.').ok_or(wrong)?;
    let visitor = VisitorId::parse(visitor).ok_or(wrong)?;
    let event = EventId::parse(event).map_err(|_| wrong)?;
    let (place, mac) = (InLine::new(&event, visitor), decode(mac).ok_or(wrong)?);
    let mails = shop.inventory.line_mails();
    let away = |_| StatusCode::SERVICE_UNAVAILABLE;
    let Some(row) = mails.find(&place).await.map_err(away)? else {
        return Ok(());
    };
    let signed = signed(&place, &row.mail.email);
    if !shop.site.mail_secret.verify(&signed, &mac) {
        return Err(wrong);
    }
    mails.remove(&place, row.created_at).await.map_err(away)
}
