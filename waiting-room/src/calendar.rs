//! An event as a calendar file (iCalendar, RFC 5545): the opening of its sale, and its start.

use crate::app::{App, Room};
use crate::credentials::find_for;
use crate::event_markup::EventMarkup;
use crate::line::EventSettings;
use crate::message_page::refuse;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use shared::edge::Lifetime;
use shared::http::message_page::message;
use shared::http::page_request::PageRequest;
use shared::icalendar::{self, basic, escaped};
use shared::time::Time;
use std::sync::Arc;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/e/{event}/calendar.ics", get(show_calendar))
}

async fn show_calendar(
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
    let markup = EventMarkup::of(&room.site.public_url, &request, &front.settings);
    let dates = dates_to_come(&front.settings, room.now(&event));
    if dates.is_empty() {
        let (title, text) = ("page.message.no_date", "page.message.no_date_text");
        return message(&request, StatusCode::NOT_FOUND, title, text);
    }
    let text = calendar(&markup, &dates, front.changed_at);
    let head = [
        (
            header::CONTENT_TYPE,
            "text/calendar; charset=utf-8".to_owned(),
        ),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{event}.ics\""),
        ),
    ];
    let mut response = (head, text).into_response();
    if front.settings.published && request.is_for_everyone() {
        let edge = &room.site.edge;
        edge.keep(response.headers_mut(), Lifetime::Page, &event);
    }
    response
}

/// A date that fans may want to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Date {
    /// The sale opens.
    Sale(Time),
    /// The event starts.
    Start(Time),
}

/// Returns the dates of an event that are not past; none of a show that was cancelled.
pub(crate) fn dates_to_come(settings: &EventSettings, now: Time) -> Vec<Date> {
    if settings.cancelled.is_some() {
        return Vec::new();
    }
    let start = settings.details.as_ref().and_then(|it| it.starts_at);
    let sale = settings.sale_opens_at.filter(|at| *at > now);
    let start = start.filter(|at| *at > now);
    let dates = [sale.map(Date::Sale), start.map(Date::Start)];
    dates.into_iter().flatten().collect()
}

fn calendar(event: &EventMarkup<'_>, dates: &[Date], changed_at: Time) -> String {
    let entries = dates.iter().map(|date| entry(event, *date, changed_at));
    icalendar::calendar(entries.flatten().collect())
}

fn entry(event: &EventMarkup<'_>, date: Date, changed_at: Time) -> Vec<String> {
    let settings = event.settings;
    let name = &settings.name;
    let (kind, at, title) = match date {
        Date::Sale(at) => {
            let title = event.language.phrase("calendar.sale", &[("name", name)]);
            ("sale", at, title)
        }
        Date::Start(at) => ("start", at, name.clone()),
    };
    let (_, host) = event.site.split_once("://").unwrap_or(("", event.site));
    let mut lines = vec![
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{kind}-{}@{host}", settings.id),
        format!("DTSTAMP:{}", basic(changed_at)),
        format!("DTSTART:{}", basic(at)),
        format!("SUMMARY:{}", escaped(&title)),
        format!("URL:{}", event.url()),
    ];
    match (
        date,
        settings.details.as_ref().and_then(|it| it.venue.as_ref()),
    ) {
        (Date::Sale(_), _) => lines.extend([
            "DURATION:PT15M".to_owned(),
            format!(
                "DESCRIPTION:{}",
                escaped(
                    &event
                        .language
                        .phrase("calendar.join", &[("url", &event.url())])
                )
            ),
            "BEGIN:VALARM".to_owned(),
            "ACTION:DISPLAY".to_owned(),
            "TRIGGER:-PT15M".to_owned(),
            format!("DESCRIPTION:{}", escaped(&title)),
            "END:VALARM".to_owned(),
        ]),
        (Date::Start(_), Some(venue)) => {
            let place = [Some(venue.name.as_str()), venue.address.as_deref()];
            let place: Vec<&str> = place.into_iter().flatten().collect();
            lines.push(format!("LOCATION:{}", escaped(&place.join(", "))));
        }
        (Date::Start(_), None) => {}
    }
    lines.push("END:VEVENT".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::icalendar::LINE_BYTES_MAX;
    use shared::ids::EventId;
    use shared::texts::Language;

    #[test]
    fn a_calendar_has_the_dates_to_come_with_escaped_and_folded_lines() {
        let mut settings = EventSettings::new(EventId::parse("night").unwrap(), "Ä; b, c\\d");
        settings.sale_opens_at = Some(Time(1_800_000_000_000));
        let details = json!({"starts_at": "2027-03-20T19:00:00Z", "time_zone": "Europe/Berlin",
            "venue": {"name": "Hall, large", "address": "ß".repeat(100)}});
        settings.details = Some(serde_json::from_value(details).unwrap());
        let request = PageRequest::default();
        let event = EventMarkup {
            site: "https://tickets.example",
            request: &request,
            language: Language::english(),
            settings: &settings,
        };
        let dates = dates_to_come(&settings, Time(1_799_999_999_999));
        let text = calendar(&event, &dates, Time(1_700_000_000_123));
        assert!(
            text.split("\r\n").all(|line| line.len() <= LINE_BYTES_MAX),
            "{text}"
        );
        let unfolded = text.replace("\r\n ", "");
        for line in [
            "DTSTART:20270115T080000Z",
            "DTSTART:20270320T190000Z",
            "DTSTAMP:20231114T221320Z",
            "SUMMARY:Sale opens: Ä\\; b\\, c\\\\d",
            "SUMMARY:Ä\\; b\\, c\\\\d",
            "UID:sale-night@tickets.example",
            "UID:start-night@tickets.example",
        ] {
            assert!(
                unfolded.split("\r\n").any(|it| it == line),
                "{line}: {text}"
            );
        }
        let place = format!("LOCATION:Hall\\, large\\, {}", "ß".repeat(100));
        assert!(unfolded.contains(&place), "{text}");
        assert_eq!(dates_to_come(&settings, Time(1_800_000_000_000)).len(), 1);
        assert_eq!(dates_to_come(&settings, Time(1_900_000_000_000)), []);
    }
}
