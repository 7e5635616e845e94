//! The tick of one event's line at this node, and the recovery after the store lost data.

use super::backup::Backup;
use super::batch::{Unit, Units};
use super::event_line::EventLine;
use super::operations::REENTER;
use super::reply::Status;
use super::store::CallError;
use super::view_reply::{DrawStage, ViewReply};
use super::{drawing, registry, script};
use crate::line::{LineView, Refused};
use shared::group_commit::Unavailable;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Maximum number of steps in one tick: enough for every visitor of a full line to lapse or be
/// admitted.
const STEPS_MAX: usize = 20_000;
/// Maximum number of times that a tick starts again after a recovery or a draw.
const ROUNDS_MAX: usize = 4;
/// Longest time that a tick waits for the draw, so that short lines are drawn within it.
const DRAW_WAIT: Duration = Duration::from_secs(1);
/// Time between two backups.
const BACKUP_EVERY: Duration = Duration::from_secs(5);

/// Mode of `tick.lua`.
#[derive(Clone, Copy)]
enum Mode {
    /// Ends and admits what is due.
    Tick,
    /// Changes nothing.
    ReadOnly,
}

impl EventLine {
    /// Ticks the line and returns its newest view.
    ///
    /// # Errors
    /// [`Refused::NoSuchEvent`] if the event does not exist any more, for the caller to drop this
    /// line.
    pub(super) async fn tick(self: &Arc<EventLine>) -> Result<Arc<LineView>, Refused> {
        let _ticking = self.ticking.lock().await;
        for _ in 0..ROUNDS_MAX {
            let asked_at = Instant::now();
            let reply = match self.step(Mode::Tick).await {
                Ok(reply) => reply,
                Err(CallError::Gone) => {
                    self.restore().await?;
                    continue;
                }
                Err(_) => return Err(Unavailable.into()),
            };
            let epoch = self.cache().epoch();
            let is_new_epoch = epoch != 0 && reply.epoch > epoch;
            if is_new_epoch {
                let event = &self.event;
                tracing::warn!(%event, epoch = reply.epoch, "store may have lost data, reporting this node's state to it");
                self.report_state().await?;
            }
            let has_to_return = is_new_epoch || reply.is_new_node;
            let view = self.cache().take(reply, asked_at).ok_or(Unavailable)?;
            if has_to_return {
                self.return_all();
            }
            if is_new_epoch {
                continue;
            }
            if self.cache().draw == Some(DrawStage::Drawing) && self.hold_draw().await {
                continue;
            }
            self.back_up();
            return Ok(view);
        }
        Err(Unavailable.into())
    }

    /// Fetches the view if it is older than `from`; callers that waited for another's fetch share
    /// its result.
    pub(super) async fn fetch_view_since(&self, from: Instant) -> Result<(), Refused> {
        if self.has_view_since(from) {
            return Ok(());
        }
        let _ticking = self.ticking.lock().await;
        if self.has_view_since(from) {
            return Ok(());
        }
        self.fetch_view_locked().await.map(drop)
    }

    /// Fetches the view without changing the line.
    ///
    /// # Errors
    /// [`Refused::NoSuchEvent`] as [`EventLine::tick`].
    pub(super) async fn fetch_view(&self) -> Result<Arc<LineView>, Refused> {
        let _ticking = self.ticking.lock().await;
        self.fetch_view_locked().await
    }

    /// Fetches the view; the caller holds the `ticking` lock.
    async fn fetch_view_locked(&self) -> Result<Arc<LineView>, Refused> {
        let asked_at = Instant::now();
        match self.step(Mode::ReadOnly).await {
            Ok(reply) if self.cache().epoch() == 0 || reply.epoch == self.cache().epoch() => {
                Ok(self.cache().take(reply, asked_at).ok_or(Unavailable)?)
            }
            Err(CallError::Gone) if self.cache().front.is_none() => Err(Refused::NoSuchEvent),
            _ => Err(Unavailable.into()),
        }
    }

    /// Calls `tick.lua` until nothing more is due.
    async fn step(&self, mode: Mode) -> Result<ViewReply, CallError> {
        let is_read_only: &[u8] = match mode {
            Mode::Tick => b"0",
            Mode::ReadOnly => b"1",
        };
        for _ in 0..STEPS_MAX {
            let revision = self.cache().revision().to_string();
            let arguments = [revision.as_bytes(), is_read_only];
            let reply = self.caller.call(&script::TICK, &arguments).await?;
            if reply.status != Status::More {
                return ViewReply::read(reply).ok_or(CallError::Away);
            }
        }
        Err(CallError::Away)
    }

    /// Handles an event that the store does not have: it was removed, or the store lost it and it
    /// is created again.
    async fn restore(&self) -> Result<(), Refused> {
        let event = &self.event;
        let is_known = self.cache().front.is_some();
        if !is_known || registry::was_removed(self.store(), event).await? {
            return Err(Refused::NoSuchEvent);
        }
        tracing::warn!(%event, "store has lost the event, restoring it from this node");
        registry::add(self.store(), event).await?;
        self.report_state().await
    }

    /// Reports this node's state to the store, which takes the parts that are newer than its own.
    async fn report_state(&self) -> Result<(), Refused> {
        let arguments = self.cache().recovery_arguments().ok_or(Unavailable)?;
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let reported = self.caller.call(&script::REVIVE, &arguments).await;
        Ok(reported.map(drop).map_err(Unavailable::from)?)
    }

    /// Holds the draw unless this node is holding it already; returns whether it was over within
    /// [`DRAW_WAIT`]. A longer one continues in the background.
    async fn hold_draw(&self) -> bool {
        if self.is_drawing.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (caller, is_drawing) = (self.caller.clone(), self.is_drawing.clone());
        // Ends by itself: every read and write is bounded in time and number. A failed draw is
        // started again by a later tick.
        let task = tokio::spawn(async move {
            let outcome = drawing::hold(caller).await;
            is_drawing.store(false, Ordering::Release);
            if let Err(error) = outcome {
                tracing::warn!(?error, "draw not finished by this node");
            }
            outcome.unwrap_or(false)
        });
        matches!(timeout(DRAW_WAIT, task).await, Ok(Ok(true)))
    }

    /// Restores the places of all visitors with an open socket here, in batches, while the ticks
    /// continue.
    fn return_all(self: &Arc<EventLine>) {
        let connected = self.cache().returning();
        if connected.is_empty() {
            return;
        }
        let line = self.clone();
        // Ends by itself: a bounded number of batches, each bounded in time. Visitors of a failed
        // batch are restored by the next request of their own socket.
        tokio::spawn(async move {
            let count = connected.len();
            for some in connected.chunks(REENTER.units_max) {
                let units = some.iter().map(|returning| Unit {
                    is_connected: Some(true),
                    ..Unit::with(returning.visitor, returning.number)
                });
                let units = Units::Many(units.collect());
                if line.batches.run(REENTER, units).await.is_err() {
                    tracing::warn!("some connected fans could not be restored to their places yet");
                }
            }
            tracing::info!(count, "connected fans restored to their places");
        });
    }

    /// Writes a backup every few seconds. One that cannot be written is missed only after the next
    /// loss of data.
    fn back_up(&self) {
        let backup = {
            let mut cache = self.cache();
            let last = cache.backed_up_at;
            if last.is_some_and(|at| at.elapsed() < BACKUP_EVERY) {
                return;
            }
            cache.backed_up_at = Some(Instant::now());
            Backup::of(&cache)
        };
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(Err(error)) = backup.map(|backup| backup.write(&file)) {
                tracing::warn!(%error, "backup of a line could not be written");
            }
        });
    }
}
