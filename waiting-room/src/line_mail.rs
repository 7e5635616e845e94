//! Mails for fans who wait: an address that is left with a place, and the page by which the link of the
//! mail leads back to it.

use crate::app::{App, Checkout, Room};
use crate::credentials::{find, find_for, pass_of};
use crate::error::{no_pass, not_waiting, other_place};
use crate::event_markup::EventMarkup;
use crate::hub::EventHub;
use crate::line::{LineView, Spot, VisitorState};
use crate::message_page::{refuse, refuse_form};
use crate::pass::Pass;
use crate::place::told_wait;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use shared::context::check;
use shared::http::client_address::ClientAddress;
use shared::http::credentials::{bearer, check_origin};
use shared::http::openapi::Refusals;
use shared::http::page_request::PageRequest;
use shared::http::problem::{Input, Problem};
use shared::ids::{EventId, VisitorId};
use shared::line_contact::{Channel, LineContact, LineSms, plain_phone};
use shared::line_mail::{LineMail, WaitRange};
use shared::texts::Language;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Time after which the checkout is asked again whether it sends mail.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// The same where it did not answer.
const UNANSWERED: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set_mail, remove_mail))
}

pub(crate) fn pages() -> Router<App> {
    Router::new()
        .route("/e/{event}/mail", get(show_form).post(take_form))
        .route("/e/{event}/place", get(show_link))
}

/// Address to which a fan is told of their turn.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LineMailInput {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// Code of the mail's language, such as `de`; that of the event if absent.
    language: Option<String>,
}

/// Be told by mail once it is the caller's turn: one address for a place, in place of the one from
/// before. 404 `no-mail` where no mail is sent, 409 `not-waiting` unless the caller waits; 429 after many
/// from one network.
#[utoipa::path(put, path = "/api/v1/events/{event}/line/me/mail", tag = "line", params(("event" = String, Path)),
    request_body = LineMailInput, security(("pass" = [])),
    responses((status = 204, description = "The address is kept until the turn was told"), Refusals))]
async fn set_mail(
    fan: PassHolder,
    State(room): State<Arc<Room>>,
    address: Option<Extension<ClientAddress>>,
    Input(input, _): Input<LineMailInput>,
) -> Result<StatusCode, Problem> {
    let wish = Wish {
        email: input.email,
        language: parse_language(input.language.as_deref())?,
    };
    fan.register(&room, address, wish).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Be told no more: the address is forgotten.
#[utoipa::path(delete, path = "/api/v1/events/{event}/line/me/mail", tag = "line", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 204, description = "There is no address with the place"), Refusals))]
async fn remove_mail(
    fan: PassHolder,
    State(room): State<Arc<Room>>,
) -> Result<StatusCode, Problem> {
    fan.withdraw(&room).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the language that a request wishes for, if it names one.
pub(crate) fn parse_language(code: Option<&str>) -> Result<Option<Language>, Problem> {
    let unknown = || {
        let codes: Vec<&str> = Language::all().map(Language::code).collect();
        Problem::invalid("language", format!("one of {}", codes.join(", ")))
    };
    let read = code.map(|code| Language::parse(code).ok_or_else(unknown));
    read.transpose()
}

struct Wish {
    email: String,
    language: Option<Language>,
}

/// The fan of a request that changes something, by the pass, as a handler's first argument, so that
/// nothing else is read before.
pub(crate) struct PassHolder {
    pub(crate) event: EventId,
    hub: Arc<EventHub>,
    pub(crate) pass: Pass,
}

impl FromRequestParts<App> for PassHolder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, App(room): &App) -> Result<Self, Problem> {
        let event = Path::<String>::from_request_parts(parts, &()).await;
        let Path(event) = event.map_err(|_| Problem::no_such_event())?;
        PassHolder::of(room, &event, &parts.headers).await
    }
}

impl PassHolder {
    async fn of(room: &Arc<Room>, event: &str, headers: &HeaderMap) -> Result<PassHolder, Problem> {
        let (event, hub) = find(room, event).await?;
        let pass = pass_of(room, headers, &event).ok_or_else(no_pass)?;
        check_origin(&room.site, headers, pass.by_cookie)?;
        let pass = pass.content;
        check(&room.site.limits.visitors, pass.visitor)?;
        Ok(PassHolder { event, hub, pass })
    }

    async fn register(
        &self,
        room: &Room,
        address: Option<Extension<ClientAddress>>,
        wish: Wish,
    ) -> Result<(), Problem> {
        let event = &self.event;
        let checkout = checkout_of(room)?;
        let spot = self.waiting(room, address).await?;
        let front = self.hub.front();
        let language = self.language(wish.language);
        let place = Pass::of(&spot, front.life);
        let wait = told_wait(&front, &spot).range;
        let is_soon = wait.is_some_and(|(low, high)| WaitRange { low, high }.is_soon());
        let mail = LineMail {
            email: wish.email,
            language: language.code().to_owned(),
            link: room.passes.write_link(event, &place),
            number: (!spot.is_provisional).then_some(spot.number),
            tell_soon: !is_soon,
        };
        checkout.keep_mail(event, spot.visitor, &mail).await?;
        // A turn that came meanwhile may have been told already, to no address.
        if let Err(problem) = self.still_waiting(room, spot.visitor).await {
            checkout.forget_mail(event, spot.visitor).await?;
            return Err(problem);
        }
        Ok(())
    }

    /// Returns the place that is to be told of its turn, counted against the network's limit.
    pub(crate) async fn waiting(
        &self,
        room: &Room,
        address: Option<Extension<ClientAddress>>,
    ) -> Result<Spot, Problem> {
        if let Some(Extension(ClientAddress(address))) = address {
            let limit = &room.site.limits.line_mails;
            limit.check(address).map_err(Problem::too_many)?;
        }
        let spot = room.find_place(&self.event, &self.pass).await?;
        let spot = spot.ok_or_else(no_pass)?;
        let is_waiting = spot.standing == VisitorState::Waiting;
        is_waiting.then_some(spot).ok_or_else(not_waiting)
    }

    /// Refuses a place whose turn has come meanwhile.
    pub(crate) async fn still_waiting(
        &self,
        room: &Room,
        visitor: VisitorId,
    ) -> Result<(), Problem> {
        let now = room.line.place(&self.event, visitor).await?;
        let is_waiting = now.is_some_and(|spot| spot.standing == VisitorState::Waiting);
        is_waiting.then_some(()).ok_or_else(not_waiting)
    }

    /// Returns the language in which the fan is told: the one wished for, else that of the event.
    pub(crate) fn language(&self, wished: Option<Language>) -> Language {
        wished.unwrap_or_else(|| language_of(&self.hub.front()))
    }

    async fn withdraw(&self, room: &Room) -> Result<(), Problem> {
        let checkout = checkout_of(room)?;
        checkout.forget_mail(&self.event, self.pass.visitor).await
    }
}

fn checkout_of(room: &Room) -> Result<&dyn Checkout, Problem> {
    room.checkout.as_deref().ok_or_else(Problem::no_mail)
}

fn language_of(front: &LineView) -> Language {
    let details = front.settings.details.as_ref();
    let own = details.and_then(|details| details.language());
    own.unwrap_or_default()
}

impl Room {
    /// Returns whether fans in this line may leave an address, as far as this node knows.
    pub(crate) fn offers_mail(&self, front: &LineView) -> bool {
        self.sends_mail.load(Ordering::Relaxed) && front.availability.is_some()
    }

    /// Forgets the address of a visitor who has left, the subscription and the number. If that fails, they are
    /// deleted once the line is over.
    pub(crate) async fn forget_mail(&self, event: &EventId, before: Option<&Spot>) {
        let had_place = before.is_some_and(|spot| !spot.is_over());
        let checkout = self.checkout.as_ref();
        let checkout = checkout.filter(|_| had_place && self.sends_mail.load(Ordering::Relaxed));
        if let (Some(checkout), Some(spot)) = (checkout, before) {
            let _ = checkout.forget_mail(event, spot.visitor).await;
        }
        if let Some(spot) = before.filter(|_| had_place) {
            self.forget_contacts(event, spot.visitor).await;
        }
    }

    /// Keeps itself informed whether the checkout sends mail, until the stop signal.
    pub(crate) async fn follow_mail(&self) {
        let Some(checkout) = &self.checkout else {
            return;
        };
        let asking = async {
            loop {
                let answer = checkout.sends_mail().await;
                if let Some(sends_mail) = answer {
                    self.sends_mail.store(sends_mail, Ordering::Relaxed);
                }
                let pause = answer.map_or(UNANSWERED, |_| ASK_EVERY);
                tokio::time::sleep(pause).await;
            }
        };
        self.site.stop.run_until_cancelled(asking).await;
    }
}

/// Returns the place that the link of a mail proves. It is of no use once the place is over, nor in a
/// browser that has another place in this line: that one would be lost.
///
/// # Errors
/// 401 `no-pass`, 409 `other-place`.
pub(crate) async fn place_of_link(
    room: &Room,
    event: &EventId,
    headers: &HeaderMap,
) -> Result<Spot, Problem> {
    let link = bearer(headers).ok_or_else(no_pass)?;
    let link = room.passes.read_link(event, &link).ok_or_else(no_pass)?;
    check(&room.site.limits.visitors, link.visitor)?;
    let spot = room.find_place(event, &link).await?.ok_or_else(no_pass)?;
    let drawn = room.as_drawn(event, &link);
    if drawn.is_provisional && !spot.is_provisional {
        // The result of the draw is being read.
        return Err(Problem::unavailable());
    }
    if spot.is_over() || drawn.number != spot.number {
        return Err(no_pass());
    }
    let mut browser = headers.clone();
    browser.remove(header::AUTHORIZATION);
    let own = pass_of(room, &browser, event).map(|own| own.content.visitor);
    if let Some(own) = own.filter(|own| *own != spot.visitor) {
        let living = room.line.living(event, &[own]).await?;
        if !living.is_empty() {
            return Err(other_place());
        }
    }
    Ok(spot)
}

/// A form with which a fan leaves an address or a number, or withdraws it.
#[derive(Deserialize)]
struct MailForm {
    email: Option<String>,
    phone: Option<String>,
    off: Option<String>,
}

async fn show_form(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    request: PageRequest,
    sender: Parts,
) -> Response {
    mail_page(&room, &event, &request, &sender, None).await
}

async fn take_form(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    address: Option<Extension<ClientAddress>>,
    request: PageRequest,
    sender: Parts,
    form: Result<Form<MailForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        let missing = Problem::invalid("email", "it is missing");
        return refuse_form(&request, missing);
    };
    let is_off = form.off.is_some();
    let is_sms = form.phone.is_some();
    let done = take_wish(&room, &event, address, &request, &sender, form).await;
    let outcome = match &done {
        Ok(()) => {
            let text = match (is_sms, is_off) {
                (false, false) => "page.mail.on",
                (false, true) => "page.mail.off",
                (true, false) => "page.sms.on",
                (true, true) => "page.sms.off",
            };
            (StatusCode::OK, text)
        }
        Err(problem) => {
            let status = problem.status();
            let text = match status {
                StatusCode::UNPROCESSABLE_ENTITY if is_sms => "page.sms.no_number",
                StatusCode::UNPROCESSABLE_ENTITY => "page.mail.no_address",
                StatusCode::TOO_MANY_REQUESTS => "page.mail.many",
                StatusCode::UNAUTHORIZED | StatusCode::CONFLICT => "page.mail.not_waiting",
                StatusCode::NOT_FOUND if is_sms => "page.sms.none",
                StatusCode::NOT_FOUND => "page.mail.none",
                _ => "page.message.not_taken",
            };
            (status, text)
        }
    };
    mail_page(&room, &event, &request, &sender, Some(outcome)).await
}

/// Leaves or withdraws what a form has.
async fn take_wish(
    room: &Arc<Room>,
    event: &str,
    address: Option<Extension<ClientAddress>>,
    request: &PageRequest,
    sender: &Parts,
    form: MailForm,
) -> Result<(), Problem> {
    let fan = PassHolder::of(room, event, &sender.headers).await?;
    let front = fan.hub.front();
    let language = request.language_of(front.settings.details.as_ref());
    match (form.phone, form.off) {
        (Some(_), Some(_)) => fan.withdraw_contact(room, Channel::Sms).await,
        (None, Some(_)) => fan.withdraw(room).await,
        (Some(phone), None) => {
            let sms = LineContact::Sms(LineSms {
                phone: plain_phone(&phone),
                language: language.code().to_owned(),
            });
            fan.leave_contact(room, address, &sms).await
        }
        (None, None) => {
            let email = form.email.unwrap_or_default();
            let wish = Wish {
                email: email.trim().to_owned(),
                language: Some(language),
            };
            fan.register(room, address, wish).await
        }
    }
}

/// Returns the page with the forms, after an outcome with the sentence that tells it.
async fn mail_page(
    room: &Arc<Room>,
    event: &str,
    request: &PageRequest,
    sender: &Parts,
    outcome: Option<(StatusCode, &str)>,
) -> Response {
    let (event, hub) = match find_for(room, event, sender).await {
        Ok(found) => found,
        Err(problem) => return refuse(request, problem),
    };
    let front = hub.front();
    let settings = &*front.settings;
    let markup = EventMarkup::of(&room.site.public_url, request, settings);
    let language = markup.language;
    let offers = room.offers_mail(&front);
    let has_pass = pass_of(room, &sender.headers, &event).is_some();
    let others = room.line_offers(&front);
    let (has_push, has_sms) = (others.has(Channel::Push), others.has(Channel::Sms));
    let (status, note) = match outcome {
        Some(outcome) => outcome,
        None if !offers && !has_push && !has_sms => (StatusCode::NOT_FOUND, "page.mail.none"),
        None if !has_pass => (StatusCode::OK, "page.mail.not_waiting"),
        None => (StatusCode::OK, ""),
    };
    let say = |key: &str| match key {
        "" => String::new(),
        key => language.phrase(key, &[]),
    };
    let minutes = u64::from(settings.admission.away_seconds).div_ceil(60);
    let kept = language.phrase_of("page.mail.kept", minutes);
    let hidden = |is_shown: bool| if is_shown { "" } else { "hidden" };
    let heading = match (offers, has_sms, has_push) {
        (false, true, _) => "page.sms.heading",
        (false, false, true) => "page.push.heading",
        _ => "page.mail.heading",
    };
    let push_key = others.push_key.as_deref().filter(|_| has_pass);
    let prefixes = others.sms_prefixes.join(", ");
    let values = [
        ("heading", &*language.phrase(heading, &[])),
        ("push_key", push_key.unwrap_or_default()),
        ("push_hidden", hidden(push_key.is_some())),
        ("event", event.as_str()),
        ("name", settings.name.as_str()),
        ("note", &say(note)),
        ("note_hidden", hidden(!note.is_empty())),
        ("form_hidden", hidden(offers && has_pass)),
        ("sms_hidden", hidden(has_sms && has_pass)),
        (
            "sms_prefixes",
            &language.phrase("page.sms.prefixes", &[("prefixes", &prefixes)]),
        ),
        ("kept", &kept),
    ];
    let mut response = markup.page("mail.html", &values);
    *response.status_mut() = status;
    response
}

/// Shows the page to which the link of a mail leads. Its script has the proof of the place, which is sent
/// with no address.
async fn show_link(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    request: PageRequest,
    sender: Parts,
) -> Response {
    let (event, hub) = match find_for(&room, &event, &sender).await {
        Ok(found) => found,
        Err(problem) => return refuse(&request, problem),
    };
    let front = hub.front();
    let values = [
        ("event", event.as_str()),
        ("name", front.settings.name.as_str()),
    ];
    EventMarkup::of(&room.site.public_url, &request, &front.settings).page("place.html", &values)
}
