//! Pages of all events: the landing page, and what search engines read (`/sitemap.xml`,
//! `/robots.txt`).

use crate::app::{App, Room};
use crate::event_markup::{EventMarkup, data_script, list_policy};
use crate::line::{EventSettings, Phase, Refused};
use crate::message_page::away;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};
use shared::event_details::day_and_time;
use shared::http::page_request::PageRequest;
use shared::http::path_prefix::PathPrefix;
use shared::http::problem::Problem;
use shared::http::static_files::{escape, page_with};
use shared::texts::Language;
use shared::time::Time;
use std::sync::Arc;

/// Time after its start from which on an event is past.
const PAST_SECONDS: u32 = 6 * 3600;
/// Largest number of past events on the landing page.
const PAST_MAX: usize = 20;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(show_index))
        .route("/sitemap.xml", get(show_sitemap))
        .route("/robots.txt", get(show_robots))
}

/// A public event.
pub(crate) struct Listed {
    pub(crate) settings: Arc<EventSettings>,
    pub(crate) phase: Phase,
}

impl Listed {
    fn starts_at(&self) -> Option<Time> {
        self.settings.details.as_ref()?.starts_at
    }

    fn is_past(&self, now: Time) -> bool {
        match self.starts_at() {
            Some(start) => start.plus_seconds(PAST_SECONDS) <= now,
            None => self.phase == Phase::Closed,
        }
    }

    /// Returns how the sale is, in words.
    fn sale(&self, language: Language) -> String {
        let details = self.settings.details.as_ref();
        let zone = details.and_then(|details| details.time_zone.as_deref());
        let opens_at = self.settings.sale_opens_at;
        let on = |soon: &str, on: &str| match opens_at {
            Some(at) => language.phrase(on, &[("time", &day_and_time(at, zone, language))]),
            None => language.phrase(soon, &[]),
        };
        if let Some(cancelled) = &self.settings.cancelled {
            return cancelled.for_people(language);
        }
        match self.phase {
            Phase::Scheduled => on("page.landing.sale_soon", "page.landing.sale_on"),
            Phase::Prequeue => on("page.landing.line_open_soon", "page.landing.line_open_on"),
            Phase::Open | Phase::Paused => language.phrase("page.landing.on_sale", &[]),
            Phase::SoldOut => language.phrase("page.landing.sold_out", &[]),
            Phase::Closed => language.phrase("page.landing.over", &[]),
        }
    }
}

/// Returns the public events, ordered by id.
pub(crate) async fn public_events(room: &Arc<Room>) -> Result<Vec<Listed>, Refused> {
    let mut list = Vec::new();
    let events = room.line.events().await?.into_iter();
    for settings in events.filter(|settings| settings.published) {
        let phase = match room.hub(&settings.id).await {
            Ok(hub) => hub.front().phase,
            Err(Refused::NoSuchEvent) => continue,
            // The line cannot be asked; the sale is there all the same.
            Err(_) => settings.phase(room.now(&settings.id)),
        };
        list.push(Listed { settings, phase });
    }
    Ok(list)
}

/// Splits events into those to come, in order of their start with those without a date last, and
/// those that are past, the newest first.
fn sorted(events: Vec<Listed>, now: Time) -> (Vec<Listed>, Vec<Listed>) {
    let (mut past, mut coming): (Vec<Listed>, Vec<Listed>) =
        events.into_iter().partition(|event| event.is_past(now));
    coming.sort_by_key(|event| (event.starts_at().is_none(), event.starts_at()));
    past.sort_by_key(|event| std::cmp::Reverse(event.starts_at()));
    past.truncate(PAST_MAX);
    (coming, past)
}

async fn show_index(State(room): State<Arc<Room>>, request: PageRequest) -> Response {
    let Ok(events) = public_events(&room).await else {
        return away(&request, Method::GET);
    };
    let (coming, past) = sorted(events, room.site.clock.now());
    let all = coming.iter().chain(&past);
    let language = request.language_of_all(all.map(|event| event.settings.details.as_ref()));
    let site = room.site.public_url.as_str();
    let markup = |event: &Listed, make: &dyn Fn(EventMarkup<'_>) -> String| {
        make(EventMarkup {
            site,
            request: &request,
            language,
            settings: &event.settings,
        })
    };
    let entries = |events: &[Listed]| -> String {
        let entry = |event: &Listed| markup(event, &|it| it.entry(&event.sale(language)));
        let entries: String = events.iter().map(entry).collect();
        format!("<ul class=\"events\">{entries}</ul>")
    };
    let mut list = match coming.is_empty() {
        true => {
            let nothing = escape(&language.phrase("page.landing.nothing", &[]));
            format!("<p class=\"soft\">{nothing}</p>")
        }
        false => entries(&coming),
    };
    if !past.is_empty() {
        let heading = escape(&language.phrase("page.landing.past", &[]));
        list.push_str(&format!("<h2>{heading}</h2>{}", entries(&past)));
    }
    let data: Vec<Value> = coming
        .iter()
        .filter_map(|event| {
            let settings = &event.settings;
            let it = EventMarkup {
                site,
                request: &request,
                language,
                settings,
            };
            it.structured_data()
        })
        .collect();
    let items = data.into_iter().zip(1..);
    let items: Vec<Value> = items
        .map(|(item, position)| json!({"@type": "ListItem", "position": position, "item": item}))
        .collect();
    let url = format!("{site}{}", request.prefix.path("/"));
    let description = description(&coming, language);
    let mut head = format!("<link rel=\"canonical\" href=\"{}\">\n", escape(&url));
    if !items.is_empty() {
        let data = json!({"@context": "https://schema.org", "@type": "ItemList", "itemListElement": items});
        head.push_str(&data_script(&data));
    }
    let values = [("description", description.as_str()), ("url", &url)];
    let markup = [("head", head.as_str()), ("list", &list)];
    let mut response = page_with(&request, language, "index.html", &values, &markup);
    let headers = response.headers_mut();
    let shown = coming.iter().chain(&past);
    let policy = list_policy(shown.map(|event| &*event.settings));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    if request.is_for_everyone() {
        room.site.edge.keep_list(headers);
    }
    // A fan may have chosen a language.
    headers.append(header::VARY, HeaderValue::from_static("cookie"));
    response
}

/// Returns a sentence on the events to come, for search engines.
fn description(coming: &[Listed], language: Language) -> String {
    let names = coming
        .iter()
        .take(3)
        .map(|event| event.settings.name.as_str());
    let names: Vec<&str> = names.collect();
    match names.is_empty() {
        true => language.phrase("page.landing.no_description", &[]),
        false => language.phrase("page.landing.description", &[("names", &names.join(", "))]),
    }
}

async fn show_sitemap(State(room): State<Arc<Room>>, prefix: PathPrefix) -> Response {
    let events = match public_events(&room).await {
        Ok(events) => events,
        Err(refused) => return Problem::from(refused).into_response(),
    };
    let (coming, _) = sorted(events, room.site.clock.now());
    let site = &room.site.public_url;
    let paths = coming
        .iter()
        .map(|event| format!("/e/{}", event.settings.id));
    let urls: String = std::iter::once("/".to_owned())
        .chain(paths)
        .map(|path| {
            format!(
                "<url><loc>{}</loc></url>\n",
                escape(&format!("{site}{}", prefix.path(&path)))
            )
        })
        .collect();
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n{urls}</urlset>\n"
    );
    let mut response = ([(header::CONTENT_TYPE, "application/xml")], text).into_response();
    room.site.edge.keep_list(response.headers_mut());
    response
}

/// Tells search engines which pages are not for them.
async fn show_robots(State(room): State<Arc<Room>>, prefix: PathPrefix) -> Response {
    let mut text = String::from("User-agent: *\n");
    for path in ["/api/", "/organiser", "/orders", "/gate/"] {
        text.push_str(&format!("Disallow: {}\n", prefix.path(path)));
    }
    let sitemap = prefix.path("/sitemap.xml");
    text.push_str(&format!("Sitemap: {}{sitemap}\n", room.site.public_url));
    let mut response = text.into_response();
    room.site.edge.keep_list(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::EventId;

    fn event(id: &str, starts_at: Option<i64>, phase: Phase) -> Listed {
        let mut settings = EventSettings::new(EventId::parse(id).unwrap(), id);
        let starts_at = starts_at.map(Time);
        settings.details = starts_at.map(|start| shared::event_details::EventDetails {
            starts_at: Some(start),
            ..Default::default()
        });
        Listed {
            settings: Arc::new(settings),
            phase,
        }
    }

    #[test]
    fn events_to_come_are_in_order_of_their_start_and_past_ones_apart() {
        let hour = 3_600_000;
        let now = Time(1_800_000_000_000);
        let at = |hours: i64| Some(now.0 + hours * hour);
        let events = vec![
            event("a-without-date", None, Phase::Open),
            event("b-over", None, Phase::Closed),
            event("c-next-week", at(168), Phase::Scheduled),
            event("d-running", at(-2), Phase::Closed),
            event("e-yesterday", at(-24), Phase::Open),
            event("f-tomorrow", at(24), Phase::SoldOut),
            event("g-last-week", at(-168), Phase::Closed),
        ];
        let (coming, past) = sorted(events, now);
        let ids = |events: &[Listed]| -> Vec<String> {
            events.iter().map(|it| it.settings.name.clone()).collect()
        };
        assert_eq!(
            ids(&coming),
            ["d-running", "f-tomorrow", "c-next-week", "a-without-date"]
        );
        assert_eq!(ids(&past), ["e-yesterday", "g-last-week", "b-over"]);
    }
}
