//! Columns of the statement that writes a batch: the changes of its requests, table by table.

use super::batch::DecidedChanges;
use super::change_log::{encode_opened, encode_seats};
use super::database::Statement;
use super::outbox_columns::OutboxColumns;
use crate::inventory::commands::json;
use crate::inventory::model::{Currency, SeatState};
use crate::inventory::personal::Personal;
use crate::inventory::records::{
    ChangeSet, HoldRow, NewAnswer, NewPayment, OrderTicket, SeatChange, VisitorRecords, hold_uuid,
    visitor_uuid,
};
use serde_json::{Value, json};
use shared::crypto::hex;
use uuid::Uuid;

/// Columns of the statement, in its order.
#[derive(Default)]
pub(super) struct Columns<'a> {
    takes: Vec<Take>,
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
    outbox: OutboxColumns<'a>,
}

/// An available seat that a new hold takes.
struct Take {
    seat: i32,
    request: i32,
    hold: Uuid,
    visitor: Uuid,
}

/// Any other change of a seat.
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
    /// Seats, and on a second line of text the lines of the price, if there are fees or taxes.
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

impl<'a> Columns<'a> {
    /// Collects the changes of these requests, numbered by their index, with personal data sealed.
    /// Rows are in the order in which all batches lock them, which avoids deadlocks. If there are
    /// other nodes, new sessions are logged for them.
    pub(super) fn of(
        contents: &'a [DecidedChanges],
        personal: Personal<'_>,
        is_alone: bool,
        tag: &str,
    ) -> Columns<'a> {
        let mut columns = Columns {
            changes: encode_seats(contents),
            ..Columns::default()
        };
        if !is_alone {
            columns.opened = encode_opened(contents);
        }
        columns.takes.reserve(2 * contents.len());
        columns.holds.reserve(contents.len());
        let mut order: Vec<usize> = (0..contents.len()).collect();
        order.sort_unstable_by_key(|at| contents[*at].records.visitor);
        for at in order {
            let DecidedChanges { records, changes } = &contents[at];
            columns.add(at as i32, records, changes, personal);
            columns.add_payment_changes(at as i32, changes, tag);
        }
        columns.takes.sort_unstable_by_key(|take| take.seat);
        columns.seats.sort_unstable_by_key(|seat| seat.seat);
        columns
    }

    fn add(
        &mut self,
        r: i32,
        records: &'a VisitorRecords,
        changes: &'a ChangeSet,
        personal: Personal<'_>,
    ) {
        let visitor = records.visitor.map(visitor_uuid);
        let new_hold = changes.new_hold.zip(records.holds.last());
        // A new hold takes available seats, and at the desk blocked ones.
        let is_take =
            |change: &&SeatChange| new_hold.is_some() && change.from.state == SeatState::Available;
        if let (Some((_, hold)), Some(visitor)) = (new_hold, visitor) {
            let id = hold_uuid(&hold.id);
            let takes = changes.seats.iter().filter(is_take);
            self.takes.extend(takes.map(|change| Take {
                seat: change.seat as i32,
                request: r,
                hold: id,
                visitor,
            }));
        }
        let others = changes.seats.iter().filter(|change| !is_take(change));
        self.add_seats((r, visitor), others, changes.block_note.as_deref());
        let visitor = visitor.unwrap_or_default();
        self.add_holds((r, visitor), new_hold, changes);
        self.add_orders(r, changes, personal);
        self.outbox.add(r, &changes.outbox);
        for new in &changes.new_sessions {
            let token = personal.seal_token(&new.key, &new.token);
            self.sessions.push(json!({"request": r, "key": hex(&new.key), "visitor": visitor, "number": new.number,
                "jti": new.jti, "token": token, "expires_at": new.expires_at.0, "report": new.report}));
        }
        for key in &changes.sessions_over {
            self.over.push(json!({"request": r, "key": hex(key)}));
        }
        for change in &changes.holds {
            let (was, state) = (change.from as i16, change.to as i16);
            let id = hold_uuid(&change.id);
            let exchanged = change.exchanged.as_ref();
            let places = exchanged.map(|exchanged| joined(exchanged.places.iter().copied()));
            self.hold_changes
                .push(json!({"request": r, "visitor": visitor, "id": id,
                "was": was, "state": state, "order_id": change.order, "places": places}));
        }
        if let Some(NewAnswer { answer, is_first }) = changes.answer.as_deref() {
            self.answers.push(
                json!({"request": r, "id": answer.id, "body": answer.body, "answer": answer.answer,
                "at": answer.at.0, "is_new": is_first}),
            );
        }
    }

    /// Adds changes of seats; the note is of those that become blocked, and stands in place of an
    /// order.
    fn add_seats(
        &mut self,
        (request, visitor): (i32, Option<Uuid>),
        changes: impl Iterator<Item = &'a SeatChange>,
        note: Option<&'a str>,
    ) {
        for change in changes {
            let note = note.filter(|_| change.to.state == SeatState::Blocked);
            let hold = change.to.hold.as_deref().map(hold_uuid);
            self.seats.push(Seat {
                request,
                seat: change.seat as i32,
                from: change.from.state as i16,
                from_hold: change.from.hold.as_deref().map(hold_uuid),
                to: change.to.state as i16,
                hold,
                order: change.order.as_deref().or(note),
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
            let mut places = joined(changes.seats.iter().map(|change| change.seat));
            if let Some(lines) = &new.lines {
                places.push('\n');
                places.push_str(&json(&**lines));
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

    fn add_orders(&mut self, r: i32, changes: &ChangeSet, personal: Personal<'_>) {
        for new in &changes.new_orders {
            let buyer = personal.seal_buyer(&new.id, new.buyer.as_ref());
            self.orders.push(json!({"request": r, "id": new.id, "hold": hold_uuid(&new.hold),
                "visitor": visitor_uuid(new.visitor), "session": hex(&new.session), "state": new.state,
                "seats": json(&*new.seats), "total": new.total.amount, "currency": new.total.currency,
                "buyer_name": buyer.name, "buyer_email": buyer.email, "created_at": new.created_at.0,
                "pay_by": new.pay_by.0, "lines": new.lines.as_deref().map(json), "language": new.language}));
        }
        for change in &changes.orders {
            self.order_changes.push(
                json!({"request": r, "id": change.id, "created_at": change.created_at.0,
                "was": change.from, "state": change.to, "decline": change.decline,
                "seats": change.seats.as_deref().map(json)}),
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
                "client_secret": new.client_secret, "provider": new.provider,
                "next_at": new.next_at.map(|at| at.0), "history": json(&new.history)}),
            );
        }
        for OrderTicket { order, ticket: new } in &changes.new_tickets {
            self.tickets
                .push(json!({"request": r, "seat": new.seat, "id": new.id, "order_id": order}));
        }
        for void in &changes.tickets_void {
            self.void.push(
                json!({"request": r, "seat": void.ticket.seat, "unused": changes.voids_only_unused}),
            );
        }
    }

    /// Adds the changes of payments, with the invoices that are issued with them. `tag` is that of the
    /// database's numbers.
    fn add_payment_changes(&mut self, r: i32, changes: &ChangeSet, tag: &str) {
        for change in &changes.payments {
            let (to, new) = (&change.to, change.invoice.as_deref());
            let refunds = (!to.refunds.is_empty()).then(|| json(&to.refunds));
            let disputes = (!to.disputes.is_empty()).then(|| json(&to.disputes));
            self.payment_changes.push(
                json!({"request": r, "order_id": change.order, "attempt": to.attempt,
                "was": change.from, "promised_at": change.promised_at.map(|at| at.0),
                "revision": change.revision, "state": to.state, "begun_at": to.begun_at.map(|at| at.0),
                "settles_at": to.settles_at.map(|at| at.0), "client_secret": to.client_secret,
                "reference": to.reference, "refunded": to.refunded, "refunds": refunds,
                "review": to.review.as_ref().map(json), "next_at": to.next_at.map(|at| at.0),
                "outside": to.outside, "history": json(&to.history), "disputes": disputes,
                "charged_back": to.charged_back(),
                "series": new.and_then(|new| new.series.as_deref()), "tag": tag,
                "content": new.map(|new| &new.content), "issued_at": new.map(|new| new.issued_at.0)}),
            );
        }
    }

    /// Binds the columns to the statement, after the batch's header.
    pub(super) fn bind<'q>(&'q self, apply: Statement<'q>) -> Statement<'q> {
        let list = |rows: &Vec<Value>| (!rows.is_empty()).then(|| json(rows));
        let takes = TakeColumns::of(&self.takes);
        let seats = SeatColumns::of(&self.seats);
        let holds = &self.holds;
        let apply = apply
            .bind(takes.request)
            .bind(takes.seat)
            .bind(takes.hold)
            .bind(takes.visitor)
            .bind(takes.runs.first)
            .bind(takes.runs.last)
            .bind(takes.runs.at)
            .bind(seats.request)
            .bind(seats.seat)
            .bind(seats.from)
            .bind(seats.from_hold)
            .bind(seats.to)
            .bind(seats.hold)
            .bind(seats.order)
            .bind(seats.visitor)
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
            .bind(&self.opened)
            .bind(list(&self.sessions))
            .bind(list(&self.over))
            .bind(list(&self.hold_changes))
            .bind(list(&self.orders))
            .bind(list(&self.order_changes))
            .bind(list(&self.payments))
            .bind(list(&self.payment_changes))
            .bind(list(&self.tickets))
            .bind(list(&self.void))
            .bind(list(&self.answers));
        self.outbox.bind(apply)
    }
}

/// Returns the seats of a hold as they are stored: separated by commas.
fn joined(seats: impl Iterator<Item = u32>) -> String {
    let mut places = String::with_capacity(16);
    for seat in seats {
        if !places.is_empty() {
            places.push(',');
        }
        places.push_str(&seat.to_string());
    }
    places
}

/// Available seats taken by new holds, by column, in seat order.
struct TakeColumns {
    request: Vec<i32>,
    seat: Vec<i32>,
    hold: Vec<Uuid>,
    visitor: Vec<Uuid>,
    runs: Runs,
}

/// Runs of consecutive seats: the first and last seat of each run, and the position of its first
/// seat among all, from 1.
#[derive(Default)]
struct Runs {
    first: Vec<i32>,
    last: Vec<i32>,
    at: Vec<i32>,
}

impl Runs {
    fn of(seats: impl Iterator<Item = i32>) -> Runs {
        let mut runs = Runs::default();
        for (at, seat) in (1..).zip(seats) {
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

impl TakeColumns {
    fn of(takes: &[Take]) -> TakeColumns {
        TakeColumns {
            runs: Runs::of(takes.iter().map(|take| take.seat)),
            request: takes.iter().map(|take| take.request).collect(),
            seat: takes.iter().map(|take| take.seat).collect(),
            hold: takes.iter().map(|take| take.hold).collect(),
            visitor: takes.iter().map(|take| take.visitor).collect(),
        }
    }
}

/// Other changes of seats, by column.
struct SeatColumns<'a> {
    request: Vec<i32>,
    seat: Vec<i32>,
    from: Vec<i16>,
    from_hold: Vec<Option<Uuid>>,
    to: Vec<i16>,
    hold: Vec<Option<Uuid>>,
    order: Vec<Option<&'a str>>,
    visitor: Vec<Option<Uuid>>,
}

impl<'a> SeatColumns<'a> {
    fn of(seats: &[Seat<'a>]) -> SeatColumns<'a> {
        SeatColumns {
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
