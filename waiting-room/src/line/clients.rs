//! Clients of one admission: how many browsers and programs use it, so that one place in line is
//! one person's.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use shared::crypto::{encode, random};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::collections::HashMap;

/// Time after which a client gets another word, in ms. Whoever copied the old one is a client of
/// their own from then on.
const ROTATION_MS: i64 = 60_000;
/// Time for which the word before still counts, in ms: a page is many requests at once.
const OVERLAP_MS: i64 = 30_000;
/// Largest number of prints of one client between two rotations. Phones change their address, but
/// not that often.
const PRINTS_MAX: usize = 8;
/// Largest number of refused prints that are told apart.
const REFUSED_MAX: usize = 100;
/// Largest number of admissions of an event whose clients are kept in memory.
const ADMISSIONS_MAX: usize = 50_000;
/// Largest number of shared admissions of an event that are listed.
pub const SHARED_MAX: usize = 1_000;

/// The clients of one admission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Number of the place that was admitted.
    number: u64,
    clients: Vec<Client>,
    /// Prints of those who were refused.
    refused: Vec<u64>,
}

/// A browser or program that uses the admission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Client {
    /// Content of its cookie.
    word: String,
    /// Content before the last rotation.
    before: Option<String>,
    /// Time of the last rotation.
    rotated_at: Time,
    /// Start of the time in which the prints were seen.
    since: Time,
    prints: Vec<u64>,
}

/// What a request shows of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Content of the cookie that tells clients apart.
    pub word: Option<String>,
    /// Hash of the address and of what the client calls itself: tells apart those without the
    /// cookie.
    pub print: u64,
    /// Whether the response can set the cookie.
    pub can_set_cookie: bool,
}

/// Whether a client may use an admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// It may, and gets this cookie, if any.
    Passes(Option<String>),
    /// Too many others do.
    Refused,
}

/// An admission that several clients use, for the organiser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SharedAdmission {
    /// The visitor.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// Their number in line.
    pub number: u64,
    /// Number of clients that passed.
    pub clients: usize,
    /// Number of clients that were refused, at most 100.
    pub refused: usize,
    /// End of the admission.
    pub expires_at: Time,
}

impl Clients {
    /// Returns the clients of the admission of this number, without those of an earlier one of the
    /// same visitor.
    pub fn of(known: Option<&Clients>, number: u64) -> Clients {
        let known = known.filter(|known| known.number == number).cloned();
        known.unwrap_or(Clients {
            number,
            ..Clients::default()
        })
    }

    /// Decides about a request: of a client that is known by its cookie, or else by its print, or
    /// of a new one of at most `clients_max`.
    pub fn visit(&mut self, seen: &Sighting, now: Time, clients_max: usize) -> Visit {
        let by_word = |client: &Client| seen.word.as_ref().is_some_and(|it| client.knows(it, now));
        let by_print = |client: &Client| client.prints.contains(&seen.print);
        let known = self.clients.iter().position(by_word);
        let known = known.or_else(|| self.clients.iter().position(by_print));
        match known {
            Some(at) if self.clients[at].note(seen.print, now) => {
                Visit::Passes(self.clients[at].cookie(seen, now))
            }
            None if self.clients.len() < clients_max => {
                let client = Client::new(seen.print, now);
                let cookie = seen.can_set_cookie.then(|| client.word.clone());
                self.clients.push(client);
                Visit::Passes(cookie)
            }
            _ => {
                if self.refused.len() < REFUSED_MAX && !self.refused.contains(&seen.print) {
                    self.refused.push(seen.print);
                }
                Visit::Refused
            }
        }
    }

    /// Returns the admission as an organiser sees it, if it is shared.
    pub fn shared(&self, visitor: VisitorId, expires_at: Time) -> Option<SharedAdmission> {
        let is_shared = self.clients.len() > 1 || !self.refused.is_empty();
        is_shared.then_some(SharedAdmission {
            visitor,
            number: self.number,
            clients: self.clients.len(),
            refused: self.refused.len(),
            expires_at,
        })
    }
}

impl Client {
    fn new(print: u64, now: Time) -> Client {
        Client {
            word: new_word(),
            before: None,
            rotated_at: now,
            since: now,
            prints: vec![print],
        }
    }

    fn knows(&self, word: &str, now: Time) -> bool {
        let is_before = self.before.as_deref() == Some(word);
        self.word == word || is_before && now.0 - self.rotated_at.0 < OVERLAP_MS
    }

    /// Records where the client is. Returns false if it is in too many places for one.
    fn note(&mut self, print: u64, now: Time) -> bool {
        if now.0 - self.since.0 >= ROTATION_MS {
            self.since = now;
            self.prints = vec![print];
        }
        if self.prints.contains(&print) {
            return true;
        }
        let has_room = self.prints.len() < PRINTS_MAX;
        if has_room {
            self.prints.push(print);
        }
        has_room
    }

    /// Returns the cookie to set: another word after a while, or the one it does not have.
    fn cookie(&mut self, seen: &Sighting, now: Time) -> Option<String> {
        if !seen.can_set_cookie {
            return None;
        }
        if now.0 - self.rotated_at.0 >= ROTATION_MS {
            self.before = Some(std::mem::replace(&mut self.word, new_word()));
            self.rotated_at = now;
        }
        (seen.word.as_ref() != Some(&self.word)).then(|| self.word.clone())
    }
}

fn new_word() -> String {
    encode(&random::<16>())
}

/// The clients of all admissions of this process, lost when it ends: a client is then counted anew.
#[derive(Default)]
pub(super) struct ClientTable(Mutex<HashMap<EventId, HashMap<VisitorId, Kept>>>);

struct Kept {
    clients: Clients,
    until: Time,
}

impl ClientTable {
    pub(super) fn get(&self, event: &EventId, visitor: VisitorId) -> Option<Clients> {
        let events = self.0.lock();
        let kept = events.get(event)?.get(&visitor)?;
        Some(kept.clients.clone())
    }

    /// See `Line::set_clients`.
    pub(super) fn set(&self, event: &EventId, change: &ClientChange<'_>, now: Time) -> bool {
        let mut events = self.0.lock();
        let event = events.entry(event.clone()).or_default();
        if event.len() >= ADMISSIONS_MAX && !event.contains_key(&change.visitor) {
            event.retain(|_, kept| kept.until > now);
            if event.len() >= ADMISSIONS_MAX {
                return true;
            }
        }
        if event.get(&change.visitor).map(|kept| &kept.clients) != change.before {
            return false;
        }
        let kept = Kept {
            clients: change.after.clone(),
            until: change.until,
        };
        event.insert(change.visitor, kept);
        true
    }

    pub(super) fn shared(&self, event: &EventId, now: Time) -> Vec<SharedAdmission> {
        let events = self.0.lock();
        let kept = events.get(event).into_iter().flatten();
        kept.filter(|(_, kept)| kept.until > now)
            .filter_map(|(visitor, kept)| kept.clients.shared(*visitor, kept.until))
            .take(SHARED_MAX)
            .collect()
    }

    pub(super) fn forget(&self, event: &EventId) {
        self.0.lock().remove(event);
    }
}

/// A change of the clients of one admission.
pub struct ClientChange<'a> {
    /// The visitor who was admitted.
    pub visitor: VisitorId,
    /// What was stored.
    pub before: Option<&'a Clients>,
    /// What is to be stored.
    pub after: &'a Clients,
    /// End of the admission.
    pub until: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_800_000_000_000);

    fn later(ms: i64) -> Time {
        Time(START.0 + ms)
    }

    fn seen(word: Option<&str>, print: u64) -> Sighting {
        Sighting {
            word: word.map(str::to_owned),
            print,
            can_set_cookie: true,
        }
    }

    fn passes(visit: Visit) -> Option<String> {
        match visit {
            Visit::Passes(cookie) => cookie,
            Visit::Refused => panic!("refused"),
        }
    }

    #[test]
    fn as_many_clients_pass_as_the_limit_and_the_first_goes_on() {
        let mut clients = Clients::of(None, 7);
        let word = passes(clients.visit(&seen(None, 1), START, 2)).unwrap();
        passes(clients.visit(&seen(None, 2), START, 2)).unwrap();
        for print in [3, 4, 4, 3] {
            let visit = clients.visit(&seen(None, print), START, 2);
            assert_eq!(visit, Visit::Refused);
        }
        assert_eq!(passes(clients.visit(&seen(Some(&word), 5), START, 2)), None);
        let again = passes(clients.visit(&seen(None, 1), START, 2));
        assert_eq!(again.as_ref(), Some(&word), "its cookie was lost");
        let shared = clients.shared(VisitorId(1), later(1)).unwrap();
        assert_eq!((shared.clients, shared.refused), (2, 2));
        let other = Clients::of(Some(&clients), 8);
        assert_eq!(
            other.shared(VisitorId(1), later(1)),
            None,
            "another admission"
        );
    }

    #[test]
    fn a_copied_cookie_is_of_another_client_once_it_was_rotated() {
        let mut clients = Clients::of(None, 7);
        let copied = passes(clients.visit(&seen(None, 1), START, 1)).unwrap();
        let mut quiet = seen(Some(&copied), 1);
        quiet.can_set_cookie = false;
        let at = later(ROTATION_MS);
        assert_eq!(passes(clients.visit(&quiet, at, 1)), None);
        let new = passes(clients.visit(&seen(Some(&copied), 1), at, 1)).unwrap();
        assert_ne!(new, copied);
        let overlap = later(ROTATION_MS + OVERLAP_MS - 1);
        passes(clients.visit(&seen(Some(&copied), 2), overlap, 1));
        let over = later(ROTATION_MS + OVERLAP_MS);
        let visit = clients.visit(&seen(Some(&copied), 3), over, 1);
        assert_eq!(visit, Visit::Refused);
        assert_eq!(passes(clients.visit(&seen(Some(&new), 4), over, 1)), None);
    }

    #[test]
    fn one_cookie_is_not_in_any_number_of_places_at_once() {
        let mut clients = Clients::of(None, 7);
        let word = passes(clients.visit(&seen(None, 0), START, 1)).unwrap();
        let places = PRINTS_MAX as u64;
        for print in 1..places {
            passes(clients.visit(&seen(Some(&word), print), START, 1));
        }
        let visit = clients.visit(&seen(Some(&word), places), START, 1);
        assert_eq!(visit, Visit::Refused);
        passes(clients.visit(&seen(Some(&word), places), later(ROTATION_MS), 1));
    }

    #[test]
    fn memory_keeps_no_more_admissions_than_the_limit_and_forgets_ended_ones() {
        let table = ClientTable::default();
        let event = EventId::parse("night").unwrap();
        let clients = Clients::of(None, 7);
        let set = |visitor, until| {
            let change = ClientChange {
                visitor: VisitorId(visitor),
                before: None,
                after: &clients,
                until,
            };
            table.set(&event, &change, START)
        };
        assert!(set(0, later(1)));
        assert!(!set(0, later(1)), "changed in the meantime");
        for visitor in 1..ADMISSIONS_MAX as u128 {
            assert!(set(visitor, if visitor == 1 { START } else { later(1) }));
        }
        let last = ADMISSIONS_MAX as u128;
        assert!(set(last, later(1)), "takes the room of the one that ended");
        assert!(set(last + 1, later(1)));
        assert!(table.get(&event, VisitorId(last)).is_some());
        assert!(table.get(&event, VisitorId(last + 1)).is_none());
    }
}
