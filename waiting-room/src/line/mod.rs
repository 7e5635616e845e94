//! The line: its words, the promises that every engine keeps, and `open(url)`, the only place that knows which engine runs.

mod bitmap;
mod drawing;
mod embedded;
mod event_settings;
mod journal;
mod redis;
mod state;
mod throughput;
mod view;

pub use bitmap::Snapshot;
pub use embedded::Embedded;
pub use event_settings::{Admission, Beacon, EventSettings, Order, Patch};
pub use redis::Redis;
pub use throughput::{Flow, Pace, Rates};

use crate::draw::Round;
use crate::pass::Pass;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::data_dir::DataFolder;
use shared::group_commit::Unavailable;
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::{Clock, Time};
use std::sync::Arc;

/// The most places that one event's line gives out.
pub const LINE_LENGTH_MAX: u64 = 4_000_000;
/// The most events that one process keeps.
pub const EVENTS_MAX: usize = 500;
/// An inventory that has not reported for this long counts as down: nobody is admitted to it.
pub const REPORT_SECONDS_MAX: u32 = 30;

/// What a line is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The line is not open yet.
    Scheduled,
    /// The line is open, the sale is not.
    Prequeue,
    /// Batches are admitted.
    Open,
    /// The organiser stopped admission for now; joining goes on.
    Paused,
    /// Nothing is available and nothing is held.
    SoldOut,
    /// Over.
    Closed,
}

/// Where a visitor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VisitorState {
    /// In line.
    Waiting,
    /// It is their turn: they may go to the checkout until `claim_by`.
    Admitted,
    /// In the checkout.
    Shopping,
    /// Done.
    Finished,
    /// The turn or the session ran out, or they were away too long.
    Missed,
    /// They left.
    Left,
    /// The organiser removed them.
    Ejected,
}

impl Phase {
    /// All of them, in the order of the codes that scripts answer.
    const ALL: [Phase; 6] = [
        Phase::Scheduled,
        Phase::Prequeue,
        Phase::Open,
        Phase::Paused,
        Phase::SoldOut,
        Phase::Closed,
    ];
}

impl VisitorState {
    /// All of them, in the order of the codes that journals and scripts keep.
    const ALL: [VisitorState; 7] = [
        VisitorState::Waiting,
        VisitorState::Admitted,
        VisitorState::Shopping,
        VisitorState::Finished,
        VisitorState::Missed,
        VisitorState::Left,
        VisitorState::Ejected,
    ];
}

/// What an admitted visitor occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When they were admitted.
    pub admitted_at: Time,
    /// Until when they may come.
    pub claim_by: Time,
    /// Until when they may shop once they came.
    pub expires_at: Time,
}

/// One visitor's place as the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Who.
    pub visitor: VisitorId,
    /// Their number, dense, from 1, fixed once given. 0: they left before the draw that would have given one.
    pub number: u64,
    /// The draw is yet to come: the number is only that of their arrival, and nobody is told.
    pub is_provisional: bool,
    /// Where they stand.
    pub standing: VisitorState,
    /// How many still waiting have a lower number; 0 for those who wait no more.
    pub ahead: u64,
    /// Set while admitted or shopping.
    pub slot: Option<Slot>,
}

/// The answer to a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// A new place at the back.
    New(Spot),
    /// They had a place already.
    Known(Spot),
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The slot is theirs until then.
    Until(Time),
    /// The slot is gone.
    Lapsed,
}

/// What is known of the line at one instant.
#[derive(Clone, Debug)]
pub struct LineView {
    /// Counts the engine's steps, so that an older front is never taken for a newer one.
    pub step: u64,
    /// Rises when something changed that everyone should hear of at once: phase, message, settings.
    pub revision: u64,
    /// The life of the line: higher each time that its store may have forgotten something.
    pub epoch: u64,
    /// When it was taken, by the store's clock.
    pub at: Time,
    /// What the line is doing.
    pub phase: Phase,
    /// A draw is yet to come: the numbers are only those of arrival.
    pub is_undrawn: bool,
    /// How many were drawn: the numbers from 1 to this.
    pub drawn: u64,
    /// Who is still waiting, as a bitmap from the head on.
    pub alive: Snapshot,
    /// How many wait.
    pub waiting: u64,
    /// The highest number given out.
    pub numbers: u64,
    /// The measured pace of admission, if there is one.
    pub pace: Option<Pace>,
    /// What the checkout last reported.
    pub availability: Option<Availability>,
    /// The event's settings.
    pub settings: Arc<EventSettings>,
}

/// The figures of an event now.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Stats {
    /// When they were taken.
    pub at: Time,
    /// What the line is doing.
    pub phase: Phase,
    /// How many wait.
    pub waiting: u64,
    /// How many were admitted and have not come yet.
    pub admitted: u64,
    /// How many are in the checkout.
    pub shopping: u64,
    /// How many waiting visitors are neither connected nor polling.
    pub away: u64,
    /// What happened in the last 60 seconds.
    pub per_minute: Rates,
    /// What happened since the line began.
    pub total: Rates,
    /// Seconds that the last 1,000 admitted had waited.
    pub waited_seconds: Waited,
    /// What the checkout last reported.
    pub availability: Option<Availability>,
}

/// Quantiles, in seconds; null until somebody was admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Waited {
    /// Half waited less.
    pub p50: Option<u32>,
    /// Nine of ten waited less.
    pub p90: Option<u32>,
    /// Ninety-nine of a hundred waited less.
    pub p99: Option<u32>,
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such event.
    #[error("no such event")]
    NoSuchEvent,
    /// The event exists already.
    #[error("the event exists already")]
    Exists,
    /// The line opens later.
    #[error("the line is not open")]
    NotOpen(Option<Time>),
    /// No more joining.
    #[error("the line is closed")]
    Closed(Phase),
    /// A setting is wrong: the field and why.
    #[error("a setting is wrong")]
    Invalid(Vec<(String, String)>),
    /// A limit of this installation is reached.
    #[error("{0}")]
    Full(&'static str),
    /// The store did not take it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// How a draw stands.
#[derive(Clone)]
pub struct DrawState {
    /// Secret until the draw is held: only its hash is told.
    pub seed: [u8; 32],
    /// The round of public randomness that was named.
    pub named: Option<Beacon>,
    /// That round, once it was given.
    pub round: Option<Round>,
    /// What came of it, once it was held.
    pub outcome: Option<Outcome>,
}

/// What came of a draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it was held.
    pub at: Time,
    /// How many were drawn: they have the numbers from 1 on.
    pub entries: u64,
    /// The root of the tree over their entries, hex.
    pub root: String,
}

/// One event's line, and the list of events. Every operation is one atomic step of the store, by the store's clock, and
/// is durable before it is answered. Each may be repeated: an answer that got lost may have happened.
#[async_trait]
pub trait Line: Send + Sync {
    /// Creates an event. Wrong settings are refused whole.
    async fn create(&self, settings: EventSettings) -> Result<(), Refused>;

    /// Changes settings in one step and answers what they were and what they are.
    async fn configure(
        &self,
        event: &EventId,
        patch: Patch,
    ) -> Result<(EventSettings, EventSettings), Refused>;

    /// Removes an event and everything about its line.
    async fn remove(&self, event: &EventId) -> Result<(), Refused>;

    /// All events, by id.
    async fn events(&self) -> Result<Vec<Arc<EventSettings>>, Refused>;

    /// Gives each visitor a place, in the order of the slice. A visitor who waits, is admitted, shops or was ejected
    /// keeps the place they have; one who finished, missed or left gets a new number at the back.
    async fn join(&self, event: &EventId, visitors: &[VisitorId]) -> Result<Vec<Joined>, Refused>;

    /// Lapses what is due, admits what rate, `max_active` and the seats allow, and answers the front. However often and
    /// from wherever it is called, no more is admitted than is due. Who lapses makes room in the same step.
    async fn tick(&self, event: &EventId) -> Result<Arc<LineView>, Refused>;

    /// A visitor's place, and a sign of life from them: their `away_seconds` start anew.
    async fn place(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused>;

    /// Gives a visitor back the place that their pass proves, where the store has forgotten it: the pass is of an earlier
    /// epoch of this same event. Answers none when it is not so; whose number was served already gets no second turn.
    /// Where the store remembers an older place of the visitor that is over, the newer one counts.
    async fn reenter(&self, event: &EventId, pass: &Pass) -> Result<Option<Spot>, Refused>;

    /// The visitor with this number arrived at the checkout: the slot is theirs until it expires.
    async fn claim(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
    ) -> Result<Claimed, Refused>;

    /// The visitor with this number is done: the slot is free at once.
    async fn finish(&self, event: &EventId, visitor: VisitorId, number: u64)
    -> Result<(), Refused>;

    /// The visitor gives up their place or their slot.
    async fn leave(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused>;

    /// The visitor's socket closed: unless they come back or poll, their place lapses after `away_seconds`.
    async fn away(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused>;

    /// The visitor's socket opened: their place is kept for as long as it stays open. Answers the place.
    async fn back(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused>;

    /// Removes a visitor for good; whether there was one.
    async fn eject(&self, event: &EventId, visitor: VisitorId) -> Result<bool, Refused>;

    /// Who has this number.
    async fn find(&self, event: &EventId, number: u64) -> Result<Option<Spot>, Refused>;

    /// What the checkout counts.
    async fn report(&self, event: &EventId, seats: Availability) -> Result<(), Refused>;

    /// How the draw of an event stands; none where who comes first is served first. A draw is held once, when the sale
    /// opens and the beacon's round was given if one was named: those waiting then get the numbers from 1 on, by
    /// `draw::order`; those who had left by then have no number any more; later ones queue behind.
    async fn draw(&self, event: &EventId) -> Result<Option<DrawState>, Refused>;

    /// Keeps the round of the beacon, which the caller checked. The first that is given stays.
    async fn give_beacon(&self, event: &EventId, round: &Round) -> Result<(), Refused>;

    /// The visitors who drew these numbers, from `first` on, at most `count`.
    async fn drawn(
        &self,
        event: &EventId,
        first: u64,
        count: usize,
    ) -> Result<Vec<VisitorId>, Refused>;

    /// Whose sockets at this node were replaced by newer ones at another since this was last asked.
    fn replaced(&self, event: &EventId) -> Vec<VisitorId>;

    /// What the store's clock says, where that is not this machine's: as of the newest answer, and the time since.
    fn now(&self, event: &EventId) -> Option<Time>;

    /// The figures now.
    async fn stats(&self, event: &EventId) -> Result<Stats, Refused>;
}

/// Whether a line is kept where other nodes reach it, by its URL.
pub fn is_shared(url: &str) -> bool {
    url != "embedded"
}

/// What is wrong with the URL of a line, if anything is.
///
/// # Errors
/// A sentence for the operator.
pub fn check(url: &str) -> Result<(), String> {
    if is_shared(url) {
        Redis::check(url)
    } else {
        Ok(())
    }
}

/// A line, and where nodes share its store, that store for what lies beside the lines: the audit log, the sign-outs.
pub struct Opened {
    /// The line.
    pub line: Arc<dyn Line>,
    /// The store that nodes share.
    pub shared: Option<Arc<Redis>>,
}

/// Opens the engine that a URL names.
///
/// # Errors
/// A sentence for the operator.
pub fn open(url: &str, folder: &DataFolder, clock: Clock) -> Result<Opened, String> {
    if is_shared(url) {
        let line = Arc::new(Redis::open(url, folder.join("line-redis"), clock)?);
        return Ok(Opened {
            line: line.clone(),
            shared: Some(line),
        });
    }
    Ok(Opened {
        line: Arc::new(Embedded::open(folder.join("line"), clock)?),
        shared: None,
    })
}
