//! Commands on orders: seats frozen for a payment, released if it is not made.

use super::UnitOfWork;
use crate::inventory::engine::VOIDING_MS_MAX;
use crate::inventory::model::*;
use crate::inventory::payment_state::PaymentEvent;
use crate::inventory::purchase::Purchase;
use crate::inventory::records::{Key, NewPayment, OrderChange, OrderRow, OrderState, PaymentRow};
use shared::crypto::random_id;
use shared::http::idempotency::Attempt;
use shared::time::Time;
use std::sync::Arc;

/// Time after which a payment that no provider knows of yet is offered to it again.
const OFFER_SECONDS: u32 = 10;

/// A fan's request for an order.
pub(in crate::inventory) struct NewOrder<'a> {
    /// Id of the order.
    pub(in crate::inventory) id: &'a str,
    pub(in crate::inventory) purchase: &'a Purchase,
    /// Provider that the order is paid by, if it costs anything.
    pub(in crate::inventory) provider: ProviderId,
}

impl UnitOfWork<'_> {
    pub(in crate::inventory) fn order(
        &mut self,
        key: &Key,
        new: &NewOrder<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Once<Order>, Refused> {
        if let Some(value) = self.answered_order(attempt)? {
            return Ok(Once {
                value,
                is_replayed: true,
            });
        }
        let value = self.new_order(key, new)?;
        self.keep_order(attempt, &value, true);
        Ok(Once {
            value,
            is_replayed: false,
        })
    }

    fn new_order(&mut self, key: &Key, new: &NewOrder<'_>) -> Result<Order, Refused> {
        let Purchase {
            buyer,
            total,
            language,
            ..
        } = new.purchase;
        self.check_goes_on()?;
        let hold = self.find_hold(key, &new.purchase.hold)?.clone();
        match (hold.state, &hold.order) {
            // An active hold still owns its seats, so it may be bought however late: only the sweep
            // or a takeover by another visitor ends it.
            (HoldState::Active, _) => {}
            (HoldState::Converted, Some(order)) => {
                return Err(Refused::HoldConverted(order.clone()));
            }
            (state, _) => return Err(Refused::HoldOver(state.as_str().to_owned())),
        }
        let mut hold = self.with_types(hold, &new.purchase.ticket_types)?;
        if new.provider == ProviderId::Comp {
            hold = self.given_away(hold);
        }
        if total.is_some_and(|shown| shown != hold.total) {
            return Err(Refused::PriceChanged(hold.total));
        }
        let row = OrderRow {
            id: new.id.to_owned(),
            hold: hold.id.clone(),
            visitor: self.session(key)?.visitor,
            session: *key,
            state: OrderState::Paying,
            seats: hold.seats,
            lines: hold.lines,
            total: hold.total,
            buyer: Some(buyer.clone()),
            language: language.map(|language| language.code().to_owned()),
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
        if self.order_row(&id).total.amount == 0 {
            let is_at_desk = new.provider.is_at_desk();
            let provider = if is_at_desk {
                new.provider
            } else {
                ProviderId::Free
            };
            self.new_payment(&id, provider);
            self.confirm_free(&id);
        } else {
            self.new_payment(&id, new.provider);
        }
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
    pub(super) fn new_payment(&mut self, order: &str, provider: ProviderId) {
        let now = self.now;
        let row = self.order_row(order);
        let mut payment = PaymentRow {
            id: random_id("pay_"),
            attempt: row.payments.len() as i32 + 1,
            state: PaymentState::Created,
            amount: row.total,
            // That of a provider with money is told by it.
            client_secret: if provider.moves_money() {
                String::new()
            } else {
                random_id("sec_")
            },
            begun_at: None,
            settles_at: None,
            provider,
            reference: None,
            revision: 0,
            refunded: 0,
            refunds: Vec::new(),
            review: None,
            outside: None,
            history: Vec::new(),
            disputes: Vec::new(),
            next_at: provider
                .moves_money()
                .then(|| now.plus_seconds(OFFER_SECONDS)),
        };
        payment.note(now, None);
        row.payments.push(payment.clone());
        self.changes.new_payments.push(NewPayment {
            order: order.to_owned(),
            payment,
        });
    }

    pub(in crate::inventory) fn set_order(
        &mut self,
        id: &str,
        to: OrderState,
        decline: Option<String>,
    ) {
        let row = self.order_row(id);
        let from = std::mem::replace(&mut row.state, to);
        row.decline.clone_from(&decline);
        let created_at = row.created_at;
        if let Some(new) = self.changes.new_orders.iter_mut().find(|new| new.id == id) {
            new.state = to;
            return;
        }
        let mut before = self.changes.orders.iter_mut();
        if let Some(known) = before.find(|known| known.id == id) {
            (known.to, known.decline) = (to, decline);
            return;
        }
        self.changes.orders.push(OrderChange {
            id: id.to_owned(),
            created_at,
            from,
            to,
            decline,
            seats: None,
        });
    }

    /// Cancels the order of a converted hold, unless it was paid or a payment is under way.
    pub(super) fn cancel_order_of(&mut self, hold: &Arc<str>) -> Result<(), Refused> {
        let mut orders = self.records.orders.iter();
        let Some(order) = orders.find(|order| order.hold == *hold) else {
            return Err(Refused::NoSuchOrder);
        };
        let (id, open) = (order.id.clone(), order.payment().clone());
        match (order.state, open.state) {
            (
                OrderState::Paying | OrderState::Declined,
                PaymentState::Created | PaymentState::RequiresAction | PaymentState::Failed,
            ) => {}
            // It is being cancelled already.
            (_, PaymentState::Voiding) => return Ok(()),
            (OrderState::Paying | OrderState::Confirming, _) => {
                return Err(Refused::PaymentRunning);
            }
            (OrderState::Cancelled | OrderState::Expired | OrderState::Refunded, _) => {
                return Ok(());
            }
            _ => return Err(Refused::HoldConverted(id)),
        }
        // A payment that a provider knows is cancelled there before the seats are released.
        if self.advance(&id, &open.id, PaymentEvent::GivenUp) != Some(PaymentState::Voiding) {
            self.set_order(&id, OrderState::Cancelled, None);
            self.end_hold(hold, HoldState::Released);
        }
        Ok(())
    }

    /// Expires an order whose time to pay has run out, or cancels one that is not paid once the show
    /// was cancelled; returns the number of seats freed. What a provider knows is cancelled there first, and the seats are released after it, or when it
    /// has not answered for too long. A payment still under way that cannot be cancelled continues:
    /// once captured, it books the seats if they are still free, and is refunded otherwise.
    pub(in crate::inventory) fn expire_order(&mut self, id: &str) -> u32 {
        let Some(order) = self.records.order(id) else {
            return 0;
        };
        let is_due = order.pay_by <= self.now || self.event_state.is_cancelled();
        if !order.state.is_open() || !is_due {
            return 0;
        }
        let (hold, open, pay_by) = (order.hold.clone(), order.payment().clone(), order.pay_by);
        match open.state {
            // The money is ours, or is being taken.
            PaymentState::Capturing | PaymentState::Captured => return 0,
            PaymentState::Voiding if pay_by.0 + VOIDING_MS_MAX > self.now.0 => return 0,
            PaymentState::Processing if !open.provider.moves_money() => {}
            PaymentState::Created
            | PaymentState::RequiresAction
            | PaymentState::Processing
            | PaymentState::Authorised => {
                let to = self.advance(id, &open.id, PaymentEvent::GivenUp);
                if to == Some(PaymentState::Voiding) {
                    return 0;
                }
            }
            _ => {}
        }
        self.end_order(id, &hold, pay_by);
        self.changes.seats.len() as u32
    }

    /// Ends an order that was not paid, before or after its time to pay had run out.
    pub(super) fn end_order(&mut self, id: &str, hold: &Arc<str>, pay_by: Time) {
        let (order_state, hold_state) = if pay_by > self.now {
            (OrderState::Cancelled, HoldState::Released)
        } else {
            (OrderState::Expired, HoldState::Expired)
        };
        self.set_order(id, order_state, None);
        self.end_hold(hold, hold_state);
    }
}
