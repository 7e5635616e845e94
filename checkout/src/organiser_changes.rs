//! Organiser routes of mails about a changed date or place.

use crate::app::{App, Shop};
use crate::event_change::{DateAndPlace, EventChange, change_hash};
use crate::inventory::Refused;
use crate::inventory::mail::{ChangeMails, MailKind, NewMail};
use crate::organiser::{Change, known, record};
use crate::sessions::event_id;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::http::detached::to_the_end;
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Problem};
use shared::ids::EventId;
use shared::organiser::Organiser;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(tell_buyers, show_change_mails))
}

/// A change of which buyers are to be told.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeMailInput {
    /// Date and place as buyers know them. The mail compares them with those of the event.
    was: DateAndPlace,
}

/// Progress of the mails about a change.
#[derive(Serialize, utoipa::ToSchema)]
struct ChangeMailProgress {
    /// Whether this site sends mail.
    is_set_up: bool,
    /// The latest change of which buyers were told, of the last 30 days; null if there is none.
    latest: Option<ChangeMails>,
}

async fn progress(shop: &Shop, event: &EventId) -> Result<Json<ChangeMailProgress>, Problem> {
    let latest = shop.inventory.mails().latest_change(event.as_str());
    Ok(Json(ChangeMailProgress {
        is_set_up: shop.mail.is_some(),
        latest: latest.await?,
    }))
}

/// Tell the buyers of all confirmed orders by mail that the date, the doors, the time zone or the venue
/// has changed: each once, also if this is asked for again while the event is the same. 409
/// `event-not-changed` if the event is as it was; 404 `no-mail` where the site sends no mail.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/mails/changes", tag = "organiser",
    params(("event" = String, Path)), request_body = ChangeMailInput, security(("organiser" = ["operator"])),
    responses((status = 202, description = "They are being told", body = ChangeMailProgress), Refusals))]
async fn tell_buyers(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<ChangeMailInput>,
) -> Result<(StatusCode, Json<ChangeMailProgress>), Problem> {
    shop.mail.as_ref().ok_or_else(Problem::no_mail)?;
    let wrong = input.was.details().mistakes().into_iter();
    let wrong: Vec<_> = wrong
        .map(|(field, why)| {
            let field = field.strip_prefix("details.").unwrap_or(&field);
            (format!("was.{field}"), why)
        })
        .collect();
    if !wrong.is_empty() {
        return Err(Problem::invalid_all(wrong));
    }
    let event = known(&shop, &event).await?;
    to_the_end(async move {
        if let Some(cancelled) = shop.inventory.rules(&event).await?.cancelled {
            return Err(Refused::EventCancelled(cancelled.reason).into());
        }
        begin(&shop, &organiser, &event, input.was).await?;
        Ok((StatusCode::ACCEPTED, progress(&shop, &event).await?))
    })
    .await
}

/// Adds the first step, unless the latest change is this one.
async fn begin(
    shop: &Shop,
    organiser: &Organiser,
    event: &EventId,
    was: DateAndPlace,
) -> Result<(), Problem> {
    let facts = shop.event_facts_now(event).await;
    let now = DateAndPlace::of(&*facts.ok_or_else(Problem::unavailable)?);
    if now == was {
        let title = "The event is as it was: there is nothing to tell";
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "event-not-changed",
            title,
        ));
    }
    let latest = shop.inventory.mails().latest_change(event.as_str()).await?;
    let hash = change_hash(event, &was, &now);
    let number = match latest {
        Some(latest) if latest.id.ends_with(&hash) => return Ok(()),
        latest => latest.map_or(1, |latest| latest.number() + 1),
    };
    let change = EventChange { was, after: None };
    let step = NewMail {
        // Two requests at one time have one id.
        id: ChangeMails::id_of(number, &hash),
        event: event.as_str().to_owned(),
        order: String::new(),
        kind: MailKind::Changed,
        detail: change.text(),
        created_at: shop.inventory.now(),
    };
    let id = step.id.clone();
    shop.inventory.mails().add(step).await?;
    let change = Change {
        action: "event.tell-buyers",
        event,
        from: json!(change.was),
        to: json!({"mails": id, "now": now}),
    };
    record(shop, organiser, change).await;
    Ok(())
}

/// Show how far the buyers were told of the latest change of the date or the place.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/mails/changes", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The progress", body = ChangeMailProgress), Refusals))]
async fn show_change_mails(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<ChangeMailProgress>, Problem> {
    progress(&shop, &event_id(&event)?).await
}
