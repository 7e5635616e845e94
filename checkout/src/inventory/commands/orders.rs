//! Commands on orders: seats frozen for a payment, released if it is not made.

use super::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::records::{
    Key, NewPayment, OrderChange, OrderRow, OrderState, PaymentChange, PaymentRow, PaymentState,
};
use shared::crypto::random_id;
use shared::http::idempotency::Attempt;
use shared::time::Time;
use std::sync::Arc;

/// Step of a payment from one state to another.
#[derive(Clone, Copy)]
pub(super) struct PaymentStep {
    pub(super) from: PaymentState,
    pub(super) to: PaymentState,
    /// Set when the provider is asked.
    pub(super) begun_at: Option<Time>,
    /// Set when the provider promises to decide later.
    pub(super) settles_at: Option<Time>,
}

impl PaymentStep {
    pub(super) fn new(from: PaymentState, to: PaymentState) -> PaymentStep {
        PaymentStep {
            from,
            to,
            begun_at: None,
            settles_at: None,
        }
    }
}

impl UnitOfWork<'_> {
    pub(in crate::inventory) fn order(
        &mut self,
        key: &Key,
        hold: &str,
        buyer: &Buyer,
        attempt: Option<&Attempt>,
    ) -> Result<Once<Order>, Refused> {
        if let Some(value) = self.answered_order(attempt)? {
            return Ok(Once {
                value,
                is_replayed: true,
            });
        }
        let value = self.new_order(key, hold, buyer)?;
        self.keep_order(attempt, &value, true);
        Ok(Once {
            value,
            is_replayed: false,
        })
    }

    fn new_order(&mut self, key: &Key, hold: &str, buyer: &Buyer) -> Result<Order, Refused> {
        let hold = self.find_hold(key, hold)?.clone();
        match (hold.state, hold.order) {
            // An active hold still owns its seats, so it may be bought however late: only the sweep
            // or a takeover by another visitor ends it.
            (HoldState::Active, _) => {}
            (HoldState::Converted, Some(order)) => return Err(Refused::HoldConverted(order)),
            (state, _) => return Err(Refused::HoldOver(state.as_str().to_owned())),
        }
        let row = OrderRow {
            id: random_id("ord_"),
            hold: hold.id.clone(),
            visitor: self.session(key)?.visitor,
            session: *key,
            state: OrderState::Paying,
            seats: hold.seats,
            total: hold.total,
            buyer: Some(buyer.clone()),
            decline: None,
            created_at: self.now,
            pay_by: hold.max_expires_at,
            payments: Vec::new(),
            tickets: Vec::new(),
        };
        self.set_hold(&hold.id, HoldState::Converted, Some(row.id.clone()));
        self.freeze(&hold.id);
        let id = row.id.clone();
        self.records.orders.push(row.clone());
        self.changes.new_orders.push(row);
        self.new_payment(&id);
        Ok(self.show(&id))
    }

    /// Returns the public view of one of the visitor's orders.
    pub(super) fn show(&self, id: &str) -> Order {
        let row = self.records.order(id).expect("the order was just found");
        self.event_state.show(row)
    }

    pub(super) fn order_row(&mut self, id: &str) -> &mut OrderRow {
        let row = self.records.orders.iter_mut().find(|order| order.id == id);
        row.expect("the order was just found")
    }

    /// Adds the next attempt to pay.
    pub(super) fn new_payment(&mut self, order: &str) {
        let row = self.order_row(order);
        let payment = PaymentRow {
            id: random_id("pay_"),
            attempt: row.payments.len() as i32 + 1,
            state: PaymentState::Created,
            amount: row.total,
            client_secret: random_id("sec_"),
            begun_at: None,
            settles_at: None,
        };
        row.payments.push(payment.clone());
        self.changes.new_payments.push(NewPayment {
            order: order.to_owned(),
            payment,
        });
    }

    pub(super) fn set_order(&mut self, id: &str, to: OrderState, decline: Option<String>) {
        let row = self.order_row(id);
        let from = std::mem::replace(&mut row.state, to);
        row.decline.clone_from(&decline);
        let created_at = row.created_at;
        self.changes.orders.push(OrderChange {
            id: id.to_owned(),
            created_at,
            from,
            to,
            decline,
        });
    }

    /// Changes the state of a payment, if the payment is in the expected state.
    pub(super) fn set_payment(&mut self, order: &str, payment: &str, step: PaymentStep) -> bool {
        let row = self.order_row(order);
        let mut payments = row.payments.iter_mut();
        let Some(row) = payments.find(|row| row.id == payment && row.state == step.from) else {
            return false;
        };
        let promised_at = row.settles_at;
        row.state = step.to;
        row.begun_at = step.begun_at.or(row.begun_at);
        row.settles_at = step.settles_at.or(row.settles_at);
        let change = PaymentChange {
            order: order.to_owned(),
            attempt: row.attempt,
            from: step.from,
            to: step.to,
            promised_at,
            begun_at: row.begun_at,
            settles_at: row.settles_at,
        };
        // Two changes of one payment are merged into one that starts from the original state.
        let mut before = self.changes.payments.iter_mut();
        match before.find(|known| known.order == order && known.attempt == change.attempt) {
            Some(known) => {
                *known = PaymentChange {
                    from: known.from,
                    promised_at: known.promised_at,
                    ..change
                }
            }
            None => self.changes.payments.push(change),
        }
        true
    }

    /// Cancels the order of a converted hold, unless it was paid or a payment is under way.
    pub(super) fn cancel_order_of(&mut self, hold: &Arc<str>) -> Result<(), Refused> {
        let mut orders = self.records.orders.iter();
        let Some(order) = orders.find(|order| order.hold == *hold) else {
            return Err(Refused::NoSuchOrder);
        };
        let (id, open) = (order.id.clone(), order.payment().clone());
        match (order.state, open.state) {
            (OrderState::Paying | OrderState::Declined, PaymentState::Created) => {}
            (OrderState::Paying | OrderState::Confirming, _) => {
                return Err(Refused::PaymentRunning);
            }
            (OrderState::Cancelled | OrderState::Expired | OrderState::Refunded, _) => {
                return Ok(());
            }
            _ => return Err(Refused::HoldConverted(id)),
        }
        let step = PaymentStep::new(PaymentState::Created, PaymentState::Failed);
        self.set_payment(&id, &open.id, step);
        self.set_order(&id, OrderState::Cancelled, None);
        self.end_hold(hold, HoldState::Released);
        Ok(())
    }

    /// Expires an order whose time to pay has run out, and returns the number of seats freed. A
    /// payment still under way continues: once captured, it books the seats if they are still free,
    /// and is refunded otherwise.
    pub(in crate::inventory) fn expire_order(&mut self, id: &str) -> u32 {
        let Some(order) = self.records.order(id) else {
            return 0;
        };
        if !order.state.is_open() || order.pay_by > self.now {
            return 0;
        }
        let (hold, open) = (order.hold.clone(), order.payment().id.clone());
        let step = PaymentStep::new(PaymentState::Created, PaymentState::Failed);
        self.set_payment(id, &open, step);
        self.set_order(id, OrderState::Expired, None);
        self.end_hold(&hold, HoldState::Expired);
        self.changes.seats.len() as u32
    }
}
