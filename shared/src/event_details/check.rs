//! Faults of details, in words for the organiser.

use super::{Colours, EventDetails};
use crate::plain_text::has_visible;
use crate::texts::Language;
use crate::time::Time;
use crate::web_url::{is_https_url, is_mail_link, link_origin};
use jiff::tz::TimeZone;

const SUBTITLE_CHARS_MAX: usize = 200;
const VENUE_CHARS_MAX: usize = 200;
const ADDRESS_CHARS_MAX: usize = 300;
const DESCRIPTION_CHARS_MAX: usize = 5000;
/// Longest address of a picture or a page, in characters.
const LINK_CHARS_MAX: usize = 2000;
/// Least contrast of text and background (WCAG 2.2, 1.4.3), in hundredths.
const CONTRAST_MIN: u32 = 450;
/// Dates of events, from and to, in ms: the years that calendars and pages write with four digits,
/// without those that are slips of the keyboard.
const DATES: std::ops::Range<i64> = 946_684_800_000..7_258_118_400_000;

/// The mistakes that were found, each with the path of its field.
struct FieldMistakes(Vec<(String, String)>);

impl FieldMistakes {
    fn check(&mut self, is_fine: bool, field: &str, why: impl Into<String>) {
        if !is_fine {
            self.0.push((format!("details.{field}"), why.into()));
        }
    }

    fn line(&mut self, field: &str, text: Option<&str>, most: usize) {
        let is_fine = text.is_none_or(|text| {
            let has_breaks = text.chars().any(char::is_control);
            !has_breaks && is_within(text, most)
        });
        self.check(
            is_fine,
            field,
            format!("1 to {most} characters on one line, of which some can be seen"),
        );
    }

    fn picture(&mut self, field: &str, url: Option<&str>) {
        // The origin of a path depends on the site; a path must stay on that origin, whatever it is.
        let site = "https://site.invalid";
        let is_own = |url: &str| {
            url.starts_with('/') && link_origin(site, url).is_some_and(|origin| origin == site)
        };
        let is_fine = url
            .is_none_or(|url| is_within(url, LINK_CHARS_MAX) && (is_https_url(url) || is_own(url)));
        let why =
            "an address that begins with https://, or a path of this site that begins with one /";
        self.check(is_fine, field, why);
    }

    fn link(&mut self, field: &str, url: Option<&str>) {
        let is_fine = url.is_none_or(|url| {
            is_within(url, LINK_CHARS_MAX) && (is_https_url(url) || is_mail_link(url))
        });
        let why = "an address that begins with https://, or mailto: and a mail address";
        self.check(is_fine, field, why);
    }

    fn date(&mut self, field: &str, time: Option<Time>) {
        let is_fine = time.is_none_or(|time| DATES.contains(&time.0));
        self.check(is_fine, field, "a date from 2000 to 2199");
    }
}

fn is_within(text: &str, most: usize) -> bool {
    has_visible(text) && text.chars().count() <= most
}

impl EventDetails {
    /// Returns the invalid fields by their paths, each with the rule it breaks.
    pub fn mistakes(&self) -> Vec<(String, String)> {
        let mut wrong = FieldMistakes(Vec::new());
        wrong.line("subtitle", self.subtitle.as_deref(), SUBTITLE_CHARS_MAX);
        if let Some(venue) = &self.venue {
            wrong.line("venue.name", Some(&venue.name), VENUE_CHARS_MAX);
            let address = venue.address.as_deref();
            wrong.line("venue.address", address, ADDRESS_CHARS_MAX);
        }
        let language = self.language.as_deref();
        let is_known = language.is_none_or(|code| Language::parse(code).is_some());
        wrong.check(is_known, "language", Language::choice());
        self.check_dates(&mut wrong);
        let is_text = self.description.as_deref().is_none_or(|text| {
            let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
            is_within(text, DESCRIPTION_CHARS_MAX) && !text.chars().any(is_odd)
        });
        let why = format!(
            "1 to {DESCRIPTION_CHARS_MAX} characters of plain text, of which some can be seen"
        );
        wrong.check(is_text, "description", why);
        wrong.picture("image_url", self.image_url.as_deref());
        wrong.picture("logo_url", self.logo_url.as_deref());
        if let Some(colours) = &self.colours {
            check_colours(colours, &mut wrong);
        }
        for (name, link) in self.links.all() {
            wrong.link(&format!("links.{name}"), link);
        }
        wrong.0
    }

    fn check_dates(&self, wrong: &mut FieldMistakes) {
        let zone = self.time_zone.as_deref();
        let is_known = zone.is_none_or(is_time_zone);
        let why = "the name of a time zone such as Europe/Berlin or America/New_York";
        wrong.check(is_known, "time_zone", why);
        let has_date = self.doors_at.is_some() || self.starts_at.is_some();
        let why = "needed with a date: a name such as Europe/Berlin or America/New_York";
        wrong.check(zone.is_some() || !has_date, "time_zone", why);
        wrong.date("doors_at", self.doors_at);
        wrong.date("starts_at", self.starts_at);
        let is_ordered = self
            .doors_at
            .is_none_or(|doors| self.starts_at.is_some_and(|start| doors <= start));
        let why = "not after starts_at, which it needs";
        wrong.check(is_ordered, "doors_at", why);
    }
}

/// Returns whether a text is the name of a time zone, spelled as the IANA database does.
fn is_time_zone(name: &str) -> bool {
    let zone = TimeZone::get(name);
    zone.is_ok_and(|zone| !zone.is_unknown() && zone.iana_name() == Some(name))
}

fn check_colours(colours: &Colours, wrong: &mut FieldMistakes) {
    let (background, text) = (luminance(&colours.background), luminance(&colours.text));
    let why = "# and six hexadecimal digits, such as #5a35c8";
    wrong.check(background.is_some(), "colours.background", why);
    wrong.check(text.is_some(), "colours.text", why);
    let (Some(background), Some(text)) = (background, text) else {
        return;
    };
    let (lighter, darker) = (background.max(text), background.min(text));
    // Rounded down, so that what is told is never more than there is.
    let contrast = ((lighter + 0.05) / (darker + 0.05) * 100.0) as u32;
    let why = format!(
        "text in {} on {} is hard to read: the contrast is {}.{:02} to 1, at least 4.5 to 1 is needed",
        colours.text,
        colours.background,
        contrast / 100,
        contrast % 100
    );
    wrong.check(contrast >= CONTRAST_MIN, "colours.text", why);
}

/// Returns the relative luminance of a colour (WCAG 2.2), from 0 for black to 1 for white.
fn luminance(colour: &str) -> Option<f64> {
    let digits = colour.strip_prefix('#')?;
    let is_hex = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_hex.then(|| u32::from_str_radix(digits, 16).ok())??;
    let [_, red, green, blue] = number.to_be_bytes();
    let linear = |byte: u8| {
        let part = f64::from(byte) / 255.0;
        if part <= 0.04045 {
            part / 12.92
        } else {
            ((part + 0.055) / 1.055).powf(2.4)
        }
    };
    Some(0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mistakes(details: Value) -> Vec<(String, String)> {
        let details: EventDetails = serde_json::from_value(details).unwrap();
        details.mistakes()
    }

    #[test]
    fn details_that_are_sound_are_taken() {
        let full = json!({
            "subtitle": "With the Example Orchestra",
            "venue": {"name": "Große Halle", "address": "Beispielstraße 1, 10115 Berlin"},
            "doors_at": "2027-03-20T18:00:00Z", "starts_at": "2027-03-20T19:00:00Z",
            "time_zone": "Europe/Berlin", "description": "Two hours.\n\nOne break.",
            "image_url": "https://pictures.example/a.jpg", "logo_url": "/static/icon.svg",
            "colours": {"background": "#5a35c8", "text": "#FFFFFF"},
            "links": {"contact": "mailto:help@tickets.example", "imprint": "https://tickets.example/imprint",
                "terms": "https://tickets.example/terms", "privacy": "https://tickets.example/privacy"}});
        assert_eq!(mistakes(full.clone()), []);
        // The stored details say the same.
        let details: EventDetails = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(serde_json::to_value(details).unwrap(), full);
        assert_eq!(mistakes(json!({})), []);
        assert_eq!(mistakes(json!({"time_zone": "UTC"})), []);
        let none = serde_json::to_value(EventDetails::default()).unwrap();
        assert_eq!(none, json!({}));
    }

    #[test]
    fn each_mistake_names_its_field_and_its_rule() {
        let long = |count: usize| "x".repeat(count);
        let zone = "Europe/Berlin";
        for (details, field, rule) in [
            (json!({"subtitle": " "}), "subtitle", "1 to 200"),
            (json!({"subtitle": long(201)}), "subtitle", "1 to 200"),
            (json!({"subtitle": "a\nb"}), "subtitle", "on one line"),
            (json!({"venue": {"name": ""}}), "venue.name", "1 to 200"),
            (
                json!({"venue": {"name": "Hall", "address": long(301)}}),
                "venue.address",
                "1 to 300",
            ),
            (json!({"description": long(5001)}), "description", "5000"),
            (json!({"description": "a\u{7}"}), "description", "plain"),
            (json!({"time_zone": "Berlin"}), "time_zone", "such as"),
            (
                json!({"time_zone": "europe/berlin"}),
                "time_zone",
                "such as",
            ),
            (json!({"time_zone": "+01:00"}), "time_zone", "such as"),
            (json!({"time_zone": "Etc/Unknown"}), "time_zone", "such as"),
            (
                json!({"starts_at": "2027-03-20T19:00:00Z"}),
                "time_zone",
                "needed with a date",
            ),
            (
                json!({"starts_at": "1999-12-31T23:59:59Z", "time_zone": zone}),
                "starts_at",
                "2000",
            ),
            (
                json!({"starts_at": "2200-01-01T00:00:00Z", "time_zone": zone}),
                "starts_at",
                "2199",
            ),
            (
                json!({"starts_at": "2027-03-20T19:00:00Z", "doors_at": "2027-03-20T19:00:01Z", "time_zone": zone}),
                "doors_at",
                "not after starts_at",
            ),
            (
                json!({"doors_at": "2027-03-20T19:00:01Z", "time_zone": zone}),
                "doors_at",
                "which it needs",
            ),
            (
                json!({"colours": {"background": "5a35c8", "text": "#ffffff"}}),
                "colours.background",
                "six hexadecimal",
            ),
            (
                json!({"colours": {"background": "#ffffff", "text": "#+fffff"}}),
                "colours.text",
                "six hexadecimal",
            ),
            (
                json!({"colours": {"background": "#ffee00", "text": "#ffffff"}}),
                "colours.text",
                "the contrast is 1.20 to 1",
            ),
        ] {
            let wrong = mistakes(details.clone());
            assert_eq!(wrong.len(), 1, "{details}: {wrong:?}");
            assert_eq!(wrong[0].0, format!("details.{field}"), "{details}");
            assert!(wrong[0].1.contains(rule), "{details}: {}", wrong[0].1);
        }
    }

    #[test]
    fn pictures_are_https_or_of_this_site_and_links_are_https_or_mail() {
        for (url, is_picture, is_link) in [
            ("https://pictures.example/a.jpg", true, true),
            ("/static/icon.svg", true, false),
            ("mailto:help@tickets.example", false, true),
            ("http://pictures.example/a.jpg", false, false),
            ("//pictures.example/a.jpg", false, false),
            ("/\\pictures.example/a.jpg", false, false),
            ("https://user:word@pictures.example/", false, false),
            ("https://", false, false),
            ("javascript:alert(1)", false, false),
            ("data:image/png;base64,AA==", false, false),
            ("https://pictures.example/a b", false, false),
            ("mailto:help", false, false),
            ("mailto:", false, false),
            ("", false, false),
        ] {
            for field in ["image_url", "logo_url"] {
                let is_taken = mistakes(json!({field: url})).is_empty();
                assert_eq!(is_taken, is_picture, "{field} {url}");
            }
            for field in ["contact", "imprint", "terms", "privacy"] {
                let wrong = mistakes(json!({"links": {field: url}}));
                assert_eq!(wrong.is_empty(), is_link, "{field} {url}");
                let path = format!("details.links.{field}");
                assert!(wrong.iter().all(|(field, _)| *field == path));
            }
        }
        let long = format!("https://pictures.example/{}", "x".repeat(LINK_CHARS_MAX));
        assert_eq!(mistakes(json!({"image_url": long})).len(), 1);
    }

    #[test]
    fn contrast_is_that_of_the_web_content_accessibility_guidelines() {
        // Known values: black on white is 21, and #767676 the lightest grey on white that passes.
        let wrong = |background: &str, text: &str| {
            mistakes(json!({"colours": {"background": background, "text": text}}))
        };
        for (background, text) in [("#ffffff", "#000000"), ("#ffffff", "#767676")] {
            assert_eq!(wrong(background, text), []);
            assert_eq!(wrong(text, background), []);
        }
        assert!(wrong("#ffffff", "#777777")[0].1.contains("4.47 to 1"));
        assert!(wrong("#123456", "#123456")[0].1.contains("1.00 to 1"));
    }
}
