//! Published seat map: the layout and the state of every seat, in memory, versioned, with the
//! changes leading to each version.

use super::charges::Charges;
use super::layout::Layout;
use super::model::{Currency, SeatState};
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::cancellation::Cancellation;
use shared::crypto::{encode, sha256};
use shared::http::document::{Document, MadeOnce};
use shared::http::problem::Problem;
use shared::ids::{Availability, EventId};
use shared::time::{Clock, Time};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// Shortest time between two versions, in milliseconds; several commits share one version.
pub const VERSION_MS: u64 = 200;
/// Number of versions whose changes are kept for sockets that are behind; about a minute.
const KEPT_MAX: usize = 300;

/// A layout as it is published: its seats, their order, and what they cost.
#[derive(Clone)]
pub struct PublishedLayout {
    /// The layout.
    pub layout: Arc<Layout>,
    /// Its version.
    pub version: u32,
    /// Currency of the prices.
    pub currency: Currency,
    /// Fees and taxes on the prices.
    pub charges: Charges,
    /// Cancellation of the show, if it was cancelled.
    pub cancelled: Option<Cancellation>,
}

/// Number and time of a version.
#[derive(Clone, Copy)]
pub struct VersionStamp {
    /// Increased by one with every published change. It never decreases, even after a restart.
    pub version: u64,
    /// Time at which the version was made.
    pub at: Time,
}

impl VersionStamp {
    /// Returns the first version of a new map, after those of the maps before it.
    pub fn after(newest: u64, clock: &Clock) -> VersionStamp {
        let at = clock.now();
        // There is at most one version per `VERSION_MS`, so a version derived from the clock
        // exceeds all that were shown before a restart.
        let version = (at.0 as u64 / VERSION_MS).max(newest + 1);
        VersionStamp { version, at }
    }
}

/// Returns the ids of the seats of a layout that an organiser blocked, and not the plan.
pub fn blocked_by_hand<'l>(
    layout: &'l Layout,
    states: &'l [SeatState],
) -> impl Iterator<Item = &'l str> {
    let seats = layout.seats.iter().zip(states);
    seats
        .filter(|(seat, state)| **state == SeatState::Blocked && !layout.is_not_for_sale(seat))
        .map(|(seat, _)| &*seat.id)
}

/// Published states of an event's seats.
pub struct SeatMap {
    /// The event.
    pub event: EventId,
    /// The layout.
    pub layout: Arc<Layout>,
    /// Version of the layout.
    pub layout_version: u32,
    /// Currency of the prices.
    pub currency: Currency,
    pub(super) charges: Charges,
    /// Cancellation of the show, if it was cancelled.
    pub cancelled: Option<Cancellation>,
    layout_document: MadeOnce<LayoutDocument>,
    current: watch::Sender<Arc<SeatMapVersion>>,
    pending: Mutex<Unpublished>,
}

/// A layout as it is sent.
#[derive(Clone)]
pub struct LayoutDocument {
    /// The layout as JSON.
    pub json: Document,
    /// Its entity tag. It is made of the content: versions begin anew for an event that is deleted
    /// and created again, which caches that ask by the tag do not know.
    pub tag: Arc<str>,
}

/// Committed changes that the next version will contain, and the messages of the last versions.
struct Unpublished {
    states: Vec<SeatState>,
    changed: Vec<u32>,
    kept: VecDeque<VersionMessage>,
}

/// The message that tells sockets what a version changed.
#[derive(Clone)]
pub struct VersionMessage {
    /// The version.
    pub version: u64,
    /// JSON text.
    pub text: Arc<str>,
}

/// One published version of a seat map.
pub struct SeatMapVersion {
    /// Version number, increased by one with every published change. It never decreases, even after
    /// a restart.
    pub version: u64,
    /// Number of seats by state: available, held, booked, blocked.
    pub counts: [u32; 4],
    /// State of every seat, in layout order.
    pub states: Vec<SeatState>,
    /// Time at which the version was made.
    pub at: Time,
    /// The states as JSON, made for the first who asks.
    pub json: MadeOnce<Document>,
    /// The same, marked as perhaps out of date.
    pub stale_json: MadeOnce<Document>,
    /// The states with two bits per seat.
    pub bits: MadeOnce<Document>,
}

impl SeatMapVersion {
    fn new(stamp: VersionStamp, states: Vec<SeatState>) -> SeatMapVersion {
        SeatMapVersion {
            version: stamp.version,
            counts: count(&states),
            states,
            at: stamp.at,
            json: MadeOnce::default(),
            stale_json: MadeOnce::default(),
            bits: MadeOnce::default(),
        }
    }

    /// Encodes the states with two bits per seat: 0 available, 1 held, 2 booked, 3 blocked; the
    /// first seat occupies the lowest bits of the first byte.
    pub fn to_bits(&self) -> Vec<u8> {
        self.states
            .chunks(4)
            .map(|four| {
                four.iter()
                    .enumerate()
                    .fold(0, |byte, (at, state)| byte | ((*state as u8) << (2 * at)))
            })
            .collect()
    }

    /// Returns the figures reported to the waiting room.
    pub fn availability(&self, now: Time) -> Availability {
        Availability {
            capacity: self.counts.iter().sum(),
            available: self.counts[SeatState::Available as usize],
            held: self.counts[SeatState::Held as usize],
            booked: self.counts[SeatState::Booked as usize],
            as_of: now,
        }
    }
}

impl SeatMap {
    /// Creates a seat map at a version.
    pub fn with_version(
        event: EventId,
        layout: PublishedLayout,
        states: Vec<SeatState>,
        stamp: VersionStamp,
    ) -> SeatMap {
        let current = SeatMapVersion::new(stamp, states.clone());
        SeatMap {
            event,
            layout: layout.layout,
            layout_version: layout.version,
            currency: layout.currency,
            charges: layout.charges,
            cancelled: layout.cancelled,
            layout_document: MadeOnce::default(),
            current: watch::Sender::new(Arc::new(current)),
            pending: Mutex::new(Unpublished {
                states,
                changed: Vec::new(),
                kept: VecDeque::new(),
            }),
        }
    }

    /// Returns the layout as it is sent.
    ///
    /// # Errors
    /// 500 if making it panicked.
    pub async fn layout_document(&self) -> Result<LayoutDocument, Problem> {
        let (layout, version) = (self.layout.clone(), self.layout_version);
        let (currency, charges) = (self.currency, self.charges.clone());
        let cancelled = self.cancelled.clone();
        let make = move || {
            let mut json = layout.to_json(version, currency, &charges);
            if let Some(cancelled) = cancelled {
                json["cancelled"] = json!(cancelled);
            }
            let json = json.to_string();
            let tag = encode(&sha256(json.as_bytes())[..12]).into();
            let json = Document::new(json);
            LayoutDocument { json, tag }
        };
        self.layout_document.get(make).await
    }

    /// Returns the current version.
    pub fn current(&self) -> Arc<SeatMapVersion> {
        self.current.borrow().clone()
    }

    /// Returns the states of all seats with the committed changes that the next version will contain.
    pub(super) fn newest_states(&self) -> Vec<SeatState> {
        self.pending.lock().states.clone()
    }

    /// Returns a receiver that is notified of every new version.
    pub fn subscribe(&self) -> watch::Receiver<Arc<SeatMapVersion>> {
        self.current.subscribe()
    }

    /// Records committed changes; they are published with the next version.
    pub fn change(&self, changes: &[(u32, SeatState)]) {
        let mut pending = self.pending.lock();
        for (seat, state) in changes {
            pending.states[*seat as usize] = *state;
            pending.changed.push(*seat);
        }
    }

    /// Replaces all states, after the committed ones were read back.
    pub fn reset(&self, states: Vec<SeatState>) {
        let mut pending = self.pending.lock();
        let differing: Vec<u32> = (0..states.len() as u32)
            .filter(|at| pending.states[*at as usize] != states[*at as usize])
            .collect();
        pending.changed.extend(differing);
        pending.states = states;
    }

    /// Publishes a new version if anything has changed.
    pub fn publish(&self, now: Time) {
        let mut pending = self.pending.lock();
        if !pending.changed.is_empty() {
            let version = self.current.borrow().version + 1;
            self.publish_version(&mut pending, VersionStamp { version, at: now });
        }
    }

    /// Publishes the next version, counted elsewhere, with these changes.
    pub fn apply(&self, changes: &[(u32, SeatState)], stamp: VersionStamp) {
        self.change(changes);
        let mut pending = self.pending.lock();
        self.publish_version(&mut pending, stamp);
    }

    /// Publishes a version that does not follow from the current one: sockets are told to start
    /// again.
    pub fn restart(&self, states: Vec<SeatState>, stamp: VersionStamp) {
        self.reset(states);
        let mut pending = self.pending.lock();
        pending.kept.clear();
        self.publish_version(&mut pending, stamp);
    }

    fn publish_version(&self, pending: &mut Unpublished, stamp: VersionStamp) {
        let mut changed = std::mem::take(&mut pending.changed);
        changed.sort_unstable();
        changed.dedup();
        let changes: Vec<Value> = changed
            .iter()
            .map(|seat| {
                json!([
                    &*self.layout.seats[*seat as usize].id,
                    pending.states[*seat as usize]
                ])
            })
            .collect();
        let message =
            json!({"type": "seats", "version": stamp.version, "changes": changes}).to_string();
        if pending.kept.len() == KEPT_MAX {
            pending.kept.pop_front();
        }
        pending.kept.push_back(VersionMessage {
            version: stamp.version,
            text: message.into(),
        });
        let current = SeatMapVersion::new(stamp, pending.states.clone());
        self.current.send_replace(Arc::new(current));
    }

    /// Returns the messages after a version, or `None` if it is too old.
    pub fn since(&self, version: u64) -> Option<Vec<VersionMessage>> {
        let pending = self.pending.lock();
        let newer = pending.kept.iter().filter(|kept| kept.version > version);
        let newer: Vec<VersionMessage> = newer.cloned().collect();
        let follows = newer
            .first()
            .is_none_or(|first| first.version == version + 1);
        let is_current = self.current.borrow().version == version;
        (follows && (is_current || !newer.is_empty())).then_some(newer)
    }
}

fn count(states: &[SeatState]) -> [u32; 4] {
    let mut counts = [0; 4];
    for state in states {
        counts[*state as usize] += 1;
    }
    counts
}
