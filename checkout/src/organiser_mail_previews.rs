//! Organiser route of letters as they will be sent.

use crate::app::{App, Shop};
use crate::inventory::mail::MailKind;
use crate::mail::SampleLetter;
use crate::organiser::known;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use shared::http::openapi::Refusals;
use shared::http::problem::{Parameters, Problem};
use shared::organiser::Organiser;
use shared::texts::Language;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A letter has styles of its own and pictures within it, and nothing else: no script, no form, no request.
const POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'self'";

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(preview_mail))
}

/// The letter that is wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PreviewQuery {
    /// `confirmed`, `refunded`, `cancelled`, `changed`, `orders` (a list of orders), `turn` or `soon` (to a
    /// fan in line).
    #[param(example = "confirmed")]
    letter: String,
    /// Code of the language; by default that of the event.
    #[param(example = "de")]
    language: Option<String>,
    /// `html`, the default, or `text`.
    #[param(example = "html")]
    format: Option<String>,
}

/// Show a letter as buyers or fans will get it, with the event's name, details and colours: written from a
/// made-up order, without its attachments. 404 `no-mail` where the site sends no mail.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/mails/preview", tag = "organiser",
    params(("event" = String, Path), PreviewQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The letter",
        content((String = "text/html", example = "<!doctype html>…"), (String = "text/plain", example = "Your tickets for …"))), Refusals))]
async fn preview_mail(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<PreviewQuery>,
) -> Result<Response, Problem> {
    let kind = MailKind::ALL.into_iter();
    let kind = kind
        .clone()
        .find(|kind| kind.as_str() == query.letter)
        .ok_or_else(|| {
            let names: Vec<&str> = kind.map(MailKind::as_str).collect();
            Problem::invalid("letter", format!("one of {}", names.join(", ")))
        })?;
    let is_text = match query.format.as_deref() {
        None | Some("html") => false,
        Some("text") => true,
        Some(_) => return Err(Problem::invalid("format", "html or text")),
    };
    let wanted = match query.language.as_deref() {
        None => None,
        Some(code) => {
            let language = Language::parse(code);
            Some(language.ok_or_else(|| Problem::invalid("language", Language::choice()))?)
        }
    };
    let event = known(&shop, &event).await?;
    let mailer = shop.mail.as_ref().ok_or_else(Problem::no_mail)?;
    let facts = shop.event_facts_now(&event).await;
    let facts = facts.ok_or_else(Problem::unavailable)?;
    let own = facts
        .details
        .as_ref()
        .and_then(|details| details.language());
    let sample = SampleLetter {
        language: wanted.or(own).unwrap_or_default(),
        event,
        facts,
        kind,
    };
    let letter = sample.write(&shop, mailer).ok_or_else(|| {
        let title = "There is no such letter for this event";
        Problem::new(StatusCode::NOT_FOUND, "no-such-mail", title)
    })?;
    let (kind, content) = match is_text {
        true => ("text/plain; charset=utf-8", letter.text),
        false => ("text/html; charset=utf-8", letter.html),
    };
    let frame_options = HeaderName::from_static("x-frame-options");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (frame_options, "SAMEORIGIN"),
    ];
    Ok((headers, content).into_response())
}
