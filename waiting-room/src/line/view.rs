//! Read side of the state machine: one place, the view of the line, the figures.

use super::state::State;
use super::{Life, LineView, Phase, Spot, Stats, VisitorState};
use shared::time::Time;

impl State {
    /// Returns the highest number given out.
    pub(super) fn numbers(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Returns the place with this number.
    pub(super) fn find(&self, number: u64) -> Option<Spot> {
        self.entry_of(number).map(|_| self.spot(number))
    }

    pub(super) fn spot(&self, number: u64) -> Spot {
        let entry = &self.entries[number as usize - 1];
        let waits = entry.standing == VisitorState::Waiting;
        Spot {
            visitor: entry.visitor,
            number,
            is_provisional: self.is_undrawn(),
            standing: entry.standing,
            ahead: if waits { self.alive.ahead(number) } else { 0 },
            slot: entry.slot.map(|slot| self.hearing.slot_by_clock(slot)),
        }
    }

    pub(super) fn front(&self, now: Time) -> LineView {
        LineView {
            step: self.step,
            revision: self.revision,
            life: Life {
                creation: self.memory.creation,
                store: 0,
            },
            at: now,
            phase: self.phase(now),
            is_undrawn: self.is_undrawn(),
            drawn: self
                .memory
                .outcome
                .as_ref()
                .map_or(0, |outcome| outcome.entries),
            alive: self.alive.snapshot(),
            waiting: self.alive.count(),
            numbers: self.entries.len() as u64,
            is_recovering: false,
            is_over: self.phase(now) == Phase::Closed && self.admitted + self.shopping == 0,
            forecast: self.forecast,
            availability: self.memory.availability.map(|(seats, _)| seats),
            settings: self.settings.clone(),
            changed_at: self.memory.changed_at,
        }
    }

    pub(super) fn stats(&self, now: Time) -> Stats {
        Stats {
            at: now,
            phase: self.phase(now),
            waiting: self.alive.count(),
            admitted: self.admitted,
            shopping: self.shopping,
            away: self.away.len() as u64,
            per_minute: self.flow.last_minute(self.hearing.line_time(now)),
            total: self.flow.total,
            waited_seconds: self.flow.waited_seconds(),
            availability: self.memory.availability.map(|(seats, _)| seats),
        }
    }
}
