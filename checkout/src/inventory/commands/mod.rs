//! The decisions, written once for both engines: what a request changes, given the event in memory and all that its visitor
//! has. Nothing here touches a store. What it says is applied only if every row still is what it was decided on.

mod blocking;
mod holds;
mod orders;
mod payments;
mod sessions;

use super::event_state::EventState;
use super::model::*;
use super::records::{AnswerRow, ChangeSet, SeatChange, VisitorRecords};
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
    /// A visitor who comes in with an admission, perhaps one that was used already.
    Newcomer(VisitorId, String),
    /// No owner.
    Nobody,
}

/// A decision on its way.
pub(super) struct UnitOfWork<'a> {
    pub(super) event_state: &'a mut EventState,
    /// By the store's clock.
    pub(super) now: Time,
    /// As it was, and as it will be.
    pub(super) visit: Box<VisitorRecords>,
    /// The stored answer of the request's attempt.
    pub(super) answer: Option<AnswerRow>,
    /// The session that its admission opened already.
    pub(super) opened: Option<super::records::SessionRow>,
    pub(super) changes: Box<ChangeSet>,
}

impl<'a> UnitOfWork<'a> {
    pub(super) fn new(
        event_state: &'a mut EventState,
        visit: Box<VisitorRecords>,
        now: Time,
    ) -> UnitOfWork<'a> {
        UnitOfWork {
            event_state,
            now,
            visit,
            answer: None,
            opened: None,
            changes: Box::default(),
        }
    }

    /// Does something once: who asks again is answered the same again.
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

    /// The stored answer of an attempt: none yet, of another body, or the answer.
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

    /// Keeps the answer of an attempt, or its mark.
    fn keep<T: Serialize>(&mut self, attempt: Option<&Attempt>, answer: &T, is_new: bool) {
        let Some(attempt) = attempt else { return };
        let row = AnswerRow {
            id: attempt.id.clone(),
            body: attempt.body.clone(),
            answer: json(answer),
            at: self.now,
        };
        self.changes.answer = Some(Box::new((row, is_new)));
    }

    /// A seat changes hands.
    fn give(&mut self, change: SeatChange) {
        self.changes.seats.push(change);
    }

    /// The event's plan.
    fn plan(&self) -> Result<&super::event_state::Plan, Refused> {
        self.event_state.plan.as_ref().ok_or(Refused::NoSuchEvent)
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what is stored is plain data")
}
