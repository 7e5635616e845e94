//! Tickets in SQLite, as doors ask for them.

use super::{Step, Store};
use crate::inventory::engine::TICKETS_MAX;
use crate::inventory::records::DoorTicket;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::ids::EventId;
use shared::time::Time;

/// Tickets `t` whose money is not on its way back: those are valid no more.
const VALID: &str = "not exists (select 1 from orders o where o.event = t.event and o.id = t.order_id
        and o.state <> 'confirmed')
    and not exists (select 1 from payment p, json_each(p.refunds) r, json_each(r.value, '$.seats') s
        where p.event = t.event and p.order_id = t.order_id and p.refunds is not null and s.value = t.seat)";

impl Store {
    pub(super) fn find_ticket(&self, event: &EventId, id: &str) -> Step<Option<DoorTicket>> {
        let mut query = self.db.prepare_cached(&format!(
            "select id, seat, order_id, admitted_at from ticket t where event = ?1 and id = ?2 and {VALID}"
        ))?;
        let found = query.query_row([event.as_str(), id], read).optional()?;
        Ok(Ok(found))
    }

    pub(super) fn mark_ticket(
        &mut self,
        event: &EventId,
        id: &str,
        now: Time,
    ) -> Step<Option<DoorTicket>> {
        let Ok(before) = self.find_ticket(event, id)? else {
            return Ok(Ok(None));
        };
        if before
            .as_ref()
            .is_some_and(|before| before.admitted_at.is_none())
        {
            self.write()?;
            self.db
                .prepare_cached("update ticket set admitted_at = ?3 where event = ?1 and id = ?2")?
                .execute(params![event.as_str(), id, now.0])?;
        }
        Ok(Ok(before))
    }

    pub(super) fn find_tickets(&self, event: &EventId, from: u32) -> Step<Vec<DoorTicket>> {
        let mut query = self.db.prepare_cached(&format!(
            "select id, seat, order_id, admitted_at from ticket t indexed by ticket_of_seat
             where event = ?1 and seat >= ?2 and {VALID} order by seat limit ?3"
        ))?;
        let found = query.query_map(params![event.as_str(), from, TICKETS_MAX as i64], read)?;
        found.collect::<rusqlite::Result<_>>().map(Ok)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<DoorTicket> {
    Ok(DoorTicket {
        id: row.get(0)?,
        seat: row.get(1)?,
        order: row.get(2)?,
        admitted_at: row.get::<_, Option<i64>>(3)?.map(Time),
    })
}
