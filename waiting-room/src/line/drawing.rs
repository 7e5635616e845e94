//! The draw in the state machine: gives every waiting visitor a new number, once.

use super::bitmap::Alive;
use super::event_settings::Order;
use super::state::{State, StoredPlace};
use super::{DrawState, Outcome, Spot, VisitorState};
use crate::draw::{self, Round};
use shared::ids::VisitorId;
use shared::time::Time;

impl State {
    /// Returns whether a draw is still to come.
    pub(super) fn is_undrawn(&self) -> bool {
        self.settings.order == Order::Draw && self.memory.outcome.is_none()
    }

    /// Shuffles the waiting visitors. None was admitted before, so all others have left.
    pub(super) fn hold_draw(&mut self, now: Time) {
        let is_waiting = |entry: &&StoredPlace| entry.standing == VisitorState::Waiting;
        let waiting: Vec<StoredPlace> = self.entries.iter().filter(is_waiting).copied().collect();
        for entry in self.entries.iter().filter(|entry| !is_waiting(entry)) {
            self.numberless.insert(entry.visitor, entry.standing);
        }
        let entries: Vec<draw::Entry> = waiting
            .iter()
            .map(|entry| draw::Entry::of(entry.visitor))
            .collect();
        let round = self.memory.round.as_ref();
        let randomness = round.and_then(|round| draw::unhex_all(&round.randomness));
        let seed = draw::unhex(&self.memory.seed).unwrap_or_default();
        let order = draw::order(&seed, &randomness.unwrap_or_default(), &entries);
        self.memory.outcome = Some(Outcome {
            at: now,
            entries: waiting.len() as u64,
            root: draw::root(entries),
        });
        self.by_visitor.clear();
        self.alive = Alive::default();
        self.away.clear();
        let drawn = order.iter().map(|at| StoredPlace {
            joined_at: now,
            ..waiting[*at as usize]
        });
        self.entries = drawn.collect();
        for number in 1..=self.entries.len() as u64 {
            let entry = self.entries[number as usize - 1];
            self.by_visitor.insert(entry.visitor, number);
            self.alive.insert(number);
            if let Some(at) = entry.away_at {
                self.away.insert((at, number));
            }
        }
        self.changed = (1..=self.entries.len() as u64).collect();
        self.is_renumbered = true;
        self.has_new_memory = true;
        self.revision += 1;
    }

    pub(super) fn give_beacon(&mut self, round: Round) {
        self.memory.round.get_or_insert(round);
        self.has_new_memory = true;
    }

    pub(super) fn draw(&self) -> Option<DrawState> {
        (self.settings.order == Order::Draw).then(|| DrawState {
            seed: draw::unhex(&self.memory.seed).unwrap_or_default(),
            named: self.settings.beacon.clone(),
            round: self.memory.round.clone(),
            outcome: self.memory.outcome.clone(),
        })
    }

    /// Returns the place of a visitor who left before the draw.
    pub(super) fn numberless_spot(visitor: VisitorId, standing: VisitorState) -> Spot {
        Spot {
            visitor,
            number: 0,
            is_provisional: false,
            standing,
            ahead: 0,
            slot: None,
        }
    }
}
