//! A command: the records it needs, the decision to be made on them, and where the answer goes.

use super::commands::{Target, UnitOfWork};
use super::model::Refused;
use shared::group_commit::Unavailable;
use shared::http::idempotency::Attempt;
use shared::ids::{EventId, VisitorId};
use shared::trace::Parent;
use tokio::sync::oneshot;

/// A request on its way to a decision. Used as a `Box<Command>`: commands with answers of different
/// types share a queue, and each is one allocation that is moved from list to list.
pub struct Command<D: ?Sized = dyn Decide> {
    pub(super) event: EventId,
    pub(super) target: Target,
    /// The id under which the answer may be stored already.
    pub(super) attempt: Option<String>,
    /// The hold it is about: ended holds are not kept in memory and are loaded with the rest.
    pub(super) hold: Option<String>,
    /// Whether records must be loaded for it, as those in memory may be out of date.
    pub(super) must_load: bool,
    /// The visitor, once the engine knows it.
    pub(super) visitor: Option<VisitorId>,
    /// Races lost to other nodes.
    pub(super) tries: u8,
    /// The request, if it is traced.
    pub(super) trace: Parent,
    pub(super) decision: D,
}

/// Kind of a decision.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was granted; its changes are to be written.
    Granted,
    /// It was refused; nothing changes.
    Refused,
}

/// A decision together with the reply channel of its request.
pub trait Decide: Send {
    /// Decides and keeps the answer. May be called again when the records turned out to be old.
    fn decide(&mut self, work: &mut UnitOfWork<'_>) -> Decision;

    /// Returns whether it was refused because of seats, whose states are in memory.
    fn is_refused_for_seats(&self) -> bool;

    /// Returns whether the caller is gone.
    fn is_abandoned(&self) -> bool;

    /// Sends the answer, or that the store cannot be reached.
    fn answer(&mut self, outcome: Result<(), Unavailable>);
}

/// The only implementation of `Decide`: a closure and the answer of its last call.
struct Pending<T, F> {
    decide: F,
    decided: Option<Result<T, Refused>>,
    /// `None` once the answer has been sent.
    reply: Option<oneshot::Sender<Result<T, Refused>>>,
}

impl<T, F> Decide for Pending<T, F>
where
    T: Send,
    F: FnMut(&mut UnitOfWork<'_>) -> Result<T, Refused> + Send,
{
    fn decide(&mut self, work: &mut UnitOfWork<'_>) -> Decision {
        let decided = (self.decide)(work);
        let decision = match &decided {
            Ok(_) => Decision::Granted,
            Err(_) => Decision::Refused,
        };
        self.decided = Some(decided);
        decision
    }

    fn is_refused_for_seats(&self) -> bool {
        matches!(
            self.decided,
            Some(Err(Refused::SeatsTaken(_)
                | Refused::NotEnoughSeats
                | Refused::LeavesSingle(_)
                | Refused::UnknownSeats(_)
                | Refused::Invalid(_)))
        )
    }

    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn answer(&mut self, outcome: Result<(), Unavailable>) {
        let decided = match (outcome, self.decided.take()) {
            (Ok(()), Some(decided)) => decided,
            _ => Err(Unavailable.into()),
        };
        if let Some(reply) = self.reply.take() {
            // The caller may have given up.
            let _ = reply.send(decided);
        }
    }
}

/// Subject of a command, before its decision is known.
#[derive(Clone)]
pub(super) struct Subject {
    event: EventId,
    target: Target,
    attempt: Option<String>,
    hold: Option<String>,
    must_load: bool,
}

impl Subject {
    /// Returns the subject of a command that may be decided on records in memory.
    pub(super) fn new(event: &EventId, target: Target) -> Subject {
        Subject {
            event: event.clone(),
            target,
            attempt: None,
            hold: None,
            must_load: false,
        }
    }

    /// Returns it for a decision on records loaded for it.
    pub(super) fn fresh(event: &EventId, target: Target) -> Subject {
        Subject {
            must_load: true,
            ..Subject::new(event, target)
        }
    }

    /// Adds the attempt whose answer may be stored already.
    pub(super) fn once(mut self, attempt: Option<&Attempt>) -> Subject {
        self.attempt = attempt.map(|attempt| attempt.id.clone());
        self
    }

    /// Adds the hold it is about.
    pub(super) fn with_hold(mut self, hold: &str) -> Subject {
        self.hold = Some(hold.to_owned());
        self
    }

    /// Returns the command, and the channel on which its answer arrives.
    pub(super) fn decided_by<T: Send + 'static>(
        self,
        decide: impl FnMut(&mut UnitOfWork<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> (Box<Command>, oneshot::Receiver<Result<T, Refused>>) {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(Command {
            event: self.event,
            target: self.target,
            attempt: self.attempt,
            hold: self.hold,
            must_load: self.must_load,
            visitor: None,
            tries: 0,
            trace: Parent::current(),
            decision: Pending {
                decide,
                decided: None,
                reply: Some(reply),
            },
        });
        (command, answer)
    }
}
