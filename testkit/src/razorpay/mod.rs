//! A stand-in of Razorpay, with its behaviour on the wire as far as a checkout needs it: orders with
//! manual capture, several attempts to pay one, declines, 3-D Secure, refunds, lists, signatures,
//! webhooks; and faults on demand.

mod books;
mod events;
mod paying;
mod routes;

use crate::faults::{ApiFault, LastRequest};
use crate::stand_in::Serving;
use books::RazorpayBooks;
pub use events::{RazorpayEvent, WEBHOOK_SECRET};
pub use paying::KEY_SECRET;
pub use routes::KEY_ID;
use routes::SharedStandIn;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

/// A running stand-in. It ends when it is dropped.
pub struct RazorpayStandIn {
    shared: SharedStandIn,
    serving: Serving,
}

impl RazorpayStandIn {
    /// Starts one on a port of its own. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start() -> std::io::Result<RazorpayStandIn> {
        let shared = SharedStandIn::default();
        let serving = Serving::start(routes::routes(shared.clone())).await?;
        Ok(RazorpayStandIn { shared, serving })
    }

    /// Returns its address.
    pub fn url(&self) -> &str {
        self.serving.url()
    }

    /// Has the next request for an operation (`create`, `orders`, `order`, `attempts`, `capture`,
    /// `refund`, `refunds`, `payments`, `payment`) go wrong. Several for one operation follow one
    /// another.
    pub fn fail(&self, operation: &str, fault: ApiFault) {
        self.shared.fail(operation, fault);
    }

    /// Forgets the faults that were to come.
    pub fn heal(&self) {
        self.shared.heal();
    }

    /// Leaves all requests after so many without an answer, and without an effect but for that of
    /// the first of them. Returns what tells of that one.
    pub fn fall_silent(&self, after: usize, last: LastRequest) -> Arc<Notify> {
        self.shared.fall_silent(after, last)
    }

    /// Returns the operations that were asked for so far, in their order.
    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().clone()
    }

    /// Makes an order as another shop with this account does, or a request whose answer was lost.
    pub fn create(&self, order: &Value) -> Result<Value, Value> {
        self.change(|books| books.create(order))
    }

    /// Pays an order as the fan does in Razorpay's window, with `card`, `3ds`, `declined`,
    /// `insufficient_funds` or `expired`. Returns what the page is given, or the attempt that waits
    /// for 3-D Secure; or why it failed.
    pub fn pay(&self, order: &str, card: &str) -> Result<Value, Value> {
        self.change(|books| books.pay(order, card))
    }

    /// Ends 3-D Secure of an attempt, well or not. Returns what the page is given.
    pub fn authenticate(&self, payment: &str, is_well: bool) -> Result<Value, Value> {
        self.change(|books| books.authenticate(payment, is_well))
    }

    /// Gives reserved money back, as Razorpay does if it is not captured in time.
    pub fn lapse(&self, payment: &str) {
        self.change(|books| books.lapse(payment));
    }

    /// Refunds an amount of an attempt as a merchant does in the provider's dashboard.
    pub fn refund(&self, payment: &str, amount: i64) -> Result<Value, Value> {
        self.change(|books| books.refund(payment, &json!({"amount": amount}), None))
    }

    /// Has the newest refund of an attempt fail that was accepted.
    pub fn fail_refund(&self, payment: &str) {
        self.change(|books| books.fail_refund(payment));
    }

    /// Has the cardholder of an attempt dispute an amount of it, in its currency or in another.
    pub fn dispute(&self, payment: &str, amount: i64, currency: Option<&str>) {
        self.change(|books| books.dispute(payment, amount, currency));
    }

    /// Has the newest dispute of an attempt come to a status: `won`, `lost`, `closed`, or `open` again.
    pub fn end_dispute(&self, payment: &str, status: &str) {
        self.change(|books| books.end_dispute(payment, status));
    }

    /// Changes the amount and currency of an attempt.
    pub fn alter(&self, payment: &str, amount: i64, currency: &str) {
        self.change(|books| books.alter(payment, amount, currency));
    }

    /// Returns all orders, the newest first.
    pub fn orders(&self) -> Vec<Value> {
        self.shared.books.lock().orders()
    }

    /// Returns all attempts to pay, the newest first.
    pub fn payments(&self) -> Vec<Value> {
        self.shared.books.lock().payments()
    }

    /// Takes the events that were not delivered yet, in the order in which they happened.
    pub fn take_events(&self) -> Vec<RazorpayEvent> {
        self.shared.events.lock().drain(..).collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut RazorpayBooks) -> T) -> T {
        let mut books = self.shared.books.lock();
        let changed = change(&mut books);
        self.shared.tell(&mut books);
        changed
    }
}
