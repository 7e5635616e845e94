//! Cache of one event's line at this node: the newest front, the pace, the open sockets. When the
//! store loses its data, the line is restored from this.

use super::connected::{Connected, Returning};
use super::served::{AllServed, Served};
use super::view_reply::{Definition, DrawStage, EventConstants, ViewReply};
use crate::draw::{Beacon, unhex};
use crate::line::bitmap::Snapshot;
use crate::line::forecast::{Forecast, Forecaster, Observation};
use crate::line::throughput::{Flow, Rates};
use crate::line::{
    DrawState, EventSettings, Life, LineView, Order, Outcome, Phase, Slot, Spot, Stats,
    VisitorState, Waited,
};
use shared::ids::VisitorId;
use shared::time::Time;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

/// Maximum number of visitors whose questions in vain are remembered.
const HEARD_MAX: usize = 100_000;

/// An order that this node has drawn.
pub(super) struct DrawnOrder {
    /// Outcome of the draw (JSON).
    pub(super) outcome: String,
    /// Visitors by their numbers, those drawn first.
    pub(super) visitors: Vec<VisitorId>,
    /// How many of them were drawn; the others came later.
    pub(super) entries: usize,
}

/// A view, and the time at which this node requested it.
#[derive(Clone)]
pub(super) struct Fetched {
    pub(super) view: Arc<LineView>,
    /// By this node's own steady clock.
    pub(super) asked_at: Instant,
}

/// State of one line as this node last read it.
#[derive(Default)]
pub(super) struct LineCache {
    /// The newest front.
    pub(super) front: Option<Fetched>,
    /// Time of the last tick, by this node's own steady clock.
    pub(super) ticked_at: Option<Instant>,
    /// Its bitmap as the store keeps it, from byte `head` on.
    pub(super) bitmap: Vec<u8>,
    pub(super) head: u64,
    /// The numbers that wait no more.
    pub(super) served: Served,
    pub(super) figures: Figures,
    pub(super) constants: EventConstants,
    /// When the settings were changed.
    pub(super) changed_at: Time,
    /// When the seats were counted; 0 if they never were.
    pub(super) seats_at: Time,
    /// None before the first view.
    pub(super) draw: Option<DrawStage>,
    /// The order of the last draw that this node held, until the line is closed. If the store loses it
    /// at once, no other node has it.
    pub(super) order: Option<Arc<DrawnOrder>>,
    /// The number after the last that takes part in the draw, once it is fixed; else 0.
    pub(super) draw_last: u64,
    /// Number of nodes that tick this line.
    pub(super) nodes: u64,
    /// Registration of this node; 0 before the first.
    pub(super) registration: u64,
    /// The highest number known to this node.
    pub(super) numbers: u64,
    /// Visitors with open sockets here.
    pub(super) connected: HashMap<VisitorId, Connected>,
    /// Visitors whose sockets here closed, until the store has recorded it.
    pub(super) leaving: HashSet<VisitorId>,
    /// Visitors who asked for their places in vain, until the store has heard of it.
    pub(super) heard: BTreeSet<VisitorId>,
    /// Visitors whose places are to be recorded again, as the store may not know of their sockets.
    pub(super) returning: Vec<Returning>,
    /// Visitors whose sockets here were replaced by newer ones elsewhere, until they are taken.
    pub(super) replaced: Vec<VisitorId>,
    flow: Flow,
    forecaster: Forecaster,
    settings: Option<Arc<EventSettings>>,
    /// The state comes from a backup file; the store has not answered yet.
    pub(super) is_from_backup: bool,
    /// The life of the store in which this node has reported what it knew.
    pub(super) reported: Option<u64>,
    /// Number of views so far.
    views: u64,
    /// Time of the newest front by the clock, and by how many ms the line's time was behind.
    pub(super) heard_at: Time,
    pub(super) unheard_ms: i64,
    /// State of the store in which this node last looked at a line that is over.
    pub(super) looked: Option<StoreMark>,
    /// Time of the last backup.
    pub(super) backed_up_at: Option<Instant>,
    /// Mark of the last backup.
    pub(super) backed_up: Option<Mark>,
}

/// Marks of changes that this node has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreMark {
    /// Number of changes of events that are over.
    pub(super) changes: u64,
    /// Number of connections so far: another server may have lost data.
    pub(super) connections: u64,
}

/// By what a backup differs from the one before.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Mark {
    life: Life,
    revision: u64,
    numbers: u64,
    waiting: u64,
    nodes: u64,
    changes: Option<u64>,
    seats_at: Time,
    /// Day of the newest view, so that a backup in use is never older.
    day: i64,
}

/// The counters as of the newest front.
#[derive(Clone, Copy, Default)]
pub(super) struct Figures {
    admitted: u64,
    shopping: u64,
    away: u64,
    pub(super) total: Rates,
    /// The line's time.
    line_at: Time,
}

impl LineCache {
    /// Builds the state of a first front, as a backup file has it. The settings are asked for again
    /// with the first tick.
    pub(super) fn of(view: Arc<LineView>, asked_at: Instant) -> LineCache {
        LineCache {
            settings: Some(view.settings.clone()),
            front: Some(Fetched { view, asked_at }),
            is_from_backup: true,
            ..LineCache::default()
        }
    }

    /// Records that a visitor's socket is open here. The store told the place in this life or in a later
    /// one.
    pub(super) fn connect(&mut self, spot: &Spot, life: Option<Life>) {
        self.leaving.remove(&spot.visitor);
        let kept = self.connected.entry(spot.visitor);
        kept.or_insert_with(|| Connected::new(spot, life))
            .renew(spot, life);
    }

    /// Records that a visitor's socket here closed.
    pub(super) fn disconnect(&mut self, visitor: VisitorId) {
        if self.connected.remove(&visitor).is_some() {
            self.leaving.insert(visitor);
        }
    }

    /// Queues the close of a visitor's socket if it closed while the store was being told that it is
    /// open: the store may have handled the close first.
    pub(super) fn note_if_left(&mut self, visitor: VisitorId) {
        if !self.connected.contains_key(&visitor) {
            self.leaving.insert(visitor);
        }
    }

    /// Records that a visitor asked for their place in vain.
    pub(super) fn hear(&mut self, visitor: VisitorId) {
        if self.heard.len() < HEARD_MAX {
            self.heard.insert(visitor);
        }
    }

    /// Records the end of a place, if the number is one.
    pub(super) fn end(&mut self, number: i64, state: VisitorState) {
        if let Ok(number) = u64::try_from(number) {
            self.served.end(number, state);
        }
    }

    /// Records what a reply says of a visitor's place. The times of its slot are by the clock.
    pub(super) fn record(&mut self, spot: &Spot) {
        let behind_ms = self.unheard_ms;
        let line_time = |clock: Time| Time(clock.0 - behind_ms);
        let slot = spot.slot.map(|slot| Slot {
            admitted_at: line_time(slot.admitted_at),
            claim_by: line_time(slot.claim_by),
            expires_at: line_time(slot.expires_at),
        });
        self.served.record(&Spot { slot, ..*spot });
    }

    /// Records that the settings were changed, and with them perhaps the draw, unless a tick or
    /// another change was faster to tell of this state or of a newer one.
    pub(super) fn configure(&mut self, definition: Definition, draw: DrawStage) {
        if definition.changed_at <= self.changed_at {
            return;
        }
        let EventConstants { seed, drawn, .. } = &definition.constants;
        if *seed == self.constants.seed && *drawn != self.constants.drawn {
            // It was drawn meanwhile, which the next view tells with the numbers.
            self.changed_at = definition.changed_at;
            self.settings = Some(Arc::new(definition.settings));
        } else {
            self.define(definition);
            self.draw = Some(draw);
        }
    }

    fn define(&mut self, definition: Definition) {
        let EventConstants { seed, drawn, .. } = &definition.constants;
        let is_another = !self.constants.seed.is_empty() && self.constants.seed != *seed;
        if is_another || self.constants.drawn != *drawn {
            // The draw gave out numbers anew, or is another one.
            self.forget_numbers();
        }
        // Without an outcome, the order may be that of the draw which is being held.
        if !drawn.is_empty() {
            self.order.take_if(|order| order.outcome != *drawn);
        }
        self.settings = Some(Arc::new(definition.settings));
        self.changed_at = definition.changed_at;
        self.constants = definition.constants;
    }

    /// Returns the newest settings known.
    pub(super) fn settings(&self) -> Option<&EventSettings> {
        self.settings.as_deref()
    }

    /// Returns the newest view.
    pub(super) fn view(&self) -> Option<&Arc<LineView>> {
        self.front.as_ref().map(|front| &front.view)
    }

    /// Returns the revision whose settings this node has; -1 without one.
    pub(super) fn revision(&self) -> i64 {
        let view = self.view().filter(|_| !self.is_from_backup);
        view.map_or(-1, |view| i64::try_from(view.revision).unwrap_or(-1))
    }

    /// Returns the life of the newest front; none before the first.
    pub(super) fn life(&self) -> Option<Life> {
        self.view().map(|view| view.life)
    }

    /// Builds the front from a reply of the tick script, and from the numbers that wait no more where
    /// its changes do not suffice. Returns `None` if settings are missing, which a first tick asks for.
    pub(super) fn take(
        &mut self,
        mut reply: ViewReply,
        served: Option<AllServed>,
        asked_at: Instant,
    ) -> Option<Arc<LineView>> {
        if let Some(definition) = reply.definition.take() {
            self.define(definition);
        }
        let settings = self.settings.clone()?;
        let forecast = self.observe(&reply, &settings);
        self.is_from_backup = false;
        let alive = Snapshot::from_bitmap(reply.head, &reply.bitmap);
        self.bitmap = reply.bitmap;
        self.head = reply.head;
        // Those that have yet to come back to a store that lost data are not in it.
        self.nodes = if reply.is_settling {
            self.nodes.max(reply.nodes)
        } else {
            reply.nodes
        };
        self.seats_at = reply.seats_at;
        self.draw = Some(reply.draw);
        if reply.phase == Phase::Closed {
            self.order = None;
        }
        self.draw_last = reply.draw_last;
        // Until all nodes have reported, the store has only part of it.
        let changed = reply.changed.filter(|_| !reply.is_settling);
        let is_complete = changed.is_some() || served.is_some();
        served.into_iter().for_each(|all| self.served.add(all));
        let changed = changed.into_iter().flatten();
        changed.for_each(|change| self.served.apply(change));
        self.served.changes = is_complete.then_some(reply.changes);
        self.served.prune(self.figures.line_at);
        self.numbers = self.numbers.max(reply.numbers);
        self.views += 1;
        let view = Arc::new(LineView {
            step: self.views,
            revision: reply.revision,
            life: reply.life,
            at: reply.at,
            phase: reply.phase,
            is_undrawn: reply.draw.is_undrawn(),
            drawn: serde_json::from_str(&self.constants.drawn)
                .map_or(0, |outcome: Outcome| outcome.entries),
            alive,
            waiting: reply.waiting,
            numbers: reply.numbers,
            is_recovering: reply.is_settling,
            is_over: reply.phase == Phase::Closed
                && reply.admitted + reply.shopping == 0
                && !reply.is_settling,
            forecast,
            availability: reply.availability,
            settings,
            changed_at: self.changed_at,
        });
        self.front = Some(Fetched {
            view: view.clone(),
            asked_at,
        });
        Some(view)
    }

    /// Returns the mark of a backup of this; none without a view.
    pub(super) fn mark(&self) -> Option<Mark> {
        let view = self.view()?;
        Some(Mark {
            life: view.life,
            revision: view.revision,
            numbers: self.numbers,
            waiting: view.waiting,
            nodes: self.nodes,
            changes: self.served.changes,
            seats_at: self.seats_at,
            day: self.heard_at.seconds() / (24 * 3600),
        })
    }

    /// Has the place of a visitor recorded again if a socket of theirs is open here.
    pub(super) fn return_one(&mut self, visitor: VisitorId) {
        let kept = self.connected.get(&visitor);
        self.returning.extend(kept.map(|kept| Returning {
            visitor,
            number: kept.number,
        }));
    }

    /// Has the places of all visitors with open sockets here recorded again.
    pub(super) fn return_all(&mut self) {
        let returning = self.connected.iter().map(|(visitor, kept)| Returning {
            visitor: *visitor,
            number: kept.number,
        });
        self.returning = returning.collect();
        // By their numbers, so that those of a batch lie together.
        let number = |one: &Returning| (one.number.number, one.visitor);
        self.returning.sort_unstable_by_key(number);
    }

    /// Forgets what was known of the numbers, which are others now.
    pub(super) fn forget_numbers(&mut self) {
        self.served = Served::default();
        self.numbers = 0;
    }

    /// Returns the code of the draw that the line is restored with.
    pub(super) fn recovery_draw(&self) -> u8 {
        self.draw.map_or(0, DrawStage::recovery_code)
    }

    /// Takes the figures of a reply, and returns what they tell of the waits.
    fn observe(&mut self, reply: &ViewReply, settings: &EventSettings) -> Forecast {
        let line_at = Time(reply.at.0 - reply.unheard_ms);
        self.heard_at = reply.at;
        self.unheard_ms = reply.unheard_ms;
        self.measure(line_at, reply.total);
        let away = reply.waiting.saturating_sub(reply.connected);
        self.figures = Figures {
            admitted: reply.admitted,
            shopping: reply.shopping,
            away,
            total: reply.total,
            line_at,
        };
        self.forecaster.observe(Observation {
            at: line_at,
            is_open: reply.phase == Phase::Open && !reply.draw.is_undrawn(),
            is_recovering: reply.is_settling,
            admission: settings.admission,
            waiting: reply.waiting,
            away,
            inside: reply.admitted + reply.shopping,
            room: reply.room,
            seats: reply.availability.map(|seats| u64::from(seats.available)),
            total: reply.total,
        })
    }

    /// Measures the throughput: each node does so for itself, by the counters that all of them see.
    fn measure(&mut self, at: Time, total: Rates) {
        if self.front.is_none() || self.is_from_backup {
            self.flow.total = total;
        }
        let since = total.since(&self.flow.total);
        self.flow.count(at, since);
        self.flow.total = total;
    }

    /// Returns the seed of the draw that waits for this beacon; none if it waits for another.
    pub(super) fn seed_for(&self, beacon: &Beacon) -> Option<String> {
        let named = self.settings()?.beacon.as_ref()?;
        (named == beacon).then(|| self.constants.seed.clone())
    }

    /// Returns the state of the draw, if there is one.
    pub(super) fn draw_state(&self) -> Option<DrawState> {
        let settings = &self.view()?.settings;
        (settings.order == Order::Draw).then(|| DrawState {
            seed: unhex(&self.constants.seed).unwrap_or_default(),
            named: settings.beacon.clone(),
            round: serde_json::from_str(&self.constants.beacon).ok(),
            outcome: serde_json::from_str(&self.constants.drawn).ok(),
        })
    }

    /// Returns how many are ahead of a number by the newest front. Those who came after it was
    /// taken count as waiting.
    pub(super) fn ahead(&self, number: u64) -> u64 {
        self.view().map_or(0, |view| {
            let later = number.saturating_sub(view.numbers + 1);
            view.alive.ahead(number) + later
        })
    }

    /// Returns the figures of a view.
    pub(super) fn stats(&self, view: &LineView, waited_seconds: Waited) -> Stats {
        Stats {
            at: view.at,
            phase: view.phase,
            waiting: view.waiting,
            admitted: self.figures.admitted,
            shopping: self.figures.shopping,
            away: self.figures.away,
            per_minute: self.flow.last_minute(self.figures.line_at),
            total: self.figures.total,
            waited_seconds,
            availability: view.availability,
        }
    }
}
