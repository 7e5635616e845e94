//! Tickets in Postgres, as doors ask for them.

use super::Postgres;
use crate::inventory::engine::TICKETS_MAX;
use crate::inventory::model::*;
use crate::inventory::records::DoorTicket;
use shared::ids::EventId;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};

/// Tickets `t` whose money is not on its way back: those are valid no more.
const VALID: &str = "not exists (select from fairline.orders o where o.event = t.event and o.id = t.order_id
        and o.state <> 'confirmed')
    and not exists (select from fairline.payment p, json_array_elements(p.refunds::json) r,
            json_array_elements_text(r.value -> 'seats') s
        where p.event = t.event and p.order_id = t.order_id and p.refunds is not null and s.value::integer = t.seat)";

/// No index has the ids: they would cost every booking, and an event has few enough tickets.
const ONE: &str = "select id, seat, order_id, admitted_at from fairline.ticket t where event = $1 and id = $2 and ";

const LIST: &str = "select id, seat, order_id, admitted_at from fairline.ticket t where event = $1 and seat >= $2 and ";

fn admit() -> String {
    format!(
        "with known as (
            select t.seat, t.admitted_at from fairline.ticket t where t.event = $1 and t.id = $2 and {VALID} for update
        )
        update fairline.ticket t set admitted_at = coalesce(known.admitted_at, $3) from known
        where t.event = $1 and t.seat = known.seat returning t.id, t.seat, t.order_id, known.admitted_at"
    )
}

impl Postgres {
    pub(super) async fn find_ticket(
        &self,
        event: &EventId,
        id: &str,
    ) -> Result<Option<DoorTicket>, Refused> {
        let shard = self.shard_of(event).await?;
        let select = query(AssertSqlSafe(format!("{ONE}{VALID}")));
        let select = select.bind(event.as_str()).bind(id);
        let row = shard.lister.fetch_optional(select).await?;
        Ok(row.as_ref().map(read))
    }

    pub(super) async fn mark_ticket(
        &self,
        event: &EventId,
        id: &str,
    ) -> Result<Option<DoorTicket>, Refused> {
        let shard = self.shard_of(event).await?;
        let now = shard.clock.now().0;
        let update = query(AssertSqlSafe(admit()));
        let update = update.bind(event.as_str()).bind(id).bind(now);
        let row = shard.lister.fetch_optional(update).await?;
        Ok(row.as_ref().map(read))
    }

    pub(super) async fn find_tickets(
        &self,
        event: &EventId,
        from: u32,
    ) -> Result<Vec<DoorTicket>, Refused> {
        let shard = self.shard_of(event).await?;
        let select = query(AssertSqlSafe(format!(
            "{LIST}{VALID} order by seat limit $3"
        )));
        let select = select.bind(event.as_str());
        let select = select.bind(i64::from(from)).bind(TICKETS_MAX as i64);
        let rows = shard.lister.fetch(select).await?;
        Ok(rows.iter().map(read).collect())
    }
}

fn read(row: &PgRow) -> DoorTicket {
    DoorTicket {
        id: row.get(0),
        seat: row.get::<i32, _>(1) as u32,
        order: row.get(2),
        admitted_at: row.get::<Option<i64>, _>(3).map(Time),
    }
}
