//! The queue page: complete without JavaScript (forms and a refresh), live with it.

use crate::app::{App, Room};
use crate::calendar::dates_to_come;
use crate::credentials::{FanCookies, Presented, find, find_for, pass_of};
use crate::error::phase_word;
use crate::event_markup::EventMarkup;
use crate::fan::enter;
use crate::gate::return_query;
use crate::line::{Joined, LineView, Order, Phase, Spot};
use crate::message_page::{away, refuse, refuse_form};
use crate::pass::Pass;
use crate::place::Place;
use crate::queue_words::{Action, PlainLine, Words, zone_of};
use axum::Router;
use axum::extract::{Extension, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use shared::edge::Lifetime;
use shared::http::client_address::ClientAddress;
use shared::http::credentials::check_origin;
use shared::http::idempotency::IdempotencyKey;
use shared::http::page_request::PageRequest;
use shared::http::problem::Problem;
use shared::http::static_files::page;
use shared::ids::EventId;
use shared::line_contact::Channel;
use shared::texts::{DATE, Language, UNDRAWN};
use std::convert::Infallible;
use std::sync::Arc;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/organiser", get(show_console))
        .route("/e/{event}", get(show_queue))
        .route("/e/{event}/join", post(join_form))
        .route("/e/{event}/leave", post(leave_form))
}

async fn show_console(request: PageRequest) -> Response {
    // The choices for an event.
    let named = |language: Language| {
        let name = language.phrase("language.name", &[]);
        format!("{} {name}", language.code())
    };
    let languages: Vec<String> = Language::all().map(named).collect();
    let values = [("languages", &*languages.join(","))];
    page(&request, request.language(), "organiser.html", &values)
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
    fn queue(&self, request: &PageRequest, event: &EventId) -> String {
        let path = format!("/e/{event}{}", self.query());
        request.onward(&request.prefix.path(&path))
    }

    fn query(&self) -> String {
        self.0.as_deref().map(return_query).unwrap_or_default()
    }
}

async fn show_queue(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    return_to: ReturnTo,
    request: PageRequest,
    sender: Parts,
) -> Response {
    let shown = match look(&room, &event, &sender, &request).await {
        Ok(shown) => shown,
        Err(response) => return response,
    };
    let Shown { event, front, .. } = &shown;
    let place = shown.spot.as_ref();
    let place = place.map(|spot| room.place(event, spot, front));
    let mut response = written(&room, &shown, place.as_ref(), &return_to, &request);
    let edge = &room.site.edge;
    let is_for_everyone = shown.pass.is_none() && request.is_for_everyone();
    if is_for_everyone && front.settings.published {
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

/// Returns the key of the link's text to the page on which fans ask to be told of their turn; none where
/// no one is told.
fn told_by(room: &Room, front: &LineView) -> Option<&'static str> {
    if room.offers_mail(front) {
        return Some("page.queue.mail");
    }
    let offers = room.line_offers(front);
    if offers.has(Channel::Sms) {
        return Some("page.queue.sms");
    }
    offers.has(Channel::Push).then_some("page.queue.notify")
}

/// Writes the queue page.
fn written(
    room: &Room,
    shown: &Shown,
    place: Option<&Place>,
    return_to: &ReturnTo,
    request: &PageRequest,
) -> Response {
    let Shown { event, front, .. } = shown;
    let settings = &*front.settings;
    let is_draft = !settings.published;
    let ReturnTo(goal) = return_to;
    let has_goal = goal.is_some() || settings.checkout_url.is_some();
    let is_open = has_goal && settings.lets_everyone_pass(room.now(event));
    let preview = if is_draft { "?preview" } else { "" };
    let go_to = goal.clone().or(settings.checkout_url.clone());
    let go_to = go_to.unwrap_or_else(|| request.prefix.path(&format!("/e/{event}/seats{preview}")));
    let is_outside = place.is_none_or(|place| !place.state.is_inside());
    let language = request.language_of(settings.details.as_ref());
    let plain = PlainLine {
        settings,
        phase: front.phase,
        language,
    };
    let words = if is_draft {
        Words::of_draft(language)
    } else if is_open && is_outside {
        Words::of(language, "passthrough", Action::Go)
    } else {
        plain.words(place)
    };
    let action = words.action;
    let is_hidden = |is_shown: bool| if is_shown { "" } else { "hidden" };
    let mark = |is: bool, word: &'static str| if is { word } else { "" };
    let is_over = place.is_none() && matches!(front.phase, Phase::Closed | Phase::SoldOut);
    let more_texts = more_texts(front, language);
    let told_by = told_by(room, front).map(|key| language.phrase(key, &[]));
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
        ("mail_hidden", is_hidden(told_by.is_some())),
        ("mail", &told_by.unwrap_or_default()),
        ("go_to", &go_to),
        ("go", &language.phrase(go_key(is_draft), &[])),
        ("return_to", goal.as_deref().unwrap_or("")),
        ("query", &return_to.query()),
        ("draft", mark(is_draft, "draft")),
        ("more_texts", &more_texts),
        ("open", mark(is_open, "open")),
        ("refresh", if action == Action::Leave { "10" } else { "20" }),
    ];
    let event = EventMarkup::of(&room.site.public_url, request, settings);
    event.page("queue.html", &values)
}

fn go_key(is_draft: bool) -> &'static str {
    if is_draft {
        "page.queue.see_seats"
    } else {
        "page.queue.go"
    }
}

/// Returns the texts that only some lines need, as JSON; empty if there are none.
fn more_texts(front: &LineView, language: Language) -> String {
    let is_before = matches!(front.phase, Phase::Scheduled | Phase::Prequeue);
    let is_drawn = front.settings.order == Order::Draw;
    let groups = [(is_before, DATE), (is_drawn, UNDRAWN)].into_iter();
    let groups: Vec<&str> = groups
        .filter_map(|(is, group)| is.then_some(group))
        .collect();
    match groups.is_empty() {
        true => String::new(),
        false => language.json_of(&groups),
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
    request: &PageRequest,
) -> Result<Shown, Response> {
    let found = find_for(room, event, sender).await;
    let (event, hub) = found.map_err(|problem| refuse(request, problem))?;
    let front = hub.front();
    let pass = pass_of(room, &sender.headers, &event);
    let found = match &pass {
        Some(pass) => room.find_place(&event, &pass.content).await,
        None => Ok(None),
    };
    let spot = match found {
        Ok(None) | Err(_) if front.settings.lets_everyone_pass(room.now(&event)) => None,
        // Nor can anyone join now.
        Ok(None) if room.is_line_away() => return Err(away(request, Method::GET)),
        Ok(spot) => spot,
        Err(_) => return Err(away(request, Method::GET)),
    };
    Ok(Shown {
        event,
        front,
        pass,
        spot,
    })
}

async fn join_form(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    return_to: ReturnTo,
    request: PageRequest,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
) -> Response {
    let address = address.map(|Extension(address)| address);
    let joined = join_by_form(&room, &event, &return_to, &request, address, &headers).await;
    joined.unwrap_or_else(|problem| refuse_form(&request, problem))
}

async fn join_by_form(
    room: &Arc<Room>,
    event: &str,
    return_to: &ReturnTo,
    request: &PageRequest,
    address: Option<ClientAddress>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (event, hub) = find(room, event).await?;
    check_origin(&room.site, headers, true)?;
    let entered = enter(room, &event, headers, address, &IdempotencyKey(None)).await?;
    let (Joined::New(spot) | Joined::Known(spot)) = entered.joined;
    let mut back = Redirect::to(&return_to.queue(request, &event)).into_response();
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
    request: PageRequest,
    headers: HeaderMap,
) -> Response {
    match leave_by_form(&room, &event, &headers).await {
        Ok(event) => Redirect::to(&return_to.queue(&request, &event)).into_response(),
        Err(problem) => refuse_form(&request, problem),
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
        let spot = room.find_place(&event, &pass).await?;
        room.line.leave(&event, pass.visitor).await?;
        room.forget_mail(&event, spot.as_ref()).await;
    }
    Ok(event)
}
