//! An event in words: its name, date, doors and venue, for mails and tickets.

use crate::waiting_room::EventFacts;
use shared::event_details::{EventDetails, day_and_time, time_of_day};
use shared::texts::Language;

/// Returns what the event is, when and where, each with its name, first that of the event itself; the
/// name of a subtitle is empty.
pub(crate) fn facts_of(event: &EventFacts, language: Language) -> Vec<(String, String)> {
    let name = |key: &str| language.phrase(key, &[]);
    let mut facts = vec![(name("ticket.event"), event.name.clone())];
    let Some(details) = &event.details else {
        return facts;
    };
    let zone = details.time_zone.as_deref();
    if let Some(subtitle) = &details.subtitle {
        facts.push((String::new(), subtitle.clone()));
    }
    if let Some(start) = details.starts_at {
        facts.push((name("ticket.date"), day_and_time(start, zone, language)));
        let doors = details.doors_at.zip(zone);
        let doors = doors.map(|(doors, zone)| time_of_day(doors, zone, start, language));
        facts.extend(doors.map(|doors| (name("ticket.doors"), doors)));
    }
    facts.extend(venue(details).map(|venue| (name("ticket.venue"), venue)));
    facts
}

/// Returns the venue with its address.
pub(crate) fn venue(details: &EventDetails) -> Option<String> {
    let venue = details.venue.as_ref()?;
    let parts = [Some(venue.name.as_str()), venue.address.as_deref()];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    Some(parts.join(", "))
}

/// Returns the organiser's links, each with its name.
pub(crate) fn links_of(event: &EventFacts, language: Language) -> Vec<(String, &str)> {
    let links = event.details.iter().flat_map(|details| details.links.all());
    let named = links.filter_map(|(name, link)| {
        let name = language.phrase(&format!("event.links.{name}"), &[]);
        Some((name, link?))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_told_in_german() {
        let german = Language::parse("de").unwrap();
        let details = json!({"starts_at": "2027-03-20T19:00:00Z",
            "doors_at": "2027-03-20T18:00:00Z", "time_zone": "Europe/Berlin", "venue": {"name": "Halle"},
            "links": {"terms": "https://tickets.example/agb"}});
        let event = EventFacts {
            name: "Abend".to_owned(),
            details: serde_json::from_value(details).unwrap(),
        };
        let facts = facts_of(&event, german);
        let facts: Vec<String> = facts
            .iter()
            .map(|it| format!("{}: {}", it.0, it.1))
            .collect();
        assert_eq!(
            facts,
            [
                "Veranstaltung: Abend",
                "Termin: Samstag, 20. März 2027, 20:00 Uhr Ortszeit Berlin (UTC+1)",
                "Einlass: 19:00 Uhr",
                "Ort: Halle"
            ]
        );
        let links = links_of(&event, german);
        assert_eq!(links, [("AGB".to_owned(), "https://tickets.example/agb")]);
    }
}
