//! The clock, as a seam that tests can move, and instants as they are written in JSON (RFC 3339,
//! UTC).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};

/// The server's time of an answer, to count down from to the deadlines in it: a client's own clock
/// may be wrong by minutes.
const SERVER_TIME: HeaderName = HeaderName::from_static("x-fairline-time");

/// An instant: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// Returns this instant plus `seconds`.
    pub fn plus_seconds(self, seconds: u32) -> Time {
        Time(self.0 + i64::from(seconds) * 1000)
    }

    /// Sets this instant as the server's time of an answer.
    pub fn stamp(self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            headers.insert(SERVER_TIME, value);
        }
    }

    /// Returns the whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the minute as people write it, such as `26 November 2026, 18:00 UTC`.
    pub fn for_people(self) -> String {
        let stamp = jiff::Timestamp::from_millisecond(self.0);
        let shown = stamp.map(|stamp| stamp.strftime("%-d %B %Y, %H:%M UTC").to_string());
        shown.unwrap_or_else(|_| self.to_string())
    }

    /// Reads an RFC 3339 instant.
    ///
    /// # Errors
    /// If the text is not one, with the parser's reason.
    pub fn parse(text: &str) -> Result<Time, String> {
        text.parse::<jiff::Timestamp>()
            .map(|stamp| Time(stamp.as_millisecond()))
            .map_err(|_| match text.parse::<jiff::civil::DateTime>() {
                Ok(_) => format!(
                    "'{text}' has no time zone: end it with Z for UTC or with an offset, such as 2026-11-21T20:00:00Z or 2026-11-21T21:00:00+01:00"
                ),
                Err(_) => format!(
                    "'{text}' is not an RFC 3339 time such as 2026-11-21T20:00:00Z or 2026-11-21T21:00:00+01:00"
                ),
            })
    }

    /// Reads a date of HTTP, such as `Fri, 27 Nov 2026 20:00:00 GMT`.
    pub fn parse_http_date(text: &str) -> Option<Time> {
        let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Time(parsed.timestamp().as_millisecond()))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).map_err(D::Error::custom)
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl utoipa::ToSchema for Time {}

/// Source of the time. `system` in service; `manual` in tests, which move it by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Clock {
        Clock(None)
    }

    /// Returns a clock that stands still until `advance` moves it.
    pub fn manual(start: Time) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(start.0))))
    }

    /// The instant it is now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the machine"
    )]
    pub fn now(&self) -> Time {
        match &self.0 {
            Some(hand) => Time(hand.load(Ordering::SeqCst)),
            None => Time(jiff::Timestamp::now().as_millisecond()),
        }
    }

    /// Returns the time of a manual clock; none for the machine's, so that a store may go by its
    /// own.
    pub fn hand(&self) -> Option<Time> {
        self.0
            .as_ref()
            .map(|hand| Time(hand.load(Ordering::SeqCst)))
    }

    /// Moves a manual clock forward; a system clock cannot be moved and stays as it is.
    pub fn advance_ms(&self, ms: i64) {
        if let Some(hand) = &self.0 {
            hand.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_refused_with_what_is_missing() {
        for text in ["2026-11-21T20:00:00", "2026-11-21 20:00", "2026-11-21"] {
            let why = Time::parse(text).unwrap_err();
            assert!(
                why.contains("has no time zone") && why.contains("+01:00"),
                "{why}"
            );
        }
        for text in [
            "tomorrow",
            "2026-13-01T00:00:00Z",
            "2026-02-30T20:00:00",
            "",
        ] {
            let why = Time::parse(text).unwrap_err();
            assert!(why.contains("is not an RFC 3339 time"), "{why}");
        }
        for text in [
            "2026-11-21T20:00:00Z",
            "2026-11-21T21:00:00+01:00",
            "2026-11-21 20:00Z",
        ] {
            assert_eq!(Time::parse(text), Ok(Time(1_795_291_200_000)), "{text}");
        }
    }
}
