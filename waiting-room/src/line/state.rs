//! The line of one event as a state machine in memory. Every operation is one call that takes the
//! time as an argument and records the places it changed.

use super::bitmap::Alive;
use super::event_settings::EventSettings;
use super::forecast::{Forecast, Forecaster, Observation, WaitReason};
use super::hearing::Hearing;
use super::throughput::{Flow, Rates};
use super::{
    Joined, LINE_LENGTH_MAX, Life, NUMBERS_MAX, Outcome, Phase, Refused, Slot, Spot, VisitorState,
};
use crate::draw::Round;
use shared::ids::{Availability, VisitorId};
use shared::line_log::LineDecision;
use shared::time::Time;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Longest time between two entries in the journal of when the line was last ticked, while visitors
/// are inside whose slots must not lapse while the process is down.
const HEARING_MS_MAX: i64 = 1_000;

/// A place in the line. Its deadlines are in the line's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredPlace {
    pub(super) visitor: VisitorId,
    pub(super) standing: VisitorState,
    pub(super) joined_at: Time,
    pub(super) slot: Option<Slot>,
    /// Time at which the place lapses without a sign of life; none while connected. Not journaled.
    pub(super) away_at: Option<Time>,
}

/// State of the line besides its places.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Counters {
    pub(super) last_batch_at: Time,
    pub(super) credit: u64,
    pub(super) availability: Option<(Availability, Time)>,
    pub(super) total: Rates,
    /// Seed of the draw, in hex. Every event has one, in case its order becomes `draw`.
    #[serde(default)]
    pub(super) seed: String,
    #[serde(default)]
    pub(super) round: Option<Round>,
    #[serde(default)]
    pub(super) outcome: Option<Outcome>,
    /// The last number that takes part in the draw, once it is fixed.
    #[serde(default)]
    pub(super) draw_last: Option<u64>,
    /// Identity of the event since it was created; 0 if it was created by an earlier version.
    #[serde(default)]
    pub(super) creation: u64,
    #[serde(default)]
    pub(super) hearing: Hearing,
    /// When the settings were changed; 0 if an earlier version did it.
    #[serde(default)]
    pub(super) changed_at: Time,
}

/// The complete line of one event.
pub(super) struct State {
    pub(super) settings: Arc<EventSettings>,
    pub(super) memory: Counters,
    pub(super) entries: Vec<StoredPlace>,
    pub(super) by_visitor: HashMap<VisitorId, u64>,
    /// Visitors who left before the draw and so have no number, with their final state.
    pub(super) numberless: BTreeMap<VisitorId, VisitorState>,
    pub(super) alive: Alive,
    pub(super) lapses: BTreeSet<(Time, u64)>,
    pub(super) away: BTreeSet<(Time, u64)>,
    pub(super) admitted: u64,
    pub(super) shopping: u64,
    pub(super) flow: Flow,
    forecaster: Forecaster,
    /// As of the last tick.
    pub(super) forecast: Forecast,
    pub(super) step: u64,
    pub(super) revision: u64,
    shown_phase: Option<Phase>,
    /// As of the current step.
    pub(super) hearing: Hearing,
    /// As the journal has it.
    noted_hearing: Hearing,
    /// Numbers whose places changed since the last commit; cleared by the journal.
    pub(super) changed: BTreeSet<u64>,
    /// Decisions since the last commit, for the log.
    pub(super) decided: Vec<(Time, LineDecision)>,
    /// Whether all numbers changed since the last commit, so that the journal is rewritten.
    pub(super) is_renumbered: bool,
    /// Whether settings or counters changed since the last commit.
    pub(super) has_new_memory: bool,
}

impl State {
    /// Creates an empty line.
    pub(super) fn new(settings: EventSettings) -> State {
        State {
            settings: Arc::new(settings),
            memory: Counters {
                seed: shared::crypto::hex(&shared::crypto::random::<32>()),
                creation: Life::random().creation,
                ..Counters::default()
            },
            entries: Vec::new(),
            by_visitor: HashMap::new(),
            numberless: BTreeMap::new(),
            alive: Alive::default(),
            lapses: BTreeSet::new(),
            away: BTreeSet::new(),
            admitted: 0,
            shopping: 0,
            flow: Flow::default(),
            forecaster: Forecaster::default(),
            forecast: Forecast::silent(WaitReason::Measuring),
            step: 0,
            revision: 0,
            shown_phase: None,
            hearing: Hearing::default(),
            noted_hearing: Hearing::default(),
            changed: BTreeSet::new(),
            decided: Vec::new(),
            is_renumbered: false,
            has_new_memory: true,
        }
    }

    /// Restores a line from its journal: settings, counters, and the places ordered by number. No
    /// visitor is connected yet, so the `away_seconds` of all start now.
    pub(super) fn restore(
        settings: EventSettings,
        memory: Counters,
        places: Vec<StoredPlace>,
        now: Time,
    ) -> State {
        let mut state = State::new(settings);
        state.flow.total = memory.total;
        if memory.seed.is_empty() {
            let seed = std::mem::take(&mut state.memory.seed);
            state.memory = Counters { seed, ..memory };
        } else {
            state.memory = memory;
        }
        state.noted_hearing = state.memory.hearing;
        state.hear(now);
        state.memory.hearing = state.hearing;
        for entry in places {
            state.entries.push(entry);
            let number = state.entries.len() as u64;
            state.by_visitor.insert(entry.visitor, number);
            match (entry.standing, entry.slot) {
                (VisitorState::Waiting, _) => {
                    state.alive.insert(number);
                    state.expect_life(number, now);
                }
                (VisitorState::Admitted, Some(slot)) => {
                    state.admitted += 1;
                    state.lapses.insert((slot.claim_by, number));
                }
                (VisitorState::Shopping, Some(slot)) => {
                    state.shopping += 1;
                    state.lapses.insert((slot.expires_at, number));
                }
                _ => {}
            }
        }
        state.has_new_memory = false;
        state
    }

    /// Takes over from the state that this one replaces after a failed commit: which visitors are
    /// connected, and the step and revision by which views are ordered.
    pub(super) fn take_over(&mut self, before: &State) {
        self.step = before.step;
        self.revision = before.revision + 1;
        // Waiting entries only: one that is over has no `away_at` either, and its visitor may have
        // joined again.
        let is_connected = |entry: &&StoredPlace| {
            entry.standing == VisitorState::Waiting && entry.away_at.is_none()
        };
        for entry in before.entries.iter().filter(is_connected) {
            if let Some(number) = self.by_visitor.get(&entry.visitor).copied() {
                self.set_away(number, None);
            }
        }
    }

    /// Creates an entry from its journaled values.
    pub(super) fn entry(
        visitor: VisitorId,
        standing: VisitorState,
        joined_at: Time,
        slot: Option<Slot>,
    ) -> StoredPlace {
        StoredPlace {
            visitor,
            standing,
            joined_at,
            slot,
            away_at: None,
        }
    }

    /// Begins a step at this time.
    pub(super) fn hear(&mut self, now: Time) {
        self.hearing = self.memory.hearing.at(now);
    }

    /// Records that the line was ticked, which the journal needs to know only roughly.
    fn note_tick(&mut self, now: Time) {
        self.hear(now);
        self.memory.hearing = self.hearing;
        let is_inside = self.admitted + self.shopping > 0;
        let unnoted_ms = self.noted_hearing.ms_until(self.hearing);
        if is_inside && !(0..HEARING_MS_MAX).contains(&unnoted_ms) {
            self.noted_hearing = self.hearing;
            self.has_new_memory = true;
        }
    }

    /// Returns the entry with this number.
    pub(super) fn entry_of(&self, number: u64) -> Option<&StoredPlace> {
        self.entries
            .get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    pub(super) fn configure(&mut self, settings: EventSettings, now: Time) {
        let is_another = settings.is_another_draw(&self.settings);
        let is_held = self.memory.outcome.is_some();
        if is_another || settings.draws_again(is_held, self.numbers(), now) {
            self.memory.seed = shared::crypto::hex(&shared::crypto::random::<32>());
            self.memory.outcome = None;
            self.memory.round = None;
        }
        self.settings = Arc::new(settings);
        self.memory.changed_at = now;
        self.has_new_memory = true;
        self.revision += 1;
    }

    pub(super) fn phase(&self, now: Time) -> Phase {
        let sold_out = self.memory.availability.is_some_and(|(seats, _)| {
            seats.available == 0 && seats.held == 0 && seats.capacity > 0
        });
        match self.settings.phase(now) {
            Phase::Open | Phase::Paused if sold_out => Phase::SoldOut,
            phase => phase,
        }
    }

    pub(super) fn join(&mut self, visitor: VisitorId, now: Time) -> Result<Joined, Refused> {
        if let Some(number) = self.by_visitor.get(&visitor).copied() {
            let standing = self.entries[number as usize - 1].standing;
            use VisitorState::{Finished, Left, Missed};
            if !matches!(standing, Finished | Left | Missed) {
                if self.entries[number as usize - 1].away_at.is_some() {
                    self.expect_life(number, now);
                }
                return Ok(Joined::Known(self.spot(number)));
            }
        }
        if self.numberless.get(&visitor) == Some(&VisitorState::Ejected)
            && !self.by_visitor.contains_key(&visitor)
        {
            return Ok(Joined::Known(State::numberless_spot(
                visitor,
                VisitorState::Ejected,
            )));
        }
        self.fix_entries(now);
        match self.phase(now) {
            Phase::Scheduled => return Err(Refused::NotOpen(self.settings.line_opens_at())),
            phase @ (Phase::Closed | Phase::SoldOut) => return Err(Refused::Closed(phase)),
            Phase::Prequeue | Phase::Open | Phase::Paused => {}
        }
        let length = self.alive.count() + self.admitted + self.shopping;
        if length >= LINE_LENGTH_MAX || self.entries.len() as u64 >= NUMBERS_MAX {
            return Err(Refused::Full("this line is full"));
        }
        self.entries
            .push(State::entry(visitor, VisitorState::Waiting, now, None));
        let number = self.entries.len() as u64;
        self.by_visitor.insert(visitor, number);
        self.alive.insert(number);
        self.changed.insert(number);
        self.expect_life(number, now);
        self.count(
            now,
            Rates {
                joined: 1,
                ..Rates::default()
            },
        );
        Ok(Joined::New(self.spot(number)))
    }

    /// Ends the places that are due, then admits the visitors that are due, in one step.
    pub(super) fn tick(&mut self, now: Time) {
        self.step += 1;
        self.note_tick(now);
        let line_now = self.hearing.line_time(now);
        let is_due = |(at, _): &(Time, u64)| *at <= line_now;
        while let Some((at, number)) = self.lapses.first().copied().filter(is_due) {
            self.lapses.remove(&(at, number));
            self.settle(number, VisitorState::Missed, now);
        }
        while let Some((at, number)) = self.away.first().copied().filter(is_due) {
            self.away.remove(&(at, number));
            self.settle(number, VisitorState::Missed, now);
        }
        let phase = self.phase(now);
        self.fix_entries(now);
        if self.is_undrawn()
            && matches!(phase, Phase::Open | Phase::Paused)
            && self.settings.beacon.is_some() == self.memory.round.is_some()
        {
            self.hold_draw(now);
        }
        if phase == Phase::Open && !self.is_undrawn() {
            self.admit_due(now);
        }
        self.forecast = self.forecaster.observe(Observation {
            at: line_now,
            is_open: phase == Phase::Open && !self.is_undrawn(),
            is_recovering: false,
            admission: self.settings.admission,
            waiting: self.alive.count(),
            away: self.away.len() as u64,
            inside: self.admitted + self.shopping,
            room: self.room(now),
            seats: self.seats_available(),
            total: self.flow.total,
        });
        if self.shown_phase != Some(phase) {
            self.shown_phase = Some(phase);
            self.revision += 1;
        }
    }

    pub(super) fn leave(&mut self, visitor: VisitorId, now: Time) {
        if let Some(number) = self.by_visitor.get(&visitor).copied() {
            self.settle(number, VisitorState::Left, now);
        }
    }

    pub(super) fn eject(&mut self, visitor: VisitorId, now: Time) -> bool {
        let Some(number) = self.by_visitor.get(&visitor).copied() else {
            let gone = self.numberless.get_mut(&visitor);
            let was_there = gone.is_some();
            if let Some(standing) = gone {
                *standing = VisitorState::Ejected;
                self.is_renumbered = true;
                self.changed = (1..=self.entries.len() as u64).collect();
                // Also where no place is left to be written again.
                self.has_new_memory = true;
            }
            return was_there;
        };
        self.settle(number, VisitorState::Ejected, now);
        // Also marks a visitor who left already, so that they cannot come back.
        self.entries[number as usize - 1].standing = VisitorState::Ejected;
        self.changed.insert(number);
        true
    }

    /// Ends a place that is still in use.
    pub(super) fn settle(&mut self, number: u64, end: VisitorState, now: Time) {
        let entry = self.entries[number as usize - 1];
        match (entry.standing, entry.slot) {
            (VisitorState::Waiting, _) => self.stop_waiting(number),
            (VisitorState::Admitted, Some(slot)) => {
                self.admitted -= 1;
                self.lapses.remove(&(slot.claim_by, number));
            }
            (VisitorState::Shopping, Some(slot)) => {
                self.shopping -= 1;
                self.lapses.remove(&(slot.expires_at, number));
            }
            _ => return,
        }
        self.decide_end(number, end, now);
        let entry = &mut self.entries[number as usize - 1];
        entry.standing = end;
        entry.slot = None;
        self.changed.insert(number);
        let one = |standing| u64::from(end == standing);
        self.count(
            now,
            Rates {
                finished: one(VisitorState::Finished),
                missed: one(VisitorState::Missed),
                left: one(VisitorState::Left) + one(VisitorState::Ejected),
                ..Rates::default()
            },
        );
    }

    pub(super) fn stop_waiting(&mut self, number: u64) {
        self.alive.remove(number);
        if let Some(at) = self.entries[number as usize - 1].away_at.take() {
            self.away.remove(&(at, number));
        }
    }

    /// Restarts `away_seconds` after a sign of life without a socket.
    fn expect_life(&mut self, number: u64, now: Time) {
        let line_now = self.hearing.line_time(now);
        let at = line_now.plus_seconds(self.settings.admission.away_seconds);
        self.set_away(number, Some(at));
    }

    fn set_away(&mut self, number: u64, at: Option<Time>) {
        let entry = &mut self.entries[number as usize - 1];
        if entry.standing != VisitorState::Waiting {
            return;
        }
        if let Some(before) = std::mem::replace(&mut entry.away_at, at) {
            self.away.remove(&(before, number));
        }
        if let Some(at) = at {
            self.away.insert((at, number));
        }
    }

    /// Looks a visitor up for an organiser.
    pub(super) fn peek(&self, visitor: VisitorId) -> Option<Spot> {
        let number = self.by_visitor.get(&visitor).copied();
        let numberless = || {
            let standing = self.numberless.get(&visitor)?;
            Some(State::numberless_spot(visitor, *standing))
        };
        number.map(|number| self.spot(number)).or_else(numberless)
    }

    /// Handles a poll. A visitor with an open socket stays connected.
    pub(super) fn place(&mut self, visitor: VisitorId, now: Time) -> Option<Spot> {
        let Some(number) = self.by_visitor.get(&visitor).copied() else {
            let standing = self.numberless.get(&visitor)?;
            return Some(State::numberless_spot(visitor, *standing));
        };
        if self.entries[number as usize - 1].away_at.is_some() {
            self.expect_life(number, now);
        }
        Some(self.spot(number))
    }

    /// Returns whether a visitor waits, is admitted or is shopping.
    pub(super) fn has_place(&self, visitor: VisitorId) -> bool {
        use VisitorState::{Admitted, Shopping, Waiting};
        let number = self.by_visitor.get(&visitor);
        let place = number.and_then(|number| self.entry_of(*number));
        place.is_some_and(|place| matches!(place.standing, Waiting | Admitted | Shopping))
    }

    pub(super) fn back(&mut self, visitor: VisitorId) -> Option<Spot> {
        let Some(number) = self.by_visitor.get(&visitor).copied() else {
            let standing = self.numberless.get(&visitor)?;
            return Some(State::numberless_spot(visitor, *standing));
        };
        self.set_away(number, None);
        Some(self.spot(number))
    }

    pub(super) fn away(&mut self, visitor: VisitorId, now: Time) {
        if let Some(number) = self.by_visitor.get(&visitor).copied() {
            self.expect_life(number, now);
        }
    }

    pub(super) fn report(&mut self, seats: Availability, now: Time) {
        let before = self.memory.availability.replace((seats, now));
        // Of an event that is over, the same counts need not be written again and again.
        let is_known = before.is_some_and(|(before, _)| before.has_same_counts(&seats));
        self.has_new_memory |= !is_known || self.phase(now) != Phase::Closed;
    }

    pub(super) fn count(&mut self, now: Time, what: Rates) {
        self.flow.count(self.hearing.line_time(now), what);
        self.memory.total = self.flow.total;
        self.has_new_memory = true;
    }
}
