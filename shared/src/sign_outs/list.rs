//! The list of signed-out sessions. Nothing is ever dropped from it for lack of room: one entry can
//! stand for all sessions of a key so far, so that a key which signs out again and again ends its
//! own sessions and those of no other.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Largest number of sign-outs that are kept. They fit into one answer of the waiting room to a
/// checkout.
pub const SIGN_OUTS_MAX: usize = 5000;
/// Largest number of single sessions of one key. Beyond it one entry stands for all sessions of the
/// key so far.
pub const SIGN_OUTS_PER_KEY_MAX: usize = 100;
/// Time for which a sign-out is kept beyond the end of its session, for nodes whose clocks differ.
pub const KEPT_SECONDS: u32 = 3600;
/// Length of a session's id: 16 bytes as hex.
const ID_LENGTH: usize = 32;
/// Largest length of a key's id.
const KEY_LENGTH_MAX: usize = 64;

/// A session that was signed out, or all sessions of a key up to one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignOut {
    /// The id of the key that opened the session. It opens nothing by itself.
    pub key: String,
    /// The id of the session; none: all sessions of the key that end no later. It opens nothing by
    /// itself.
    pub id: Option<String>,
    /// Time at which the session would have ended. All sessions are equally long, so this also
    /// tells when it was opened.
    pub expires_at: Time,
}

/// All sign-outs that are known.
#[derive(Default)]
pub(super) struct List {
    keys: HashMap<String, OfKey>,
    version: u64,
}

/// The signed-out sessions of one key.
#[derive(Default)]
struct OfKey {
    /// All sessions of the key that end no later are signed out.
    until: Option<Time>,
    /// The ends of the others that are, by their ids.
    sessions: HashMap<String, Time>,
}

impl OfKey {
    fn len(&self) -> usize {
        self.sessions.len() + usize::from(self.until.is_some())
    }

    fn is_ended_until(&self, end: Time) -> bool {
        self.until.is_some_and(|until| until >= end)
    }

    fn end_until(&mut self, end: Time) {
        self.until = self.until.max(Some(end));
        self.sessions.retain(|_, other| *other > end);
    }

    /// Replaces all entries by one that stands for them, and for the sessions between them.
    fn shorten(&mut self) {
        if let Some(end) = self.sessions.values().max().copied() {
            tracing::warn!(
                "many sessions of one organiser key were signed out: all of its sessions so far are"
            );
            self.end_until(end);
        }
    }
}

impl List {
    /// Rises with every change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Returns the end of the last session of a key that ended with all those before it.
    pub(super) fn ended_until(&self, key: &str) -> Option<Time> {
        self.keys.get(key)?.until
    }

    /// Returns the entry by which this one is signed out: itself, or one for all sessions of its
    /// key.
    pub(super) fn covering(&self, sign_out: &SignOut) -> Option<SignOut> {
        let of_key = self.keys.get(&sign_out.key)?;
        if of_key.is_ended_until(sign_out.expires_at) {
            return Some(SignOut {
                key: sign_out.key.clone(),
                id: None,
                expires_at: of_key.until?,
            });
        }
        let id = sign_out.id.as_ref()?;
        of_key.sessions.contains_key(id).then(|| sign_out.clone())
    }

    pub(super) fn entries(&self) -> Vec<SignOut> {
        let of_one = |(key, of_key): (&String, &OfKey)| {
            let until = of_key.until.map(|end| (None, end));
            let sessions = of_key.sessions.iter();
            let sessions = sessions.map(|(id, end)| (Some(id.clone()), *end));
            let entry = |(id, expires_at)| SignOut {
                key: key.clone(),
                id,
                expires_at,
            };
            until
                .into_iter()
                .chain(sessions)
                .map(entry)
                .collect::<Vec<_>>()
        };
        self.keys.iter().flat_map(of_one).collect()
    }

    /// Adds new entries and drops outdated ones. Returns whether anything was new.
    pub(super) fn merge(&mut self, list: impl IntoIterator<Item = SignOut>, now: Time) -> bool {
        let is_kept = |end: Time| end.plus_seconds(KEPT_SECONDS) > now;
        for of_key in self.keys.values_mut() {
            of_key.until = of_key.until.filter(|end| is_kept(*end));
            of_key.sessions.retain(|_, end| is_kept(*end));
        }
        self.keys.retain(|_, of_key| of_key.len() > 0);
        let before = self.version;
        for sign_out in list {
            if is_kept(sign_out.expires_at) && is_sound(&sign_out) {
                self.insert(sign_out);
            }
        }
        self.shorten();
        self.version > before
    }

    fn insert(&mut self, sign_out: SignOut) {
        let has_room = self.keys.len() < SIGN_OUTS_MAX || self.keys.contains_key(&sign_out.key);
        if !has_room || self.covering(&sign_out).is_some() {
            return;
        }
        self.version += 1;
        let of_key = self.keys.entry(sign_out.key).or_default();
        match sign_out.id {
            Some(id) => {
                of_key.sessions.insert(id, sign_out.expires_at);
            }
            None => of_key.end_until(sign_out.expires_at),
        }
        if of_key.sessions.len() > SIGN_OUTS_PER_KEY_MAX {
            of_key.shorten();
        }
    }

    /// Shortens the longest lists of a key until all of them together are short enough. There are
    /// no more keys than entries.
    fn shorten(&mut self) {
        let mut count: usize = self.keys.values().map(OfKey::len).sum();
        while count > SIGN_OUTS_MAX {
            let longest = self.keys.values_mut().max_by_key(|of_key| of_key.len());
            let Some(longest) = longest.filter(|of_key| of_key.len() > 1) else {
                return;
            };
            count -= longest.len() - 1;
            longest.shorten();
            self.version += 1;
        }
    }
}

fn is_sound(sign_out: &SignOut) -> bool {
    let is_key = (1..=KEY_LENGTH_MAX).contains(&sign_out.key.len());
    let is_id = sign_out.id.as_ref().is_none_or(|id| id.len() == ID_LENGTH);
    is_key && is_id
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn sign_out(key: usize, at: usize) -> SignOut {
        SignOut {
            key: format!("key-{key}"),
            id: Some(format!("{at:032x}")),
            expires_at: NOW.plus_seconds(3600 + u32::try_from(at).unwrap()),
        }
    }

    #[test]
    fn a_key_that_signs_out_without_end_ends_its_own_sessions_and_crowds_out_no_others() {
        let mut list = List::default();
        assert!(list.merge([sign_out(1, 7)], NOW));
        for at in 0..3 * SIGN_OUTS_MAX {
            assert!(list.merge([sign_out(2, at)], NOW));
            assert!(list.covering(&sign_out(2, at)).is_some());
            assert!(list.entries().len() <= SIGN_OUTS_PER_KEY_MAX + 2);
        }
        for at in 0..3 * SIGN_OUTS_MAX {
            assert!(list.covering(&sign_out(2, at)).is_some(), "{at}");
        }
        assert_eq!(list.covering(&sign_out(2, 3 * SIGN_OUTS_MAX)), None);
        assert_eq!(list.covering(&sign_out(1, 7)), Some(sign_out(1, 7)));
        assert_eq!(list.covering(&sign_out(1, 6)), None);
    }

    #[test]
    fn lists_agree_in_whatever_order_they_learn() {
        let most = SIGN_OUTS_PER_KEY_MAX;
        let (mut one, mut two) = (List::default(), List::default());
        one.merge((0..=most).map(|at| sign_out(1, at)), NOW);
        two.merge((most / 2..most / 2 + 90).map(|at| sign_out(1, at)), NOW);
        let (from_one, from_two) = (one.entries(), two.entries());
        assert!(two.merge(from_one.clone(), NOW));
        one.merge(from_two, NOW);
        let sorted = |list: &List| {
            let mut entries = list.entries();
            entries.sort_by_key(|entry| entry.expires_at);
            entries
        };
        assert_eq!(sorted(&one), sorted(&two));
        assert!(!two.merge(from_one, NOW), "nothing new");
    }

    #[test]
    fn all_keys_together_have_a_bound_beyond_which_the_busiest_give_way() {
        let mut list = List::default();
        let keys = SIGN_OUTS_MAX / SIGN_OUTS_PER_KEY_MAX + 5;
        for key in 0..keys {
            list.merge((0..SIGN_OUTS_PER_KEY_MAX).map(|at| sign_out(key, at)), NOW);
        }
        list.merge([sign_out(keys, 1)], NOW);
        assert!(list.entries().len() <= SIGN_OUTS_MAX);
        for key in 0..keys {
            for at in 0..SIGN_OUTS_PER_KEY_MAX {
                assert!(list.covering(&sign_out(key, at)).is_some());
            }
        }
        assert_eq!(list.covering(&sign_out(keys, 0)), None);
        // Even of as many keys as entries, and of those that another node tells all at once.
        list.merge((0..SIGN_OUTS_MAX + 10).map(|key| sign_out(key, 200)), NOW);
        assert!(list.entries().len() <= SIGN_OUTS_MAX);
    }
}
