//! The line as the store has it: what an operator would read from the keys.

use shared::ids::VisitorId;
use simulation::{Database, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers per key of an array.
const CHUNK: u64 = 512;
/// Bytes of a record.
const RECORD: usize = 23;

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredSlot {
    pub(super) admitted_at: i64,
    pub(super) claim_by: i64,
    pub(super) expires_at: i64,
    pub(super) is_shopping: bool,
}

/// The line of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) numbers: u64,
    pub(super) waiting: BTreeSet<u64>,
    /// Visitors by number, of those that the store knows.
    pub(super) visitors: BTreeMap<u64, VisitorId>,
    pub(super) inside: BTreeMap<u64, StoredSlot>,
    /// Waiting numbers whose socket a node holds.
    pub(super) connected: usize,
    /// The counters: waiting, admitted, shopping, connected.
    pub(super) counters: [i64; 4],
    /// Visitors inside whom the store does not know.
    pub(super) ghosts: i64,
    pub(super) rate: i64,
    pub(super) batch_ms: i64,
    pub(super) max_active: i64,
    pub(super) is_paused: bool,
    pub(super) draw: i64,
    /// The store lost data, and the nodes have not all reported yet.
    pub(super) is_settling: bool,
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

impl Stored {
    /// Reads the line; none if there is none.
    pub(super) fn read(database: &Database, prefix: &str, now_ms: i64) -> Option<Stored> {
        let meta = hash(database, format!("{prefix}:meta"))?;
        let field = |name: &str| meta.get(name.as_bytes()).map_or(0, |text| number(text));
        let generation = format!("{prefix}:{}", field("gen"));
        let alive = text(database, format!("{generation}:alive"));
        let numbers = field("numbers") as u64;
        let bit = |number: &u64| {
            let at = *number as usize - 1;
            alive
                .get(at / 8)
                .is_some_and(|byte| byte & (128 >> (at % 8)) != 0)
        };
        let waiting: BTreeSet<u64> = (1..=alive.len() as u64 * 8).filter(bit).collect();
        let mut stored = Stored {
            numbers,
            waiting,
            counters: ["waiting", "admitted", "shopping", "connected"].map(field),
            ghosts: if now_ms < field("ghosts_until") {
                field("ghosts")
            } else {
                0
            },
            rate: field("rate"),
            batch_ms: field("batch_ms"),
            max_active: field("max_active"),
            is_paused: field("paused") == 1,
            draw: field("draw"),
            is_settling: now_ms < field("settle_until"),
            ..Stored::default()
        };
        stored.read_arrays(database, &generation);
        stored.read_slots(hash(database, format!("{prefix}:slots")));
        Some(stored)
    }

    fn read_arrays(&mut self, database: &Database, generation: &str) {
        for chunk in 0..self.numbers.div_ceil(CHUNK) {
            let records = text(database, format!("{generation}:p:{chunk}"));
            for (at, record) in records.chunks_exact(RECORD).enumerate() {
                let number = chunk * CHUNK + at as u64 + 1;
                let visitor = record.first_chunk().map(|id| u128::from_be_bytes(*id));
                if let Some(visitor) = visitor.filter(|id| *id != 0 && number <= self.numbers) {
                    self.visitors.insert(number, VisitorId(visitor));
                }
            }
            let owners = text(database, format!("{generation}:o:{chunk}"));
            let held = owners.iter().enumerate().filter(|(at, owner)| {
                **owner != 0 && self.waiting.contains(&(chunk * CHUNK + *at as u64 + 1))
            });
            self.connected += held.count();
        }
    }

    fn read_slots(&mut self, slots: Option<&Hash>) {
        for (held, slot) in slots.into_iter().flatten() {
            let slot = String::from_utf8_lossy(slot);
            let mut words = slot.split(' ').map(|word| number(word.as_bytes()));
            let mut next = || words.next().unwrap_or(0);
            let slot = StoredSlot {
                admitted_at: next(),
                claim_by: next(),
                expires_at: next(),
                is_shopping: next() == 2,
            };
            self.inside.insert(number(held) as u64, slot);
        }
    }

    /// Returns how many wait with a lower number.
    pub(super) fn ahead(&self, number: u64) -> u64 {
        self.waiting.range(..number).count() as u64
    }
}
