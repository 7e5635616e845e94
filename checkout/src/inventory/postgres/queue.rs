//! Queue of a writer: its messages, and the requests waiting for a decision.

use crate::inventory::commands::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::service::Command;
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use tokio::sync::oneshot;

/// Number of races a request may lose to other nodes before it is given up.
const TRIES_MAX: u8 = 10;

/// Message to a writer.
pub(super) enum Message {
    /// A request to be decided.
    Job(Box<Job>),
    /// Publish committed changes and apply those of other nodes.
    Tick(oneshot::Sender<()>),
    /// Return lapsed seats, at most this many.
    Lapsed(usize, oneshot::Sender<Vec<i32>>),
    /// The plan or the rules have changed: load the event again.
    Reload(oneshot::Sender<Result<(), Unavailable>>),
}

/// A request waiting for its decision. Boxed, as it is moved between lists.
pub(super) struct Job<S: ?Sized = dyn Step> {
    pub(super) ask: Command,
    /// The visitor, once known.
    pub(super) visitor: Option<VisitorId>,
    /// Whether its records must be loaded before the decision.
    pub(super) must_load: bool,
    pub(super) tries: u8,
    pub(super) step: S,
}

/// Kind of a decision.
pub(super) enum Decision {
    Decided,
    Refused,
}

/// A decision together with the reply channel of its request.
pub(super) trait Step: Send {
    /// Decides, and stores the answer to be given.
    fn decide(&mut self, work: &mut UnitOfWork<'_>) -> Decision;
    /// Returns whether it was refused because of seats, whose states are in memory.
    fn is_about_seats(&self) -> bool;
    /// Sends the decision, or that the store cannot be reached.
    fn answer(&mut self, outcome: Result<(), Unavailable>);
}

/// The only implementation of `Step`; it lets jobs of different answer types share a queue.
pub(super) struct Asked<T, F> {
    pub(super) decide: F,
    pub(super) decided: Option<Result<T, Refused>>,
    /// `None` once the answer has been sent.
    pub(super) reply: Option<oneshot::Sender<Result<T, Refused>>>,
}

impl<T, F> Step for Asked<T, F>
where
    T: Send,
    F: FnMut(&mut UnitOfWork<'_>) -> Result<T, Refused> + Send,
{
    fn decide(&mut self, work: &mut UnitOfWork<'_>) -> Decision {
        let decided = (self.decide)(work);
        let decision = match &decided {
            Ok(_) => Decision::Decided,
            Err(_) => Decision::Refused,
        };
        self.decided = Some(decided);
        decision
    }

    fn is_about_seats(&self) -> bool {
        matches!(
            self.decided,
            Some(Err(Refused::SeatsTaken(_)
                | Refused::NotEnoughSeats
                | Refused::LeavesSingle(_)
                | Refused::UnknownSeats(_)
                | Refused::Invalid(_)))
        )
    }

    fn answer(&mut self, outcome: Result<(), Unavailable>) {
        let decided = match (outcome, self.decided.take()) {
            (Ok(()), Some(decided)) => decided,
            _ => Err(Unavailable.into()),
        };
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(decided);
        }
    }
}

/// Marks a job to be decided on loaded records, as those in memory may be why it failed.
pub(super) fn load_first(mut job: Box<Job>) -> Box<Job> {
    job.must_load = true;
    job
}

/// Returns a job to be decided again, or `None` after too many attempts.
pub(super) fn again(mut job: Box<Job>) -> Option<Box<Job>> {
    job.tries += 1;
    if job.tries > TRIES_MAX {
        refuse([job]);
        return None;
    }
    Some(job)
}

pub(super) fn refuse(jobs: impl IntoIterator<Item = Box<Job>>) {
    for mut job in jobs {
        job.step.answer(Err(Unavailable));
    }
}
