//! Orders in SQLite as organisers list them, and their sums, read by a connection of its own.

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
use crate::inventory::sales::{MethodSales, OrderSum, Sales};
use rusqlite::{Connection, OptionalExtension as _, params};
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

    pub(super) async fn sum_sales(&self, event: &EventId) -> Result<Sales, Refused> {
        let of = event.clone();
        let counted = self.step(move |store, _| {
            let Some(event_state) = store.event_states.get(&of) else {
                return Ok(Err(Refused::NoSuchEvent));
            };
            let plan = event_state.plan.as_ref();
            let counts = plan.map_or([0; 4], |plan| plan.states.counts);
            Ok(Ok((counts, event_state.rules.currency)))
        });
        let (counts, currency) = counted.await?;
        let of = event.clone();
        let summed = self.look(move |file| {
            // All of it is of one moment.
            let transaction = file.unchecked_transaction()?;
            let mut sums = order_sums(&transaction, &of)?;
            sums.extend(money_back(&transaction, &of)?);
            Ok((sums, sales_by_method(&transaction, &of)?))
        });
        let (sums, methods) = summed.await?;
        Ok(Sales::of(counts, sums, currency, methods))
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

fn order_sums(file: &Connection, event: &EventId) -> rusqlite::Result<Vec<OrderSum>> {
    let mut query = file.prepare(
        "select state, currency, count(*), sum(total) from orders where event = ?1
         group by state, currency order by currency",
    )?;
    let rows = query.query_map([event.as_str()], |row| {
        Ok(OrderSum {
            state: row.get(0)?,
            currency: currency(row, 1)?,
            count: row.get(2)?,
            amount: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Money that went back of orders that are still confirmed, and that stayed of others.
fn money_back(file: &Connection, event: &EventId) -> rusqlite::Result<Vec<OrderSum>> {
    let mut query = file.prepare(
        "select o.currency, sum(case when o.state = 'refunded' or p.state = 'refunded' then p.amount else 0 end
             - p.refunded - p.charged_back)
         from payment p join orders o on o.event = p.event and o.id = p.order_id
         where p.event = ?1 and p.state in ('captured', 'refunding', 'refunded')
             and (p.refunded > 0 or p.charged_back > 0 or o.state = 'refunded')
             and o.state in ('confirmed', 'refunded') group by 1",
    )?;
    let rows = query.query_map([event.as_str()], |row| {
        Ok(OrderSum {
            state: "confirmed".to_owned(),
            currency: currency(row, 0)?,
            count: 0,
            amount: row.get(1)?,
        })
    })?;
    rows.collect()
}

fn sales_by_method(file: &Connection, event: &EventId) -> rusqlite::Result<Vec<MethodSales>> {
    let mut query = file.prepare(
        "select p.provider, o.currency, count(*) filter (where o.state = 'confirmed' and p.state <> 'refunded'),
             sum(p.amount - p.refunded - p.charged_back)
         from payment p join orders o on o.event = p.event and o.id = p.order_id
         where p.event = ?1 and o.state in ('confirmed', 'refunded')
             and p.state in ('captured', 'refunding', 'refunded')
         group by 1, 2
         having count(*) filter (where o.state = 'confirmed' and p.state <> 'refunded') > 0
             or sum(p.amount - p.refunded - p.charged_back) <> 0
         order by 1, 2",
    )?;
    let rows = query.query_map([event.as_str()], |row| {
        let (method, orders, amount) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let currency = currency(row, 1)?;
        Ok(MethodSales {
            method,
            orders,
            revenue: Money { amount, currency },
        })
    })?;
    rows.collect()
}
