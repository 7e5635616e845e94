//! Payments that are late, due or to be compared, and the webhooks that were received.

use super::read::{currency, event_of, read_list};
use super::{Step, Store};
use crate::inventory::dispute::reports;
use crate::inventory::engine::{
    DUE_MAX, INBOX_SECONDS, LateOrder, PARKED_MAX, REVIEWS_MAX, SILENCE_MS, SWEEP_MAX,
    VOIDING_MS_MAX, lease_ms,
};
use crate::inventory::model::*;
use crate::inventory::payment_review::Review;
use crate::inventory::records::PaymentRow;
use rusqlite::types::FromSqlError;
use rusqlite::{Row, params};
use shared::time::Time;

/// Columns of a payment with those of its order.
const COLUMNS: &str = "p.event, p.order_id, p.id, p.attempt, p.state, p.amount, p.client_secret, p.begun_at, \
    p.settles_at, p.provider, p.reference, p.revision, p.refunded, p.refunds, p.review, p.next_at, p.tries, \
    p.outside, p.history, \
    (select currency from orders o where o.event = p.event and o.id = p.order_id), p.disputes";

/// Payments that may be due, in the words of their indices.
const SETTLING: &str = "p.state in ('processing', 'refunding')";
const FOLLOWED: &str = "p.provider not in ('simulated', 'free') \
    and p.state in ('created', 'requires_action', 'authorised', 'capturing', 'voiding')";

/// A payment of any event.
struct Found {
    payment: PaymentRef,
    row: PaymentRow,
    tries: i64,
}

impl Store {
    pub(super) fn late(&self, now: Time) -> Step<Vec<LateOrder>> {
        let mut query = self.db.prepare_cached(
            "select event, id from orders o where state in ('paying', 'declined', 'confirming') and pay_by <= ?1
                 and not exists (select 1 from payment p indexed by payment_of_order where p.event = o.event and p.order_id = o.id
                     and (p.state = 'capturing' or p.state = 'voiding' and o.pay_by > ?1 - ?3))
             order by pay_by limit ?2",
        )?;
        let most = params![now.0, SWEEP_MAX as i64, VOIDING_MS_MAX];
        let rows = query.query_map(most, |row| {
            Ok(LateOrder {
                event: event_of(row, 0)?,
                id: row.get(1)?,
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().map(Ok)
    }

    /// Takes payments that are due. They are looked for first, so that nothing is written while
    /// none is.
    pub(super) fn due(&mut self, now: Time) -> Step<Vec<DuePayment>> {
        let mut found = Vec::new();
        for which in [SETTLING, FOLLOWED] {
            let mut query = self.db.prepare_cached(&format!(
                "select {COLUMNS} from payment p where {which} and p.review is null
                 and coalesce(p.next_at, case p.state when 'processing' then coalesce(p.settles_at, p.begun_at + ?2)
                     else 0 end) <= ?1 limit ?3"
            ))?;
            for payment in query.query_map(params![now.0, SILENCE_MS, DUE_MAX], read)? {
                found.push(payment?);
            }
        }
        if found.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        self.write()?;
        let mut due = Vec::with_capacity(found.len());
        for Found {
            payment,
            row,
            tries,
        } in found
        {
            self.db
                .prepare_cached(
                    "update payment set next_at = ?3, tries = tries + 1 where event = ?1 and id = ?2",
                )?
                .execute(params![
                    payment.event.as_str(),
                    payment.id,
                    now.0 + lease_ms(tries)
                ])?;
            due.push(DuePayment {
                payment,
                state: row.state,
            });
        }
        Ok(Ok(due))
    }

    pub(super) fn payments(&self, from: Time, to: Time) -> Step<Vec<BookedPayment>> {
        let mut query = self.db.prepare_cached(&format!(
            "select {COLUMNS} from payment p where p.reference is not null and p.begun_at >= ?1 and p.begun_at < ?2"
        ))?;
        let found = query.query_map([from.0, to.0], read)?;
        let booked = found.map(|found| Ok(booked(found?)));
        booked.collect::<rusqlite::Result<_>>().map(Ok)
    }

    pub(super) fn in_review(&self) -> Step<Vec<PaymentRef>> {
        let mut query = self.db.prepare_cached(&format!(
            "select {COLUMNS} from payment p where p.review is not null order by p.event, p.begun_at limit ?1"
        ))?;
        let found = query.query_map([REVIEWS_MAX], read)?;
        let payments = found.map(|found| Ok(found?.payment));
        payments.collect::<rusqlite::Result<_>>().map(Ok)
    }

    pub(super) fn has_received(&self, id: &str) -> Step<bool> {
        let mut query = self
            .db
            .prepare_cached("select 1 from inbox where id = ?1")?;
        query.exists([id]).map(Ok)
    }

    pub(super) fn receive(&mut self, event: &InboxEvent, now: Time) -> Step<()> {
        self.write()?;
        self.db
            .prepare_cached(
                "insert into inbox (id, reference, at, next_at, claim) values (?1, ?2, ?3, ?4, ?5)
                 on conflict (id) do update set next_at = excluded.next_at, claim = excluded.claim",
            )?
            .execute(params![
                event.id,
                event.reference,
                now.0,
                event.is_parked.then_some(now.0 + lease_ms(0)),
                event.claim.as_deref().filter(|_| event.is_parked)
            ])?;
        Ok(Ok(()))
    }

    pub(super) fn parked(&mut self, now: Time) -> Step<Vec<InboxEvent>> {
        let mut query = self.db.prepare_cached(
            "select id, reference, tries, claim from inbox where next_at <= ?1 order by next_at limit ?2",
        )?;
        let found = query.query_map([now.0, PARKED_MAX], |row| {
            let event = InboxEvent {
                id: row.get(0)?,
                reference: row.get(1)?,
                is_parked: true,
                claim: row.get(3)?,
            };
            Ok((event, row.get::<_, i64>(2)?))
        })?;
        let found: Vec<(InboxEvent, i64)> = found.collect::<rusqlite::Result<_>>()?;
        drop(query);
        if !found.is_empty() {
            self.write()?;
        }
        for (event, tries) in &found {
            self.db
                .prepare_cached("update inbox set next_at = ?2, tries = tries + 1 where id = ?1")?
                .execute(params![event.id, now.0 + lease_ms(*tries)])?;
        }
        Ok(Ok(found.into_iter().map(|(event, _)| event).collect()))
    }

    pub(super) fn prune_inbox(&mut self, now: Time) -> Step<()> {
        let before = now.0 - INBOX_SECONDS * 1000;
        let has_old = self
            .db
            .prepare_cached("select 1 from inbox where at < ?1 limit 1")?
            .exists([before])?;
        if has_old {
            self.write()?;
            self.db
                .prepare_cached(
                    "delete from inbox where id in (select id from inbox where at < ?1 limit 1000)",
                )?
                .execute([before])?;
        }
        Ok(Ok(()))
    }
}

fn booked(found: Found) -> BookedPayment {
    let Found { payment, row, .. } = found;
    BookedPayment {
        captured: row.captured(),
        refunded: row.refunded,
        state: row.state,
        outside: row.outside,
        disputes: reports(&row.disputes),
        payment,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Found> {
    let state: String = row.get(4)?;
    let provider: String = row.get(9)?;
    let payment = PaymentRow {
        id: row.get(2)?,
        attempt: row.get(3)?,
        state: PaymentState::named(&state).ok_or(FromSqlError::InvalidType)?,
        amount: Money {
            amount: row.get(5)?,
            currency: currency(row, 19)?,
        },
        client_secret: row.get(6)?,
        begun_at: row.get::<_, Option<i64>>(7)?.map(Time),
        settles_at: row.get::<_, Option<i64>>(8)?.map(Time),
        provider: ProviderId::named(&provider).ok_or(FromSqlError::InvalidType)?,
        reference: row.get(10)?,
        revision: row.get(11)?,
        refunded: row.get(12)?,
        refunds: read_list(row.get(13)?)?,
        review: row.get::<_, Option<String>>(14)?.map(Review::read),
        next_at: row.get::<_, Option<i64>>(15)?.map(Time),
        outside: row.get(17)?,
        history: read_list(row.get(18)?)?,
        disputes: read_list(row.get(20)?)?,
    };
    Ok(Found {
        payment: payment.as_ref(event_of(row, 0)?, row.get(1)?),
        row: payment,
        tries: row.get(16)?,
    })
}
