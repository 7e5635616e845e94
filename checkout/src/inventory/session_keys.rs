//! Of the sessions that a browser sends along, the one that a request is about.

use super::command::Subject;
use super::commands::{Target, UnitOfWork};
use super::model::*;
use super::service::{Inventory, first};
use shared::ids::EventId;

impl Inventory {
    /// Returns the session of this event among those of a request.
    pub async fn session_of_event(
        &self,
        keys: SessionKeys,
        event: &EventId,
    ) -> Result<SessionKey, Refused> {
        let keys = keys.into_iter().filter(|key| key.event == *event);
        self.only(keys.collect(), None, Refused::NoSession, |_| true)
            .await
    }

    /// Returns the session whose visitor made this hold, among those of a request.
    pub async fn session_of_hold(
        &self,
        keys: SessionKeys,
        hold: &str,
    ) -> Result<SessionKey, Refused> {
        let id = hold.to_owned();
        self.only(keys, Some(hold), Refused::NoSuchHold, move |work| {
            work.records.hold(&id).is_some()
        })
        .await
    }

    /// Returns the session whose visitor is asked for this payment, among those of a request.
    pub async fn session_of_payment(
        &self,
        keys: SessionKeys,
        payment: &str,
    ) -> Result<SessionKey, Refused> {
        let payment = payment.to_owned();
        self.only(keys, None, Refused::NoSuchPayment, move |work| {
            let mut payments = work.records.orders.iter().flat_map(|order| &order.payments);
            payments.any(|row| row.id == payment)
        })
        .await
    }

    /// Returns the session that is the right one. A request with one session needs no look-up: the
    /// decision that follows finds out.
    async fn only(
        &self,
        keys: SessionKeys,
        hold: Option<&str>,
        nothing: Refused,
        is_right: impl Fn(&UnitOfWork<'_>) -> bool + Clone + Send + 'static,
    ) -> Result<SessionKey, Refused> {
        if let [only] = keys.as_slice() {
            return Ok(only.clone());
        }
        let missing = nothing.clone();
        first(keys, nothing, |key| {
            let (is_right, missing) = (is_right.clone(), missing.clone());
            let mut subject = Subject::fresh(&key.event, Target::Session(key.hash));
            if let Some(hold) = hold {
                subject = subject.with_hold(hold);
            }
            self.decide(subject, move |work| {
                work.session(&key.hash)?;
                is_right(work).then(|| key.clone()).ok_or(missing.clone())
            })
        })
        .await
    }
}
