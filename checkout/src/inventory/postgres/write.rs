//! Writes a batch with one statement.

use super::change_log::{ChangeLogEntry, encode_opened, encode_seats};
use super::connection::Connection;
use super::database::QueryError;
use super::event_handle::EventHandle;
use super::shard::Shard;
use super::writer::Content;
use crate::inventory::commands::json;
use crate::inventory::model::Currency;
use crate::inventory::records::{
    ChangeSet, HoldRow, NewAnswer, NewPayment, NewTicket, VisitorRecords, hold_uuid,
};
use serde_json::{Value, json};
use shared::crypto::hex;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const APPLY: &str = "select seq, refused, now_ms, changes, opened from fairline.apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
    $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, \
    $34, $35, $36::text::json, $37::text::json, $38::text::json, $39::text::json, $40::text::json, $41::text::json, \
    $42::text::json, $43::text::json, $44::text::json, $45::text::json)";

/// Longest time for which a batch with an unknown outcome is sent again.
const RESEND: Duration = Duration::from_secs(4);

/// Result of a batch.
pub(super) struct Applied {
    /// Sequence number of the batch within its event.
    pub(super) seq: i64,
    /// Refused requests, by their index in the batch.
    pub(super) refused: Vec<i32>,
    /// Current time of the database.
    pub(super) now: Time,
    /// Change-log entries of other nodes, newly reported.
    pub(super) others: Vec<ChangeLogEntry>,
}

impl Applied {
    fn read(rows: &[PgRow]) -> Option<Applied> {
        let (first, others) = rows.split_first()?;
        let written = |row: &PgRow| ChangeLogEntry {
            seq: row.get(0),
            refused: row.get(1),
            changes: row.get(3),
            opened: row.get(4),
        };
        Some(Applied {
            seq: first.get(0),
            refused: first.get(1),
            now: Time(first.get(2)),
            others: others.iter().map(written).collect(),
        })
    }
}

/// Name of a batch and the state it was decided on.
pub(super) struct Header {
    /// Configuration number, increased with every change of the plan or the rules.
    pub(super) config: i64,
    pub(super) node: String,
    pub(super) number: i64,
    /// Requests the entries that other nodes wrote after this number, except those in `have`; `None` requests none.
    pub(super) known: Option<i64>,
    pub(super) have: Vec<i64>,
}

/// Columns of the statement, in its order.
#[derive(Default)]
pub(super) struct Batch<'a> {
    takes: Vec<(u32, i32, Uuid, Uuid)>,
    seats: Vec<Seat<'a>>,
    holds: HoldColumns<'a>,
    changes: Vec<u8>,
    opened: Vec<u8>,
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

struct Seat<'a> {
    request: i32,
    seat: i32,
    from: i16,
    from_hold: Option<Uuid>,
    to: i16,
    hold: Option<Uuid>,
    order: Option<&'a str>,
    visitor: Option<Uuid>,
}

#[derive(Default)]
struct HoldColumns<'a> {
    request: Vec<i32>,
    visitor: Vec<Uuid>,
    number: Vec<i32>,
    id: Vec<Uuid>,
    session: Vec<&'a [u8]>,
    places: Vec<String>,
    total: Vec<i64>,
    currency: Vec<&'a str>,
    expires_at: Vec<i64>,
    lapses_at: Vec<i64>,
    max_expires_at: Vec<i64>,
}

impl HoldColumns<'_> {
    fn reserve(&mut self, count: usize) {
        self.request.reserve(count);
        self.visitor.reserve(count);
        self.number.reserve(count);
        self.id.reserve(count);
        self.session.reserve(count);
        self.places.reserve(count);
        self.total.reserve(count);
        self.currency.reserve(count);
        self.expires_at.reserve(count);
        self.lapses_at.reserve(count);
        self.max_expires_at.reserve(count);
    }
}

/// Returns a visitor's id as it is stored.
pub(super) fn visitor_uuid(visitor: VisitorId) -> Uuid {
    Uuid::from_u128(visitor.0)
}

impl<'a> Batch<'a> {
    /// Collects the changes of these requests, numbered by their index. Rows are in the order in which all batches
    /// lock them, which avoids deadlocks. If there are other nodes, new sessions are logged for them.
    pub(super) fn of(contents: &'a [Content], is_alone: bool) -> Batch<'a> {
        let mut batch = Batch {
            changes: encode_seats(contents),
            ..Batch::default()
        };
        if !is_alone {
            batch.opened = encode_opened(contents);
        }
        batch.takes.reserve(2 * contents.len());
        batch.holds.reserve(contents.len());
        let mut order: Vec<usize> = (0..contents.len()).collect();
        order.sort_unstable_by_key(|at| contents[*at].visit.visitor);
        for at in order {
            let Content { visit, changes } = &contents[at];
            batch.add(at as i32, visit, changes);
        }
        batch.takes.sort_unstable_by_key(|take| take.0);
        batch.seats.sort_unstable_by_key(|seat| seat.seat);
        batch
    }

    fn add(&mut self, r: i32, visit: &'a VisitorRecords, changes: &'a ChangeSet) {
        let visitor = visit.visitor.map(visitor_uuid);
        let new_hold = changes.new_hold.zip(visit.holds.last());
        if let (Some((_, hold)), Some(visitor)) = (new_hold, visitor) {
            let id = hold_uuid(&hold.id);
            let seats = changes.seats.iter();
            self.takes
                .extend(seats.map(|change| (change.seat, r, id, visitor)));
        } else {
            self.add_seats(r, visitor, changes);
        }
        let visitor = visitor.unwrap_or_default();
        self.add_holds((r, visitor), new_hold, changes);
        self.add_orders(r, changes);
        for new in &changes.new_sessions {
            self.sessions.push(json!({"request": r, "key": hex(&new.key), "visitor": visitor, "number": new.number,
                "jti": new.jti, "token": new.token, "expires_at": new.expires_at.0, "report": new.report}));
        }
        for key in &changes.sessions_over {
            self.over.push(json!({"request": r, "key": hex(key)}));
        }
        for change in &changes.holds {
            let (was, state) = (change.from as i16, change.to as i16);
            let id = hold_uuid(&change.id);
            self.hold_changes
                .push(json!({"request": r, "visitor": visitor, "id": id,
                "was": was, "state": state, "order_id": change.order}));
        }
        if let Some(NewAnswer { answer, is_first }) = changes.answer.as_deref() {
            self.answers.push(
                json!({"request": r, "id": answer.id, "body": answer.body, "answer": answer.answer,
                "at": answer.at.0, "is_new": is_first}),
            );
        }
    }

    fn add_seats(&mut self, request: i32, visitor: Option<Uuid>, changes: &'a ChangeSet) {
        for change in &changes.seats {
            let hold = change.to.hold.as_deref().map(hold_uuid);
            self.seats.push(Seat {
                request,
                seat: change.seat as i32,
                from: change.from.state as i16,
                from_hold: change.from.hold.as_deref().map(hold_uuid),
                to: change.to.state as i16,
                hold,
                order: change.order.as_deref(),
                visitor: hold.and(visitor),
            });
        }
    }

    fn add_holds(
        &mut self,
        (request, visitor): (i32, Uuid),
        new_hold: Option<(i32, &'a HoldRow)>,
        changes: &ChangeSet,
    ) {
        let holds = &mut self.holds;
        if let Some((number, new)) = new_hold {
            let mut places = String::with_capacity(16);
            for change in &changes.seats {
                if !places.is_empty() {
                    places.push(',');
                }
                places.push_str(&change.seat.to_string());
            }
            holds.request.push(request);
            holds.visitor.push(visitor);
            holds.number.push(number);
            holds.id.push(hold_uuid(&new.id));
            holds.session.push(&new.session);
            holds.places.push(places);
            holds.total.push(new.total.amount);
            holds.currency.push(new.total.currency.as_str());
            holds.expires_at.push(new.expires_at.0);
            holds.lapses_at.push(new.lapses_at.0);
            holds.max_expires_at.push(new.max_expires_at.0);
        }
        for number in &changes.sequences {
            holds.request.push(request);
            holds.visitor.push(visitor);
            holds.number.push(*number);
            holds.id.push(Uuid::nil());
            holds.session.push(&[]);
            holds.places.push(String::new());
            holds.currency.push(Currency::NONE.as_str());
            for column in [
                &mut holds.total,
                &mut holds.expires_at,
                &mut holds.lapses_at,
                &mut holds.max_expires_at,
            ] {
                column.push(0);
            }
        }
    }

    fn add_orders(&mut self, r: i32, changes: &ChangeSet) {
        for new in &changes.new_orders {
            self.orders.push(json!({"request": r, "id": new.id, "hold": hold_uuid(&new.hold),
                "visitor": visitor_uuid(new.visitor), "session": hex(&new.session), "state": new.state,
                "seats": json(&*new.seats), "total": new.total.amount, "currency": new.total.currency,
                "buyer_name": new.buyer.name, "buyer_email": new.buyer.email, "created_at": new.created_at.0,
                "pay_by": new.pay_by.0}));
        }
        for change in &changes.orders {
            self.order_changes.push(
                json!({"request": r, "id": change.id, "created_at": change.created_at.0,
                "was": change.from, "state": change.to, "decline": change.decline}),
            );
        }
        for NewPayment {
            order,
            payment: new,
        } in &changes.new_payments
        {
            self.payments.push(
                json!({"request": r, "order_id": order, "attempt": new.attempt, "id": new.id,
                "state": new.state, "amount": new.amount.amount, "currency": new.amount.currency,
                "client_secret": new.client_secret}),
            );
        }
        for change in &changes.payments {
            self.payment_changes.push(
                json!({"request": r, "order_id": change.order, "attempt": change.attempt,
                "was": change.from, "promised_at": change.promised_at.map(|at| at.0),
                "state": change.to, "begun_at": change.begun_at.map(|at| at.0),
                "settles_at": change.settles_at.map(|at| at.0)}),
            );
        }
        for NewTicket { order, ticket: new } in &changes.new_tickets {
            self.tickets
                .push(json!({"request": r, "seat": new.seat, "id": new.id, "order_id": order}));
        }
        for seat in &changes.tickets_void {
            self.void.push(json!({"request": r, "seat": seat}));
        }
    }

    /// Sends the batch. Returns `None` if the event's plan or rules have changed.
    pub(super) async fn send(
        &self,
        connection: &Connection,
        event: &EventId,
        (header, is_again): (&Header, bool),
    ) -> Result<Option<Applied>, QueryError> {
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
        let holds = &self.holds;
        let (takes, seats) = (Takes::of(&self.takes), Seats::of(&self.seats));
        let mut apply = query(APPLY)
            .bind(event.as_str())
            .bind(header.config)
            .bind(&header.node)
            .bind(header.number)
            .bind(is_again)
            .bind(header.known)
            .bind(&header.have)
            .bind(&takes.request)
            .bind(&takes.seat)
            .bind(&takes.hold)
            .bind(&takes.visitor)
            .bind(&takes.runs.first)
            .bind(&takes.runs.last)
            .bind(&takes.runs.at)
            .bind(&seats.request)
            .bind(&seats.seat)
            .bind(&seats.from)
            .bind(&seats.from_hold)
            .bind(&seats.to)
            .bind(&seats.hold)
            .bind(&seats.order)
            .bind(&seats.visitor)
            .bind(&holds.request)
            .bind(&holds.visitor)
            .bind(&holds.number)
            .bind(&holds.id)
            .bind(&holds.session)
            .bind(&holds.places)
            .bind(&holds.total)
            .bind(&holds.currency)
            .bind(&holds.expires_at)
            .bind(&holds.lapses_at)
            .bind(&holds.max_expires_at)
            .bind(&self.changes)
            .bind(&self.opened);
        for list in lists {
            apply = apply.bind(list);
        }
        let rows = connection.fetch(apply).await?;
        Ok(Applied::read(&rows))
    }
}

/// Available seats taken by new holds, by column, in seat order.
struct Takes {
    request: Vec<i32>,
    seat: Vec<i32>,
    hold: Vec<Uuid>,
    visitor: Vec<Uuid>,
    runs: Runs,
}

/// Runs of consecutive seats: the first and last seat of each run, and the position of its first seat among all,
/// from 1.
#[derive(Default)]
struct Runs {
    first: Vec<i32>,
    last: Vec<i32>,
    at: Vec<i32>,
}

impl Runs {
    fn of(seats: impl Iterator<Item = u32>) -> Runs {
        let mut runs = Runs::default();
        for (at, seat) in (1..).zip(seats.map(|seat| seat as i32)) {
            match runs.last.last_mut() {
                Some(last) if *last + 1 == seat => *last = seat,
                _ => {
                    runs.first.push(seat);
                    runs.last.push(seat);
                    runs.at.push(at);
                }
            }
        }
        runs
    }
}

impl Takes {
    fn of(takes: &[(u32, i32, Uuid, Uuid)]) -> Takes {
        Takes {
            runs: Runs::of(takes.iter().map(|take| take.0)),
            request: takes.iter().map(|take| take.1).collect(),
            seat: takes.iter().map(|take| take.0 as i32).collect(),
            hold: takes.iter().map(|take| take.2).collect(),
            visitor: takes.iter().map(|take| take.3).collect(),
        }
    }
}

/// Other changes of seats, by column.
struct Seats<'a> {
    request: Vec<i32>,
    seat: Vec<i32>,
    from: Vec<i16>,
    from_hold: Vec<Option<Uuid>>,
    to: Vec<i16>,
    hold: Vec<Option<Uuid>>,
    order: Vec<Option<&'a str>>,
    visitor: Vec<Option<Uuid>>,
}

impl<'a> Seats<'a> {
    fn of(seats: &[Seat<'a>]) -> Seats<'a> {
        Seats {
            request: seats.iter().map(|seat| seat.request).collect(),
            seat: seats.iter().map(|seat| seat.seat).collect(),
            from: seats.iter().map(|seat| seat.from).collect(),
            from_hold: seats.iter().map(|seat| seat.from_hold).collect(),
            to: seats.iter().map(|seat| seat.to).collect(),
            hold: seats.iter().map(|seat| seat.hold).collect(),
            order: seats.iter().map(|seat| seat.order).collect(),
            visitor: seats.iter().map(|seat| seat.visitor).collect(),
        }
    }
}

/// Sends a batch. If there is no answer it is sent again under the same name, so that it is applied once.
pub(super) async fn send(
    (shard, index): (&Shard, usize),
    handle: &EventHandle,
    contents: &[Content],
    header: &Header,
) -> Result<Option<Applied>, QueryError> {
    let batch = Batch::of(contents, header.known.is_none());
    let begun = Instant::now();
    let mut is_again = false;
    loop {
        let connection = shard.writer(&handle.event, index);
        let sent = batch
            .send(connection, &handle.event, (header, is_again))
            .await;
        match sent {
            Err(QueryError::Unreachable) if begun.elapsed() < RESEND => {
                is_again = true;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            sent => return sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_without_a_gap_are_one_run() {
        let runs = Runs::of([3, 4, 5, 9, 11, 12].into_iter());
        assert_eq!(runs.first, [3, 9, 11]);
        assert_eq!(runs.last, [5, 9, 12]);
        assert_eq!(runs.at, [1, 4, 5]);
        assert!(Runs::of(std::iter::empty()).at.is_empty());
    }
}
