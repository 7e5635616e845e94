//! Payments that are due or to be compared.

use super::Postgres;
use super::read::found_payment;
use crate::inventory::dispute::reports;
use crate::inventory::engine::{
    DUE_MAX, LateOrder, REVIEWS_MAX, SILENCE_MS, SWEEP_MAX, VOIDING_MS_MAX, lease_ms,
};
use crate::inventory::model::*;
use crate::inventory::refund_sums::RefundSum;
use shared::ids::EventId;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};

/// Columns of a payment, as JSON.
const COLUMNS: &str = "row_to_json(p)::text";

/// Takes due payments: those that the provider settles by itself, and those that are followed
/// there. The words of both are those of their indices.
const TAKE: &str = "with settling as (
        select p.event, p.order_id, p.attempt from fairline.payment p
        where p.state in ('processing', 'refunding') and p.review is null
            and coalesce(p.next_at, case p.state when 'processing' then coalesce(p.settles_at, p.begun_at + $2) else 0 end) <= $1
        limit $3 for update skip locked
    ), followed as (
        select p.event, p.order_id, p.attempt from fairline.payment p
        where p.provider not in ('simulated', 'free')
            and p.state in ('created', 'requires_action', 'authorised', 'capturing', 'voiding') and p.review is null
            and coalesce(p.next_at, 0) <= $1
        limit $3 for update skip locked
    )
    update fairline.payment p set tries = p.tries + 1,
        next_at = $1 + least($4, $2 * (1 << least(p.tries, 10)))
    from (select * from settling union all select * from followed) f
    where p.event = f.event and p.order_id = f.order_id and p.attempt = f.attempt
    returning row_to_json(p)::text";

impl Postgres {
    /// Returns orders whose time to pay is over.
    pub(super) async fn late_orders(&self) -> Result<Vec<LateOrder>, Refused> {
        let select = "select o.event, o.id from fairline.orders o
            where o.state in ('paying', 'declined', 'confirming') and o.pay_by <= $1
                and not exists (select from fairline.payment p where p.event = o.event and p.order_id = o.id
                    and (p.state = 'capturing' or p.state = 'voiding' and o.pay_by > $1 - $3))
            order by o.pay_by limit $2";
        let select = |now: Time| {
            let select = query(select).bind(now.0).bind(SWEEP_MAX as i64);
            select.bind(VOIDING_MS_MAX)
        };
        let rows = self.fetch_each(select).await?;
        let read = |row: PgRow| {
            Some(LateOrder {
                event: EventId::parse(row.get(0)).ok()?,
                id: row.get(1),
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    pub(super) async fn due_payments(&self) -> Result<Vec<DuePayment>, Refused> {
        let take = |now: Time| {
            let take = query(TAKE).bind(now.0).bind(SILENCE_MS).bind(DUE_MAX);
            take.bind(lease_ms(10))
        };
        let mut due = Vec::new();
        for row in self.fetch_each(take).await? {
            let found = found_payment(row.get(0))?;
            due.push(DuePayment {
                payment: found.payment,
                state: found.row.state,
            });
        }
        Ok(due)
    }

    pub(super) async fn payments_between(
        &self,
        from: Time,
        to: Time,
    ) -> Result<Vec<BookedPayment>, Refused> {
        let select = format!(
            "select {COLUMNS} from fairline.payment p
            where p.reference is not null and p.begun_at >= $1 and p.begun_at < $2"
        );
        let select = |_: Time| query(AssertSqlSafe(select.clone())).bind(from.0).bind(to.0);
        let mut booked = Vec::new();
        for row in self.fetch_each(select).await? {
            let found = found_payment(row.get(0))?;
            booked.push(BookedPayment {
                captured: found.row.captured(),
                refunded: found.row.refunded,
                state: found.row.state,
                outside: found.row.outside,
                disputes: reports(&found.row.disputes),
                payment: found.payment,
            });
        }
        Ok(booked)
    }

    pub(super) async fn sum_refunds(&self, event: &EventId) -> Result<Vec<RefundSum>, Refused> {
        // Of an order that was refunded, fees may have been kept.
        let select = "select o.currency, sum(p.refunded)::bigint, sum(p.charged_back)::bigint,
                sum(case when p.state = 'refunding' or o.state in ('confirmed', 'refunding')
                    then greatest(p.amount - p.refunded - p.charged_back, 0) else 0 end)::bigint
            from fairline.payment p join fairline.orders o on o.event = p.event and o.id = p.order_id
            where p.event = $1 and p.state in ('captured', 'refunding', 'refunded') and p.amount > 0
            group by o.currency order by o.currency";
        let shard = self.shard_of(event).await?;
        let select = query(select).bind(event.as_str());
        let rows = shard.lists().fetch(select).await?;
        let read = |row: &PgRow| {
            let currency = Currency::parse(row.get(0)).unwrap_or(Currency::NONE);
            RefundSum::of(currency, [1, 2, 3].map(|at| row.get(at)))
        };
        Ok(rows.iter().map(read).collect())
    }

    pub(super) async fn payments_in_review(&self) -> Result<Vec<PaymentRef>, Refused> {
        let select = format!(
            "select {COLUMNS} from fairline.payment p where p.review is not null
            order by p.event, p.begun_at limit $1"
        );
        let select = |_: Time| query(AssertSqlSafe(select.clone())).bind(REVIEWS_MAX);
        let mut payments = Vec::new();
        for row in self.fetch_each(select).await? {
            payments.push(found_payment(row.get(0))?.payment);
        }
        Ok(payments)
    }
}
