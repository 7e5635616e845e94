//! The decisions, written once for all engines: from an event in memory and the records of a
//! visitor to a change set. Nothing here touches a store. Changes are applied only if every row is
//! still as it was when the decision was made.

mod blocking;
mod booking;
mod disputes;
mod holds;
mod invoices;
#[cfg(test)]
mod model;
mod orders;
mod payment_steps;
mod payments;
mod refunds;
mod reseating;
mod reviews;
mod sessions;

use super::event_state::{EventState, VisitorCache};
use super::model::*;
use super::records::{AnswerRow, ChangeSet, NewAnswer, SeatChange, VisitorRecords};
pub(super) use holds::{show as show_hold, show_kept};
pub(super) use orders::NewOrder;
pub use payments::ATTEMPTS_PER_VISITOR_MAX;
pub(super) use reviews::{outside, settlements};
use serde::{Serialize, de::DeserializeOwned};
pub(super) use sessions::show as show_session;
use shared::http::idempotency::Attempt;
use shared::ids::VisitorId;
use shared::time::Time;

/// Owner of the rows that a decision is about.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The visitor that a session word belongs to.
    Session(super::records::Key),
    /// The visitor of an order.
    Order(String),
    /// A visitor.
    Visitor(VisitorId),
    /// A visitor with an admission (its `jti`), perhaps one that was used already.
    Newcomer(VisitorId, String),
    /// The event itself, not a visitor.
    Event,
}

impl Target {
    /// Returns the visitor, if the target names one or the cache knows the owner.
    pub(super) fn visitor(&self, cache: &VisitorCache) -> Option<VisitorId> {
        match self {
            Target::Session(key) => cache.of_session(key),
            Target::Order(order) => cache.of_order(order),
            Target::Visitor(visitor) | Target::Newcomer(visitor, _) => Some(*visitor),
            Target::Event => None,
        }
    }

    /// Returns the refusal for an event that does not exist.
    pub(super) fn without_event(&self) -> Refused {
        match self {
            Target::Session(_) => Refused::NoSession,
            Target::Order(_) => Refused::NoSuchOrder,
            Target::Visitor(_) | Target::Newcomer(..) | Target::Event => Refused::NoSuchEvent,
        }
    }
}

/// The state that a decision reads, and the changes that it makes.
pub struct UnitOfWork<'a> {
    pub(super) event_state: &'a mut EventState,
    /// By the store's clock.
    pub(super) now: Time,
    /// The visitor's records, changed in place by the decision.
    pub(super) records: Box<VisitorRecords>,
    /// The stored answer of the request's attempt.
    pub(super) answer: Option<AnswerRow>,
    /// The session that its admission opened already.
    pub(super) opened: Option<super::records::SessionRow>,
    pub(super) changes: Box<ChangeSet>,
}

impl<'a> UnitOfWork<'a> {
    pub(super) fn new(
        event_state: &'a mut EventState,
        records: Box<VisitorRecords>,
        now: Time,
    ) -> UnitOfWork<'a> {
        UnitOfWork {
            event_state,
            now,
            records,
            answer: None,
            opened: None,
            changes: Box::default(),
        }
    }

    /// Acts once: a repeated attempt gets the stored answer.
    pub(super) fn once<T: Serialize + DeserializeOwned>(
        &mut self,
        attempt: Option<&Attempt>,
        act: impl FnOnce(&mut Self) -> Result<T, Refused>,
    ) -> Result<Once<T>, Refused> {
        if let Some(value) = self.answered(attempt)? {
            return Ok(Once {
                value,
                is_replayed: true,
            });
        }
        let value = act(self)?;
        self.keep(attempt, &value, true);
        Ok(Once {
            value,
            is_replayed: false,
        })
    }

    /// Returns the stored answer of an attempt, if there is one; a different body is a mismatch.
    fn answered<T: DeserializeOwned>(
        &self,
        attempt: Option<&Attempt>,
    ) -> Result<Option<T>, Refused> {
        let (Some(attempt), Some(row)) = (attempt, &self.answer) else {
            return Ok(None);
        };
        if row.body != attempt.body {
            return Err(Refused::Mismatch);
        }
        Ok(serde_json::from_str(&row.answer).ok())
    }

    /// Returns the order with which an attempt was answered. It is kept without the buyer, who may
    /// have been erased since.
    fn answered_order(&self, attempt: Option<&Attempt>) -> Result<Option<Order>, Refused> {
        let order = self.answered::<Order>(attempt)?;
        Ok(order.map(|order| {
            let row = self.records.order(&order.id);
            let buyer = row.and_then(|row| row.buyer.clone());
            Order { buyer, ..order }
        }))
    }

    /// Stores the order with which an attempt is answered.
    fn keep_order(&mut self, attempt: Option<&Attempt>, order: &Order, is_first: bool) {
        if attempt.is_some() {
            let buyer = None;
            let order = Order {
                buyer,
                ..order.clone()
            };
            self.keep(attempt, &order, is_first);
        }
    }

    /// Stores the answer of an attempt, or the mark that it is under way.
    fn keep<T: Serialize>(&mut self, attempt: Option<&Attempt>, value: &T, is_first: bool) {
        let Some(attempt) = attempt else { return };
        // One of another version, which cannot be read, is written over.
        let is_first = is_first && self.answer.is_none();
        let answer = AnswerRow {
            id: attempt.id.clone(),
            body: attempt.body.clone(),
            answer: json(value),
            at: self.now,
        };
        self.changes.answer = Some(Box::new(NewAnswer { answer, is_first }));
    }

    /// Records the change of a seat.
    fn give(&mut self, change: SeatChange) {
        self.changes.seats.push(change);
    }

    /// Refuses what is not done once the show was cancelled.
    fn check_goes_on(&self) -> Result<(), Refused> {
        match &self.event_state.rules.cancelled {
            Some(cancelled) => Err(Refused::EventCancelled(cancelled.reason.clone())),
            None => Ok(()),
        }
    }

    /// Returns the event's plan.
    fn plan(&self) -> Result<&super::event_state::Plan, Refused> {
        self.event_state.plan.as_ref().ok_or(Refused::NoSuchEvent)
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what is stored is plain data")
}
