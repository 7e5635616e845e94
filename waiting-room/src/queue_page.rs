//! The queue page: complete without JavaScript (forms and a refresh), live with it.

use crate::app::{App, Room};
use crate::calendar::dates_to_come;
use crate::credentials::{FanCookies, Presented, find, find_for, pass_of};
use crate::error::phase_word;
use crate::event_markup::EventMarkup;
use crate::fan::enter;
use crate::gate::return_query;
use crate::line::{EventSettings, Joined, LineView, Phase, Spot, VisitorState, WaitReason};
use crate::message_page::{AWAY_TITLE, away, refuse, refuse_form};
use crate::pass::Pass;
use crate::place::Place;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use shared::edge::Lifetime;
use shared::event_details::day_and_time;
use shared::http::client_address::ClientAddress;
use shared::http::credentials::check_origin;
use shared::http::idempotency::IdempotencyKey;
use shared::http::path_prefix::PathPrefix;
use shared::http::problem::Problem;
use shared::http::static_files::page;
use shared::ids::EventId;
use shared::time::Time;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/organiser", get(show_console))
        .route("/e/{event}", get(show_queue))
        .route("/e/{event}/join", post(join_form))
        .route("/e/{event}/leave", post(leave_form))
}

async fn show_console(prefix: PathPrefix) -> Response {
    page(&prefix, "organiser.html", &[])
}

/// Where the queue page leads once it is the fan's turn, if that is a page of this site or of an
/// allowed one.
struct ReturnTo(Option<String>);

impl FromRequestParts<App> for ReturnTo {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, App(room): &App) -> Result<Self, Infallible> {
        let Query(sent) =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).unwrap_or_default();
        let mut urls = sent.into_iter().filter(|(name, _)| name == "return_to");
        let found = urls.find(|(_, url)| room.site.is_allowed_url(url));
        Ok(ReturnTo(found.map(|(_, url)| url)))
    }
}

impl ReturnTo {
    /// Returns the address of the queue page that leads there.
    fn queue(&self, prefix: &PathPrefix, event: &EventId) -> String {
        prefix.path(&format!("/e/{event}{}", self.query()))
    }

    fn query(&self) -> String {
        self.0.as_deref().map(return_query).unwrap_or_default()
    }
}

async fn show_queue(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    return_to: ReturnTo,
    prefix: PathPrefix,
    sender: Parts,
) -> Response {
    let shown = match look(&room, &event, &sender, &prefix).await {
        Ok(shown) => shown,
        Err(response) => return response,
    };
    let Shown { event, front, .. } = &shown;
    let place = shown.spot.as_ref();
    let place = place.map(|spot| room.place(event, spot, front));
    let mut response = written(&room, &shown, place.as_ref(), &return_to, &prefix);
    let edge = &room.site.edge;
    if shown.pass.is_none() && front.settings.published {
        // The page of a stranger is everyone's.
        edge.keep(response.headers_mut(), Lifetime::Page, event);
    }
    edge.vary_on_credentials(response.headers_mut());
    if let (Some(spot), Some(place)) = (&shown.spot, place) {
        // Without JavaScript the page does not poll, so it sets the admission cookie for the gate
        // itself.
        let cookies = FanCookies {
            event,
            pass: &room.pass(event, spot, front),
            token: place.token.as_deref(),
        };
        cookies.set(&room, spot, response.headers_mut());
    }
    response
}

/// Writes the queue page.
fn written(
    room: &Room,
    shown: &Shown,
    place: Option<&Place>,
    return_to: &ReturnTo,
    prefix: &PathPrefix,
) -> Response {
    let Shown { event, front, .. } = shown;
    let settings = &*front.settings;
    let is_draft = !settings.published;
    let ReturnTo(goal) = return_to;
    let has_goal = goal.is_some() || settings.checkout_url.is_some();
    let is_open = has_goal && settings.lets_everyone_pass(room.now(event));
    let preview = if is_draft { "?preview" } else { "" };
    let go_to = goal.clone().or(settings.checkout_url.clone());
    let go_to = go_to.unwrap_or_else(|| prefix.path(&format!("/e/{event}/seats{preview}")));
    let is_outside = place.is_none_or(|place| !place.state.is_inside());
    let words = if is_draft {
        Words::of("draft", Action::Go)
    } else if is_open && is_outside {
        Words::of("passthrough", Action::Go)
    } else {
        words(settings, front.phase, place)
    };
    let action = words.action;
    let is_hidden = |is_shown: bool| if is_shown { "" } else { "hidden" };
    let mark = |is: bool, word: &'static str| if is { word } else { "" };
    let is_over = place.is_none() && matches!(front.phase, Phase::Closed | Phase::SoldOut);
    let has_dates = !dates_to_come(settings, room.now(event)).is_empty();
    let values = [
        ("event", event.as_str()),
        ("calendar_hidden", is_hidden(has_dates)),
        ("zone", zone_of(settings).unwrap_or_default()),
        ("pass", mark(shown.pass.is_some(), "known")),
        ("name", &settings.name),
        ("phase", &phase_word(front.phase)),
        ("heading", &words.heading),
        ("text", &words.text),
        ("message", settings.message.as_deref().unwrap_or("")),
        ("message_hidden", is_hidden(settings.message.is_some())),
        ("next_hidden", is_hidden(!is_over)),
        ("join_hidden", is_hidden(action == Action::Join)),
        ("go_hidden", is_hidden(action == Action::Go)),
        ("leave_hidden", is_hidden(action == Action::Leave)),
        ("go_to", &go_to),
        ("go", go_text(is_draft)),
        ("return_to", goal.as_deref().unwrap_or("")),
        ("query", &return_to.query()),
        ("draft", mark(is_draft, "draft")),
        ("open", mark(is_open, "open")),
        ("refresh", if action == Action::Leave { "10" } else { "20" }),
    ];
    let event = EventMarkup {
        site: &room.site.public_url,
        prefix,
        settings,
    };
    event.page("queue.html", &values)
}

fn go_text(is_draft: bool) -> &'static str {
    if is_draft {
        "See the seats"
    } else {
        "Go to the checkout"
    }
}

/// Subject of a queue page.
struct Shown {
    event: EventId,
    front: Arc<LineView>,
    pass: Option<Presented<Pass>>,
    spot: Option<Spot>,
}

/// Finds what a queue page is about.
///
/// # Errors
/// The page that says that there is no such event, or that the line cannot be reached.
async fn look(
    room: &Arc<Room>,
    event: &str,
    sender: &Parts,
    prefix: &PathPrefix,
) -> Result<Shown, Response> {
    let found = find_for(room, event, sender).await;
    let (event, hub) = found.map_err(|problem| refuse(prefix, problem))?;
    let front = hub.front();
    let pass = pass_of(room, &sender.headers, &event);
    let found = match &pass {
        Some(pass) => room.find_place(&event, &pass.content).await,
        None => Ok(None),
    };
    let spot = match found {
        Ok(None) | Err(_) if front.settings.lets_everyone_pass(room.now(&event)) => None,
        // Nor can anyone join now.
        Ok(None) if room.is_line_away() => return Err(away(prefix, Method::GET)),
        Ok(spot) => spot,
        Err(_) => return Err(away(prefix, Method::GET)),
    };
    Ok(Shown {
        event,
        front,
        pass,
        spot,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Join,
    Leave,
    Go,
    Nothing,
}

struct Words {
    heading: String,
    text: String,
    action: Action,
}

/// Texts by phase or state: heading, text and next step, as they stand in the page's script.
static TEXTS: LazyLock<HashMap<String, [String; 3]>> = LazyLock::new(|| {
    let script = include_str!("../../static/queue.js");
    let (_, json) = script.split_once("JSON.parse(`").unwrap_or_default();
    let (json, _) = json.split_once('`').unwrap_or_default();
    serde_json::from_str(json).unwrap_or_default()
});

impl Words {
    fn of(key: &str, action: Action) -> Words {
        let [heading, text, next] = TEXTS.get(key).cloned().unwrap_or_default();
        Words {
            heading,
            text: format!("{text} {next}").trim().to_owned(),
            action,
        }
    }
}

/// Returns the text shown to fans without JavaScript.
fn words(settings: &EventSettings, phase: Phase, place: Option<&Place>) -> Words {
    // The message says why.
    if settings.cancelled.is_some() {
        return Words::of("cancelled", Action::Nothing);
    }
    let Some(place) = place else {
        return words_for_strangers(settings, phase);
    };
    match place.state {
        VisitorState::Waiting => Words {
            heading: match (place.number, place.ahead) {
                (None, _) => format!("{} in line", place.waiting),
                (Some(_), 0) if place.phase == Phase::Prequeue => {
                    "You are first in line".to_owned()
                }
                (Some(_), 0) => "You are next".to_owned(),
                (Some(_), ahead) => format!("{ahead} ahead of you"),
            },
            text: waiting_text(place, zone_of(settings)),
            action: Action::Leave,
        },
        VisitorState::Admitted => Words::of("admitted", Action::Go),
        VisitorState::Shopping => Words::of("shopping", Action::Go),
        VisitorState::Finished => Words::of("finished", Action::Join),
        VisitorState::Missed => Words::of("missed", Action::Join),
        VisitorState::Left => Words::of("left", Action::Join),
        VisitorState::Ejected => Words::of("ejected", Action::Nothing),
    }
}

fn words_for_strangers(settings: &EventSettings, phase: Phase) -> Words {
    let join = "Join the line to get your place. It is yours from then on.";
    let welcome = |text: String| Words {
        heading: "Welcome".to_owned(),
        text,
        action: Action::Join,
    };
    match phase {
        Phase::Scheduled => {
            let words = Words::of("scheduled", Action::Nothing);
            let opens_at = settings.line_opens_at();
            let zone = zone_of(settings);
            let when = opens_at.map(|at| format!("It opens on {}. ", day_and_time(at, zone)));
            Words {
                text: format!("{}{}", when.unwrap_or_default(), words.text),
                ..words
            }
        }
        Phase::SoldOut => Words::of("sold_out", Action::Nothing),
        Phase::Closed => Words::of("closed", Action::Nothing),
        Phase::Prequeue => welcome(format!(
            "{join} {}",
            opening(settings.sale_opens_at, zone_of(settings))
        )),
        Phase::Open | Phase::Paused => welcome(join.to_owned()),
    }
}

/// Returns the time zone in which an event's times are shown.
fn zone_of(settings: &EventSettings) -> Option<&str> {
    settings.details.as_ref()?.time_zone.as_deref()
}

fn opening(sale_opens_at: Option<Time>, zone: Option<&str>) -> String {
    match sale_opens_at {
        Some(at) => format!("The sale opens on {}.", day_and_time(at, zone)),
        None => "The sale has not opened yet.".to_owned(),
    }
}

fn waiting_text(place: &Place, zone: Option<&str>) -> String {
    let number = match place.number {
        Some(number) => format!("Your number is {number}."),
        None => "Your number is drawn when the sale opens.".to_owned(),
    };
    if place.stale {
        return format!(
            "{number} {AWAY_TITLE}. Your place is kept; this page refreshes by itself."
        );
    }
    let wait = match (place.phase, place.eta_seconds) {
        (Phase::Prequeue, _) => opening(place.sale_opens_at, zone),
        (Phase::Paused, _) => "The line is paused for the moment.".to_owned(),
        (Phase::SoldOut, _) => "Everything is taken just now; seats may come back.".to_owned(),
        (_, Some(eta)) => match (eta.low.div_ceil(60).max(1), eta.high.div_ceil(60).max(1)) {
            (1, 1) => "About a minute to go.".to_owned(),
            (low, high) if low == high => format!("About {low} minutes to go."),
            (low, high) => format!("About {low} to {high} minutes to go."),
        },
        _ => String::new(),
    };
    let reason = place.eta_reason.map_or("", reason_text);
    let kept = "Your place is kept; this page refreshes by itself.";
    let text = [number.as_str(), wait.as_str(), reason, kept];
    let text: Vec<&str> = text.into_iter().filter(|text| !text.is_empty()).collect();
    text.join(" ")
}

/// Returns why no wait is told, or a longer one, as it stands in the page's script.
fn reason_text(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Measuring => "How long it takes is being measured.",
        WaitReason::Stopped => "No one is being let in for the moment.",
        WaitReason::Full => "Everything inside is taken for the moment.",
        WaitReason::Recovering => "The line goes on in a moment.",
        WaitReason::Lowered => "Fewer are let in than before.",
        WaitReason::Slower => "Those inside take longer than before.",
    }
}

async fn join_form(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    return_to: ReturnTo,
    prefix: PathPrefix,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
) -> Response {
    let address = address.map(|Extension(address)| address);
    let joined = join_by_form(&room, &event, &return_to, &prefix, address, &headers).await;
    joined.unwrap_or_else(|problem| refuse_form(&prefix, problem))
}

async fn join_by_form(
    room: &Arc<Room>,
    event: &str,
    return_to: &ReturnTo,
    prefix: &PathPrefix,
    address: Option<ClientAddress>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (event, hub) = find(room, event).await?;
    check_origin(&room.site, headers, true)?;
    let entered = enter(room, &event, headers, address, &IdempotencyKey(None)).await?;
    let (Joined::New(spot) | Joined::Known(spot)) = entered.joined;
    let mut back = Redirect::to(&return_to.queue(prefix, &event)).into_response();
    let cookies = FanCookies {
        event: &event,
        pass: &room.pass(&event, &spot, &hub.front()),
        token: None,
    };
    cookies.set(room, &spot, back.headers_mut());
    Ok(back)
}

async fn leave_form(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    return_to: ReturnTo,
    prefix: PathPrefix,
    headers: HeaderMap,
) -> Response {
    match leave_by_form(&room, &event, &headers).await {
        Ok(event) => Redirect::to(&return_to.queue(&prefix, &event)).into_response(),
        Err(problem) => refuse_form(&prefix, problem),
    }
}

async fn leave_by_form(
    room: &Arc<Room>,
    event: &str,
    headers: &HeaderMap,
) -> Result<EventId, Problem> {
    let (event, _) = find(room, event).await?;
    check_origin(&room.site, headers, true)?;
    if let Some(Presented { content: pass, .. }) = pass_of(room, headers, &event) {
        room.find_place(&event, &pass).await?;
        room.line.leave(&event, pass.visitor).await?;
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::event_details::EventDetails;

    #[test]
    fn every_phase_and_state_has_a_text_in_the_pages_script() {
        let mut keys: Vec<&str> = TEXTS.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "admitted",
                "cancelled",
                "closed",
                "draft",
                "ejected",
                "finished",
                "left",
                "missed",
                "passthrough",
                "scheduled",
                "shopping",
                "sold_out"
            ]
        );
        for phase in [
            Phase::Scheduled,
            Phase::Prequeue,
            Phase::SoldOut,
            Phase::Closed,
        ] {
            let settings = EventSettings::new(EventId::parse("night").unwrap(), "Night");
            let words = words(&settings, phase, None);
            assert!(!words.heading.is_empty() && words.text.ends_with('.'));
        }
    }

    #[test]
    fn the_page_without_scripts_says_when_the_line_and_the_sale_open() {
        let mut settings = EventSettings::new(EventId::parse("night").unwrap(), "Night");
        settings.sale_opens_at = Some(Time(1_800_000_000_000));
        let text = |settings: &EventSettings, phase| words(settings, phase, None).text;
        let sale = "Friday, 15 January 2027, 08:00 UTC";
        let scheduled = text(&settings, Phase::Scheduled);
        assert!(
            scheduled.starts_with(&format!("It opens on {sale}. ")),
            "{scheduled}"
        );
        settings.prequeue_opens_at = Some(Time(1_799_996_400_000));
        let scheduled = text(&settings, Phase::Scheduled);
        assert!(
            scheduled.contains("15 January 2027, 07:00 UTC"),
            "{scheduled}"
        );
        let prequeue = text(&settings, Phase::Prequeue);
        assert!(
            prequeue.ends_with(&format!("The sale opens on {sale}.")),
            "{prequeue}"
        );
        assert!(!text(&settings, Phase::Open).contains("opens on"));
        settings.details = Some(EventDetails {
            time_zone: Some("Asia/Tokyo".to_owned()),
            ..EventDetails::default()
        });
        let prequeue = text(&settings, Phase::Prequeue);
        let sale = "Friday, 15 January 2027, 17:00 Tokyo time (UTC+9)";
        assert!(
            prequeue.ends_with(&format!("The sale opens on {sale}.")),
            "{prequeue}"
        );
    }
}
