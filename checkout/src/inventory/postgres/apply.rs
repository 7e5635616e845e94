//! A batch as the one statement that writes it.

use super::link::{Failed, Link};
use super::writer::Content;
use crate::inventory::desk::json;
use crate::inventory::rows::Changes;
use serde_json::{Value, json};
use shared::secret::hex;
use shared::time::Time;
use shared::words::{EventId, VisitorId};
use tokio_postgres::types::Type;

const APPLY: &str = "select seq, refused, now_ms from fairline.apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
    $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26::text::json, $27::text::json, $28::text::json, \
    $29::text::json, $30::text::json, $31::text::json, $32::text::json, $33::text::json, $34::text::json, $35::text::json)";

/// What became of a batch.
pub(super) struct Applied {
    /// The batch's place among the event's.
    pub(super) seq: i64,
    /// Requests that did not happen, by their place in the batch.
    pub(super) refused: Vec<i32>,
    /// The database's clock.
    pub(super) now: Time,
}

/// The columns of the statement, in its order.
#[derive(Default)]
pub(super) struct Batch<'a> {
    seats: SeatColumns<'a>,
    holds: HoldColumns<'a>,
    sessions: Vec<Value>,
    over: Vec<Value>,
    hold_changes: Vec<Value>,
    orders: Vec<Value>,
    order_changes: Vec<Value>,
    payments: Vec<Value>,
    payment_changes: Vec<Value>,
    tickets: Vec<Value>,
    void: Vec<Value>,
    answers: Vec<Value>,
}

#[derive(Default)]
struct SeatColumns<'a> {
    request: Vec<i32>,
    seat: Vec<i32>,
    from: Vec<i16>,
    from_hold: Vec<Option<&'a str>>,
    to: Vec<i16>,
    hold: Vec<Option<&'a str>>,
    order: Vec<Option<&'a str>>,
    visitor: Vec<Option<String>>,
    lapses_at: Vec<i64>,
}

#[derive(Default)]
struct HoldColumns<'a> {
    request: Vec<i32>,
    visitor: Vec<String>,
    id: Vec<&'a str>,
    session: Vec<&'a [u8]>,
    seats: Vec<String>,
    places: Vec<String>,
    total: Vec<i64>,
    currency: Vec<&'a str>,
    expires_at: Vec<i64>,
    lapses_at: Vec<i64>,
    max_expires_at: Vec<i64>,
    limit: Vec<i32>,
}

impl<'a> Batch<'a> {
    /// What these requests change, by their place.
    pub(super) fn of(contents: &'a [Content]) -> Batch<'a> {
        let mut batch = Batch::default();
        for (at, content) in contents.iter().enumerate() {
            batch.add(at, content.visit.visitor, &content.changes);
        }
        batch
    }

    fn add(&mut self, request: usize, visitor: Option<VisitorId>, changes: &'a Changes) {
        let r = request as i32;
        let visitor = visitor.map(|visitor| visitor.to_string());
        self.add_seats(r, visitor.as_ref(), changes);
        let visitor = visitor.unwrap_or_default();
        self.add_holds(r, &visitor, changes);
        self.add_orders(r, changes);
        for new in &changes.new_sessions {
            self.sessions.push(json!({"request": r, "key": hex(&new.key), "visitor": visitor, "number": new.number,
                "jti": new.jti, "token": new.token, "expires_at": new.expires_at.0, "report": new.report}));
        }
        for key in &changes.sessions_over {
            self.over.push(json!({"request": r, "key": hex(key)}));
        }
        for change in &changes.holds {
            self.hold_changes
                .push(json!({"request": r, "visitor": visitor, "id": &*change.id,
                "was": change.from, "state": change.to, "order_id": change.order}));
        }
        if let Some((answer, is_new)) = &changes.answer {
            self.answers.push(
                json!({"request": r, "id": answer.id, "body": answer.body, "answer": answer.answer,
                "at": answer.at.0, "is_new": is_new}),
            );
        }
    }

    fn add_seats(&mut self, r: i32, visitor: Option<&String>, changes: &'a Changes) {
        let seats = &mut self.seats;
        for change in &changes.seats {
            seats.request.push(r);
            seats.seat.push(change.seat as i32);
            seats.from.push(change.from.state as i16);
            seats.from_hold.push(change.from.hold.as_deref());
            seats.to.push(change.to.state as i16);
            seats.hold.push(change.to.hold.as_deref());
            seats.order.push(change.order.as_deref());
            let owner = change.to.hold.as_ref().and(visitor);
            seats.visitor.push(owner.cloned());
            seats.lapses_at.push(change.lapses_at);
        }
    }

    fn add_holds(&mut self, r: i32, visitor: &str, changes: &'a Changes) {
        let holds = &mut self.holds;
        for (new, limit) in &changes.new_holds {
            holds.request.push(r);
            holds.visitor.push(visitor.to_owned());
            holds.id.push(&new.id);
            holds.session.push(&new.session);
            holds.seats.push(json(&*new.seats));
            let places = changes.seats.iter().map(|change| change.seat.to_string());
            holds
                .places
                .push(format!("{{{}}}", places.collect::<Vec<_>>().join(",")));
            holds.total.push(new.total.amount);
            holds.currency.push(&new.total.currency);
            holds.expires_at.push(new.expires_at.0);
            holds.lapses_at.push(new.lapses_at.0);
            holds.max_expires_at.push(new.max_expires_at.0);
            holds.limit.push(*limit as i32);
        }
    }

    fn add_orders(&mut self, r: i32, changes: &Changes) {
        for new in &changes.new_orders {
            self.orders.push(json!({"request": r, "id": new.id, "hold": &*new.hold, "visitor": new.visitor.to_string(),
                "session": hex(&new.session), "state": new.state, "seats": json(&*new.seats), "total": new.total.amount,
                "currency": new.total.currency, "buyer_name": new.buyer.name, "buyer_email": new.buyer.email,
                "created_at": new.created_at.0, "pay_by": new.pay_by.0}));
        }
        for change in &changes.orders {
            self.order_changes.push(
                json!({"request": r, "id": change.id, "created_at": change.created_at.0,
                "was": change.from, "state": change.to, "decline": change.decline}),
            );
        }
        for (order, new) in &changes.new_payments {
            self.payments.push(
                json!({"request": r, "order_id": order, "attempt": new.attempt, "id": new.id,
                "state": new.state, "amount": new.amount.amount, "currency": new.amount.currency,
                "client_secret": new.client_secret}),
            );
        }
        for change in &changes.payments {
            self.payment_changes.push(
                json!({"request": r, "order_id": change.order, "attempt": change.attempt,
                "was": change.from, "state": change.to, "begun_at": change.begun_at.map(|at| at.0),
                "settles_at": change.settles_at.map(|at| at.0)}),
            );
        }
        for (order, new) in &changes.new_tickets {
            self.tickets
                .push(json!({"request": r, "seat": new.seat, "id": new.id, "order_id": order}));
        }
        for seat in &changes.tickets_void {
            self.void.push(json!({"request": r, "seat": seat}));
        }
    }

    /// Sends it. None when the event's plan or rules are others by now.
    pub(super) async fn send(
        &self,
        link: &Link,
        event: &EventId,
        (config, id, is_again): (i64, &str, bool),
    ) -> Result<Option<Applied>, Failed> {
        let list = |rows: &Vec<Value>| (!rows.is_empty()).then(|| json(rows));
        let lists = [
            list(&self.sessions),
            list(&self.over),
            list(&self.hold_changes),
            list(&self.orders),
            list(&self.order_changes),
            list(&self.payments),
            list(&self.payment_changes),
            list(&self.tickets),
            list(&self.void),
            list(&self.answers),
        ];
        let (seats, holds, event) = (&self.seats, &self.holds, event.as_str());
        let mut params: Vec<super::link::Param<'_>> = vec![
            (&event, Type::TEXT),
            (&config, Type::INT8),
            (&id, Type::TEXT),
            (&is_again, Type::BOOL),
            (&seats.request, Type::INT4_ARRAY),
            (&seats.seat, Type::INT4_ARRAY),
            (&seats.from, Type::INT2_ARRAY),
            (&seats.from_hold, Type::TEXT_ARRAY),
            (&seats.to, Type::INT2_ARRAY),
            (&seats.hold, Type::TEXT_ARRAY),
            (&seats.order, Type::TEXT_ARRAY),
            (&seats.visitor, Type::TEXT_ARRAY),
            (&seats.lapses_at, Type::INT8_ARRAY),
            (&holds.request, Type::INT4_ARRAY),
            (&holds.visitor, Type::TEXT_ARRAY),
            (&holds.id, Type::TEXT_ARRAY),
            (&holds.session, Type::BYTEA_ARRAY),
            (&holds.seats, Type::TEXT_ARRAY),
            (&holds.places, Type::TEXT_ARRAY),
            (&holds.total, Type::INT8_ARRAY),
            (&holds.currency, Type::TEXT_ARRAY),
            (&holds.expires_at, Type::INT8_ARRAY),
            (&holds.lapses_at, Type::INT8_ARRAY),
            (&holds.max_expires_at, Type::INT8_ARRAY),
            (&holds.limit, Type::INT4_ARRAY),
        ];
        for list in &lists {
            params.push((list, Type::TEXT));
        }
        let rows = link.ask(APPLY, &params).await?;
        Ok(rows.first().map(|row| Applied {
            seq: row.get(0),
            refused: row.get(1),
            now: Time(row.get(2)),
        }))
    }
}
