//! Details of an event that its pages show: place, dates, description, pictures, colours and links.

mod check;
mod dates;

pub use dates::{day_and_time, short_time, time_of_day, with_offset};

use crate::texts::Language;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Details of an event for fans, all of them optional. A change replaces all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventDetails {
    /// Language of the event's pages, mails and tickets, where a fan chose no other: `en` or `de`;
    /// without one, English.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 8, example = "de")]
    pub language: Option<String>,
    /// Line below the name, such as the tour or the support act.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub subtitle: Option<String>,
    /// Place of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue: Option<Venue>,
    /// When the doors open; needs `time_zone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doors_at: Option<Time>,
    /// When it starts; needs `time_zone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
    /// Name of the time zone in which all times of the event are shown, from the IANA database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// Plain text; line breaks are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 5000)]
    pub description: Option<String>,
    /// Wide picture: an https address, or a path of this site.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub image_url: Option<String>,
    /// Logo: an https address, or a path of this site.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub logo_url: Option<String>,
    /// Colours of the event's pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colours: Option<Colours>,
    /// Contact and legal pages.
    #[serde(skip_serializing_if = "Links::is_empty")]
    pub links: Links,
}

impl EventDetails {
    /// Returns the event's language, if it has one that this version knows.
    pub fn language(&self) -> Option<Language> {
        Language::parse(self.language.as_deref()?)
    }
}

/// Place of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Venue {
    /// Its name.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Its postal address, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 300)]
    pub address: Option<String>,
}

/// Colours of an event's pages, each as `#rrggbb`. Their contrast is at least 4.5 to 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Colours {
    /// Background of the event's header and buttons.
    #[schema(pattern = "^#[0-9a-fA-F]{6}$")]
    pub background: String,
    /// Text on that background.
    #[schema(pattern = "^#[0-9a-fA-F]{6}$")]
    pub text: String,
}

/// Addresses of contact and legal pages: https, or mailto.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = EventLinks)]
pub struct Links {
    /// How to reach the organiser.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub contact: Option<String>,
    /// Page about the organiser.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub imprint: Option<String>,
    /// Terms of the sale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub terms: Option<String>,
    /// Page about the use of personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub privacy: Option<String>,
}

impl Links {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all().iter().all(|(_, link)| link.is_none())
    }

    /// Returns all of them with their field names, in the order in which pages show them.
    pub fn all(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("contact", self.contact.as_deref()),
            ("imprint", self.imprint.as_deref()),
            ("terms", self.terms.as_deref()),
            ("privacy", self.privacy.as_deref()),
        ]
    }
}
