//! The ids that both services speak of, checked at the edge.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::fmt;
use std::sync::Arc;

/// An event's id: a slug chosen by the organiser, `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
pub struct EventId(Arc<str>);

impl EventId {
    /// Checks and takes an event id.
    ///
    /// # Errors
    /// If the text is not a slug.
    pub fn parse(text: &str) -> Result<EventId, String> {
        let slug = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if text.len() > 63 || text.starts_with('-') || text.is_empty() || !text.bytes().all(slug) {
            return Err(
                "an event id is 1 to 63 of a-z, 0-9 and '-', and does not begin with '-'"
                    .to_owned(),
            );
        }
        Ok(EventId(text.into()))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        EventId::parse(&text).map_err(D::Error::custom)
    }
}

/// One fan in one event's line: 128 random bits, written `vis_` and 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VisitorId(pub u128);

impl VisitorId {
    /// Returns a new, unguessable id.
    pub fn random() -> VisitorId {
        VisitorId(u128::from_be_bytes(crate::crypto::random()))
    }

    /// Reads `vis_…`; none when it is not one.
    pub fn parse(text: &str) -> Option<VisitorId> {
        let digits = text.strip_prefix("vis_")?;
        if digits.len() != 32 || digits.starts_with('+') {
            return None;
        }
        u128::from_str_radix(digits, 16).ok().map(VisitorId)
    }
}

impl fmt::Display for VisitorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vis_{:032x}", self.0)
    }
}

impl Serialize for VisitorId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VisitorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        VisitorId::parse(&text).ok_or_else(|| D::Error::custom("not a visitor id"))
    }
}

/// Number of seats in each state, as the checkout last reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// Seats in all, the blocked ones too.
    pub capacity: u32,
    /// Seats that can be held now.
    pub available: u32,
    /// Seats held.
    pub held: u32,
    /// Seats booked.
    pub booked: u32,
    /// When the checkout counted them.
    pub as_of: Time,
}

impl Availability {
    /// Returns whether the counts are the same, whenever they were counted.
    pub fn has_same_counts(&self, other: &Availability) -> bool {
        let as_of = other.as_of;
        Availability { as_of, ..*self } == *other
    }
}

use crate::time::Time;
