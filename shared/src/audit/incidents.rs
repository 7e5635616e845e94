//! Sign-ins, refusals and the like for the audit log, which strangers can cause without end: the
//! first ones get an entry each, further ones are summed up.

use super::entry::Entry;
use crate::time::Time;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;

/// Number of entries of one kind that are written at once.
const BURST: u32 = 20;
/// Time after which one more may be written. Four days of them are less than the entries that are
/// kept for reading.
const REFILL_SECONDS: u32 = 300;
/// Largest number of addresses that a summary names.
const ADDRESSES_MAX: usize = 10;
/// Largest number of kinds: five for each key.
const KINDS_MAX: usize = 1000;

/// Something that happened at the door.
#[derive(Clone, Debug)]
pub struct Incident {
    /// The action, for example `session.open`.
    pub action: &'static str,
    /// The name of the organiser key; empty for strangers.
    pub by: String,
    /// Address that the request counts for.
    pub address: Option<IpAddr>,
    /// What it was about. A summary leaves it out.
    pub about: Value,
}

/// Counts of all kinds.
#[derive(Default)]
pub(super) struct Incidents(HashMap<(&'static str, String), IncidentCounter>);

/// Incidents of one action and name.
struct IncidentCounter {
    /// Number of entries that may be written now.
    allowed: u32,
    /// Time since which `allowed` grows.
    since: Time,
    waiting: Option<Summary>,
}

/// Incidents that have no entry yet.
struct Summary {
    count: u64,
    since: Time,
    addresses: Vec<IpAddr>,
    has_more_addresses: bool,
}

impl Incidents {
    /// Takes an incident, and returns the entry to write, if it is time for one.
    pub(super) fn note(&mut self, incident: Incident, now: Time) -> Option<Entry> {
        let Incident { action, by, .. } = &incident;
        let key = (*action, by.clone());
        if self.0.len() >= KINDS_MAX && !self.0.contains_key(&key) {
            return None;
        }
        let kind = self.0.entry(key).or_insert(IncidentCounter {
            allowed: BURST,
            since: now,
            waiting: None,
        });
        if kind.waiting.is_none() && kind.take(now) {
            return Some(single(incident, now));
        }
        let waiting = kind.waiting.get_or_insert_with(|| Summary::new(now));
        waiting.add(incident.address);
        None
    }

    /// Returns the summaries to write: those whose time has come, or at the end of the process all.
    pub(super) fn due(&mut self, now: Time, is_last: bool) -> Vec<Entry> {
        let mut due = Vec::new();
        for ((action, by), kind) in &mut self.0 {
            if kind.waiting.is_some() && (kind.take(now) || is_last) {
                let summary = kind.waiting.take();
                due.extend(summary.map(|summary| summary.entry(action, by, now)));
            }
        }
        // A kind that is as it was at first needs no memory.
        self.0
            .retain(|_, kind| kind.waiting.is_some() || kind.refill(now) < BURST);
        due
    }
}

impl IncidentCounter {
    fn refill(&mut self, now: Time) -> u32 {
        let passed_ms = now.0.saturating_sub(self.since.0).max(0);
        let more = passed_ms / (i64::from(REFILL_SECONDS) * 1000);
        let more = u32::try_from(more).unwrap_or(BURST);
        if more > 0 || now < self.since {
            self.allowed = self.allowed.saturating_add(more).min(BURST);
            self.since = now;
        }
        self.allowed
    }

    fn take(&mut self, now: Time) -> bool {
        if self.allowed == BURST {
            self.since = now;
        }
        let is_allowed = self.refill(now) > 0;
        self.allowed -= u32::from(is_allowed);
        is_allowed
    }
}

impl Summary {
    fn new(now: Time) -> Summary {
        Summary {
            count: 0,
            since: now,
            addresses: Vec::new(),
            has_more_addresses: false,
        }
    }

    fn add(&mut self, address: Option<IpAddr>) {
        self.count += 1;
        let Some(address) = address.filter(|address| !self.addresses.contains(address)) else {
            return;
        };
        if self.addresses.len() < ADDRESSES_MAX {
            self.addresses.push(address);
        } else {
            self.has_more_addresses = true;
        }
    }

    fn entry(self, action: &str, by: &str, now: Time) -> Entry {
        let is_one = self.addresses.len() == 1;
        Entry {
            at: now,
            by: by.to_owned(),
            action: action.to_owned(),
            event: String::new(),
            address: self.addresses.first().copied().filter(|_| is_one),
            from: Value::Null,
            to: json!({
                "count": self.count,
                "since": self.since,
                "addresses": self.addresses,
                "has_more_addresses": self.has_more_addresses,
            }),
        }
    }
}

fn single(incident: Incident, now: Time) -> Entry {
    Entry {
        at: now,
        by: incident.by,
        action: incident.action.to_owned(),
        event: String::new(),
        address: incident.address,
        from: Value::Null,
        to: incident.about,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn wrong(last: u8) -> Incident {
        Incident {
            action: "key.wrong",
            by: String::new(),
            address: Some(IpAddr::from([203, 0, 113, last])),
            about: Value::Null,
        }
    }

    #[test]
    fn a_flood_is_summed_up_and_four_days_of_it_leave_room_for_changes() {
        let mut incidents = Incidents::default();
        let mut written = 0;
        for second in 0..4 * 24 * 3600 {
            let now = NOW.plus_seconds(second);
            for last in 0..3 {
                written += incidents.note(wrong(last), now).into_iter().count();
            }
            if second % 30 == 0 {
                written += incidents.due(now, false).len();
            }
        }
        assert!((1000..1200).contains(&written), "{written}");
        assert!(written * 5 < crate::audit::ENTRIES_MAX);
    }

    #[test]
    fn no_incident_is_missing_in_the_sums_and_the_last_ones_are_written_at_the_end() {
        let mut incidents = Incidents::default();
        let mut singles = 0;
        for at in 0..1802 {
            let last = u8::try_from(at % 25).unwrap();
            singles += incidents.note(wrong(last), NOW).into_iter().count();
        }
        assert_eq!(singles, 20);
        assert!(incidents.due(NOW, false).is_empty());
        let due = incidents.due(NOW, true);
        assert_eq!((due.len(), &due[0].to["count"]), (1, &json!(1782)));
        assert_eq!(due[0].to["addresses"].as_array().unwrap().len(), 10);
        assert_eq!(due[0].to["has_more_addresses"], true);
        assert!(incidents.due(NOW, true).is_empty());
    }

    #[test]
    fn one_kind_of_flood_hides_no_other_and_kinds_are_forgotten_and_bounded() {
        let mut incidents = Incidents::default();
        for _ in 0..100 {
            incidents.note(wrong(1), NOW);
        }
        let sign_in = Incident {
            action: "session.open",
            by: "desk".to_owned(),
            ..wrong(2)
        };
        assert_eq!(incidents.note(sign_in, NOW).unwrap().by, "desk");
        for name in 0..2 * KINDS_MAX {
            let by = name.to_string();
            incidents.note(Incident { by, ..wrong(1) }, NOW);
        }
        assert_eq!(incidents.0.len(), KINDS_MAX);
        let later = NOW.plus_seconds(24 * 3600);
        assert_eq!(incidents.due(later, false).len(), 1);
        incidents.due(later.plus_seconds(24 * 3600), false);
        assert_eq!(incidents.0.len(), 0);
    }
}
