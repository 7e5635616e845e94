//! Queries: a visitor's records, stored answers, used admissions.

use super::Store;
use crate::inventory::charges::Lines;
use crate::inventory::commands::Target;
use crate::inventory::model::*;
use crate::inventory::payment_review::Review;
use crate::inventory::personal::Personal;
use crate::inventory::records::*;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;

const SESSION: &str = "key, visitor, number, jti, token, expires_at, over, report";
const HOLD: &str = "id, session, state, seats, total, currency, expires_at, lapses_at, max_expires_at, order_id, lines";
pub(super) const ORDER: &str = "id, hold, visitor, session, state, seats, total, currency, buyer_name, buyer_email, \
                                decline, created_at, pay_by, lines, language";
const PAYMENT: &str = "id, attempt, state, client_secret, begun_at, settles_at, amount, provider, reference, revision, \
                       refunded, refunds, review, next_at, outside, history, disputes";

impl Store {
    pub(super) fn find_visitor(
        &self,
        event: &EventId,
        target: &Target,
    ) -> rusqlite::Result<Option<VisitorId>> {
        let row = |row: &Row<'_>| visitor(row, 0);
        match target {
            Target::Session(key) => self
                .db
                .prepare_cached("select visitor from session where event = ?1 and key = ?2")?
                .query_row(params![event.as_str(), key], row)
                .optional(),
            Target::Order(id) => self
                .db
                .prepare_cached("select visitor from orders where event = ?1 and id = ?2")?
                .query_row([event.as_str(), id], row)
                .optional(),
            Target::Visitor(visitor) | Target::Newcomer(visitor, _) => Ok(Some(*visitor)),
            Target::Event => Ok(None),
        }
    }

    pub(super) fn load_records(
        &self,
        event: &EventId,
        id: VisitorId,
    ) -> rusqlite::Result<VisitorRecords> {
        let by = [event.as_str(), &id.to_string()];
        // Indices are named explicitly; otherwise the planner reads the whole event by its primary
        // key.
        let select = |columns: &str, table: &str, index: &str| {
            format!(
                "select {columns} from {table} indexed by {index} where event = ?1 and visitor = ?2"
            )
        };
        let mut records = VisitorRecords::of(id);
        let mut query =
            self.db
                .prepare_cached(&select(SESSION, "session", "session_by_visitor"))?;
        let sessions = query.query_map(by, read_session)?;
        records.sessions = sessions.collect::<rusqlite::Result<_>>()?;
        let holds = select(HOLD, "hold", "hold_by_visitor");
        let kept = "(state in ('active', 'converted') or order_id is not null)";
        let mut query = self.db.prepare_cached(&format!("{holds} and {kept}"))?;
        let holds = query.query_map(by, read_hold)?;
        records.holds = holds.collect::<rusqlite::Result<_>>()?;
        let mut query = self
            .db
            .prepare_cached(&select("count(*)", "hold", "hold_by_visitor"))?;
        records.next = query.query_row(by, |row| row.get(0))?;
        let mut query = self
            .db
            .prepare_cached(&select(ORDER, "orders", "order_by_visitor"))?;
        let orders = query.query_map(by, read_order)?;
        let completing = Completing {
            db: &self.db,
            personal: Personal {
                keys: &self.keys,
                event,
            },
        };
        for order in orders {
            records.orders.push(completing.complete(order?)?);
        }
        Ok(records)
    }

    /// Returns a hold of a visitor.
    pub(super) fn load_hold(
        &self,
        event: &EventId,
        visitor: VisitorId,
        id: &str,
    ) -> rusqlite::Result<Option<HoldRow>> {
        let select =
            format!("select {HOLD} from hold where event = ?1 and id = ?2 and visitor = ?3");
        self.db
            .prepare_cached(&select)?
            .query_row(params![event.as_str(), id, visitor.to_string()], read_hold)
            .optional()
    }

    /// Returns the session opened by an admission.
    pub(super) fn load_opened(
        &self,
        event: &EventId,
        jti: &str,
    ) -> rusqlite::Result<Option<SessionRow>> {
        let select = format!("select {SESSION} from session where event = ?1 and jti = ?2");
        self.db
            .prepare_cached(&select)?
            .query_row([event.as_str(), jti], read_session)
            .optional()
    }

    pub(super) fn load_answer(&self, id: &str) -> rusqlite::Result<Option<AnswerRow>> {
        self.db
            .prepare_cached("select id, body_hash, answer, at from answer where id = ?1")?
            .query_row([id], |row| {
                Ok(AnswerRow {
                    id: row.get(0)?,
                    body: row.get(1)?,
                    answer: row.get(2)?,
                    at: Time(row.get(3)?),
                })
            })
            .optional()
    }
}

/// Completes orders as they were read.
pub(super) struct Completing<'a> {
    pub(super) db: &'a Connection,
    pub(super) personal: Personal<'a>,
}

impl Completing<'_> {
    /// Adds the payments and the tickets, and opens the buyer.
    pub(super) fn complete(&self, mut order: OrderRow) -> rusqlite::Result<OrderRow> {
        let personal = self.personal;
        let event = personal.event;
        let columns = order.buyer.take();
        order.buyer = columns.and_then(|columns| personal.open_buyer(&order.id, &columns));
        let by = [event.as_str(), &order.id];
        let mut query = self.db.prepare_cached(&format!(
            "select {PAYMENT} from payment where event = ?1 and order_id = ?2 order by attempt"
        ))?;
        let payments = query.query_map(by, |row| read_payment(row, order.total.currency))?;
        order.payments = payments.collect::<rusqlite::Result<_>>()?;
        let mut query = self.db.prepare_cached(
            "select seat, id, admitted_at is not null from ticket indexed by ticket_of_order where event = ?1 and order_id = ?2 order by seat",
        )?;
        let tickets = query.query_map(by, |row| {
            Ok(TicketRow {
                seat: row.get(0)?,
                id: row.get(1)?,
                is_used: row.get(2)?,
            })
        })?;
        order.tickets = tickets.collect::<rusqlite::Result<_>>()?;
        Ok(order)
    }
}

fn read_session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        key: row.get(0)?,
        visitor: visitor(row, 1)?,
        number: row.get::<_, i64>(2)? as u64,
        jti: row.get(3)?,
        token: row.get(4)?,
        expires_at: Time(row.get(5)?),
        is_over: row.get::<_, i64>(6)? == 1,
        report: row.get(7)?,
    })
}

fn read_hold(row: &Row<'_>) -> rusqlite::Result<HoldRow> {
    let state: String = row.get(2)?;
    Ok(HoldRow {
        id: row.get::<_, String>(0)?.into(),
        session: row.get(1)?,
        state: known(&HoldState::ALL, |known| known.as_str() == state)?,
        seats: read_seats(&row.get::<_, String>(3)?)?.into(),
        lines: read_lines(row.get(10)?)?,
        total: money(row, 4)?,
        expires_at: Time(row.get(6)?),
        lapses_at: Time(row.get(7)?),
        max_expires_at: Time(row.get(8)?),
        order: row.get(9)?,
    })
}

/// Reads an order whose buyer is as stored; `complete` opens it.
pub(super) fn read_order(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let state: String = row.get(4)?;
    Ok(OrderRow {
        id: row.get(0)?,
        hold: row.get::<_, String>(1)?.into(),
        visitor: visitor(row, 2)?,
        session: row.get(3)?,
        state: known(&OrderState::ALL, |known| known.as_str() == state)?,
        seats: read_seats(&row.get::<_, String>(5)?)?.into(),
        lines: read_lines(row.get(13)?)?,
        total: money(row, 6)?,
        buyer: Some(Buyer {
            name: row.get(8)?,
            email: row.get(9)?,
        }),
        language: row.get(14)?,
        decline: row.get(10)?,
        created_at: Time(row.get(11)?),
        pay_by: Time(row.get(12)?),
        payments: Vec::new(),
        tickets: Vec::new(),
    })
}

fn read_payment(row: &Row<'_>, currency: Currency) -> rusqlite::Result<PaymentRow> {
    let state: String = row.get(2)?;
    let provider: String = row.get(7)?;
    Ok(PaymentRow {
        id: row.get(0)?,
        attempt: row.get(1)?,
        state: PaymentState::named(&state).ok_or(FromSqlError::InvalidType)?,
        amount: Money {
            amount: row.get(6)?,
            currency,
        },
        client_secret: row.get(3)?,
        begun_at: row.get::<_, Option<i64>>(4)?.map(Time),
        settles_at: row.get::<_, Option<i64>>(5)?.map(Time),
        provider: ProviderId::named(&provider).ok_or(FromSqlError::InvalidType)?,
        reference: row.get(8)?,
        revision: row.get(9)?,
        refunded: row.get(10)?,
        refunds: read_list(row.get(11)?)?,
        review: row.get::<_, Option<String>>(12)?.map(Review::read),
        next_at: row.get::<_, Option<i64>>(13)?.map(Time),
        outside: row.get(14)?,
        history: read_list(row.get(15)?)?,
        disputes: read_list(row.get(16)?)?,
    })
}

/// Reads a list stored as JSON, or as nothing if it is empty.
pub(super) fn read_list<T: DeserializeOwned>(text: Option<String>) -> rusqlite::Result<Vec<T>> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    Ok(serde_json::from_str(&text).map_err(FromSqlError::other)?)
}

pub(super) fn known<T: Copy>(all: &[T], fits: impl Fn(&T) -> bool) -> rusqlite::Result<T> {
    let found = all.iter().copied().find(|one| fits(one));
    Ok(found.ok_or(FromSqlError::InvalidType)?)
}

fn read_seats(text: &str) -> rusqlite::Result<Vec<SeatPrice>> {
    Ok(serde_json::from_str(text).map_err(FromSqlError::other)?)
}

fn read_lines(text: Option<String>) -> rusqlite::Result<Lines> {
    let read = |text: String| serde_json::from_str(&text).map_err(FromSqlError::other);
    Ok(text.map(read).transpose()?)
}

pub(super) fn currency(row: &Row<'_>, at: usize) -> rusqlite::Result<Currency> {
    let text: String = row.get(at)?;
    Ok(Currency::parse(&text).ok_or(FromSqlError::InvalidType)?)
}

fn money(row: &Row<'_>, at: usize) -> rusqlite::Result<Money> {
    Ok(Money {
        amount: row.get(at)?,
        currency: currency(row, at + 1)?,
    })
}

pub(super) fn visitor(row: &Row<'_>, at: usize) -> rusqlite::Result<VisitorId> {
    let text: String = row.get(at)?;
    Ok(VisitorId::parse(&text).ok_or(FromSqlError::InvalidType)?)
}

pub(super) fn event_of(row: &Row<'_>, at: usize) -> rusqlite::Result<EventId> {
    let text: String = row.get(at)?;
    Ok(EventId::parse(&text).map_err(|_| FromSqlError::InvalidType)?)
}
