//! An event in words: its name, date, doors and venue, for mails and tickets.

use crate::waiting_room::EventFacts;
use shared::event_details::{EventDetails, day_and_time, time_of_day};

/// Returns what the event is, when and where, each with its name; that of a subtitle is empty.
pub(crate) fn facts_of(event: &EventFacts) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Event", event.name.clone())];
    let Some(details) = &event.details else {
        return facts;
    };
    let zone = details.time_zone.as_deref();
    if let Some(subtitle) = &details.subtitle {
        facts.push(("", subtitle.clone()));
    }
    if let Some(start) = details.starts_at {
        facts.push(("Date", day_and_time(start, zone)));
        let doors = details.doors_at.zip(zone);
        let doors = doors.map(|(doors, zone)| time_of_day(doors, zone, start));
        facts.extend(doors.map(|doors| ("Doors", doors)));
    }
    facts.extend(venue(details).map(|venue| ("Venue", venue)));
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
pub(crate) fn links_of(event: &EventFacts) -> Vec<(String, &str)> {
    let links = event.details.iter().flat_map(|details| details.links.all());
    let named = links.filter_map(|(name, link)| Some((capitalised(name), link?)));
    named.collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first: Option<String> = letters.next().map(|first| first.to_uppercase().collect());
    first.unwrap_or_default() + letters.as_str()
}
