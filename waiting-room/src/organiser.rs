//! Organiser routes of the line: create, change and delete events, show the figures, eject
//! visitors.

use crate::app::{App, Room};
use crate::checkout;
use crate::credentials::find_any;
use crate::hub::EventHub;
use crate::line::{EventSettings, Patch, Refused, SharedAdmission, Spot, Stats, TroubleKind};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::audit::Entry;
use shared::http::idempotency::{Attempt, IdempotencyKey, mark_replayed, mismatch};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem, saturating};
use shared::ids::{EventId, VisitorId};
use shared::organiser::{Organiser, Role, require};
use shared::time::Time;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_event, list_events))
        .routes(routes!(show_event, change_event, delete_event))
        .routes(routes!(show_stats))
        .routes(routes!(stream_stats))
        .routes(routes!(show_history))
        .routes(routes!(find_visitor, eject))
        .routes(routes!(list_shared_admissions))
}

/// Create an event. With no times it is open at once.
#[utoipa::path(post, path = "/api/v1/organiser/events", tag = "organiser", params(IdempotencyKey),
    request_body = EventSettings,
    security(("organiser" = ["admin"])), responses((status = 201, description = "The event as it was created",
        body = EventSettings), Refusals))]
async fn create_event(
    State(room): State<Arc<Room>>,
    organiser: Organiser,
    key: IdempotencyKey,
    Input(settings, body): Input<EventSettings>,
) -> Result<Response, Problem> {
    if settings.cancelled.is_some() {
        let why = "a new event is not cancelled yet";
        return Err(Problem::invalid("cancelled", why));
    }
    let site = &room.site;
    let attempt = key.attempt(&organiser.name, "POST events", &body);
    if let Some(attempt) = &attempt
        && let Some(answer) = made_before(&room, attempt).await
    {
        return answer;
    }
    room.line.create(settings.clone()).await?;
    let attempt = attempt.map(|attempt| [attempt.id, attempt.body]);
    let to = json!({"settings": settings, "attempt": attempt});
    let entry = organiser.entry(site.clock.now(), "event.create", settings.id.as_str());
    site.audit.record(Entry { to, ..entry }).await;
    room.hub(&settings.id).await?;
    Ok((StatusCode::CREATED, Json(settings)).into_response())
}

/// Returns the stored answer to a creation with the same idempotency key, which the audit log has.
async fn made_before(room: &Room, attempt: &Attempt) -> Option<Result<Response, Problem>> {
    let newest = room.site.audit.newest(shared::audit::ENTRIES_MAX).await;
    let made = newest
        .into_iter()
        .find(|entry| entry.to["attempt"][0] == attempt.id.as_str())?;
    if made.to["attempt"][1] != attempt.body.as_str() {
        return Some(Err(mismatch()));
    }
    let answer = (StatusCode::CREATED, Json(made.to["settings"].clone())).into_response();
    Some(Ok(mark_replayed(answer, true)))
}

/// List all events with all of their settings.
#[utoipa::path(get, path = "/api/v1/organiser/events", operation_id = "list_event_settings",
    tag = "organiser", security(("organiser" = ["viewer"])),
    responses((status = 200, description = "All events", body = Vec<EventSettings>), Refusals))]
async fn list_events(State(room): State<Arc<Room>>, _: Organiser) -> Result<Response, Problem> {
    Ok(Json(room.line.events().await?).into_response())
}

/// Show all settings of an event.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}", operation_id = "show_event_settings",
    tag = "organiser", params(("event" = String, Path)),
    security(("organiser" = ["viewer"])), responses((status = 200, description = "The settings",
        body = EventSettings), Refusals))]
async fn show_event(
    State(room): State<Arc<Room>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Response, Problem> {
    let (_, hub) = find_any(&room, &event).await?;
    Ok(Json(&*hub.front().settings).into_response())
}

/// Change settings of an event; takes effect within a second.
#[utoipa::path(patch, path = "/api/v1/organiser/events/{event}", tag = "organiser", params(("event" = String, Path)),
    request_body = Patch, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The settings as they are now", body = EventSettings), Refusals))]
async fn change_event(
    State(room): State<Arc<Room>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(patch, _): Input<Patch>,
) -> Result<Json<EventSettings>, Problem> {
    if !patch.is_steering() {
        require(&room.site, &organiser, Role::Admin)?;
    }
    let (event, hub) = find_any(&room, &event).await?;
    let (before, after) = room.line.configure(&event, patch).await?;
    // First the entry: the change is made, whether or not this node hears of it in time.
    let (from, to) = difference(&before, &after);
    let entry = organiser.entry(room.site.clock.now(), "event.update", event.as_str());
    room.site.audit.record(Entry { from, to, ..entry }).await;
    if let Ok(front) = room.line.tick(&event).await {
        hub.show(front);
    }
    Ok(Json(after))
}

/// Returns only what changed, for the audit log.
fn difference(before: &EventSettings, after: &EventSettings) -> (Value, Value) {
    let (mut from, mut to) = (json!(before), json!(after));
    if let (Value::Object(from), Value::Object(to)) = (&mut from, &mut to) {
        let same: Vec<String> = from
            .iter()
            .filter(|(name, value)| to.get(*name) == Some(value))
            .map(|(name, _)| name.clone())
            .collect();
        for name in same {
            from.remove(&name);
            to.remove(&name);
        }
    }
    (from, to)
}

/// Delete an event and its sale. 409 `event-has-orders` once something was booked or paid, 409
/// `event-in-use` while seats are held or money is on its way, 409 `checkout-unknown` when the
/// address of the checkout is not set: then the event stays. 503 `checkout-unreachable` when the
/// checkout gave no answer: then its sale may be gone. A deletion that was cut short is finished by
/// asking again.
#[utoipa::path(delete, path = "/api/v1/organiser/events/{event}", tag = "organiser", params(("event" = String, Path)),
    security(("organiser" = ["admin"])), responses((status = 204, description = "The event is gone"), Refusals))]
async fn delete_event(
    State(room): State<Arc<Room>>,
    organiser: Organiser,
    Path(event): Path<String>,
) -> Result<StatusCode, Problem> {
    let event = EventId::parse(&event).map_err(|_| Problem::no_such_event())?;
    // As the store has it now: another node may have heard of a checkout that this one has not.
    let front = match room.line.tick(&event).await {
        Ok(front) => Some(front),
        // The checkout may still have a sale of it, if a deletion was cut short.
        Err(Refused::NoSuchEvent) => None,
        Err(refused) => return Err(refused.into()),
    };
    if room.checkout.is_none() && front.as_ref().is_some_and(|it| it.availability.is_some()) {
        return Err(checkout::unknown());
    }
    let had_sale = remove_sale(&room, &event).await?;
    if front.is_none() && !had_sale {
        return Err(Problem::no_such_event());
    }
    // A draw may be questioned long after its event is gone.
    if let Some(front) = front.as_ref().filter(|front| front.drawn > 0) {
        let list = room.list_to_keep(&event, front).await.unwrap_or_default();
        room.archive(&event, front, list).await?;
    }
    if front.is_some() {
        match room.line.remove(&event).await {
            // Another request did it at this moment.
            Err(Refused::NoSuchEvent) => {}
            removed => removed?,
        }
        room.forget(&event);
    }
    let from = front.map_or(Value::Null, |front| json!(&*front.settings));
    let entry = organiser.entry(room.site.clock.now(), "event.delete", event.as_str());
    room.site.audit.record(Entry { from, ..entry }).await;
    // A fan whom the line still knew may have opened a session in between, and the event with it.
    if let Err(problem) = remove_sale(&room, &event).await {
        let why = problem.into_value();
        tracing::warn!(event = event.as_str(), %why, "what fans did while the event was deleted may be left at the checkout");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Has the checkout remove all it has of an event. Returns whether there was anything.
async fn remove_sale(room: &Room, event: &EventId) -> Result<bool, Problem> {
    match &room.checkout {
        Some(checkout) => checkout.delete_event(event).await,
        None => Ok(false),
    }
}

/// Show the current figures.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/stats", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The figures", body = StatsView), Refusals))]
async fn show_stats(
    State(room): State<Arc<Room>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<StatsView>, Problem> {
    let (event, hub) = find_any(&room, &event).await?;
    Ok(Json(figures(&room, &event, &hub).await?))
}

/// The current figures, and what keeps the line from moving.
#[derive(Serialize, utoipa::ToSchema)]
struct StatsView {
    #[serde(flatten)]
    stats: Stats,
    /// A sentence for organisers, if something is wrong with the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

async fn figures(room: &Room, event: &EventId, hub: &EventHub) -> Result<StatsView, Problem> {
    let stats = room.line.stats(event).await;
    let trouble = room.trouble(hub).map(|kind| kind.words().to_owned());
    match (stats, trouble) {
        (Ok(stats), trouble) => Ok(StatsView { stats, trouble }),
        (Err(Refused::Unavailable(_)), Some(words)) => Err(Problem::unavailable().detail(words)),
        (Err(refused), _) => Err(refused.into()),
    }
}

/// Stream the figures once a second as Server-Sent Events.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/stats/stream", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The figures as `StatsView`, one `data:` line a second; \
            while there are none, events named `trouble` with a sentence for organisers",
        content_type = "text/event-stream", body = String), Refusals))]
async fn stream_stats(
    State(room): State<Arc<Room>>,
    organiser: Organiser,
    Path(event): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, Problem> {
    let (event, hub) = find_any(&room, &event).await?;
    let from = (room, event, hub, organiser, true);
    let stream = stream::unfold(from, |(room, event, hub, organiser, is_first)| async move {
        if !is_first {
            let second = tokio::time::sleep(Duration::from_secs(1));
            tokio::select! {
                () = second => {}
                // The drain waits for open connections; this one ends at once.
                () = room.site.stop.cancelled() => return None,
            }
        }
        let site = &room.site;
        if !site.organisers.is_still_in(&organiser, site.clock.now()) {
            return None;
        }
        let told = match figures(&room, &event, &hub).await {
            Ok(figures) => SseEvent::default().json_data(figures).ok()?,
            Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => {
                let words = room
                    .trouble(&hub)
                    .unwrap_or(TroubleKind::Unreachable)
                    .words();
                SseEvent::default().event("trouble").data(words)
            }
            Err(_) => return None,
        };
        Some((Ok(told), (room, event, hub, organiser, false)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// Minutes to look back; more than 240 count as 240.
    #[serde(default, deserialize_with = "saturating")]
    #[param(minimum = 0)]
    minutes: Option<u32>,
}

/// Show the figures over time: one sample each five seconds; CSV with `Accept: text/csv`.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/history", tag = "organiser",
    params(("event" = String, Path), HistoryQuery), security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The samples, the oldest first",
        content((Vec<Stats> = "application/json"), (String = "text/csv"))), Refusals))]
async fn show_history(
    State(room): State<Arc<Room>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<HistoryQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, hub) = find_any(&room, &event).await?;
    let samples = hub.history(query.minutes.unwrap_or(30));
    let wants_csv = headers.get(header::ACCEPT).is_some_and(|accept| {
        accept
            .to_str()
            .is_ok_and(|accept| accept.starts_with("text/csv"))
    });
    if !wants_csv {
        return Ok(Json(samples).into_response());
    }
    let mut csv = String::from(
        "at,waiting,admitted,shopping,joined_per_minute,admitted_per_minute,finished_per_minute,\
         missed_per_minute,left_per_minute,available,held,booked\n",
    );
    for sample in samples {
        csv.push_str(&csv_line(&sample));
    }
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response())
}

fn csv_line(sample: &Stats) -> String {
    let rates = &sample.per_minute;
    let seats = sample.availability.map_or(",,".to_owned(), |seats| {
        format!("{},{},{}", seats.available, seats.held, seats.booked)
    });
    format!(
        "{},{},{},{},{},{},{},{},{},{seats}\n",
        sample.at,
        sample.waiting,
        sample.admitted,
        sample.shopping,
        rates.joined,
        rates.admitted,
        rates.finished,
        rates.missed,
        rates.left,
    )
}

/// A visitor as the organiser sees them.
#[derive(Serialize, utoipa::ToSchema)]
struct VisitorView {
    #[schema(value_type = String)]
    visitor: VisitorId,
    number: u64,
    state: crate::line::VisitorState,
    ahead: u64,
    claim_by: Option<Time>,
    expires_at: Option<Time>,
}

/// Finds a visitor by id, or by number.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/line/{visitor}", tag = "organiser",
    params(("event" = String, Path), ("visitor" = String, Path, description = "vis_… or a number")),
    security(("organiser" = ["operator"])), responses((status = 200, description = "The visitor",
        body = VisitorView), Refusals))]
async fn find_visitor(
    State(room): State<Arc<Room>>,
    _: Organiser,
    Path((event, visitor)): Path<(String, String)>,
) -> Result<Json<VisitorView>, Problem> {
    let (event, _) = find_any(&room, &event).await?;
    let spot = look_up(&room, &event, &visitor).await?;
    Ok(Json(VisitorView {
        visitor: spot.visitor,
        number: spot.number,
        state: spot.standing,
        ahead: spot.ahead,
        claim_by: spot.slot.map(|slot| slot.claim_by),
        expires_at: spot.slot.map(|slot| slot.expires_at),
    }))
}

/// List the admissions that several browsers or addresses use at the gate, at most 1,000.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/shared-admissions", tag = "organiser",
    params(("event" = String, Path)), security(("organiser" = ["operator"])),
    responses((status = 200, description = "The admissions", body = Vec<SharedAdmission>), Refusals))]
async fn list_shared_admissions(
    State(room): State<Arc<Room>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<Vec<SharedAdmission>>, Problem> {
    let (event, _) = find_any(&room, &event).await?;
    Ok(Json(room.line.shared_admissions(&event).await?))
}

/// Ejects a visitor.
#[utoipa::path(delete, path = "/api/v1/organiser/events/{event}/line/{visitor}", tag = "organiser",
    params(("event" = String, Path), ("visitor" = String, Path, description = "vis_… or a number")),
    security(("organiser" = ["operator"])), responses((status = 204, description = "The visitor is out of the line"),
        Refusals))]
async fn eject(
    State(room): State<Arc<Room>>,
    organiser: Organiser,
    Path((event, visitor)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (event, _) = find_any(&room, &event).await?;
    let spot = look_up(&room, &event, &visitor).await?;
    // The line may have lost who has the number: it is known again once the fan is back.
    if !room.line.eject(&event, spot.visitor).await? {
        return Err(no_such_visitor());
    }
    room.passed.forget(spot.visitor);
    let from = json!({"visitor": spot.visitor, "state": spot.standing, "number": spot.number});
    let entry = organiser.entry(room.site.clock.now(), "visitor.eject", event.as_str());
    room.site
        .audit
        .record(Entry {
            from,
            to: json!({"state": "ejected"}),
            ..entry
        })
        .await;
    Ok(StatusCode::NO_CONTENT)
}

async fn look_up(room: &Room, event: &EventId, text: &str) -> Result<Spot, Problem> {
    let found = match (VisitorId::parse(text), text.parse()) {
        (Some(visitor), _) => room.line.peek(event, visitor).await?,
        (None, Ok(number)) => room.line.find(event, number).await?,
        (None, Err(_)) => None,
    };
    found.ok_or_else(no_such_visitor)
}

fn no_such_visitor() -> Problem {
    let title = "No such visitor in this line";
    Problem::new(StatusCode::NOT_FOUND, "no-such-visitor", title)
}
