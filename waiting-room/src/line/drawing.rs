//! The draw in the state machine: gives every waiting visitor a new number, once.

use super::bitmap::Alive;
use super::event_settings::Order;
use super::state::{State, StoredPlace};
use super::{DrawState, Outcome, Phase, Spot, VisitorState};
use crate::draw::{self, Beacon, Round};
use shared::ids::VisitorId;
use shared::line_log::LineDecision;
use shared::time::Time;

impl State {
    /// Returns whether a draw is still to come.
    pub(super) fn is_undrawn(&self) -> bool {
        self.settings.order == Order::Draw && self.memory.outcome.is_none()
    }

    /// Fixes who takes part in the draw: those in line when the sale opens, also if it waits for its
    /// beacon.
    pub(super) fn fix_entries(&mut self, now: Time) {
        if !self.is_undrawn() {
            return;
        }
        let last = match self.phase(now) {
            Phase::Scheduled | Phase::Prequeue => None,
            _ => self.memory.draw_last.or(Some(self.numbers())),
        };
        self.has_new_memory |= self.memory.draw_last != last;
        self.memory.draw_last = last;
    }

    /// Shuffles the visitors who take part and wait. None was admitted before, so all others have
    /// left, or came later and queue behind.
    pub(super) fn hold_draw(&mut self, now: Time) {
        let is_waiting = |entry: &&StoredPlace| entry.standing == VisitorState::Waiting;
        let last = self.memory.draw_last.unwrap_or(self.numbers()) as usize;
        let (entered, later) = self.entries.split_at(last.min(self.entries.len()));
        let waiting: Vec<StoredPlace> = entered.iter().filter(is_waiting).copied().collect();
        let later: Vec<StoredPlace> = later.iter().filter(is_waiting).copied().collect();
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
        let outcome = Outcome {
            at: now,
            entries: waiting.len() as u64,
            root: draw::root(entries),
        };
        let decision = LineDecision::Drawn {
            seed: self.memory.seed.clone(),
            commitment: draw::commitment(&seed),
            entries: outcome.entries,
            root: outcome.root.clone(),
        };
        self.decided.push((now, decision));
        self.memory.outcome = Some(outcome);
        self.by_visitor.clear();
        self.alive = Alive::default();
        self.away.clear();
        let order = order.iter().map(|at| waiting[*at as usize]).chain(later);
        let order = order.map(|entry| StoredPlace {
            joined_at: now,
            ..entry
        });
        self.entries = order.collect();
        self.memory.draw_last = None;
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

    /// Stores the round of a beacon; returns false if the draw waits for another one.
    pub(super) fn give_beacon(&mut self, beacon: &Beacon, round: Round) -> bool {
        let is_named = self.settings.beacon.as_ref() == Some(beacon);
        if is_named {
            self.memory.round.get_or_insert(round);
            self.has_new_memory = true;
        }
        is_named
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
