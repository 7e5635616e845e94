//! Commands of an organiser on single seats.

use super::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::records::{Owner, SeatChange};

impl UnitOfWork<'_> {
    pub(in crate::inventory) fn block(
        &mut self,
        ids: &[String],
        change: Block,
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
        let mut kept = ids.iter().filter(|id| {
            let seat = plan.layout.find(id);
            let seat = seat.map(|seat| &plan.layout.seats[seat as usize]);
            seat.is_some_and(|seat| plan.layout.is_not_for_sale(seat))
        });
        if let (Block::Unblock, Some(first)) = (change, kept.next()) {
            let why = match kept.count() {
                0 => format!("the plan says that '{first}' is not for sale"),
                more => format!("the plan says that '{first}' and {more} more are not for sale"),
            };
            return Err(Refused::Invalid(vec![("seats".to_owned(), why)]));
        }
        let (from, to) = match change {
            Block::Block => (SeatState::Available, SeatState::Blocked),
            Block::Unblock => (SeatState::Blocked, SeatState::Available),
        };
        let mut wanted: Vec<u32> = ids.iter().filter_map(|id| plan.layout.find(id)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        // Seats already in the requested state need no change; seats that are held or booked cannot
        // be blocked.
        wanted.retain(|seat| plan.states.seats[*seat as usize] != to);
        let taken: Vec<String> = wanted
            .iter()
            .filter(|seat| plan.states.seats[**seat as usize] != from)
            .map(|seat| plan.layout.seats[*seat as usize].id.to_string())
            .collect();
        if !taken.is_empty() {
            return Err(Refused::SeatsTaken(taken));
        }
        for seat in wanted {
            self.give(SeatChange {
                seat,
                from: Owner::none(from),
                to: Owner::none(to),
                order: None,
                lapses_at: 0,
            });
        }
        Ok(())
    }
}
