//! The line: its types and the trait that every engine implements. [`open()`] chooses the engine.

mod admission;
mod admission_settings;
mod bitmap;
mod clients;
mod drawing;
mod embedded;
mod engine;
mod event_settings;
mod forecast;
mod hearing;
mod journal;
pub(crate) mod life;
mod open;
mod phase;
mod redis;
#[cfg(test)]
mod simulated;
mod state;
mod throughput;
mod trouble;
mod unreadable;
mod view;

pub use admission_settings::Admission;
pub use bitmap::Snapshot;
pub use clients::{ClientChange, Clients, SHARED_MAX, SharedAdmission, Sighting, Visit};
pub use embedded::Embedded;
pub use event_settings::{EventSettings, Order, Patch};
pub use forecast::{Forecast, Wait, WaitReason};
pub use life::Life;
pub use open::{Opened, check, is_shared, open, open_store};
pub use phase::Phase;
pub use redis::{Redis, Store};
pub use throughput::{Flow, Rates, Waited};
pub use trouble::{Trouble, TroubleKind};

use crate::draw::{Beacon, Round};
use crate::pass::Pass;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::group_commit::Unavailable;
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_log::{LogPage, LogPlace};
use shared::time::Time;
use std::sync::Arc;

/// Maximum number of visitors who wait, are admitted or shop at one time in one event's line.
pub const LINE_LENGTH_MAX: u64 = 4_000_000;
/// Maximum number of places that one event's line gives out in its life. Each takes some 150 bytes of
/// the store's memory, and twice that when it is over.
pub const NUMBERS_MAX: u64 = 40_000_000;
/// Maximum number of events at one installation.
pub const EVENTS_MAX: usize = 500;
/// Age in seconds at which a checkout's last report counts as stale; no visitor is admitted until
/// the next one.
pub const REPORT_SECONDS_MAX: u32 = 30;

/// State of a visitor in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VisitorState {
    /// In line.
    Waiting,
    /// Admitted: they may go to the checkout until `claim_by`.
    Admitted,
    /// In the checkout.
    Shopping,
    /// Done shopping.
    Finished,
    /// The slot expired, or they were away too long.
    Missed,
    /// They left.
    Left,
    /// The organiser removed them.
    Ejected,
}

impl VisitorState {
    /// Returns whether the visitor may go to the checkout.
    pub fn is_inside(self) -> bool {
        matches!(self, VisitorState::Admitted | VisitorState::Shopping)
    }

    /// Every state, in the order of the codes in journals and scripts.
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

/// Slot of an admitted visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Time of admission.
    pub admitted_at: Time,
    /// Deadline for entering the checkout.
    pub claim_by: Time,
    /// End of the session once the slot is claimed.
    pub expires_at: Time,
}

/// One visitor's place as the engine stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The visitor's id.
    pub visitor: VisitorId,
    /// Their number: dense, from 1, fixed once given. 0 if they left before the draw that would
    /// have given one.
    pub number: u64,
    /// Whether the draw is still to come; until then the number is only the order of arrival and is
    /// not shown to fans.
    pub is_provisional: bool,
    /// Their state.
    pub standing: VisitorState,
    /// Number of waiting visitors with a lower number; 0 unless they wait themselves.
    pub ahead: u64,
    /// Set while admitted or shopping.
    pub slot: Option<Slot>,
}

impl Spot {
    /// Returns whether the place is over.
    pub(crate) fn is_over(&self) -> bool {
        self.may_rejoin() || self.standing == VisitorState::Ejected
    }

    /// Returns whether the place is over in a way that lets its visitor join again.
    pub(crate) fn may_rejoin(&self) -> bool {
        matches!(
            self.standing,
            VisitorState::Finished | VisitorState::Missed | VisitorState::Left
        )
    }

    /// Returns whether this place is over and `pass` proves a newer one: its visitor joined again
    /// and the store has lost that.
    pub(crate) fn is_older_than(&self, pass: &Pass) -> bool {
        let is_same_order = self.number == 0 || pass.is_provisional == self.is_provisional;
        self.is_over() && pass.number > self.number && is_same_order
    }
}

/// The answer to a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// A new place at the back.
    New(Spot),
    /// The place they had already.
    Known(Spot),
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The slot is claimed until this time.
    Until(Time),
    /// The slot has lapsed.
    Lapsed,
}

/// Whether the place that a socket shows is confirmed in another life of the line than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The visitor waits with this number.
    Confirmed,
    /// This node is about to ask for the places of all its sockets.
    Pending,
    /// It is not known: the line has to be asked for the place.
    Unknown,
}

/// View of the line at one instant (its front).
#[derive(Clone, Debug)]
pub struct LineView {
    /// Orders two views of one line at this node.
    pub step: u64,
    /// Rises with changes that every fan should see at once: phase, message, settings.
    pub revision: u64,
    /// The life of the line that the view is of.
    pub life: Life,
    /// Time of the view, by the store's clock.
    pub at: Time,
    /// Phase of the line.
    pub phase: Phase,
    /// Whether a draw is still to come; until then the numbers are only the order of arrival.
    pub is_undrawn: bool,
    /// Number of visitors drawn; they have the numbers from 1 to this.
    pub drawn: u64,
    /// Bitmap of the waiting visitors by number, from the first one on.
    pub alive: Snapshot,
    /// Number of waiting visitors.
    pub waiting: u64,
    /// Highest number given out.
    pub numbers: u64,
    /// Whether the line is being recovered after its store lost data; no visitor is admitted.
    pub is_recovering: bool,
    /// Whether nothing in the line moves any more, so that it need not be ticked: the event is
    /// closed, and no visitor is inside. An organiser may open it again.
    pub is_over: bool,
    /// The wait that visitors are told.
    pub forecast: Forecast,
    /// Last report of the checkout.
    pub availability: Option<Availability>,
    /// The event's settings.
    pub settings: Arc<EventSettings>,
    /// When they were changed.
    pub changed_at: Time,
}

impl LineView {
    /// Returns when the event is put away, if it closes. A change of its settings puts that off, so
    /// that no date by mistake removes a line at once; and so does its start, as tickets say where
    /// and when it is.
    pub fn put_away_at(&self) -> Option<Time> {
        let settings = &self.settings;
        let starts_at = settings.details.as_ref().and_then(|it| it.starts_at);
        let closed = settings.closes_at?.max(self.changed_at);
        let kept_from = starts_at.map_or(closed, |start| start.max(closed));
        let seconds = settings.retention_days.saturating_mul(24 * 3600);
        Some(kept_from.plus_seconds(seconds))
    }
}

/// Current figures of an event.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Stats {
    /// Time of the figures.
    pub at: Time,
    /// Phase of the line.
    pub phase: Phase,
    /// Number of waiting visitors.
    pub waiting: u64,
    /// Number of admitted visitors who have not entered the checkout yet.
    pub admitted: u64,
    /// Number of visitors in the checkout.
    pub shopping: u64,
    /// Number of waiting visitors who are neither connected nor polling.
    pub away: u64,
    /// Counts of the last 60 seconds.
    pub per_minute: Rates,
    /// Counts since the line was created.
    pub total: Rates,
    /// Waiting time of the last 1,000 admitted visitors, in seconds: since they joined, or since the
    /// draw.
    pub waited_seconds: Waited,
    /// Last report of the checkout.
    pub availability: Option<Availability>,
}

/// Reason why an operation was refused.
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
    /// The line accepts no more visitors.
    #[error("the line is closed")]
    Closed(Phase),
    /// Invalid settings: the field and the rule it breaks.
    #[error("a setting is wrong")]
    Invalid(Vec<(String, String)>),
    /// A limit of this installation is reached.
    #[error("{0}")]
    Full(&'static str),
    /// The store did not accept the operation.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// State of a draw.
#[derive(Clone)]
pub struct DrawState {
    /// Seed; secret until the draw is held, only its hash is published before.
    pub seed: [u8; 32],
    /// Round of public randomness named in advance.
    pub named: Option<Beacon>,
    /// That round, once it is known.
    pub round: Option<Round>,
    /// Outcome, once the draw was held.
    pub outcome: Option<Outcome>,
}

/// Outcome of a draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Time of the draw.
    pub at: Time,
    /// Number of visitors drawn; they have the numbers from 1 on.
    pub entries: u64,
    /// Root of the Merkle tree over their entries, in hex.
    pub root: String,
}

/// The lines of all events. Every operation is one atomic step of the store, timed by the store's
/// clock, and durable before it returns. Each may be repeated: an operation whose answer was lost
/// may have been carried out.
#[async_trait]
pub trait Line: Send + Sync {
    /// Creates an event. Invalid settings are refused as a whole.
    async fn create(&self, settings: EventSettings) -> Result<(), Refused>;

    /// Changes settings in one step and returns the settings before and after.
    async fn configure(
        &self,
        event: &EventId,
        patch: Patch,
    ) -> Result<(EventSettings, EventSettings), Refused>;

    /// Removes an event and all data of its line. If that failed half way, it is completed by
    /// another call, or by the next creation of an event with this id.
    async fn remove(&self, event: &EventId) -> Result<(), Refused>;

    /// Returns the settings of all events, ordered by id.
    async fn events(&self) -> Result<Vec<Arc<EventSettings>>, Refused>;

    /// Gives each visitor a place, in the order of the slice. A visitor who is waiting, admitted,
    /// shopping or ejected keeps the place they have; one who finished, missed their turn or left
    /// gets a new number at the back.
    async fn join(&self, event: &EventId, visitors: &[VisitorId]) -> Result<Vec<Joined>, Refused>;

    /// Ends the places that are due, admits as many as the rate, `max_active` and the seats allow,
    /// and returns the new view. However often and from however many nodes it is called, no more
    /// visitors are admitted than are due. A lapsed slot is free for the next visitor in the same
    /// step.
    async fn tick(&self, event: &EventId) -> Result<Arc<LineView>, Refused>;

    /// Returns the view without moving the line. That of an event that is over may be up to a minute
    /// old, unless the last call of `events` told of a change of its settings.
    async fn view(&self, event: &EventId) -> Result<Arc<LineView>, Refused>;

    /// Returns a visitor's place and restarts their `away_seconds`, because the request shows that
    /// they are there.
    async fn place(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused>;

    /// Returns a visitor's place for an organiser, which shows nothing of the visitor.
    async fn peek(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused>;

    /// Restores the place that a pass proves when the store has lost it: the pass is from an
    /// earlier life of the same event. Returns none otherwise; a visitor whose number was served
    /// already gets no second turn. If the store has an older place of the visitor that is over,
    /// the place of the pass replaces it.
    async fn reenter(&self, event: &EventId, pass: &Pass) -> Result<Option<Spot>, Refused>;

    /// Claims the slot of a visitor who entered the checkout; it is theirs until it expires. The
    /// caller checked their token, which proves the admission if the store has lost it.
    async fn claim(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
    ) -> Result<Claimed, Refused> {
        self.extend(event, visitor, number, Time(0)).await
    }

    /// Claims a slot as `claim` does, and lets it last until this time if it would end before.
    async fn extend(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
        until: Time,
    ) -> Result<Claimed, Refused>;

    /// Ends the slot of a visitor who is done shopping; it is free at once.
    async fn finish(&self, event: &EventId, visitor: VisitorId, number: u64)
    -> Result<(), Refused>;

    /// Returns what is stored of the clients of a visitor's admission.
    async fn clients(
        &self,
        event: &EventId,
        visitor: VisitorId,
    ) -> Result<Option<Clients>, Refused>;

    /// Stores what changed of the clients of an admission, until its end, unless something else was
    /// stored in the meantime; returns whether it did. A store may forget it: clients are counted
    /// anew then.
    async fn set_clients(&self, event: &EventId, change: ClientChange<'_>)
    -> Result<bool, Refused>;

    /// Returns the admissions that several clients use, at most [`SHARED_MAX`].
    async fn shared_admissions(&self, event: &EventId) -> Result<Vec<SharedAdmission>, Refused>;

    /// Gives up the visitor's place or slot.
    async fn leave(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused>;

    /// Records that the visitor's socket closed: their place lapses after `away_seconds` unless
    /// they reconnect or poll.
    async fn away(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused>;

    /// Records that the visitor's socket opened, which keeps their place while it stays open, and
    /// returns the place.
    async fn back(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused>;

    /// Removes a visitor for good; returns whether there was one.
    async fn eject(&self, event: &EventId, visitor: VisitorId) -> Result<bool, Refused>;

    /// Returns the place with this number.
    async fn find(&self, event: &EventId, number: u64) -> Result<Option<Spot>, Refused>;

    /// Returns those of these visitors who wait, are admitted or are shopping. It is no sign of
    /// life of them.
    async fn living(
        &self,
        event: &EventId,
        visitors: &[VisitorId],
    ) -> Result<Vec<VisitorId>, Refused>;

    /// Records the seat counts that the checkout reports.
    async fn report(&self, event: &EventId, seats: Availability) -> Result<(), Refused>;

    /// Returns the state of the event's draw; none for events with `order: fifo`. A draw is held
    /// once, when the sale opens and, if a beacon was named, its round is known: the visitors
    /// waiting at that time get the numbers from 1 on, by `draw::order`; those who left before lose
    /// their number; later ones queue behind.
    async fn draw(&self, event: &EventId) -> Result<Option<DrawState>, Refused>;

    /// Stores the beacon's round, which the caller has verified as that of `named`. Only the first one
    /// counts. One of a beacon that the organiser no longer names is refused.
    async fn give_beacon(
        &self,
        event: &EventId,
        named: &Beacon,
        round: &Round,
    ) -> Result<(), Refused>;

    /// Returns the visitors who drew the numbers from `first` on, at most `count` of them.
    async fn drawn(
        &self,
        event: &EventId,
        first: u64,
        count: usize,
    ) -> Result<Vec<VisitorId>, Refused>;

    /// Returns the visitors whose socket at this node was replaced by one at another node since the
    /// last call.
    fn replaced(&self, event: &EventId) -> Vec<VisitorId>;

    /// Returns whether the store has confirmed a place, of a visitor with an open socket at this node, in
    /// a life of the line. After a loss its number may be that of another visitor.
    fn returned(&self, _event: &EventId, _spot: &Spot, _life: Life) -> Returned {
        Returned::Unknown
    }

    /// Asks the store whether it takes changes, and returns why not. Called about once a second.
    async fn trouble(&self) -> Option<Trouble> {
        None
    }

    /// Returns the time of the store's clock, if that is not this machine's: the time of the newest
    /// reply plus the time since.
    fn now(&self, event: &EventId) -> Option<Time>;

    /// Returns what the line decided after a place in its log, in order, at most `limit` entries and
    /// [`shared::line_log::LOG_ENTRIES_MAX`]. An admission is in it once, its end once, each in the
    /// step that decided it, unless the store has lost that since, or did not know whose number it was.
    /// The log begins with the oldest entry that is kept.
    async fn decisions(
        &self,
        event: &EventId,
        place: &LogPlace,
        limit: usize,
    ) -> Result<LogPage, Refused>;

    /// Returns the current figures.
    async fn stats(&self, event: &EventId) -> Result<Stats, Refused>;
}
