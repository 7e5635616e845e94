//! The line as the store has it: what an operator would read from the keys.

use crate::line::hearing::Hearing;
use shared::ids::VisitorId;
use shared::time::Time;
use simulation::{Database, SortedSet, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredSlot {
    /// None if the store has lost who it is.
    pub(super) visitor: Option<VisitorId>,
    pub(super) admitted_at: i64,
    pub(super) claim_by: i64,
    pub(super) expires_at: i64,
    pub(super) is_shopping: bool,
}

impl StoredSlot {
    fn lapses_at(&self) -> i64 {
        if self.is_shopping {
            self.expires_at
        } else {
            self.claim_by
        }
    }
}

/// The line of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) numbers: u64,
    /// The highest number that was known when data was lost.
    pub(super) known: u64,
    /// The numbers in the bitmap.
    pub(super) waiting: BTreeSet<u64>,
    /// The sorted set of those who wait.
    pub(super) members: BTreeMap<u64, VisitorId>,
    /// Visitors of numbers that wait no more.
    pub(super) past: BTreeMap<u64, VisitorId>,
    pub(super) inside: BTreeMap<u64, StoredSlot>,
    /// Scores of the sorted set of slots.
    pub(super) lapses: Vec<i64>,
    /// Waiting numbers whose socket a node holds.
    pub(super) held: BTreeSet<u64>,
    /// The counters: waiting, admitted, shopping, connected.
    pub(super) counters: [i64; 4],
    pub(super) rate: i64,
    pub(super) batch_ms: i64,
    pub(super) max_active: i64,
    pub(super) is_paused: bool,
    pub(super) draw: i64,
    /// The store lost data, and the nodes have not all reported yet.
    pub(super) is_settling: bool,
    hearing: Hearing,
}

type Hash = BTreeMap<Vec<u8>, Vec<u8>>;

fn number(text: &[u8]) -> i64 {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn text(database: &Database, key: String) -> &[u8] {
    match database.value(key.as_bytes()) {
        Some(Value::Text(text)) => text,
        _ => &[],
    }
}

fn hash(database: &Database, key: String) -> Option<&Hash> {
    match database.value(key.as_bytes()) {
        Some(Value::Hash(hash)) => Some(hash),
        _ => None,
    }
}

fn sorted(database: &Database, key: String) -> impl Iterator<Item = (&[u8], f64)> {
    let set = match database.value(key.as_bytes()) {
        Some(Value::Sorted(set)) => Some(set),
        _ => None,
    };
    set.into_iter().flat_map(SortedSet::iter)
}

fn visitor(text: &[u8]) -> Option<VisitorId> {
    VisitorId::parse(std::str::from_utf8(text).ok()?)
}

impl Stored {
    /// Reads the line; none if there is none.
    pub(super) fn read(database: &Database, prefix: &str) -> Option<Stored> {
        let meta = hash(database, format!("{prefix}:meta"))?;
        let field = |name: &str| meta.get(name.as_bytes()).map_or(0, |text| number(text));
        let alive = text(database, format!("{prefix}:alive"));
        let bit = |number: &u64| {
            let at = *number as usize - 1;
            alive
                .get(at / 8)
                .is_some_and(|byte| byte & (128 >> (at % 8)) != 0)
        };
        let mut stored = Stored {
            numbers: field("numbers") as u64,
            known: field("known") as u64,
            waiting: (1..=alive.len() as u64 * 8).filter(bit).collect(),
            counters: ["waiting", "admitted", "shopping", "connected"].map(field),
            rate: field("rate"),
            batch_ms: field("batch_ms"),
            max_active: field("max_active"),
            is_paused: field("paused") == 1,
            draw: field("draw"),
            is_settling: field("settle_until") > 0,
            hearing: Hearing::new(Time(field("heard_at")), field("unheard")),
            ..Stored::default()
        };
        for (member, score) in sorted(database, format!("{prefix}:waiting")) {
            if let Some(visitor) = visitor(member) {
                stored.members.insert(score as u64, visitor);
            }
        }
        let past = hash(database, format!("{prefix}:past"));
        for (was, whose) in past.into_iter().flatten() {
            if let Some(visitor) = visitor(whose) {
                stored.past.insert(number(was) as u64, visitor);
            }
        }
        for (holder, slot) in hash(database, format!("{prefix}:slots"))
            .into_iter()
            .flatten()
        {
            stored.read_slot(holder, slot);
        }
        let lapses = sorted(database, format!("{prefix}:admitted"));
        stored.lapses = lapses.map(|(_, score)| score as i64).collect();
        stored.lapses.sort_unstable();
        let owners = text(database, format!("{prefix}:owners"));
        let is_held = |number: &&u64| {
            let owner = owners.chunks_exact(2).nth(**number as usize - 1);
            owner.is_some_and(|owner| owner != [0, 0])
        };
        stored.held = stored
            .waiting
            .iter()
            .copied()
            .filter(|number| is_held(&number))
            .collect();
        Some(stored)
    }

    fn read_slot(&mut self, holder: &[u8], slot: &[u8]) {
        let slot = String::from_utf8_lossy(slot);
        let words: Vec<&str> = slot.split(' ').collect();
        let time = |at: usize| words.get(at).map_or(0, |word| number(word.as_bytes()));
        let held = StoredSlot {
            visitor: visitor(holder),
            admitted_at: time(2),
            claim_by: time(3),
            expires_at: time(4),
            is_shopping: words.get(1) == Some(&"shopping"),
        };
        self.inside.insert(time(0) as u64, held);
    }

    /// Returns the visitor of a number, if the store knows them.
    pub(super) fn visitor(&self, number: u64) -> Option<VisitorId> {
        let slot = self.inside.get(&number).and_then(|slot| slot.visitor);
        let member = self.members.get(&number).copied();
        slot.or(member).or_else(|| self.past.get(&number).copied())
    }

    /// Returns the line's own time at a time of the store's clock, in ms.
    pub(super) fn line_ms(&self, store_ms: i64) -> i64 {
        let clock = Time(store_ms);
        self.hearing.at(clock).line_time(clock).0
    }

    /// Returns how many wait with a lower number.
    pub(super) fn ahead(&self, number: u64) -> u64 {
        self.waiting.range(..number).count() as u64
    }

    /// Returns what does not agree.
    pub(super) fn disagreement(&self) -> Option<String> {
        let shopping = self.inside.values().filter(|slot| slot.is_shopping).count();
        let counted = [
            self.waiting.len(),
            self.inside.len() - shopping,
            shopping,
            self.held.len(),
        ];
        let counted = counted.map(|count| count as i64);
        if self.counters != counted {
            let kept = self.counters;
            return Some(format!(
                "waiting, admitted, shopping, connected are {kept:?}, counted {counted:?}"
            ));
        }
        if self.waiting.last().is_some_and(|last| *last > self.numbers) {
            return Some(format!("a number above {} waits", self.numbers));
        }
        // A number waits without a member only while its fan has not come back after a loss.
        let lone = self
            .members
            .keys()
            .find(|number| !self.waiting.contains(number));
        if let Some(number) = lone {
            return Some(format!(
                "number {number} is in the sorted set, not in the bitmap"
            ));
        }
        let is_member = |number: &&u64| self.members.contains_key(number);
        let bare = self
            .waiting
            .iter()
            .find(|number| !is_member(number) && **number > self.known);
        if let Some(number) = bare {
            return Some(format!(
                "number {number} is in the bitmap, not in the sorted set"
            ));
        }
        let both = self
            .inside
            .keys()
            .find(|number| self.waiting.contains(number));
        if let Some(number) = both {
            return Some(format!("number {number} waits and is inside"));
        }
        let mut lapses: Vec<i64> = self.inside.values().map(StoredSlot::lapses_at).collect();
        lapses.sort_unstable();
        (lapses != self.lapses)
            .then(|| format!("slots lapse at {lapses:?}, scored {:?}", self.lapses))
    }
}
