//! One event at this node: its batches, its tick, and the recovery after the store lost data.

use super::backup::Backup;
use super::batch::{Batches, Caller, Failed, Unit, Units};
use super::cache::{Draw, LineCache, Number, Told, bytes};
use super::drawing;
use super::{REENTER, Redis, registry, script};
use crate::line::{EventSettings, LineView, Refused, Spot, Stats, Waited};
use shared::group_commit::Unavailable;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Maximum number of steps in one tick: enough for every visitor of a full line to lapse or be admitted.
const STEPS_MAX: usize = 20_000;

/// How long a tick waits for the draw, so that short lines are drawn within it.
const DRAW_WAIT: Duration = Duration::from_secs(1);
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// One event's line at this node.
pub(super) struct EventLine {
    pub(super) caller: Arc<Caller>,
    pub(super) batches: Batches,
    /// One caller ticks, the others wait for it: views of one node are never out of order.
    ticking: tokio::sync::Mutex<()>,
    is_drawing: Arc<AtomicBool>,
    /// Locked for a look-up or a copy, never across an await.
    known: Mutex<LineCache>,
    file: PathBuf,
}

impl EventLine {
    pub(super) fn new(engine: &Redis, event: EventId) -> EventLine {
        let clock = engine.clock.clone();
        let caller = Arc::new(Caller {
            link: engine.link.clone(),
            base: registry::base(engine, &event),
            node: engine.node.clone(),
            now: Box::new(move || {
                clock
                    .hand()
                    .map_or("0".to_owned(), |time| time.0.to_string())
            }),
        });
        let file = engine.folder.join(format!("{event}.json"));
        EventLine {
            batches: Batches::start(caller.clone()),
            caller,
            ticking: tokio::sync::Mutex::new(()),
            is_drawing: Arc::default(),
            known: Mutex::new(Backup::read(&file).unwrap_or_default()),
            file,
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, LineCache> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn tick(
        self: &Arc<EventLine>,
        engine: &Redis,
        event: &EventId,
    ) -> Result<Arc<LineView>, Refused> {
        let _turn = self.ticking.lock().await;
        for _ in 0..4 {
            let asked = Instant::now();
            let told = match self.step(false).await {
                Ok(told) => told,
                Err(Failed::Gone) => {
                    self.revive(engine, event).await?;
                    continue;
                }
                Err(_) => return Err(Unavailable.into()),
            };
            let epoch = self.known().epoch();
            let is_new_life = epoch != 0 && told.epoch > epoch;
            if is_new_life {
                tracing::warn!(%event, epoch = told.epoch, "store may have lost data, reporting this node's state to it");
                self.tell_what_is_known().await?;
            }
            let has_to_return = is_new_life || told.is_new_here;
            let front = self.known().take(told, asked).ok_or(Unavailable)?;
            if has_to_return {
                self.return_all();
            }
            if is_new_life {
                continue;
            }
            if self.known().draw == Some(Draw::Drawing) && self.hold_draw().await {
                continue;
            }
            self.note();
            return Ok(front);
        }
        Err(Unavailable.into())
    }

    /// Fetches the view if it is older than `from`; callers that waited for another's fetch share its result.
    pub(super) async fn look_since(
        self: &EventLine,
        engine: &Redis,
        event: &EventId,
        from: Instant,
    ) -> Result<(), Refused> {
        if self.front_since(from) {
            return Ok(());
        }
        let _turn = self.ticking.lock().await;
        if self.front_since(from) {
            return Ok(());
        }
        self.look_in_turn(engine, event).await.map(drop)
    }

    /// Returns whether the view was requested at `from` or later.
    pub(super) fn front_since(&self, from: Instant) -> bool {
        let known = self.known();
        known
            .front
            .as_ref()
            .is_some_and(|(_, asked)| *asked >= from)
    }

    /// Fetches the view without changing the line.
    pub(super) async fn look(
        self: &EventLine,
        engine: &Redis,
        event: &EventId,
    ) -> Result<Arc<LineView>, Refused> {
        let _turn = self.ticking.lock().await;
        self.look_in_turn(engine, event).await
    }

    /// Fetches the view; the caller holds the `ticking` lock.
    async fn look_in_turn(
        &self,
        engine: &Redis,
        event: &EventId,
    ) -> Result<Arc<LineView>, Refused> {
        let asked = Instant::now();
        match self.step(true).await {
            Ok(told) if self.known().epoch() == 0 || told.epoch == self.known().epoch() => {
                Ok(self.known().take(told, asked).ok_or(Unavailable)?)
            }
            Err(Failed::Gone) if self.known().front.is_none() => {
                engine.forget(event);
                Err(Refused::NoSuchEvent)
            }
            _ => Err(Unavailable.into()),
        }
    }

    /// Calls `tick.lua` until nothing more is due.
    async fn step(&self, is_look: bool) -> Result<Told, Failed> {
        let look: &[u8] = if is_look { b"1" } else { b"0" };
        for _ in 0..STEPS_MAX {
            let revision = self.known().revision().to_string();
            let arguments = [revision.as_bytes(), look];
            let values = self.caller.call(&script::TICK, &arguments).await?;
            if values.first().is_some_and(|value| bytes(value) == b"more") {
                continue;
            }
            return Told::read(&values).ok_or(Failed::Away);
        }
        Err(Failed::Away)
    }

    /// Handles an event that the store does not have: it was deleted, or the store lost it and it is created again.
    async fn revive(&self, engine: &Redis, event: &EventId) -> Result<(), Refused> {
        let is_known = self.known().front.is_some();
        if !is_known || registry::was_removed(engine, event).await? {
            engine.forget(event);
            return Err(Refused::NoSuchEvent);
        }
        tracing::warn!(%event, "store has lost the event, restoring it from this node");
        registry::register(engine, event).await?;
        self.tell_what_is_known().await
    }

    /// Reports this node's state to the store, which takes the parts that are newer than its own.
    async fn tell_what_is_known(&self) -> Result<(), Refused> {
        let arguments = self.known().testimony().ok_or(Unavailable)?;
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let told = self.caller.call(&script::REVIVE, &arguments).await;
        told.map(drop)
            .map_err(|failed| Unavailable::from(failed).into())
    }

    /// Holds the draw unless this node is holding it already; returns whether it was over within [`DRAW_WAIT`]. A
    /// longer one continues in the background.
    async fn hold_draw(&self) -> bool {
        if self.is_drawing.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (caller, is_drawing) = (self.caller.clone(), self.is_drawing.clone());
        // Ends by itself: every read and write is bounded in time and number. A failed draw is started again by a
        // later tick.
        let task = tokio::spawn(async move {
            let outcome = drawing::hold(caller).await;
            is_drawing.store(false, Ordering::Release);
            if let Err(failed) = outcome {
                tracing::warn!(?failed, "draw not finished by this node");
            }
            outcome.unwrap_or(false)
        });
        matches!(timeout(DRAW_WAIT, task).await, Ok(Ok(true)))
    }

    /// Restores the places of all visitors with an open socket here, in batches, while the ticks continue.
    fn return_all(self: &Arc<EventLine>) {
        let connected = self.known().connected_numbers();
        if connected.is_empty() {
            return;
        }
        let here = self.clone();
        // Ends by itself: a bounded number of batches, each bounded in time. Visitors of a failed batch are restored
        // by the next request of their own socket.
        tokio::spawn(async move {
            let count = connected.len();
            for some in connected.chunks(REENTER.units_max) {
                let units = some.iter().map(|(who, number)| Unit {
                    is_connected: Some(true),
                    ..Unit::with(*who, *number)
                });
                let done = here
                    .batches
                    .run(REENTER, Units::Many(units.collect()))
                    .await;
                if done.is_err() {
                    tracing::warn!("some connected fans could not be restored to their places yet");
                }
            }
            tracing::info!(count, "connected fans restored to their places");
        });
    }

    /// Writes a backup every few seconds. One that cannot be written is missed only after the next loss of data.
    fn note(&self) {
        let note = {
            let mut known = self.known();
            if known.noted_at.is_some_and(|at| at.elapsed() < NOTE_EVERY) {
                return;
            }
            known.noted_at = Some(Instant::now());
            Backup::of(&known)
        };
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(Err(error)) = note.map(|note| note.write(&file)) {
                tracing::warn!(%error, "backup of a line could not be written");
            }
        });
    }

    /// Returns the store's time: the time of the newest view plus the time since by this node's monotonic clock.
    pub(super) fn now(&self) -> Option<Time> {
        let known = self.known();
        let (front, at) = known.front.as_ref()?;
        let passed = i64::try_from(at.elapsed().as_millis()).ok()?;
        (front.at.0 > 0).then(|| Time(front.at.0 + passed))
    }

    pub(super) fn ahead(&self, number: u64) -> u64 {
        self.known().ahead(number)
    }

    pub(super) fn line_opens_at(&self) -> Option<Time> {
        self.settings()
            .and_then(|settings| settings.line_opens_at())
    }

    pub(super) fn settings(&self) -> Option<Arc<EventSettings>> {
        let known = self.known();
        known
            .front
            .as_ref()
            .map(|(front, _)| front.settings.clone())
    }

    /// Records a visitor's new number. If they had an older one, a socket of theirs may be open here.
    pub(super) fn note_joined(&self, spot: &Spot) {
        let mut known = self.known();
        known.numbers = known.numbers.max(spot.number);
        if let Some(kept) = known.connected.get_mut(&spot.visitor) {
            *kept = number_of(spot);
        }
    }

    /// Records the number of a visitor whose socket is open here; it may have changed by the draw or by joining
    /// again.
    pub(super) fn note_number(&self, spot: &Spot) {
        if let Some(kept) = self.known().connected.get_mut(&spot.visitor) {
            *kept = number_of(spot);
        }
    }

    pub(super) fn connected(&self, spot: &Spot) {
        let mut known = self.known();
        known.connected.insert(spot.visitor, number_of(spot));
    }

    pub(super) fn disconnected(&self, visitor: VisitorId) {
        self.known().connected.remove(&visitor);
    }

    pub(super) fn replaced(&self) -> Vec<VisitorId> {
        let mut known = self.known();
        let replaced = std::mem::take(&mut known.replaced);
        for visitor in &replaced {
            known.connected.remove(visitor);
        }
        replaced
    }

    pub(super) fn is_of_an_earlier_epoch(&self, epoch: u64) -> bool {
        let known = self.known();
        (known.life.born..known.epoch()).contains(&epoch)
    }

    pub(super) fn is_undrawn(&self) -> bool {
        let known = self.known();
        known
            .front
            .as_ref()
            .is_some_and(|(front, _)| front.is_undrawn)
    }

    pub(super) fn stats(&self, front: &LineView, waited_seconds: Waited) -> Stats {
        let known = self.known();
        Stats {
            at: front.at,
            phase: front.phase,
            waiting: front.waiting,
            admitted: known.figures.admitted,
            shopping: known.figures.shopping,
            away: known.figures.away,
            per_minute: known.per_minute(front.at),
            total: known.figures.total,
            waited_seconds,
            availability: front.availability,
        }
    }

    pub(super) fn forget_file(&self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn number_of(spot: &Spot) -> Number {
    Number {
        number: spot.number,
        is_provisional: spot.is_provisional,
    }
}
