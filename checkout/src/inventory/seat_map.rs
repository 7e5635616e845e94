//! The board: the layout and the state of every seat, in memory, versioned, with the changes that led to each version.

use super::layout::Layout;
use super::model::{Currency, SeatState};
use axum::body::Bytes;
use serde_json::{Value, json};
use shared::ids::{Availability, EventId};
use shared::time::{Clock, Time};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;

/// A new version is shown at most this often; many commits become one.
pub const VERSION_MS: u64 = 200;
/// Versions whose changes are kept for sockets that are behind; about a minute.
const KEPT_MAX: usize = 300;

/// The state of an event's seats, shown to everyone.
pub struct SeatMap {
    /// The event.
    pub event: EventId,
    /// The plan.
    pub layout: Arc<Layout>,
    /// The plan's version.
    pub layout_version: u32,
    /// The currency of the prices.
    pub currency: Currency,
    layout_json: OnceLock<Bytes>,
    shown: watch::Sender<Arc<SeatMapVersion>>,
    pending: Mutex<Pending>,
}

struct Pending {
    states: Vec<SeatState>,
    changed: Vec<u32>,
    kept: VecDeque<(u64, Arc<str>)>,
}

/// What is shown at one version.
pub struct SeatMapVersion {
    /// Rises by one with every change that is shown; never back, not even by a restart.
    pub version: u64,
    /// Seats by state: available, held, booked, blocked.
    pub counts: [u32; 4],
    /// The state of every seat, in the layout's order.
    pub states: Vec<SeatState>,
    /// When it was taken.
    pub at: Time,
    /// What is sent of it, made when somebody asks for the first time; whoever asks meanwhile waits for that.
    json: OnceLock<Bytes>,
    bits: OnceLock<Bytes>,
}

impl SeatMapVersion {
    fn new((version, at): (u64, Time), states: Vec<SeatState>) -> SeatMapVersion {
        SeatMapVersion {
            version,
            counts: count(&states),
            states,
            at,
            json: OnceLock::new(),
            bits: OnceLock::new(),
        }
    }

    /// The state of every seat as JSON, as `make` writes it.
    pub fn json(&self, make: impl FnOnce(&SeatMapVersion) -> Vec<u8>) -> Bytes {
        self.json.get_or_init(|| make(self).into()).clone()
    }

    /// Two bits a seat, as they are sent.
    pub fn bits(&self) -> Bytes {
        self.bits.get_or_init(|| self.to_bits().into()).clone()
    }

    /// Two bits a seat: 0 available, 1 held, 2 booked, 3 blocked; the first seat in the lowest bits of the first byte.
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

    /// The figures that the waiting room is told.
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
    /// A board of a plan whose seats are in these states.
    pub fn new(
        event: EventId,
        plan: (Arc<Layout>, u32),
        currency: Currency,
        states: Vec<SeatState>,
        clock: &Clock,
    ) -> SeatMap {
        let now = clock.now();
        // Versions rise at most once in VERSION_MS, so that one begun from the clock is above all earlier ones.
        let version = now.0 as u64 / VERSION_MS;
        SeatMap::at((event, currency), plan, states, (version, now))
    }

    /// A board that shows a version which somebody else counts.
    pub fn at(
        (event, currency): (EventId, Currency),
        plan: (Arc<Layout>, u32),
        states: Vec<SeatState>,
        (version, now): (u64, Time),
    ) -> SeatMap {
        let shown = SeatMapVersion::new((version, now), states.clone());
        SeatMap {
            event,
            layout: plan.0,
            layout_version: plan.1,
            currency,
            layout_json: OnceLock::new(),
            shown: watch::Sender::new(Arc::new(shown)),
            pending: Mutex::new(Pending {
                states,
                changed: Vec::new(),
                kept: VecDeque::new(),
            }),
        }
    }

    /// The layout as it is sent.
    pub fn layout_json(&self) -> Bytes {
        let make = || {
            let layout = self.layout.to_json(self.layout_version, self.currency);
            layout.to_string().into()
        };
        self.layout_json.get_or_init(make).clone()
    }

    /// What is shown now.
    pub fn shown(&self) -> Arc<SeatMapVersion> {
        self.shown.borrow().clone()
    }

    /// Wakes with every new version.
    pub fn subscribe(&self) -> watch::Receiver<Arc<SeatMapVersion>> {
        self.shown.subscribe()
    }

    /// Takes changes that were committed; they are shown with the next version.
    pub fn change(&self, changes: &[(u32, SeatState)]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for (seat, state) in changes {
            pending.states[*seat as usize] = *state;
            pending.changed.push(*seat);
        }
    }

    /// Replaces all states: after what was committed had to be read back.
    pub fn reset(&self, states: Vec<SeatState>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let differing: Vec<u32> = (0..states.len() as u32)
            .filter(|at| pending.states[*at as usize] != states[*at as usize])
            .collect();
        pending.changed.extend(differing);
        pending.states = states;
    }

    /// Shows a new version if anything changed.
    pub fn publish(&self, now: Time) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if !pending.changed.is_empty() {
            let next = self.shown.borrow().version + 1;
            self.show(&mut pending, (next, now));
        }
    }

    /// Shows the next version with these changes, as somebody else counted it.
    pub fn follow(&self, changes: &[(u32, SeatState)], (version, now): (u64, Time)) {
        self.change(changes);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(&mut pending, (version, now));
    }

    /// Shows a version to which no changes lead: sockets are told to begin anew.
    pub fn jump(&self, states: Vec<SeatState>, (version, now): (u64, Time)) {
        self.reset(states);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.kept.clear();
        self.show(&mut pending, (version, now));
    }

    fn show(&self, pending: &mut Pending, (version, now): (u64, Time)) {
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
        let message = json!({"type": "seats", "version": version, "changes": changes}).to_string();
        if pending.kept.len() == KEPT_MAX {
            pending.kept.pop_front();
        }
        pending.kept.push_back((version, message.into()));
        let states = pending.states.clone();
        let shown = SeatMapVersion::new((version, now), states);
        self.shown.send_replace(Arc::new(shown));
    }

    /// The messages after a version, or none when it is too old to be followed.
    pub fn since(&self, version: u64) -> Option<Vec<(u64, Arc<str>)>> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let newer: Vec<(u64, Arc<str>)> = pending
            .kept
            .iter()
            .filter(|(at, _)| *at > version)
            .cloned()
            .collect();
        let follows = newer.first().is_none_or(|(first, _)| *first == version + 1);
        (follows && (!newer.is_empty() || self.shown.borrow().version == version)).then_some(newer)
    }
}

fn count(states: &[SeatState]) -> [u32; 4] {
    let mut counts = [0; 4];
    for state in states {
        counts[*state as usize] += 1;
    }
    counts
}
