//! What a writer is asked, and who waits for it.

use crate::inventory::commands::UnitOfWork;
use crate::inventory::model::*;
use crate::inventory::service::Command;
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use tokio::sync::oneshot;

/// A request that other nodes were faster than so many times is given up.
const TRIES_MAX: u8 = 10;

/// What a writer is asked.
pub(super) enum Message {
    /// A decision.
    Job(Box<Job>),
    /// Show what was committed, and take what others did.
    Tick(oneshot::Sender<()>),
    /// Seats whose time is over, at most so many.
    Lapsed(usize, oneshot::Sender<Vec<i32>>),
    /// The plan or the rules were changed: read them.
    Reload(oneshot::Sender<Result<(), Unavailable>>),
}

/// A request on its way. It is moved from list to list, and is boxed for that.
pub(super) struct Job<S: ?Sized = dyn Step> {
    pub(super) ask: Command,
    /// Whose it is, as soon as that is known.
    pub(super) visitor: Option<VisitorId>,
    /// Its rows must be read before it is decided.
    pub(super) must_load: bool,
    pub(super) tries: u8,
    pub(super) step: S,
}

/// What came of a decision.
pub(super) enum Decision {
    Decided,
    Refused,
}

/// A decision with the one who waits for it.
pub(super) trait Step: Send {
    /// Decides, and keeps what it would answer.
    fn decide(&mut self, work: &mut UnitOfWork<'_>) -> Decision;
    /// Whether it was refused for seats that are in memory.
    fn is_about_seats(&self) -> bool;
    /// Answers what was decided, or that the store cannot be reached.
    fn answer(&mut self, outcome: Result<(), Unavailable>);
}

/// The only `Step`.
pub(super) struct Asked<T, F> {
    pub(super) decide: F,
    pub(super) decided: Option<Result<T, Refused>>,
    /// None after the answer.
    pub(super) reply: Option<oneshot::Sender<Result<T, Refused>>>,
}

impl<T, F> Step for Asked<T, F>
where
    T: Send,
    F: FnMut(&mut UnitOfWork<'_>) -> Result<T, Refused> + Send,
{
    fn decide(&mut self, work: &mut UnitOfWork<'_>) -> Decision {
        let decided = (self.decide)(work);
        let ruling = match &decided {
            Ok(_) => Decision::Decided,
            Err(_) => Decision::Refused,
        };
        self.decided = Some(decided);
        ruling
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

/// What is in memory may be why it failed.
pub(super) fn load_first(mut job: Box<Job>) -> Box<Job> {
    job.must_load = true;
    job
}

/// A job to be decided again; none when it was too often.
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
