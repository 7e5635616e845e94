//! Commands of an organiser on single seats.

use super::{UnitOfWork, json};
use crate::inventory::block_note::BlockNote;
use crate::inventory::event_state::Plan;
use crate::inventory::model::*;
use crate::inventory::records::{Owner, SeatChange};

impl Plan {
    /// Refuses seats that the plan keeps out of the sale.
    pub(super) fn check_for_sale(&self, ids: &[String]) -> Result<(), Refused> {
        let mut kept = ids.iter().filter(|id| {
            let seat = self.layout.find(id);
            let seat = seat.map(|seat| &self.layout.seats[seat as usize]);
            seat.is_some_and(|seat| self.layout.is_not_for_sale(seat))
        });
        let Some(first) = kept.next() else {
            return Ok(());
        };
        let why = match kept.count() {
            0 => format!("the plan says that '{first}' is not for sale"),
            more => format!("the plan says that '{first}' and {more} more are not for sale"),
        };
        Err(Refused::Invalid(vec![("seats".to_owned(), why)]))
    }
}

impl UnitOfWork<'_> {
    pub(in crate::inventory) fn block(
        &mut self,
        ids: &[String],
        change: Block,
        note: Option<&BlockNote>,
    ) -> Result<(), Refused> {
        let plan = self.plan()?;
        let unknown: Vec<String> = ids
            .iter()
            .filter(|id| plan.layout.find(id).is_none())
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(Refused::UnknownSeats(unknown));
        }
        if change == Block::Unblock {
            plan.check_for_sale(ids)?;
        }
        let (from, to) = match change {
            Block::Block => (SeatState::Available, SeatState::Blocked),
            Block::Unblock => (SeatState::Blocked, SeatState::Available),
        };
        let mut wanted: Vec<u32> = ids.iter().filter_map(|id| plan.layout.find(id)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        // Seats already in the requested state need no change but of their note; seats that are held
        // or booked cannot be blocked.
        let state = |seat: &u32| plan.states.seats[*seat as usize];
        wanted.retain(|seat| note.is_some() || state(seat) != to);
        let taken: Vec<String> = wanted
            .iter()
            .filter(|seat| state(seat) != from && state(seat) != to)
            .map(|seat| plan.layout.seats[*seat as usize].id.to_string())
            .collect();
        if !taken.is_empty() {
            return Err(Refused::SeatsTaken(taken));
        }
        let states: Vec<SeatState> = wanted.iter().map(state).collect();
        self.changes.block_note = note.map(json);
        for (seat, state) in wanted.into_iter().zip(states) {
            self.give(SeatChange {
                seat,
                from: Owner::none(state),
                to: Owner::none(to),
                order: None,
                lapses_at: 0,
            });
        }
        Ok(())
    }
}
