//! Orders in SQLite as organisers list them, and their refunds, read by a connection of its own.

use super::Sqlite;
use super::read::{Completing, ORDER, currency, read_order};
use crate::inventory::command::Subject;
use crate::inventory::commands::Target;
use crate::inventory::engine::decide_with;
use crate::inventory::model::*;
use crate::inventory::order_page::OrderPage;
use crate::inventory::personal::Personal;
use crate::inventory::records::OrderRow;
use crate::inventory::refund_sums::RefundSum;
use rusqlite::{OptionalExtension as _, params};
use shared::ids::EventId;

impl Sqlite {
    pub(super) async fn list_orders(
        &self,
        event: &EventId,
        page: &OrderPage,
    ) -> Result<Vec<Order>, Refused> {
        let (keys, own, page) = (self.keys.clone(), event.clone(), page.clone());
        let (rows, plan_version): (Vec<OrderRow>, u32) = self
            .look(move |file| {
                // All of it is of one moment.
                let transaction = file.unchecked_transaction()?;
                let version = "select plan_version from event where event = ?1";
                let version = transaction.query_row(version, [own.as_str()], |row| row.get(0));
                let mut query = transaction.prepare(&format!(
                    "select {ORDER} from orders where event = ?1 and (?2 is null or (created_at, id) <
                         (select a.created_at, a.id from orders a where a.event = ?1 and a.id = ?2))
                         and (?3 is null or state = ?3)
                     order by created_at desc, id desc limit ?4"
                ))?;
                let from = params![own.as_str(), page.after, page.state, page.limit];
                let personal = Personal {
                    keys: &keys,
                    event: &own,
                };
                let completing = Completing {
                    db: &transaction,
                    personal,
                };
                let rows = query.query_map(from, read_order)?;
                let rows = rows.map(|row| completing.complete(row?));
                let rows = rows.collect::<rusqlite::Result<_>>()?;
                Ok((rows, version.optional()?.unwrap_or(0)))
            })
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let subject = Subject::new(event, Target::Event);
        decide_with(self, subject, move |work| {
            work.event_state.check_plan(plan_version)?;
            Ok(rows.iter().map(|row| work.event_state.show(row)).collect())
        })
        .await
    }

    pub(super) async fn sum_refunds(&self, event: &EventId) -> Result<Vec<RefundSum>, Refused> {
        let event = event.clone();
        self.look(move |file| {
            // Of an order that was refunded, fees may have been kept.
            let mut query = file.prepare(
                "select o.currency, sum(p.refunded), sum(p.charged_back),
                     sum(case when p.state = 'refunding' or o.state in ('confirmed', 'refunding')
                         then max(p.amount - p.refunded - p.charged_back, 0) else 0 end)
                 from payment p join orders o on o.event = p.event and o.id = p.order_id
                 where p.event = ?1 and p.state in ('captured', 'refunding', 'refunded') and p.amount > 0
                 group by o.currency order by o.currency",
            )?;
            let rows = query.query_map([event.as_str()], |row| {
                let sums = [row.get(1)?, row.get(2)?, row.get(3)?];
                Ok(RefundSum::of(currency(row, 0)?, sums))
            })?;
            rows.collect()
        })
        .await
    }
}
