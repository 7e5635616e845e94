//! Organiser keys and roles, and the console's sessions that they open.

use crate::audit::{Entry, Incident};
use crate::crypto::{Secret, hex, random, random_id, same};
use crate::sign_outs::{SignOut, SignOuts};
use crate::time::Time;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// The console's cookie, before `cookie_name`.
pub const COOKIE: &str = "fairline_console";
/// A session whose end lies further away was not opened by one of our nodes.
const SESSION_SECONDS_MAX: u32 = 12 * 3600;
/// Time for which a session lasts: ten minutes less, since the clock of another node may be behind
/// by as much.
pub(super) const SESSION_SECONDS: u32 = SESSION_SECONDS_MAX - 600;

/// Time after which a key that is used from the same address is noted again.
const USE_SECONDS: u32 = 24 * 3600;
/// Largest number of addresses that are remembered for that.
const USES_MAX: usize = 1000;

/// Rights of an organiser. Each role has those of the roles before it, but viewers check no tickets
/// in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Tickets at the door: check them in, count them.
    Door,
    /// Figures.
    Viewer,
    /// Buyers and visitors; pause, rate, message, eject, block, refund.
    Operator,
    /// Create, plan, move, delete.
    Admin,
}

impl Role {
    /// Returns whether this role may do what needs another.
    pub fn may(self, needed: Role) -> bool {
        match needed {
            Role::Door => self != Role::Viewer,
            needed => self >= needed,
        }
    }
}

/// A key that an operator handed out.
#[derive(Clone)]
pub struct Key {
    /// Name of its holder, as it stands in the audit log.
    pub name: String,
    /// Rights that it gives.
    pub role: Role,
    /// The key itself.
    pub key: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:?}, …)", self.name, self.role)
    }
}

/// A key with its id in sessions.
struct IdentifiedKey {
    key: Key,
    id: String,
}

/// All organisers of this installation.
pub struct Organisers {
    /// Locked for a comparison, never across an await.
    keys: RwLock<Vec<IdentifiedKey>>,
    sessions: Secret,
    sign_outs: SignOuts,
    one_time: Mutex<Option<String>>,
    /// The key id of sessions that were opened by a one-time code: they last no longer than the
    /// process that made it.
    one_time_id: String,
    /// When a key was last noted as used, by its id and the address.
    uses: Mutex<HashMap<Use, Time>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Use {
    key: String,
    address: Option<IpAddr>,
}

impl Organisers {
    /// Takes the keys, the secret that signs console sessions, and the sessions that were signed
    /// out.
    pub fn new(keys: Vec<Key>, sessions: Secret, sign_outs: SignOuts) -> Organisers {
        let organisers = Organisers {
            keys: RwLock::default(),
            sessions,
            sign_outs,
            one_time: Mutex::new(None),
            one_time_id: random_id("one-time-"),
            uses: Mutex::default(),
        };
        organisers.replace(keys);
        organisers
    }

    /// Takes other keys in place of those that were known. Sessions of those that are gone end with
    /// them.
    pub fn replace(&self, keys: Vec<Key>) {
        let with_id = |key: Key| IdentifiedKey {
            id: key_id(&self.sessions, &key),
            key,
        };
        *self.keys.write() = keys.into_iter().map(with_id).collect();
    }

    /// Returns the sessions that were signed out.
    pub fn sign_outs(&self) -> &SignOuts {
        &self.sign_outs
    }

    /// Returns a code that signs in one admin once.
    pub fn one_time_code(&self) -> String {
        let code = random_id("");
        *self.one_time.lock() = Some(code.clone());
        code
    }

    /// Returns whether an organiser would still be let in: a session may have ended since, and a
    /// key may have been taken away or have another role.
    pub fn is_still_in(&self, organiser: &Organiser, now: Time) -> bool {
        match &organiser.session {
            Some(session) => self.holder(session, now).is_some(),
            None => self
                .keys
                .read()
                .iter()
                .any(|known| known.id == organiser.key),
        }
    }

    /// Returns whether a key was not used from this address for a day, and remembers that it is
    /// now.
    pub(super) fn is_new_use(&self, organiser: &Organiser, now: Time) -> bool {
        let by = Use {
            key: organiser.key.clone(),
            address: organiser.address,
        };
        let mut uses = self.uses.lock();
        if uses
            .get(&by)
            .is_some_and(|at| at.plus_seconds(USE_SECONDS) > now)
        {
            return false;
        }
        if uses.len() >= USES_MAX {
            uses.clear();
        }
        uses.insert(by, now);
        true
    }

    /// Finds an organiser by key. Every key is compared, so that the time taken does not tell which
    /// was near.
    pub(super) fn by_key(&self, word: &str) -> Option<Organiser> {
        let mut found = None;
        for known in self.keys.read().iter() {
            if same(&known.key.key, word) {
                found = Some(Organiser::holding(known));
            }
        }
        found
    }

    pub(super) fn by_code(&self, code: &str) -> Option<Organiser> {
        let mut kept = self.one_time.lock();
        let is_right = kept.as_ref().is_some_and(|kept| same(kept, code));
        is_right.then(|| {
            *kept = None;
            self.with_one_time_code()
        })
    }

    fn with_one_time_code(&self) -> Organiser {
        Organiser {
            name: "one-time link".to_owned(),
            role: Role::Admin,
            key: self.one_time_id.clone(),
            session: None,
            address: None,
        }
    }

    pub(super) fn by_session(&self, word: &str, now: Time) -> Option<Organiser> {
        let session = self.read(word, now)?;
        let holder = self.holder(&session, now)?;
        Some(Organiser {
            session: Some(session),
            ..holder
        })
    }

    /// Reads a session, if one of our nodes signed it and it has not ended.
    pub(super) fn read(&self, word: &str, now: Time) -> Option<Session> {
        let message = self.sessions.unseal(word)?;
        let session: Session = serde_json::from_slice(&message).ok()?;
        session.is_running(now).then_some(session)
    }

    /// Returns the holder of a session by the keys as they are set now; none where it ended, was
    /// signed out, or its key was taken away.
    fn holder(&self, session: &Session, now: Time) -> Option<Organiser> {
        if !session.is_running(now) || self.sign_outs.contains(&session.sign_out()) {
            return None;
        }
        if session.key == self.one_time_id {
            return Some(self.with_one_time_code());
        }
        let keys = self.keys.read();
        let known = keys.iter().find(|known| known.id == session.key)?;
        Some(Organiser::holding(known))
    }

    /// Returns a new signed session of an organiser's key. It ends after all sessions of the key
    /// that were signed out together.
    pub(super) fn open(&self, organiser: &Organiser, now: Time) -> String {
        let key = &organiser.key;
        let after = self.sign_outs.ended_until(key);
        let earliest = after.map_or(now, |end| Time(end.0 + 1));
        let session = Session {
            id: hex(&random::<16>()),
            key: key.clone(),
            expires_at: now.plus_seconds(SESSION_SECONDS).max(earliest),
        };
        let message = serde_json::to_vec(&session).expect("a session is plain data");
        self.sessions.seal(&message)
    }
}

/// Returns the identity of the key that a session is bound to. It is signed, so that a session does
/// not help its bearer to guess the key.
fn key_id(sessions: &Secret, key: &Key) -> String {
    let named = format!("key\n{}", key.key);
    hex(&sessions.sign(named.as_bytes())[..16])
}

/// A session of the console, as its cookie carries it. Name and role are those of the key at the
/// time of each request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    id: String,
    key: String,
    expires_at: Time,
}

impl Session {
    fn is_running(&self, now: Time) -> bool {
        self.expires_at > now && self.expires_at <= now.plus_seconds(SESSION_SECONDS_MAX)
    }

    pub(super) fn sign_out(&self) -> SignOut {
        SignOut {
            key: self.key.clone(),
            id: Some(self.id.clone()),
            expires_at: self.expires_at,
        }
    }
}

/// The organiser who asks, as a handler's argument. Whoever gets one has at least the role that the
/// OpenAPI document states for the operation.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Organiser {
    /// The key's name.
    pub name: String,
    /// Rights of the organiser.
    pub role: Role,
    /// The id of the key.
    #[serde(skip)]
    key: String,
    /// The session that the request came by, if it did.
    #[serde(skip)]
    session: Option<Session>,
    /// Address that the request counts for.
    #[serde(skip)]
    address: Option<IpAddr>,
}

impl Organiser {
    fn holding(known: &IdentifiedKey) -> Organiser {
        Organiser {
            name: known.key.name.clone(),
            role: known.key.role,
            key: known.id.clone(),
            session: None,
            address: None,
        }
    }

    /// Returns this organiser, as one whose request counts for an address.
    pub(super) fn at(mut self, address: Option<IpAddr>) -> Organiser {
        self.address = address;
        self
    }

    /// Returns an incident for the audit log.
    pub(super) fn incident(&self, action: &'static str) -> Incident {
        Incident {
            action,
            by: self.name.clone(),
            address: self.address,
            about: serde_json::Value::Null,
        }
    }

    /// Returns an entry for the audit log.
    pub fn entry(&self, now: Time, action: &str, event: &str) -> Entry {
        Entry {
            at: now,
            by: self.name.clone(),
            action: action.to_owned(),
            event: event.to_owned(),
            address: self.address,
            from: serde_json::Value::Null,
            to: serde_json::Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Clock;

    #[test]
    fn a_session_holds_at_nodes_whose_clocks_are_five_minutes_off_and_for_no_more_than_twelve_hours()
     {
        let now = Time(1_800_000_000_000);
        let key = Key {
            name: "desk".to_owned(),
            role: Role::Operator,
            key: "desk-organiser-key".to_owned(),
        };
        let sign_outs = SignOuts::in_memory(Clock::manual(now));
        let secret = Secret::derive(b"test", "console");
        let organisers = Organisers::new(vec![key], secret, sign_outs);
        let desk = organisers.by_key("desk-organiser-key").unwrap();
        let word = organisers.open(&desk, now);
        let at = |seconds: i64| organisers.by_session(&word, Time(now.0 + seconds * 1000));
        for seconds in [-300, 0, 300, 11 * 3600] {
            assert_eq!(at(seconds).unwrap().name, "desk", "{seconds}");
        }
        for seconds in [-601, 12 * 3600] {
            assert!(at(seconds).is_none(), "{seconds}");
        }
    }
}
