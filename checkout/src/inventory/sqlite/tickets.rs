//! Tickets in SQLite, as doors ask for them.

use super::read::{read_list, visitor};
use super::{Sqlite, Step, Store};
use crate::inventory::door_ticket::*;
use crate::inventory::model::*;
use crate::inventory::outbox::OutboxEntry;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::ids::EventId;
use shared::time::Time;

/// Tickets `t` whose money is not on its way back: those are valid no more.
const VALID: &str = "not exists (select 1 from orders o where o.event = t.event and o.id = t.order_id
        and o.state <> 'confirmed')
    and not exists (select 1 from payment p indexed by payment_of_order, json_each(p.refunds) r, json_each(r.value, '$.seats') s
        where p.event = t.event and p.order_id = t.order_id and p.refunds is not null and s.value = t.seat)";

const VISITOR: &str =
    "(select o.visitor from orders o where o.event = t.event and o.id = t.order_id)";

/// Seats of the order of tickets `t`, if they have ticket types.
const PRICED: &str = "(select o.seats from orders o where o.event = t.event and o.id = t.order_id
        and o.seats like '%\"ticket_type\"%')";

const PLAN_VERSION: &str = "(select e.plan_version from event e where e.event = t.event)";

/// Returns the selection of tickets `t` with a condition, those that were given back among them.
fn select(condition: &str) -> String {
    format!(
        "select id, seat, order_id, {VISITOR}, admitted_at, door, scan, {VALID}, {PRICED}, {PLAN_VERSION}
             from ticket t where {condition}
         union all select id, seat, order_id, {VISITOR}, null, null, null, 0, {PRICED}, {PLAN_VERSION}
             from void_ticket t where {condition}"
    )
}

impl Store {
    pub(super) fn find_ticket(&self, event: &EventId, id: &str) -> Step<Option<DoorTicket>> {
        let select = select("event = ?1 and id = ?2");
        let mut query = self.db.prepare_cached(&select)?;
        let found = query.query_row([event.as_str(), id], read).optional()?;
        Ok(Ok(found))
    }

    pub(super) fn set_check_in(
        &mut self,
        event: &EventId,
        id: &str,
        check_in: Option<&CheckIn>,
        told: &OutboxEntry,
    ) -> Step<Option<CheckIn>> {
        let Ok(Some(before)) = self.find_ticket(event, id)? else {
            return Ok(Err(Refused::TicketVoid));
        };
        if !before.is_valid {
            return Ok(Err(Refused::TicketVoid));
        }
        if before.check_in.is_none() == check_in.is_some() {
            self.write()?;
            self.db
                .prepare_cached(
                    "update ticket set admitted_at = ?3, door = ?4, scan = ?5 where event = ?1 and id = ?2",
                )?
                .execute(params![
                    event.as_str(),
                    id,
                    check_in.map(|check_in| check_in.at.0),
                    check_in.map(|check_in| &check_in.door),
                    check_in.and_then(|check_in| check_in.scan.as_ref())
                ])?;
            self.insert_events(event.as_str(), std::slice::from_ref(told))?;
            // The order in memory has the check-in of before.
            let event_state = self.event_states.get_mut(event);
            if let Some((event_state, visitor)) = event_state.zip(before.visitor) {
                event_state.visitors.take(visitor);
            }
        }
        Ok(Ok(before.check_in))
    }
}

impl Sqlite {
    pub(super) async fn list_tickets(
        &self,
        event: &EventId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DoorTicket>, Refused> {
        let (event, after) = (event.clone(), after.to_owned());
        self.look(move |file| {
            let select = select("event = ?1 and id > ?2");
            let mut query = file.prepare(&format!("{select} order by id limit ?3"))?;
            let limits = params![event.as_str(), after, limit as i64];
            query.query_map(limits, read)?.collect()
        })
        .await
    }

    pub(super) async fn count_check_ins(&self, event: &EventId) -> Result<DoorFigures, Refused> {
        let event = event.clone();
        self.look(move |file| {
            let event = event.as_str();
            let (tickets, checked_in) = file.query_row(
                &format!(
                    "select count(*), count(t.admitted_at) from ticket t where event = ?1 and {VALID}"
                ),
                [event],
                |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)),
            )?;
            let mut doors = file.prepare(&format!(
                "select coalesce(door, ''), count(*) from ticket t
                 where event = ?1 and admitted_at is not null and {VALID} group by 1 order by 1 limit ?2"
            ))?;
            let doors = doors.query_map(params![event, DOORS_MAX], |row| {
                Ok(DoorCount {
                    door: row.get(0)?,
                    checked_in: row.get::<_, i64>(1)? as u64,
                })
            })?;
            let select = select("event = ?1");
            let mut latest = file.prepare(&format!(
                "select * from ({select}) where admitted_at is not null order by admitted_at desc limit ?2"
            ))?;
            let latest = latest.query_map(params![event, CHECK_INS_MAX], read)?;
            Ok(DoorFigures {
                tickets,
                checked_in,
                doors: doors.collect::<rusqlite::Result<_>>()?,
                latest: latest.collect::<rusqlite::Result<_>>()?,
            })
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<DoorTicket> {
    let at: Option<i64> = row.get(4)?;
    let has_order = row.get_ref(3)? != rusqlite::types::ValueRef::Null;
    Ok(DoorTicket {
        id: row.get(0)?,
        seat: row.get(1)?,
        plan_version: row.get::<_, Option<u32>>(9)?.unwrap_or_default(),
        order: row.get(2)?,
        visitor: has_order.then(|| visitor(row, 3)).transpose()?,
        check_in: match at {
            Some(at) => Some(CheckIn {
                at: Time(at),
                door: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                scan: row.get(6)?,
            }),
            None => None,
        },
        priced: read_list(row.get(8)?)?,
        is_valid: row.get(7)?,
    })
}
