//! The line as the store has it: what an operator would read from the keys. Only what has changed
//! since the step before is read again.

use super::draw_state::Draw;
use super::logged::{LoggedEntry, read_stream};
use crate::line::Life;
use crate::line::hearing::Hearing;
use shared::ids::VisitorId;
use shared::time::Time;
use simulation::{Database, SortedSet, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

/// Keys of the simulated event.
mod keys {
    pub(super) const META: &[u8] = b"fairline:{night}:meta";
    pub(super) const ALIVE: &[u8] = b"fairline:{night}:alive";
    pub(super) const WAITING: &[u8] = b"fairline:{night}:waiting";
    pub(super) const PAST: &[u8] = b"fairline:{night}:past";
    pub(super) const SLOTS: &[u8] = b"fairline:{night}:slots";
    pub(super) const ADMITTED: &[u8] = b"fairline:{night}:admitted";
    pub(super) const OWNERS: &[u8] = b"fairline:{night}:owners";
    pub(super) const DEADLINES: &[u8] = b"fairline:{night}:deadlines";
    pub(super) const AWAYS: &[u8] = b"fairline:{night}:aways";
    pub(super) const DECISIONS: &[u8] = b"fairline:{night}:decisions";
    pub(super) const DRAWN: &[u8] = b"fairline:{night}:drawn";
}

/// State of a place that is over; how it ended makes a higher one.
pub(super) const OVER: i64 = 3;
/// Age of a report of seats from which on it counts for nothing, in ms.
const REPORT_MS_MAX: i64 = 30_000;
/// Numbers whose deadlines have one entry in `aways`.
const CHUNK: u64 = 512;

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

/// A part of the line, with the value of the key that it was read from.
#[derive(Clone, Default)]
pub(super) struct Part<T> {
    from: Option<Arc<Value>>,
    read: Arc<T>,
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.read
    }
}

impl<T: Default> Part<T> {
    /// Reads the part again if its key has another value; returns whether it has. The value that is
    /// kept is never changed in place, as it is shared.
    fn update(&mut self, database: &Database, key: &[u8], read: impl FnOnce(&Value) -> T) -> bool {
        let now = database.shared(key);
        let is_same = match (&self.from, now) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !is_same {
            self.read = Arc::new(now.map_or_else(T::default, |value| read(value)));
            self.from = now.cloned();
        }
        !is_same
    }

    /// Returns whether this is the same reading as another.
    pub(super) fn is(&self, other: &Part<T>) -> bool {
        Arc::ptr_eq(&self.read, &other.read)
    }
}

/// The line of one event.
#[derive(Clone, Default)]
pub(super) struct Stored {
    pub(super) numbers: u64,
    /// The highest number that was known when data was lost.
    pub(super) known: u64,
    /// The numbers in the bitmap.
    pub(super) waiting: Part<BTreeSet<u64>>,
    /// The sorted set of those who wait.
    pub(super) members: Part<BTreeMap<u64, VisitorId>>,
    pub(super) inside: Part<BTreeMap<u64, StoredSlot>>,
    /// Scores of the sorted set of slots.
    lapses: Part<Vec<i64>>,
    /// Visitors of numbers that wait no more, by number.
    past: Part<()>,
    /// The node with the socket, by number from 1 on.
    owners: Part<Vec<u16>>,
    deadlines: Part<Vec<i64>>,
    /// Earliest deadlines by chunks.
    aways: Part<BTreeMap<u64, i64>>,
    /// The published order.
    pub(super) list: Part<Vec<VisitorId>>,
    /// The log of decisions.
    pub(super) log: Part<Vec<LoggedEntry>>,
    /// Identity of the store's life, in hex.
    pub(super) life: String,
    /// Waiting numbers whose socket a node holds.
    pub(super) held: Arc<BTreeSet<u64>>,
    /// The counters: waiting, admitted, shopping, connected.
    counters: [i64; 4],
    pub(super) rate: i64,
    pub(super) batch_ms: i64,
    pub(super) max_active: i64,
    /// Seats that the checkout reported: in all, available, held.
    seats: [i64; 3],
    /// When it did; 0 if it never did.
    seats_at: i64,
    pub(super) is_paused: bool,
    pub(super) sale_at: i64,
    pub(super) draw: Draw,
    /// Identity of the event; none before it is known.
    pub(super) creation: Option<u64>,
    /// The store lost data, and the nodes have not all reported yet.
    pub(super) is_settling: bool,
    hearing: Hearing,
    /// Something besides the numbers in `meta` differs from the step before.
    is_changed: bool,
}

type Hash = BTreeMap<Vec<u8>, Vec<u8>>;

fn number(text: &[u8]) -> i64 {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn text(value: &Value) -> &[u8] {
    match value {
        Value::Text(text) => text,
        _ => &[],
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
    let hash: Option<&Hash> = match value {
        Value::Hash(hash) => Some(hash),
        _ => None,
    };
    hash.into_iter().flatten()
}

fn scored(value: &Value) -> impl Iterator<Item = (&[u8], f64)> {
    let set = match value {
        Value::Sorted(set) => Some(set),
        _ => None,
    };
    set.into_iter().flat_map(SortedSet::iter)
}

/// Reads the id of a visitor.
pub(super) fn visitor(text: &[u8]) -> Option<VisitorId> {
    VisitorId::parse(std::str::from_utf8(text).ok()?)
}

/// Reads the numbers of a bitmap.
fn read_bits(value: &Value) -> BTreeSet<u64> {
    let bytes = text(value).iter().zip(0u64..);
    let numbers = bytes.flat_map(|(byte, at)| {
        let is_set = move |bit: &u64| byte & (128 >> bit) != 0;
        (0..8u64).filter(is_set).map(move |bit| at * 8 + bit + 1)
    });
    numbers.collect()
}

fn read_members(value: &Value) -> BTreeMap<u64, VisitorId> {
    let members =
        scored(value).filter_map(|(member, score)| Some((score as u64, visitor(member)?)));
    members.collect()
}

fn read_lapses(value: &Value) -> Vec<i64> {
    scored(value).map(|(_, score)| score as i64).collect()
}

/// Reads big-endian numbers of this many bytes.
fn read_numbers(value: &Value, width: usize) -> impl Iterator<Item = i64> {
    let one = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum: i64, byte| sum << 8 | i64::from(*byte))
    };
    text(value).chunks_exact(width).map(one)
}

fn read_slots(value: &Value) -> BTreeMap<u64, StoredSlot> {
    let slot = |(holder, slot): (&Vec<u8>, &Vec<u8>)| {
        let words: Vec<&[u8]> = slot.split(|byte| *byte == b' ').collect();
        let time = |at: usize| words.get(at).map_or(0, |word| number(word));
        let held = StoredSlot {
            visitor: visitor(holder),
            admitted_at: time(2),
            claim_by: time(3),
            expires_at: time(4),
            is_shopping: words.get(1) == Some(&&b"shopping"[..]),
        };
        (time(0) as u64, held)
    };
    fields(value).map(slot).collect()
}

/// Reads the published order, whose chunks are fields.
fn read_list(value: &Value) -> Vec<VisitorId> {
    let mut chunks: Vec<(i64, &Vec<u8>)> = fields(value)
        .map(|(chunk, some)| (number(chunk), some))
        .collect();
    chunks.sort_unstable_by_key(|chunk| chunk.0);
    let some = chunks.iter().flat_map(|(_, some)| {
        let words = some.split(|byte| *byte == b' ');
        words.filter_map(visitor)
    });
    some.collect()
}

impl Stored {
    /// Reads the line, of which some may be as before; none if there is none.
    pub(super) fn read(database: &Database, before: Option<&Stored>) -> Option<Stored> {
        let Some(Value::Hash(meta)) = database.value(keys::META) else {
            return None;
        };
        let mut stored = before.cloned().unwrap_or_default();
        stored.read_meta(meta);
        stored.log.update(database, keys::DECISIONS, read_stream);
        let waits = stored.waiting.update(database, keys::ALIVE, read_bits);
        let owned = stored.owners.update(database, keys::OWNERS, |value| {
            read_numbers(value, 2).map(|owner| owner as u16).collect()
        });
        if waits || owned {
            let is_held = |number: &&u64| stored.owner(**number) != 0;
            let held = stored.waiting.iter().filter(is_held).copied();
            stored.held = Arc::new(held.collect());
        }
        stored.is_changed = [
            waits || owned,
            stored.members.update(database, keys::WAITING, read_members),
            stored.inside.update(database, keys::SLOTS, read_slots),
            stored.lapses.update(database, keys::ADMITTED, read_lapses),
            stored.past.update(database, keys::PAST, |_| ()),
            stored.deadlines.update(database, keys::DEADLINES, |value| {
                read_numbers(value, 6).collect()
            }),
            stored.aways.update(database, keys::AWAYS, |value| {
                let chunks = scored(value);
                let chunks = chunks.map(|(chunk, at)| (number(chunk) as u64, at as i64));
                chunks.collect()
            }),
            stored.list.update(database, keys::DRAWN, read_list),
        ]
        .contains(&true)
            // Reports of nodes are looked at once all are in.
            || before.is_some_and(|before| before.is_settling);
        Some(stored)
    }

    fn read_meta(&mut self, meta: &Hash) {
        let field = |name: &str| meta.get(name.as_bytes()).map_or(0, |text| number(text));
        self.numbers = field("numbers") as u64;
        self.known = field("known") as u64;
        self.counters = ["waiting", "admitted", "shopping", "connected"].map(field);
        self.rate = field("rate");
        self.batch_ms = field("batch_ms");
        self.max_active = field("max_active");
        self.seats = ["capacity", "available", "held"].map(field);
        self.seats_at = field("seats_at");
        self.is_paused = field("paused") == 1;
        self.sale_at = field("sale_at");
        self.is_settling = field("settle_until") > 0;
        self.hearing = Hearing::new(Time(field("heard_at")), field("unheard"));
        self.draw.read(meta);
        let life = meta.get(&b"life"[..]);
        self.life = life.map_or_else(String::new, |it| String::from_utf8_lossy(it).into_owned());
        let creation = meta.get(&b"creation"[..]);
        let creation = creation.and_then(|text| std::str::from_utf8(text).ok());
        self.creation = creation.and_then(Life::parse);
    }

    fn owner(&self, number: u64) -> u16 {
        let owner = self.owners.get(number as usize - 1);
        owner.copied().unwrap_or(0)
    }

    /// Returns the deadline of a number; 0 without one.
    pub(super) fn deadline(&self, number: u64) -> i64 {
        let deadline = self.deadlines.get(number as usize - 1);
        deadline.copied().unwrap_or(0)
    }

    /// Returns the visitor of a number, if the store knows them.
    pub(super) fn visitor(&self, number: u64) -> Option<VisitorId> {
        let slot = self.inside.get(&number).and_then(|slot| slot.visitor);
        let member = self.members.get(&number).copied();
        slot.or(member).or_else(|| match self.past.from.as_deref() {
            Some(Value::Hash(past)) => visitor(past.get(number.to_string().as_bytes())?),
            _ => None,
        })
    }

    /// Returns the state of a number, as replies have it.
    pub(super) fn state(&self, number: u64) -> i64 {
        if self.waiting.contains(&number) {
            return 0;
        }
        let slot = self.inside.get(&number);
        slot.map_or(OVER, |slot| 1 + i64::from(slot.is_shopping))
    }

    /// Returns whether a visitor waits or is inside.
    pub(super) fn has(&self, visitor: VisitorId) -> bool {
        let mut inside = self.inside.values();
        self.members.values().any(|whose| *whose == visitor)
            || inside.any(|slot| slot.visitor == Some(visitor))
    }

    /// Returns whether no seat is left, or may come back.
    pub(super) fn is_sold_out(&self) -> bool {
        self.seats_at > 0 && self.seats[0] > 0 && self.seats[1..] == [0, 0]
    }

    /// Returns whether the store has these counts: seats in all, available, held.
    pub(super) fn has_seats(&self, counts: &[&[u8]]) -> bool {
        counts.iter().map(|text| number(text)).eq(self.seats)
    }

    /// Returns how many may be inside after an admission at this time of the store.
    pub(super) fn inside_max(&self, store_ms: i64) -> i64 {
        if self.seats_at == 0 {
            return self.max_active;
        }
        let is_stale = (store_ms - self.seats_at).abs() > REPORT_MS_MAX;
        if is_stale {
            0
        } else {
            self.max_active.min(self.seats[1])
        }
    }

    /// Returns the line's own time at a time of the store's clock, in ms.
    pub(super) fn line_ms(&self, store_ms: i64) -> i64 {
        let clock = Time(store_ms);
        self.hearing.at(clock).line_time(clock).0
    }

    /// Returns when the first slot lapses.
    pub(super) fn lapses_at(&self) -> Option<i64> {
        self.lapses.first().copied()
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
        if !self.is_changed {
            return None;
        }
        if self.waiting.last().is_some_and(|last| *last > self.numbers) {
            return Some(format!("a number above {} waits", self.numbers));
        }
        self.unknown_member()
            .or_else(|| self.wrong_lapse())
            .or_else(|| self.wrong_deadline())
    }

    /// Returns where the bitmap and the sorted set do not agree. A number waits without a member
    /// only while its fan has not come back after a loss.
    fn unknown_member(&self) -> Option<String> {
        let is_lone = |number: &&u64| !self.waiting.contains(number);
        if let Some(number) = self.members.keys().find(is_lone) {
            return Some(format!(
                "number {number} is in the sorted set, not in the bitmap"
            ));
        }
        let is_bare = |number: &&u64| !self.members.contains_key(number) && **number > self.known;
        let bare = self.waiting.iter().find(is_bare);
        bare.map(|number| format!("number {number} is in the bitmap, not in the sorted set"))
    }

    fn wrong_lapse(&self) -> Option<String> {
        let is_both = |number: &&u64| self.waiting.contains(number);
        if let Some(number) = self.inside.keys().find(is_both) {
            return Some(format!("number {number} waits and is inside"));
        }
        let mut lapses: Vec<i64> = self.inside.values().map(StoredSlot::lapses_at).collect();
        lapses.sort_unstable();
        (lapses != *self.lapses)
            .then(|| format!("slots lapse at {lapses:?}, scored {:?}", *self.lapses))
    }

    /// Returns a deadline that would not be noticed.
    fn wrong_deadline(&self) -> Option<String> {
        let is_noticed = |number: u64| {
            let (deadline, chunk) = (self.deadline(number), (number - 1) / CHUNK);
            deadline == 0 || self.aways.get(&chunk).is_some_and(|at| *at <= deadline)
        };
        let unnoticed = self.waiting.iter().find(|number| !is_noticed(**number));
        unnoticed.map(|number| format!("the deadline of number {number} is not among the chunks"))
    }
}
