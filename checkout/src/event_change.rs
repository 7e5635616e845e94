//! Changes of an event's date and place, of which buyers are told by mail.

use crate::waiting_room::EventFacts;
use serde::{Deserialize, Serialize};
use shared::crypto::{hex, sha256};
use shared::event_details::{EventDetails, Venue};
use shared::ids::EventId;
use shared::time::Time;
use utoipa::ToSchema;

/// Bytes of a hash that tell changes of one event apart.
const HASH_BYTES: usize = 8;
const DAY_MS: i64 = 24 * 3_600_000;

/// Date and place of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DateAndPlace {
    /// When it starts; needs `time_zone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Time>,
    /// When the doors open; needs `time_zone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    doors_at: Option<Time>,
    /// Name of the time zone, from the IANA database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// The venue.
    #[serde(skip_serializing_if = "Option::is_none")]
    venue: Option<Venue>,
}

impl DateAndPlace {
    /// Returns those of an event.
    pub(crate) fn of(event: &EventFacts) -> DateAndPlace {
        let Some(details) = event.details.clone() else {
            return DateAndPlace::default();
        };
        DateAndPlace {
            starts_at: details.starts_at,
            doors_at: details.doors_at,
            time_zone: details.time_zone,
            venue: details.venue,
        }
    }

    /// Returns those that an event might have had before: a day earlier, or elsewhere.
    pub(crate) fn made_up_before(event: &EventFacts) -> DateAndPlace {
        let now = DateAndPlace::of(event);
        let earlier = |at: Option<Time>| at.map(|at| Time(at.0 - DAY_MS));
        let elsewhere = Venue {
            name: "Old Hall".to_owned(),
            address: None,
        };
        DateAndPlace {
            starts_at: earlier(now.starts_at),
            doors_at: earlier(now.doors_at),
            venue: if now.starts_at.is_none() {
                Some(elsewhere)
            } else {
                now.venue
            },
            ..now
        }
    }

    /// Returns them as an event that has nothing else to tell.
    pub(crate) fn details(&self) -> EventDetails {
        EventDetails {
            starts_at: self.starts_at,
            doors_at: self.doors_at,
            time_zone: self.time_zone.clone(),
            venue: self.venue.clone(),
            ..EventDetails::default()
        }
    }
}

/// Content of the rows about a change: of those that look for orders, and of the mails.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EventChange {
    /// Date and place as buyers know them.
    pub(crate) was: DateAndPlace,
    /// Order after which a step goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

impl EventChange {
    /// Reads the detail of a mail about a change; none of any other mail.
    pub(crate) fn read(detail: &str) -> Option<EventChange> {
        serde_json::from_str(detail).ok()
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Returns digits that are the same for the same change, at the end of its id.
pub(crate) fn change_hash(event: &EventId, was: &DateAndPlace, now: &DateAndPlace) -> String {
    let both = serde_json::to_vec(&(event.as_str(), was, now)).unwrap_or_default();
    hex(&sha256(&both)[..HASH_BYTES])
}
