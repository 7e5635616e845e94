//! The change of a plan in SQLite while seats are held or sold.

use super::read::read_list;
use super::{Step, Store};
use crate::inventory::Layout;
use crate::inventory::commands::json;
use crate::inventory::event_state::VisitorCache;
use crate::inventory::layout::NOWHERE;
use crate::inventory::model::*;
use crate::inventory::outbox::EventType;
use crate::inventory::payment_row::RefundRow;
use crate::inventory::plan_change::compare;
use crate::inventory::seat_map::blocked_by_hand;
use rusqlite::types::Value;
use rusqlite::{Row, params};
use shared::ids::EventId;

/// Seat of a plan that is held or sold, as stored: state, hold, order and visitor.
type Owned = [Value; 4];

impl Store {
    pub(super) fn change_seating(
        &mut self,
        event: &EventId,
        layout: Layout,
        confirmation: &str,
    ) -> Step<u32> {
        let event_state = self.event_states.get(event);
        let Some(plan) = event_state.and_then(|event_state| event_state.plan.as_ref()) else {
            return Ok(Err(Refused::NoSuchEvent));
        };
        let states = &plan.states;
        let change = compare(&plan.layout, &states.seats, &layout);
        let change = match change.and_then(|change| change.confirmed_by(confirmation)) {
            Ok(change) => change,
            Err(refused) => return Ok(Err(refused)),
        };
        let places = change.places;
        let version = plan.seat_map.layout_version + 1;
        let mut moved = vec![(SeatState::Available, 0); layout.seats.len()];
        let owned = states.seats.iter().zip(&states.lapses_at).zip(&places);
        for ((state, lapses_at), place) in owned {
            if matches!(state, SeatState::Held | SeatState::Booked) {
                moved[*place as usize] = (*state, *lapses_at);
            }
        }
        for seat in layout.blocked_with(blocked_by_hand(&plan.layout, &states.seats)) {
            let own = &mut moved[seat as usize].0;
            if *own == SeatState::Available {
                *own = SeatState::Blocked;
            }
        }
        let was_sold_out = self.event_state(event)?.is_sold_out();
        self.write()?;
        let notes = self.block_notes(event, &places)?;
        self.move_seats(event, &places, &moved)?;
        self.keep_block_notes(event, &notes)?;
        self.move_tickets(event, &places)?;
        self.move_refunds(event, &places)?;
        self.install(event, layout, version, moved)?;
        let event_state = self.event_state(event)?;
        // They name seats by their places in the plan before.
        event_state.visitors = VisitorCache::default();
        let is_sold_out = event_state.is_sold_out();
        if was_sold_out != is_sold_out && !event_state.is_cancelled() {
            self.tell(EventType::of_sale(is_sold_out), event, None)?;
        }
        Ok(Ok(version))
    }

    /// Returns the notes on blocked seats, and on those that may be blocked again, by the places that
    /// a new plan has for them.
    pub(super) fn block_notes(
        &self,
        event: &EventId,
        places: &[u32],
    ) -> rusqlite::Result<Vec<(u32, String)>> {
        let mut query = self.db.prepare(
            "select seat, note from seat where event = ?1 and state in (1, 3) and note is not null",
        )?;
        let read = |row: &Row<'_>| Ok((place_of(places, row.get(0)?), row.get(1)?));
        let notes = query.query_map([event.as_str()], read)?;
        notes.collect()
    }

    pub(super) fn keep_block_notes(
        &self,
        event: &EventId,
        notes: &[(u32, String)],
    ) -> rusqlite::Result<()> {
        let mut update = self.db.prepare_cached(
            "update seat set note = ?3 where event = ?1 and seat = ?2 and state in (1, 3)",
        )?;
        for (seat, note) in notes {
            update.execute(params![event.as_str(), seat, note])?;
        }
        Ok(())
    }

    fn move_seats(
        &self,
        event: &EventId,
        places: &[u32],
        states: &[(SeatState, i64)],
    ) -> rusqlite::Result<()> {
        let event = event.as_str();
        let mut query = self.db.prepare(
            "select seat, state, hold, order_id, visitor from seat where event = ?1 and state in (1, 2)",
        )?;
        let owned = query.query_map([event], |row| {
            let owned: Owned = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((row.get(0)?, owned))
        })?;
        let owned: Vec<(u32, Owned)> = owned.collect::<rusqlite::Result<_>>()?;
        self.db
            .execute("delete from seat where event = ?1", [event])?;
        let mut insert = self.db.prepare_cached(
            "insert into seat (event, seat, state, hold, order_id, visitor) values (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for (seat, [state, hold, order, visitor]) in owned {
            let place = places[seat as usize];
            insert.execute(params![event, place, state, hold, order, visitor])?;
        }
        let mut insert = self
            .db
            .prepare_cached("insert into seat (event, seat, state) values (?1, ?2, ?3)")?;
        for (seat, (state, _)) in (0_u32..).zip(states) {
            if matches!(state, SeatState::Available | SeatState::Blocked) {
                insert.execute(params![event, seat, *state as u8])?;
            }
        }
        Ok(())
    }

    /// Moves tickets, also those that were given back, to the places of their seats.
    fn move_tickets(&self, event: &EventId, places: &[u32]) -> rusqlite::Result<()> {
        let event = event.as_str();
        let seats_of = |table: &str| {
            let mut query = self
                .db
                .prepare(&format!("select id, seat from {table} where event = ?1"))?;
            let rows = query.query_map([event], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, u32)>>>()
        };
        let valid = seats_of("ticket")?;
        // No two may have one place even for a moment.
        self.db.execute(
            "update ticket set seat = -1 - seat where event = ?1",
            [event],
        )?;
        for (table, tickets) in [("ticket", valid), ("void_ticket", seats_of("void_ticket")?)] {
            let update = format!("update {table} set seat = ?3 where event = ?1 and id = ?2");
            let mut update = self.db.prepare_cached(&update)?;
            for (id, seat) in tickets {
                update.execute(params![event, id, place_of(places, seat)])?;
            }
        }
        Ok(())
    }

    fn move_refunds(&self, event: &EventId, places: &[u32]) -> rusqlite::Result<()> {
        let event = event.as_str();
        let mut query = self
            .db
            .prepare("select id, refunds from payment where event = ?1 and refunds is not null")?;
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, read_list(row.get(1)?)?));
        let rows = query.query_map([event], read)?;
        let rows: Vec<(String, Vec<RefundRow>)> = rows.collect::<rusqlite::Result<_>>()?;
        let mut update = self
            .db
            .prepare_cached("update payment set refunds = ?3 where event = ?1 and id = ?2")?;
        for (id, mut refunds) in rows {
            for seat in refunds.iter_mut().flat_map(|refund| &mut refund.seats) {
                *seat = place_of(places, *seat);
            }
            update.execute(params![event, id, json(&refunds)])?;
        }
        Ok(())
    }
}

/// Returns the place of a seat of the plan before.
fn place_of(places: &[u32], seat: u32) -> u32 {
    places.get(seat as usize).copied().unwrap_or(NOWHERE)
}
