//! A stand-in of Stripe, with its behaviour on the wire as far as a checkout needs it: payments with
//! manual capture, declines, 3-D Secure, refunds, lists, idempotency keys, webhooks; and faults on
//! demand.

mod books;
mod browser;
mod routes;
mod state;
mod webhooks;

use crate::endpoint::Endpoint;
use crate::faults::{ApiFault, LastRequest, Trouble};
use crate::stand_in::Serving;
pub use routes::KEY;
use serde_json::Value;
use state::StandInState;
use std::sync::Arc;
use tokio::sync::Notify;
pub use webhooks::{WEBHOOK_SECRET, WebhookEvent};

/// A running stand-in. It ends when it is dropped.
pub struct StripeStandIn {
    shared: Arc<StandInState>,
    serving: Serving,
}

impl StripeStandIn {
    /// Starts one on a port of its own. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start() -> std::io::Result<StripeStandIn> {
        let shared = Arc::<StandInState>::default();
        let serving = Serving::start(routes::routes(shared.clone())).await?;
        Ok(StripeStandIn { shared, serving })
    }

    /// Returns its address.
    pub fn url(&self) -> &str {
        self.serving.url()
    }

    /// Has the next request for an operation (`create`, `confirm`, `capture`, `cancel`, `refund`,
    /// `retrieve`, `list`) go wrong. Several for one operation follow one another.
    pub fn fail(&self, operation: &str, fault: ApiFault) {
        self.shared.fail(operation, fault);
    }

    /// Returns the operations that were asked for so far, in their order.
    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().clone()
    }

    /// Confirms a payment as the fan's browser does, with a card such as `pm_card_visa`.
    pub fn confirm(&self, client_secret: &str, card: &str) -> Result<Value, Value> {
        let mut books = self.shared.books.lock();
        let id = client_secret.split("_secret_").next().unwrap_or_default();
        let confirmed = books.confirm(id, Some(client_secret), card);
        self.shared.tell(&mut books);
        confirmed
    }

    /// Ends 3-D Secure of a payment, well or not.
    pub fn authenticate(&self, id: &str, is_well: bool) -> Option<Value> {
        let mut books = self.shared.books.lock();
        let intent = books.authenticate(id, is_well);
        self.shared.tell(&mut books);
        intent
    }

    /// Cancels a payment as the provider does by itself, such as when a reservation ends.
    pub fn cancel(&self, id: &str) -> Result<Value, Value> {
        let mut books = self.shared.books.lock();
        let cancelled = books.cancel(id);
        self.shared.tell(&mut books);
        cancelled
    }

    /// Refunds an amount of a payment as a merchant does in the provider's dashboard.
    pub fn refund(&self, id: &str, amount: i64) -> Result<Value, Value> {
        let mut books = self.shared.books.lock();
        let fields = [
            ("payment_intent".to_owned(), id.to_owned()),
            ("amount".to_owned(), amount.to_string()),
        ];
        let refunded = books.refund(&fields.into());
        self.shared.tell(&mut books);
        refunded
    }

    /// Returns what was given back of a payment, in minor units.
    pub fn refunded(&self, id: &str) -> i64 {
        self.shared.books.lock().refunded(id)
    }

    /// Has the newest refund of a payment fail that was accepted.
    pub fn fail_refund(&self, id: &str) {
        let mut books = self.shared.books.lock();
        books.fail_refund(id);
        self.shared.tell(&mut books);
    }

    /// Has the cardholder of a payment dispute an amount of it, in its currency or in another.
    pub fn dispute(&self, id: &str, amount: i64, currency: Option<&str>) {
        let mut books = self.shared.books.lock();
        books.dispute(id, amount, currency);
        self.shared.tell(&mut books);
    }

    /// Has the newest dispute of a payment come to a status, such as `won` or `lost`.
    pub fn end_dispute(&self, id: &str, status: &str) {
        let mut books = self.shared.books.lock();
        books.end_dispute(id, status);
        self.shared.tell(&mut books);
    }

    /// Has requests and webhooks go wrong by chance, until it is healed.
    pub fn trouble(&self, trouble: Trouble) {
        *self.shared.trouble.lock() = trouble;
    }

    /// Sends webhooks to an address such as `http://127.0.0.1:8080/webhooks/stripe` from now on.
    ///
    /// # Panics
    /// Panics if it is not such an address.
    pub fn tell(&self, url: &str) {
        let endpoint = Endpoint::parse(url, 1).expect("the address begins with http://");
        *self.shared.endpoint.lock() = Some(endpoint);
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

    /// Returns a payment.
    pub fn intent(&self, id: &str) -> Option<Value> {
        self.shared.books.lock().intent(id)
    }

    /// Returns all payments, the newest first.
    pub fn intents(&self) -> Vec<Value> {
        self.shared.books.lock().intents()
    }

    /// Takes the events that were not delivered yet, in the order in which they happened.
    pub fn take_events(&self) -> Vec<WebhookEvent> {
        self.shared.events.lock().drain(..).collect()
    }
}
