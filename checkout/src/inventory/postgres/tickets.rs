//! Tickets in Postgres, as doors ask for them.

use super::Postgres;
use super::outbox_columns::OutboxColumns;
use super::shard::{Shard, TicketKey};
use crate::inventory::door_ticket::*;
use crate::inventory::model::*;
use crate::inventory::outbox::OutboxEntry;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};
use std::collections::HashMap;
use uuid::Uuid;

/// Columns of a ticket `t`: first those of its check-in; the last two have the seats of its order, if they have ticket types, and
/// the version of the plan.
const COLUMNS: &str = "t.admitted_at, t.door, t.scan, t.id, t.seat, t.order_id, (select o.visitor
        from fairline.orders o where o.event = t.event and o.id = t.order_id limit 1), t.is_valid,
    (select o.seats from fairline.orders o where o.event = t.event and o.id = t.order_id
        and o.seats like '%\"ticket_type\"%' limit 1),
    (select e.plan_version from fairline.event e where e.event = t.event)";

const NEXT_IDS: &str = "select d.id from fairline.door_ticket d where d.event = $1 and d.id > $2
        order by d.id limit $3";

const LATEST_IDS: &str = "select d.id from fairline.ticket d
        where d.event = $1 and d.admitted_at is not null order by d.admitted_at desc limit $2";

/// Nothing else of the ticket is asked for: planning the rest would take many times as long.
const CHECK_IN: &str = "select t.admitted_at, t.door, t.scan
    from fairline.check_in($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) t";

const COUNT: &str =
    "select coalesce(t.door, ''), t.admitted_at is not null, count(*) from fairline.door_ticket t
    where t.event = $1 and t.is_valid group by 1, 2 order by 1, 2";

/// Returns the selection of the tickets with these ids. They are chosen first, as Postgres would read
/// all orders to tell which of all tickets are valid.
fn among(ids: &str, order: &str) -> String {
    format!(
        "select {COLUMNS} from fairline.door_ticket t where t.event = $1 and t.id = any (array({ids}))
         order by {order}"
    )
}

impl Postgres {
    pub(super) async fn find_ticket(
        &self,
        event: &EventId,
        id: &str,
    ) -> Result<Option<DoorTicket>, Refused> {
        let shard = self.shard_of(event).await?;
        let key = (event.clone(), id.to_owned());
        let lookups = &shard.ticket_lookups;
        lookups
            .run(key, async |keys| find(&shard, &keys).await)
            .await
    }

    pub(super) async fn store_check_in(
        &self,
        event: &EventId,
        id: &str,
        check_in: Option<&CheckIn>,
        told: OutboxEntry,
    ) -> Result<Option<CheckIn>, Refused> {
        let shard = self.shard_of(event).await?;
        let told = [told];
        let columns = OutboxColumns::of(&told);
        let set = query(CHECK_IN)
            .bind(event.as_str())
            .bind(id)
            .bind(check_in.map(|check_in| check_in.at.0))
            .bind(check_in.map(|check_in| check_in.door.as_str()))
            .bind(check_in.and_then(|check_in| check_in.scan.as_deref()));
        let row = shard.lister.fetch_optional(columns.bind(set)).await?;
        Ok(read_check_in(&row.ok_or(Refused::TicketVoid)?))
    }

    pub(super) async fn list_tickets(
        &self,
        event: &EventId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DoorTicket>, Refused> {
        let shard = self.shard_of(event).await?;
        let select = among(NEXT_IDS, "t.id");
        let select = query(AssertSqlSafe(select)).bind(event.as_str());
        let select = select.bind(after).bind(limit as i64);
        let rows = shard.lists().fetch(select).await?;
        Ok(rows.iter().map(read).collect())
    }

    pub(super) async fn count_check_ins(&self, event: &EventId) -> Result<DoorFigures, Refused> {
        let shard = self.shard_of(event).await?;
        let rows = shard
            .lists()
            .fetch(query(COUNT).bind(event.as_str()))
            .await?;
        let mut figures = DoorFigures {
            tickets: 0,
            checked_in: 0,
            doors: Vec::new(),
            latest: Vec::new(),
        };
        for row in rows {
            let (is_used, count) = (row.get(1), row.get::<i64, _>(2) as u64);
            figures.tickets += count;
            if is_used {
                figures.checked_in += count;
                figures.doors.push(DoorCount {
                    door: row.get(0),
                    checked_in: count,
                });
            }
        }
        figures.doors.truncate(DOORS_MAX as usize);
        let select = among(LATEST_IDS, "t.admitted_at desc");
        let select = query(AssertSqlSafe(select)).bind(event.as_str());
        let rows = shard.lists().fetch(select.bind(CHECK_INS_MAX)).await?;
        figures.latest = rows.iter().map(read).collect();
        Ok(figures)
    }
}

/// Returns tickets by their keys. For many together the statement is planned once, which takes ten times
/// as long as finding one.
async fn find(shard: &Shard, keys: &[TicketKey]) -> Result<Vec<Option<DoorTicket>>, Refused> {
    let select = format!(
        "select {COLUMNS} from fairline.door_ticket t where t.event = $1 and t.id = any ($2)"
    );
    let mut ids: HashMap<&EventId, Vec<&str>> = HashMap::new();
    for (event, id) in keys {
        ids.entry(event).or_default().push(id);
    }
    let mut found = HashMap::new();
    for (event, ids) in ids {
        let select = query(AssertSqlSafe(select.clone())).bind(event.as_str());
        for row in shard.lister.fetch(select.bind(&ids)).await? {
            let ticket = read(&row);
            found.insert((event.clone(), ticket.id.clone()), ticket);
        }
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Returns the check-in in the first three columns.
fn read_check_in(row: &PgRow) -> Option<CheckIn> {
    let at: Option<i64> = row.get(0);
    at.map(|at| CheckIn {
        at: Time(at),
        door: row.get::<Option<String>, _>(1).unwrap_or_default(),
        scan: row.get(2),
    })
}

fn read(row: &PgRow) -> DoorTicket {
    let priced: Option<&str> = row.get(8);
    let priced = priced.and_then(|seats| serde_json::from_str(seats).ok());
    DoorTicket {
        id: row.get(3),
        seat: row.get::<i32, _>(4) as u32,
        plan_version: row.get::<Option<i32>, _>(9).unwrap_or_default() as u32,
        order: row.get(5),
        visitor: row
            .get::<Option<Uuid>, _>(6)
            .map(|visitor| VisitorId(visitor.as_u128())),
        check_in: read_check_in(row),
        priced: priced.unwrap_or_default(),
        is_valid: row.get(7),
    }
}
