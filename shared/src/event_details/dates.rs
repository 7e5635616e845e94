//! Times as people write them, with their date and zone.

use crate::texts::Language;
use crate::time::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Returns a time in a zone of the IANA database.
fn zoned(time: Time, zone: &str) -> Option<Zoned> {
    let zone = TimeZone::get(zone).ok()?;
    Some(Timestamp::from_millisecond(time.0).ok()?.to_zoned(zone))
}

/// Returns a time such as `Saturday, 12 December 2026, 20:00 Berlin time (UTC+1)`; without a zone
/// that of UTC. `static/dates.js` writes it in the same way.
pub fn day_and_time(time: Time, zone: Option<&str>, language: Language) -> String {
    let name = zone.unwrap_or("UTC");
    let Some(zoned) = zoned(time, name) else {
        return time.to_string();
    };
    let Some((_, place)) = name.rsplit_once('/') else {
        return whole(&zoned, name, language);
    };
    let values = [
        ("place", &*place.replace('_', " ")),
        ("offset", &offset(&zoned)),
    ];
    whole(&zoned, &language.phrase("date.zone", &values), language)
}

/// Returns day and time with the name of their zone, which may be empty.
fn whole(zoned: &Zoned, zone: &str, language: Language) -> String {
    let list = |key, at: i8| {
        let names = language.find(key).unwrap_or_default();
        let at = usize::try_from(at).unwrap_or_default();
        names.split(' ').nth(at).unwrap_or_default()
    };
    let day = language.phrase(
        "date.day",
        &[
            (
                "weekday",
                list("language.weekdays", zoned.weekday().to_monday_zero_offset()),
            ),
            ("day", &zoned.day().to_string()),
            ("month", list("language.months", zoned.month() - 1)),
            ("year", &zoned.year().to_string()),
        ],
    );
    let time = zoned.strftime("%H:%M").to_string();
    let values = [("day", &*day), ("time", &time), ("zone", zone)];
    language.phrase("date.whole", &values).trim_end().to_owned()
}

/// Returns the time of day in a zone, such as `19:00`, if it is on the same day there as `other`;
/// else the day as well, such as `Friday, 11 December 2026, 19:00`.
pub fn time_of_day(time: Time, zone: &str, other: Time, language: Language) -> String {
    let (Some(time), Some(other)) = (zoned(time, zone), zoned(other, zone)) else {
        return time.to_string();
    };
    if time.date() != other.date() {
        return whole(&time, "", language);
    }
    let minute = time.strftime("%H:%M").to_string();
    language.phrase("date.time", &[("time", &minute)])
}

/// Returns the time of day in a zone with its offset, such as `20:00 (UTC+1)`; without a zone that of UTC.
pub fn short_time(time: Time, zone: Option<&str>, language: Language) -> String {
    let Some(zoned) = zoned(time, zone.unwrap_or("UTC")) else {
        return time.to_string();
    };
    let minute = zoned.strftime("%H:%M").to_string();
    let minute = language.phrase("date.time", &[("time", &minute)]);
    format!("{minute} ({})", offset(&zoned))
}

/// Returns an instant in RFC 3339 with the offset of a zone, such as `2026-12-12T20:00:00+01:00`.
pub fn with_offset(time: Time, zone: &str) -> String {
    let zoned = zoned(time, zone);
    zoned.map_or_else(
        || time.to_string(),
        |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    )
}

/// Returns the offset from UTC, such as `UTC+1` or `UTC−3:30`.
fn offset(zoned: &Zoned) -> String {
    let minutes = zoned.offset().seconds() / 60;
    let sign = if minutes < 0 { '−' } else { '+' };
    let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    match (hours, minutes) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_date_and_its_zone_with_the_offset_of_that_day() {
        let at = |text: &str, zone: Option<&str>| {
            day_and_time(Time::parse(text).unwrap(), zone, Language::english())
        };
        for (time, zone, text) in [
            (
                "2026-12-12T19:00:00Z",
                Some("Europe/Berlin"),
                "Saturday, 12 December 2026, 20:00 Berlin time (UTC+1)",
            ),
            (
                "2026-07-12T19:00:00Z",
                Some("Europe/Berlin"),
                "Sunday, 12 July 2026, 21:00 Berlin time (UTC+2)",
            ),
            (
                "2026-12-12T19:00:00Z",
                Some("America/Argentina/Buenos_Aires"),
                "Saturday, 12 December 2026, 16:00 Buenos Aires time (UTC−3)",
            ),
            (
                "2026-12-12T19:00:00Z",
                Some("Asia/Kolkata"),
                "Sunday, 13 December 2026, 00:30 Kolkata time (UTC+5:30)",
            ),
            (
                "2026-12-12T19:00:00Z",
                Some("Europe/London"),
                "Saturday, 12 December 2026, 19:00 London time (UTC)",
            ),
            (
                "2026-12-12T19:00:00Z",
                None,
                "Saturday, 12 December 2026, 19:00 UTC",
            ),
        ] {
            assert_eq!(at(time, zone), text);
        }
    }

    #[test]
    fn german_dates_are_written_as_in_german() {
        let german = Language::parse("de").unwrap();
        let start = Time::parse("2026-12-12T19:00:00Z").unwrap();
        let text = day_and_time(start, Some("Europe/Berlin"), german);
        assert_eq!(
            text,
            "Samstag, 12. Dezember 2026, 20:00 Uhr Ortszeit Berlin (UTC+1)"
        );
        let doors = time_of_day(start, "Europe/Berlin", start, german);
        assert_eq!(doors, "20:00 Uhr");
        let short = short_time(start, Some("America/St_Johns"), german);
        assert_eq!(short, "15:30 Uhr (UTC−3:30)");
        assert_eq!(short_time(start, None, Language::english()), "19:00 (UTC)");
    }

    #[test]
    fn doors_on_another_day_say_so() {
        let start = Time::parse("2026-12-12T23:30:00Z").unwrap();
        let doors = Time::parse("2026-12-12T22:30:00Z").unwrap();
        // 00:30 in Berlin, and 23:30 the day before.
        let in_berlin = time_of_day(doors, "Europe/Berlin", start, Language::english());
        assert_eq!(in_berlin, "Saturday, 12 December 2026, 23:30");
        assert_eq!(
            time_of_day(doors, "Europe/London", start, Language::english()),
            "22:30"
        );
        assert_eq!(
            with_offset(start, "Europe/Berlin"),
            "2026-12-13T00:30:00+01:00"
        );
    }
}
