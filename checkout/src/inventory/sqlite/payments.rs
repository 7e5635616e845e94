//! Payments and refunds: what the provider is asked, what it says, and what becomes of the seats.

use super::orders::OrderRow;
use super::{Step, Store, must_change};
use crate::inventory::words::*;
use rusqlite::{OptionalExtension as _, params};
use shared::idempotency::Attempt;
use shared::secret::random_id;
use shared::time::Time;
use shared::words::EventId;

impl Store {
    pub(super) fn begin_payment(
        &mut self,
        keys: &Keys,
        payment: &str,
        attempt: Option<&Attempt>,
        now: Time,
    ) -> Step<Begun> {
        match self.answered(attempt)? {
            Ok(None) => {}
            Ok(Some(order)) => return Ok(Ok(Begun::Replayed(Box::new(order)))),
            Err(refused) => return Ok(Err(refused)),
        }
        let order: Option<String> = self
            .db
            .prepare_cached("select order_id from payment where id = ?1")?
            .query_row([payment], |row| row.get(0))
            .optional()?;
        let Some(order) = order else {
            return Ok(Err(Refused::NoSuchPayment));
        };
        let order = match self.own_order(keys, &order)? {
            Ok(row) => row.order,
            Err(Refused::NoSuchOrder) => return Ok(Err(Refused::NoSuchPayment)),
            Err(refused) => return Ok(Err(refused)),
        };
        // A declined attempt is over; who pays again under its old id means the attempt that is open now.
        let open = self.last_payment(&order.event, &order.id)?;
        match (order.state.as_str(), open.state.as_str()) {
            ("paying" | "declined", "created") => {}
            ("paying" | "confirming", "processing") => return Ok(Err(Refused::PaymentRunning)),
            (state, _) => return Ok(Err(Refused::OrderState(state.to_owned()))),
        }
        self.write()?;
        let rows = self
            .db
            .prepare_cached("update payment set state = 'processing', begun_at = ?3 where event = ?1 and id = ?2 and state = 'created'")?
            .execute(params![order.event.as_str(), open.id, now.0])?;
        must_change(rows, 1)?;
        self.set_order(&order, "paying", None)?;
        self.keep::<Order>(attempt, None, now)?;
        Ok(Ok(Begun::Ask(PaymentRef {
            event: order.event,
            id: open.id,
            amount: order.total,
        })))
    }

    pub(super) fn set_payment(
        &mut self,
        payment: &PaymentRef,
        from: &str,
        to: &str,
    ) -> rusqlite::Result<usize> {
        self.write()?;
        self.db
            .prepare_cached(
                "update payment set state = ?4 where event = ?1 and id = ?2 and state = ?3",
            )?
            .execute([payment.event.as_str(), &payment.id, from, to])
    }

    fn order_of(&self, payment: &PaymentRef) -> Step<OrderRow> {
        let order: Option<String> = self
            .db
            .prepare_cached("select order_id from payment where event = ?1 and id = ?2")?
            .query_row([payment.event.as_str(), &payment.id], |row| row.get(0))
            .optional()?;
        let Some(order) = order else {
            return Ok(Err(Refused::NoSuchPayment));
        };
        Ok(self
            .load_order(&payment.event, &order)?
            .ok_or(Refused::NoSuchOrder))
    }

    pub(super) fn settle(
        &mut self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<&Attempt>,
        now: Time,
    ) -> Step<Order> {
        let row = match self.order_of(payment)? {
            Ok(row) => row,
            Err(refused) => return Ok(Err(refused)),
        };
        let order = &row.order;
        let is_open = matches!(order.state.as_str(), "paying" | "confirming");
        match verdict {
            Verdict::Captured => {
                // Heard twice, it happens once: only a payment that is being processed can be captured.
                if self.set_payment(payment, "processing", "captured")? == 1 {
                    self.money_is_ours(&row, payment, now)?;
                }
            }
            Verdict::Declined(reason) => {
                if self.set_payment(payment, "processing", "failed")? == 1 && is_open {
                    let open = self.last_payment(&order.event, &order.id)?;
                    self.new_payment(&order.event, &order.id, open.attempt + 1)?;
                    self.set_order(order, "declined", Some(&reason))?;
                }
            }
            Verdict::Pending(at) => {
                self.write()?;
                self.db
                    .prepare_cached("update payment set settles_at = ?3 where event = ?1 and id = ?2 and state = 'processing'")?
                    .execute(params![payment.event.as_str(), payment.id, at.0])?;
                if order.state == "paying" {
                    self.set_order(order, "confirming", None)?;
                }
            }
        }
        let order = self
            .load_order(&payment.event, &order.id)?
            .expect("orders are never deleted")
            .order;
        self.keep(attempt, Some(&order), now)?;
        Ok(Ok(order))
    }

    /// The money is ours: then the seats are the buyer's, if they still are or are free again; else it goes back.
    fn money_is_ours(
        &mut self,
        row: &OrderRow,
        payment: &PaymentRef,
        now: Time,
    ) -> rusqlite::Result<()> {
        let order = &row.order;
        let owns = matches!(order.state.as_str(), "paying" | "confirming" | "declined");
        let from = if owns {
            SeatState::Held
        } else {
            SeatState::Available
        };
        if !self.book(row, from)? {
            tracing::info!(
                order = order.id,
                "money came for seats that are gone; it goes back"
            );
            self.set_payment(payment, "captured", "refunding")?;
            return self.set_order(order, "refunding", None);
        }
        self.set_order(order, "confirmed", None)?;
        let session: Option<[u8; 32]> = self
            .db
            .prepare_cached("select session from orders where event = ?1 and id = ?2")?
            .query_row([order.event.as_str(), &order.id], |row| row.get(0))
            .optional()?;
        if let Some(session) = session {
            self.close_session(&session)?;
        }
        metrics::counter!("fairline_orders_confirmed_total").increment(1);
        let waited_ms = now.0 - order.created_at.0;
        metrics::histogram!("fairline_order_seconds").record(waited_ms as f64 / 1000.0);
        Ok(())
    }

    /// Books the seats of an order, all or none. From `Held` they must be held by the order's own hold, which nobody but
    /// the owner can change; from `Available` they are taken like anybody would.
    fn book(&mut self, row: &OrderRow, from: SeatState) -> rusqlite::Result<bool> {
        let order = &row.order;
        let Some(plan) = self
            .houses
            .get_mut(&order.event)
            .and_then(|house| house.plan.as_mut())
        else {
            return Ok(false);
        };
        let seats: Vec<u32> = order
            .seats
            .iter()
            .filter_map(|seat| plan.layout.find(&seat.id))
            .collect();
        let all_are = |state| {
            seats
                .iter()
                .all(|seat| plan.states.seats[*seat as usize] == state)
        };
        if seats.len() != order.seats.len() || !all_are(from) {
            return Ok(false);
        }
        let mut update = self.db.prepare_cached(
            "update seat set state = 2, order_id = ?3, hold = ?4, visitor = ?5
             where event = ?1 and seat = ?2 and state = ?6 and (hold is null or hold = ?4)",
        )?;
        let mut ticket = self.db.prepare_cached(
            "insert into ticket (event, id, order_id, seat) values (?1, ?2, ?3, ?4)",
        )?;
        for seat in seats {
            let rows = update.execute(params![
                order.event.as_str(),
                seat,
                order.id,
                row.hold,
                row.visitor,
                from as i64
            ])?;
            must_change(rows, 1)?;
            ticket.execute(params![
                order.event.as_str(),
                random_id("tix_"),
                order.id,
                seat
            ])?;
            plan.set(seat, SeatState::Booked);
        }
        Ok(true)
    }

    pub(super) fn begin_refund(&mut self, event: &EventId, id: &str) -> Step<PaymentRef> {
        let Some(row) = self.load_order(event, id)? else {
            return Ok(Err(Refused::NoSuchOrder));
        };
        let order = row.order;
        let payment = PaymentRef {
            event: event.clone(),
            id: order.payment.id.clone(),
            amount: order.total.clone(),
        };
        match order.state.as_str() {
            "confirmed" => {
                let rows = self.set_payment(&payment, "captured", "refunding")?;
                must_change(rows, 1)?;
                self.set_order(&order, "refunding", None)?;
                Ok(Ok(payment))
            }
            state => Ok(Err(Refused::OrderState(state.to_owned()))),
        }
    }

    pub(super) fn refunded(&mut self, payment: &PaymentRef) -> Step<Order> {
        let row = match self.order_of(payment)? {
            Ok(row) => row,
            Err(refused) => return Ok(Err(refused)),
        };
        if self.set_payment(payment, "refunding", "refunded")? == 1 {
            self.set_order(&row.order, "refunded", None)?;
            self.db
                .prepare_cached("delete from ticket where event = ?1 and order_id = ?2")?
                .execute([payment.event.as_str(), &row.order.id])?;
            self.free(&payment.event, &row.hold)?;
        }
        Ok(self
            .load_order(&payment.event, &row.order.id)?
            .map(|row| row.order)
            .ok_or(Refused::NoSuchOrder))
    }
}
