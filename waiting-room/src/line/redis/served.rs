//! Knowledge of this node about the numbers that wait no more: their slots, and how their places
//! ended. A store that has lost it is told.

use crate::line::{Slot, Spot, VisitorState};
use shared::ids::VisitorId;
use shared::time::Time;
use std::collections::BTreeMap;

/// A slot and who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldSlot {
    pub(super) number: u64,
    /// None for a fan who has not come back since the store lost its data.
    pub(super) visitor: Option<VisitorId>,
    /// Whether it was claimed.
    pub(super) is_shopping: bool,
    pub(super) slot: Slot,
}

impl HeldSlot {
    /// Returns the slot of a place that has one.
    fn of(spot: &Spot) -> Option<HeldSlot> {
        Some(HeldSlot {
            number: spot.number,
            visitor: Some(spot.visitor),
            is_shopping: spot.standing == VisitorState::Shopping,
            slot: spot.slot?,
        })
    }

    /// Reads a holder and the slot as the store has them.
    pub(super) fn read(holder: &str, text: &str) -> Option<HeldSlot> {
        let mut words = text.split(' ');
        let number = words.next()?.parse().ok()?;
        let is_shopping = words.next()? == "shopping";
        let mut time = || Some(Time(words.next()?.parse().ok()?));
        let slot = Slot {
            admitted_at: time()?,
            claim_by: time()?,
            expires_at: time()?,
        };
        Some(HeldSlot {
            number,
            visitor: VisitorId::parse(holder),
            is_shopping,
            slot,
        })
    }

    /// Returns the holder and the slot as the store has them.
    pub(super) fn write(&self) -> [String; 2] {
        let unknown = || format!("#{}", self.number);
        let holder = self
            .visitor
            .map_or_else(unknown, |visitor| visitor.to_string());
        let state = if self.is_shopping {
            "shopping"
        } else {
            "admitted"
        };
        let slot = self.slot;
        let times = [slot.admitted_at, slot.claim_by, slot.expires_at].map(|time| time.0);
        let [admitted, claim, expires] = times;
        let text = format!("{} {state} {admitted} {claim} {expires}", self.number);
        [holder, text]
    }
}

/// Change of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It got a slot, or claimed it.
    Inside(HeldSlot),
    /// Its place is over.
    Ended { number: u64, state: VisitorState },
}

impl Change {
    /// Reads a change as the store reports it.
    pub(super) fn read(number: u64, text: &str) -> Option<Change> {
        if let Some((holder, slot)) = text.split_once(' ') {
            return HeldSlot::read(holder, slot).map(Change::Inside);
        }
        let state = match text {
            "finished" => VisitorState::Finished,
            "missed" => VisitorState::Missed,
            "left" => VisitorState::Left,
            "ejected" => VisitorState::Ejected,
            _ => return None,
        };
        Some(Change::Ended { number, state })
    }
}

/// Returns the byte that the store keeps for the end of a place: a bit for each, so that the reports
/// of several nodes can be combined.
fn code(state: VisitorState) -> u8 {
    match state {
        VisitorState::Finished => 1,
        VisitorState::Missed => 2,
        VisitorState::Left => 4,
        VisitorState::Ejected => 8,
        VisitorState::Waiting | VisitorState::Admitted | VisitorState::Shopping => 0,
    }
}

/// All that the store has of the numbers that wait no more.
pub(super) struct AllServed {
    pub(super) slots: Vec<HeldSlot>,
    /// How the place of each number ended, as the store has it.
    pub(super) codes: Vec<u8>,
}

/// The numbers that wait no more.
#[derive(Default)]
pub(super) struct Served {
    slots: BTreeMap<u64, HeldSlot>,
    /// How the place of each number ended, as the store has it.
    codes: Vec<u8>,
    /// Count of the changes that were read; none before all was read once.
    pub(super) changes: Option<u64>,
}

impl Served {
    /// Restores what a backup has.
    pub(super) fn new(slots: impl Iterator<Item = HeldSlot>, codes: Vec<u8>) -> Served {
        Served {
            slots: slots.map(|held| (held.number, held)).collect(),
            codes,
            changes: None,
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &HeldSlot> {
        self.slots.values()
    }

    pub(super) fn codes(&self) -> &[u8] {
        &self.codes
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Inside(held) => self.insert(held),
            Change::Ended { number, state } => self.end(number, state),
        }
    }

    /// Adds all that the store has. Nothing is taken away: the store may have lost data meanwhile.
    pub(super) fn add(&mut self, all: AllServed) {
        self.lengthen(all.codes.len());
        for (kept, code) in self.codes.iter_mut().zip(all.codes) {
            *kept |= code;
        }
        all.slots.into_iter().for_each(|held| self.insert(held));
        let codes = &self.codes;
        self.slots.retain(|number, _| !is_over(codes, *number));
    }

    /// Drops slots whose time was over long ago at `now`.
    pub(super) fn prune(&mut self, now: Time) {
        self.slots.retain(|_, held| held.slot.expires_at >= now);
    }

    /// Records the slot that a reply about a place has.
    pub(super) fn record(&mut self, spot: &Spot) {
        let Some(mut held) = HeldSlot::of(spot) else {
            return;
        };
        // They may be told by a clock that was set since the newest view; how long they last is not.
        if let Some(kept) = self.slots.get(&held.number) {
            let lasts_ms = held.slot.expires_at.0 - held.slot.admitted_at.0;
            held.slot = kept.slot;
            let ends_at = Time(kept.slot.admitted_at.0 + lasts_ms);
            held.slot.expires_at = kept.slot.expires_at.max(ends_at);
        }
        self.insert(held);
    }

    /// Records how a place ended.
    pub(super) fn end(&mut self, number: u64, state: VisitorState) {
        self.slots.remove(&number);
        let Some(at) = index(number) else { return };
        self.lengthen(at + 1);
        self.codes[at] |= code(state);
    }

    fn insert(&mut self, held: HeldSlot) {
        let is_claimed = self.slots.get(&held.number).is_some_and(|kept| {
            kept.is_shopping && (held.visitor.is_none() || kept.visitor == held.visitor)
        });
        if !is_over(&self.codes, held.number) && (held.is_shopping || !is_claimed) {
            self.slots.insert(held.number, held);
        }
    }

    fn lengthen(&mut self, length: usize) {
        if self.codes.len() < length {
            self.codes.resize(length, 0);
        }
    }
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok()
}

fn is_over(codes: &[u8], number: u64) -> bool {
    let code = index(number).and_then(|at| codes.get(at));
    code.is_some_and(|code| *code != 0)
}
