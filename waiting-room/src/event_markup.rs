//! HTML of an event on its pages, for fans, search engines and previews of links.

use crate::line::EventSettings;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::{Value, json};
use shared::event_details::{Colours, EventDetails, day_and_time, time_of_day, with_offset};
use shared::http::page_request::PageRequest;
use shared::http::security_headers::page_policy;
use shared::http::static_files::{escape, page_with};
use shared::texts::Language;
use shared::web_url::link_origin;
use std::collections::BTreeSet;

/// Longest description for search engines, in characters: they show no more.
const SUMMARY_CHARS_MAX: usize = 160;

/// An event for one request.
pub(crate) struct EventMarkup<'a> {
    /// Origin that browsers see.
    pub(crate) site: &'a str,
    pub(crate) request: &'a PageRequest,
    pub(crate) language: Language,
    pub(crate) settings: &'a EventSettings,
}

impl<'a> EventMarkup<'a> {
    /// Returns an event in the language that the request wants of it.
    pub(crate) fn of(
        site: &'a str,
        request: &'a PageRequest,
        settings: &'a EventSettings,
    ) -> EventMarkup<'a> {
        EventMarkup {
            site,
            request,
            language: request.language_of(settings.details.as_ref()),
            settings,
        }
    }

    /// Returns a page of the event with these values, and its content security policy.
    pub(crate) fn page(&self, path: &str, values: &[(&str, &str)]) -> Response {
        let markup = [
            ("head", self.head()),
            ("event", self.header()),
            ("about", self.about()),
            ("links", self.links()),
        ];
        let markup = markup.each_ref().map(|(name, html)| (*name, html.as_str()));
        let mut response = page_with(self.request, self.language, path, values, &markup);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy());
        response
    }

    /// Returns an attribute with the language of the organiser's own words, where the page is in another
    /// one; nothing otherwise.
    fn own_language(&self, attribute: &str) -> String {
        let own = self.details().language();
        let other = own.filter(|own| *own != self.language);
        other.map_or_else(String::new, |own| {
            format!(" {attribute}=\"{}\"", own.code())
        })
    }

    fn details(&self) -> EventDetails {
        self.settings.details.clone().unwrap_or_default()
    }

    /// Returns the address of the event's page.
    pub(crate) fn url(&self) -> String {
        let path = format!("/e/{}", self.settings.id);
        format!("{}{}", self.site, self.request.prefix.path(&path))
    }

    /// Returns a sentence on the event for search engines.
    fn summary(&self) -> String {
        let details = self.details();
        let zone = details.time_zone.as_deref();
        let when = details
            .starts_at
            .map(|start| day_and_time(start, zone, self.language));
        let place = details.venue.map(|venue| venue.name);
        let mut parts: Vec<String> = [when, place].into_iter().flatten().collect();
        if parts.is_empty() {
            let values = [("name", self.settings.name.as_str())];
            parts.push(self.language.phrase("page.event.join", &values));
        }
        let cancelled = self.settings.cancelled.as_ref();
        let cancelled = cancelled.map(|cancelled| cancelled.for_people(self.language) + " ");
        let text = format!(
            "{}{}. {}",
            cancelled.unwrap_or_default(),
            parts.join(", "),
            details.description.unwrap_or_default()
        );
        let words: Vec<&str> = text.split_whitespace().collect();
        shortened(&words.join(" "))
    }

    /// Returns the elements for the head of the event's page: for search engines, previews of links,
    /// and the event's colours.
    fn head(&self) -> String {
        let details = self.details();
        let (url, summary) = (self.url(), self.summary());
        let mut head = format!(
            "<meta name=\"description\" content=\"{}\">\n<link rel=\"canonical\" href=\"{}\">\n",
            escape(&summary),
            escape(&url)
        );
        let mut properties = vec![
            ("og:type", "website".to_owned()),
            ("og:title", self.settings.name.clone()),
            ("og:description", summary),
            ("og:url", url),
        ];
        let picture = details.image_url.or(details.logo_url);
        properties.extend(picture.map(|url| ("og:image", self.absolute(&url))));
        for (name, value) in properties {
            let value = escape(&value);
            head.push_str(&format!("<meta property=\"{name}\" content=\"{value}\">\n"));
        }
        let style = self.style();
        if !style.is_empty() {
            head.push_str(&format!("<style>{style}</style>\n"));
        }
        if !self.settings.published {
            head.push_str("<meta name=\"robots\" content=\"noindex\">\n");
        }
        if let Some(data) = self.structured_data() {
            head.push_str(&data_script(&data));
        }
        head
    }

    /// Returns the style sheet of the event's colours; empty without. Links and outlines then have
    /// the colour of text, as a colour that suits the event may not be seen on our paper.
    fn style(&self) -> String {
        let colours = self.settings.details.as_ref();
        let colours = colours.and_then(|details| details.colours.as_ref());
        colours.map_or_else(String::new, |Colours { background, text }| {
            format!(
                ":root{{--brand:{background};--brand-ink:{text};--accent:var(--ink);--accent-ink:var(--paper);--glow:var(--line)}}"
            )
        })
    }

    /// Returns the content security policy of the event's page.
    fn policy(&self) -> HeaderValue {
        let mut origins = BTreeSet::new();
        self.add_origins(&mut origins);
        page_policy(&origins, &self.style())
    }

    fn add_origins(&self, origins: &mut BTreeSet<String>) {
        let details = self.details();
        let pictures = [details.image_url, details.logo_url];
        origins.extend(
            pictures
                .into_iter()
                .flatten()
                .filter_map(|url| origin(&url)),
        );
    }

    /// Returns the event as schema.org describes one (JSON-LD); none without a date and a place.
    pub(crate) fn structured_data(&self) -> Option<Value> {
        let details = self.details();
        let (start, zone) = (details.starts_at?, details.time_zone?);
        let venue = details.venue?;
        let mut place = json!({"@type": "Place", "name": venue.name});
        if let Some(address) = venue.address {
            place["address"] = address.into();
        }
        let status = match self.settings.cancelled {
            Some(_) => "EventCancelled",
            None => "EventScheduled",
        };
        let mut data = json!({
            "@context": "https://schema.org",
            "@type": "Event",
            "name": self.settings.name,
            "url": self.url(),
            "startDate": with_offset(start, &zone),
            "eventStatus": format!("https://schema.org/{status}"),
            "eventAttendanceMode": "https://schema.org/OfflineEventAttendanceMode",
            "location": place,
        });
        let doors = details.doors_at.map(|doors| with_offset(doors, &zone));
        let image = details.image_url.map(|url| self.absolute(&url));
        for (name, value) in [
            ("doorTime", doors),
            ("image", image),
            ("description", details.description),
        ] {
            if let Some(value) = value {
                data[name] = value.into();
            }
        }
        Some(data)
    }

    /// Returns the header of the event's page: pictures, name, date and place.
    fn header(&self) -> String {
        let details = self.details();
        let picture = details.image_url.as_deref();
        let logo = details.logo_url.as_deref();
        let is_framed = picture.is_some() || details.colours.is_some();
        let framed = if is_framed { " framed" } else { "" };
        format!(
            "<header class=\"event{framed}\">{}<div>{}<h1{}>{}</h1>{}{}</div></header>",
            self.image("picture", picture, ""),
            self.image("logo", logo, ""),
            self.own_language("lang"),
            escape(&self.settings.name),
            self.subtitle(),
            self.facts(),
        )
    }

    /// Returns the event as an entry of a list; `state` says how its sale is.
    pub(crate) fn entry(&self, state: &str) -> String {
        let details = self.details();
        let href = self
            .request
            .prefix
            .path(&format!("/e/{}", self.settings.id));
        format!(
            "<li class=\"card event\">{}<div><h2{}><a href=\"{}\">{}</a></h2>{}{}<p class=\"state\">{}</p></div></li>",
            self.image("picture", details.image_url.as_deref(), " loading=\"lazy\""),
            self.own_language("lang"),
            escape(&href),
            escape(&self.settings.name),
            self.subtitle(),
            self.facts(),
            escape(state),
        )
    }

    fn subtitle(&self) -> String {
        let attributes = format!(" class=\"subtitle\"{}", self.own_language("lang"));
        paragraph(&attributes, self.details().subtitle.as_deref())
    }

    /// Returns date, doors and place.
    fn facts(&self) -> String {
        let details = self.details();
        let mut facts = String::new();
        if let (Some(start), Some(zone)) = (details.starts_at, &details.time_zone) {
            let text = escape(&day_and_time(start, Some(zone), self.language));
            facts.push_str(&format!("<p><time datetime=\"{start}\">{text}</time></p>"));
            if let Some(doors) = details.doors_at {
                let time = time_of_day(doors, zone, start, self.language);
                let text = self.language.phrase("event.doors", &[("time", &time)]);
                facts.push_str(&paragraph("", Some(&text)));
            }
        }
        if let Some(venue) = details.venue {
            let address = venue.address.map(|address| format!(", {address}"));
            let text = format!("{}{}", venue.name, address.unwrap_or_default());
            facts.push_str(&paragraph("", Some(&text)));
        }
        if facts.is_empty() {
            return facts;
        }
        format!("<div class=\"facts\">{facts}</div>")
    }

    /// Returns the description, as a section of its own.
    fn about(&self) -> String {
        let text = self.details().description;
        text.map_or_else(String::new, |text| {
            let text = escape(&text);
            let heading = escape(&self.language.phrase("page.event.about", &[]));
            let own = self.own_language("lang");
            format!(
                "<section class=\"card\" aria-labelledby=\"about-heading\"><h2 id=\"about-heading\">{heading}</h2><p class=\"plain\"{own}>{text}</p></section>"
            )
        })
    }

    /// Returns the contact and legal links.
    fn links(&self) -> String {
        let links = self.details().links;
        // Their labels are in the language of the page, and the pages that they lead to are not.
        let own = self.own_language("hreflang");
        let links = links.all().into_iter().filter_map(|(name, link)| {
            let label = self.language.phrase(&format!("event.links.{name}"), &[]);
            let label = escape(&label);
            let link = escape(link?);
            Some(format!("<a href=\"{link}\"{own}>{label}</a>"))
        });
        let links: Vec<String> = links.collect();
        if links.is_empty() {
            return String::new();
        }
        format!("<footer class=\"links\">{}</footer>", links.join(" "))
    }

    fn image(&self, class: &str, url: Option<&str>, more: &str) -> String {
        url.map_or_else(String::new, |url| {
            let url = if url.starts_with('/') {
                self.request.prefix.path(url)
            } else {
                url.to_owned()
            };
            let url = escape(&url);
            format!("<img class=\"{class}\" src=\"{url}\" alt=\"\"{more}>")
        })
    }

    /// Returns the address of a picture for those who do not have the page.
    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') {
            format!("{}{}", self.site, self.request.prefix.path(url))
        } else {
            url.to_owned()
        }
    }
}

/// Returns the content security policy of a page with the pictures of several events.
pub(crate) fn list_policy<'a>(events: impl Iterator<Item = &'a EventSettings>) -> HeaderValue {
    let details = events.filter_map(|settings| settings.details.as_ref());
    let pictures = details.filter_map(|details| origin(details.image_url.as_deref()?));
    page_policy(&pictures.collect(), "")
}

/// Returns the origin that a policy has to allow for a picture; none for one of this site.
fn origin(url: &str) -> Option<String> {
    (!url.starts_with('/')).then(|| link_origin(url, url))?
}

/// Returns an element with data that no browser runs.
pub(crate) fn data_script(data: &Value) -> String {
    let text = data.to_string().replace('<', "\\u003c");
    format!("<script type=\"application/ld+json\">{text}</script>\n")
}

fn paragraph(attributes: &str, text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| {
        format!("<p{attributes}>{}</p>", escape(text))
    })
}

/// Shortens a text at a word.
fn shortened(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= SUMMARY_CHARS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(SUMMARY_CHARS_MAX - 1).collect();
    let whole = start
        .rsplit_once(' ')
        .map_or(start.as_str(), |(whole, _)| whole);
    format!("{whole}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::EventId;

    fn settings(details: Value) -> EventSettings {
        let mut settings = EventSettings::new(EventId::parse("night").unwrap(), "A <b>Night</b>");
        settings.details = Some(serde_json::from_value(details).unwrap());
        settings
    }

    fn markup<'a>(settings: &'a EventSettings, request: &'a PageRequest) -> EventMarkup<'a> {
        EventMarkup {
            site: "https://tickets.example",
            request,
            language: Language::english(),
            settings,
        }
    }

    #[test]
    fn what_organisers_write_is_text_and_never_markup() {
        let evil = "\"><script>alert(1)</script><!--about-->{{event}}";
        let settings = settings(
            json!({"subtitle": evil, "venue": {"name": evil, "address": evil},
            "description": evil, "starts_at": "2027-03-20T19:00:00Z", "time_zone": "Europe/Berlin",
            "image_url": "https://pictures.example/\"onload=alert(1)",
            "links": {"terms": "https://tickets.example/\"><script>"}}),
        );
        let request = PageRequest::default();
        let markup = markup(&settings, &request);
        for html in [
            markup.head(),
            markup.header(),
            markup.entry(evil),
            markup.about(),
            markup.links(),
        ] {
            // In JSON an escaped quotation mark ends nothing.
            let rest = html.replace("<script type=\"application/ld+json\">", "");
            let rest = rest.replace("\\\"", "");
            assert!(
                !rest.contains("<script>") && !rest.contains("<b>"),
                "{html}"
            );
            assert!(
                !rest.contains("\"onload") && !rest.contains("<!--"),
                "{html}"
            );
        }
    }

    #[test]
    fn the_organisers_words_and_links_say_their_language_on_a_page_in_another() {
        let details = json!({"subtitle": "Ein Abend", "description": "Zwei Stunden.", "language": "de",
            "links": {"terms": "https://tickets.example/agb"}});
        let settings = settings(details);
        let request = PageRequest::default();
        let html = |markup: &EventMarkup<'_>| {
            let parts = [
                markup.header(),
                markup.entry(""),
                markup.about(),
                markup.links(),
            ];
            parts.concat()
        };
        let english = html(&markup(&settings, &request));
        for part in [
            "<h1 lang=\"de\">",
            "<h2 lang=\"de\">",
            "<p class=\"subtitle\" lang=\"de\">Ein Abend",
            "<p class=\"plain\" lang=\"de\">",
            "agb\" hreflang=\"de\">Terms",
        ] {
            assert!(english.contains(part), "{part}: {english}");
        }
        let german = html(&EventMarkup {
            language: Language::parse("de").unwrap(),
            ..markup(&settings, &request)
        });
        assert!(!german.contains("lang="), "{german}");
    }

    #[test]
    fn the_policy_allows_the_origins_of_the_pictures_and_the_one_style_sheet() {
        let settings = settings(json!({"image_url": "https://pictures.example/a.jpg",
            "logo_url": "/static/icon.svg", "colours": {"background": "#5a35c8", "text": "#ffffff"}}));
        let request = PageRequest::default();
        let policy = markup(&settings, &request).policy();
        let policy = policy.to_str().unwrap();
        assert!(
            policy.contains("img-src 'self' data: https://pictures.example;"),
            "{policy}"
        );
        assert!(policy.contains("style-src 'self' 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn a_summary_is_cut_at_a_word_and_names_date_and_place() {
        let settings = settings(
            json!({"venue": {"name": "Hall"}, "starts_at": "2027-03-20T19:00:00Z",
            "time_zone": "Europe/Berlin", "description": "word ".repeat(100)}),
        );
        let request = PageRequest::default();
        let summary = markup(&settings, &request).summary();
        assert!(
            summary.starts_with("Saturday, 20 March 2027, 20:00 Berlin time (UTC+1), Hall. word"),
            "{summary}"
        );
        assert!(summary.ends_with("word…") && summary.chars().count() <= 160);
    }
}
