//! The tick of one event's line at this node.

use super::backup::Backup;
use super::cache::LineCache;
use super::event_line::EventLine;
use super::recovery::Reported;
use super::reply::Status;
use super::served::AllServed;
use super::store::CallError;
use super::view_reply::{DrawStage, ViewReply};
use super::{drawing, script};
use crate::line::{Life, LineView, Refused};
use shared::group_commit::Unavailable;
use shared::trace::carried;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Maximum number of steps in one tick: enough for every visitor of a full line to lapse or be
/// admitted.
const STEPS_MAX: usize = 80_000;
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
        self.tick_since(Instant::now()).await
    }

    /// Ticks the line unless it was at `from` or later; callers that waited for another's tick share
    /// its result. However many visitors return after a loss, few ticks serve them.
    pub(super) async fn tick_since(
        self: &Arc<EventLine>,
        from: Instant,
    ) -> Result<Arc<LineView>, Refused> {
        let line = self.clone();
        // In a task of its own, to its end: what the reply tells once must not be lost with a request
        // whose time is over. Ends by itself: a bounded number of calls, each bounded in time.
        let ticking = tokio::spawn(carried(async move {
            let _ticking = line.ticking.lock().await;
            match line.ticked_since(from) {
                Some(view) => Ok(view),
                None => line.tick_locked().await,
            }
        }));
        ticking.await.unwrap_or_else(|_| Err(Unavailable.into()))
    }

    /// Ticks the line; the caller holds the `ticking` lock.
    async fn tick_locked(self: &Arc<EventLine>) -> Result<Arc<LineView>, Refused> {
        self.tell_heard().await;
        for _ in 0..ROUNDS_MAX {
            let asked_at = Instant::now();
            let mut reply = match self.step(Mode::Tick).await {
                Ok(reply) => reply,
                Err(CallError::Gone) => {
                    let reported = self.restore().await?;
                    self.note_report(&reported);
                    continue;
                }
                Err(_) => return Err(Unavailable.into()),
            };
            let has_reported = self.report_to(reply.life).await?;
            // Told once.
            self.cache().replaced.append(&mut reply.replaced);
            if has_reported {
                // The next reply has what was reported as well.
                continue;
            }
            let view = match self.take(reply, asked_at).await {
                Ok(view) => view,
                Err(CallError::Gone | CallError::Lost) => continue,
                Err(_) => return Err(Unavailable.into()),
            };
            self.catch_up();
            if self.cache().draw == Some(DrawStage::Drawing) && self.hold_draw().await {
                continue;
            }
            self.cache().ticked_at = Some(asked_at);
            self.back_up();
            return Ok(view);
        }
        Err(Unavailable.into())
    }

    /// Reports what this node knows if this is another life than before, before any of it is
    /// replaced; returns whether it did. Of another event, nothing that it knew is of use.
    async fn report_to(&self, life: Life) -> Result<bool, Refused> {
        let (known, reported) = {
            let cache = self.cache();
            (cache.life(), cache.reported)
        };
        let Some(known) = known.filter(|known| *known != life) else {
            return Ok(false);
        };
        let event = &self.event;
        if known.creation != life.creation {
            tracing::warn!(%event, "event was deleted and created again");
            self.delete_backup();
            *self.cache() = LineCache::default();
            return Ok(false);
        }
        if reported == Some(life.store) {
            return Ok(false);
        }
        let name = Life::hex(life.store);
        tracing::warn!(%event, life = name, "store may have lost data, reporting this node's state to it");
        let reported = self.report().await?;
        self.note_report(&reported);
        if matches!(reported, Reported::Obsolete) {
            self.cache().reported = Some(life.store);
        }
        Ok(true)
    }

    fn note_report(&self, reported: &Reported) {
        let mut cache = self.cache();
        match reported {
            Reported::Taken(life) => cache.reported = Some(*life),
            Reported::Obsolete => cache.forget_numbers(),
        }
    }

    /// Takes the reply of a tick.
    async fn take(&self, reply: ViewReply, asked_at: Instant) -> Result<Arc<LineView>, CallError> {
        let served = self.served_at(&reply).await?;
        let mut cache = self.cache();
        let (life, registration) = (reply.life, reply.registration);
        let is_unknown = cache.life() != Some(life) || cache.registration != registration;
        let view = cache.take(reply, served, asked_at);
        let view = view.ok_or(CallError::Away)?;
        cache.registration = registration;
        if is_unknown {
            cache.return_all();
        }
        Ok(view)
    }

    /// Reads all numbers that wait no more if the changes of a reply do not suffice. That is before its
    /// bitmap is taken: a store that lost data would be told that they do not wait, and not why.
    ///
    /// # Errors
    /// [`CallError::Lost`] if they may be those of another draw or of an older state.
    async fn served_at(&self, reply: &ViewReply) -> Result<Option<AllServed>, CallError> {
        if reply.changed.is_some() || reply.is_settling {
            return Ok(None);
        }
        let served = self.read_served().await?;
        let after = self.step(Mode::ReadOnly).await?;
        if (after.life, after.revision) == (reply.life, reply.revision) {
            Ok(Some(served))
        } else {
            Err(CallError::Lost)
        }
    }

    /// Fetches the view if it is older than `from`; callers that waited for another's fetch share
    /// its result.
    pub(super) async fn fetch_view_since(
        self: &Arc<EventLine>,
        from: Instant,
    ) -> Result<(), Refused> {
        if self.has_view_since(from) {
            return Ok(());
        }
        let _ticking = self.ticking.lock().await;
        if self.has_view_since(from) {
            return Ok(());
        }
        self.fetch_view_locked().await.map(drop)
    }

    /// Fetches the view without changing the line. Callers that waited for another's fetch share its
    /// result, so that however many ask of a slow store, none waits for more than two answers.
    ///
    /// # Errors
    /// [`Refused::NoSuchEvent`] as [`EventLine::tick`].
    pub(super) async fn fetch_view(self: &Arc<EventLine>) -> Result<Arc<LineView>, Refused> {
        let from = Instant::now();
        let _ticking = self.ticking.lock().await;
        match self.view_since(from) {
            Some(view) => Ok(view),
            None => self.fetch_view_locked().await,
        }
    }

    /// Fetches the view; the caller holds the `ticking` lock. In another life of the store, a tick
    /// recovers the line first.
    async fn fetch_view_locked(self: &Arc<EventLine>) -> Result<Arc<LineView>, Refused> {
        let asked_at = Instant::now();
        let known = self.cache().life();
        let reply = match self.step(Mode::ReadOnly).await {
            Ok(reply) if known.is_none_or(|known| known == reply.life) => reply,
            Err(CallError::Gone) if known.is_none() => return Err(Refused::NoSuchEvent),
            Ok(_) | Err(CallError::Gone | CallError::Lost) => return self.tick_locked().await,
            Err(_) => return Err(Unavailable.into()),
        };
        match self.served_at(&reply).await {
            Ok(served) => {
                let view = self.cache().take(reply, served, asked_at);
                Ok(view.ok_or(Unavailable)?)
            }
            Err(CallError::Gone | CallError::Lost) => self.tick_locked().await,
            Err(_) => Err(Unavailable.into()),
        }
    }

    /// Calls `tick.lua` until nothing more is due.
    async fn step(&self, mode: Mode) -> Result<ViewReply, CallError> {
        let is_read_only: &[u8] = match mode {
            Mode::Tick => b"0",
            Mode::ReadOnly => b"1",
        };
        for _ in 0..STEPS_MAX {
            let known = {
                let cache = self.cache();
                let life = cache.life().map(|life| Life::hex(life.store));
                let changes = cache.served.changes.map(|changes| changes.to_string());
                let changes = changes.unwrap_or_else(|| "-1".to_owned());
                let life = life.unwrap_or_default();
                [life, cache.revision().to_string(), changes]
            };
            let [life, revision, changes] = known.each_ref().map(String::as_bytes);
            let next = Life::hex(Life::random().store);
            let arguments = [life, revision, changes, is_read_only, next.as_bytes()];
            let reply = self.caller.call(&script::TICK, &arguments).await?;
            if reply.status != Status::More {
                return ViewReply::read(reply).ok_or(CallError::Away);
            }
        }
        Err(CallError::Away)
    }

    /// Holds the draw unless this node is holding it already; returns whether it was over within
    /// [`DRAW_WAIT`]. A longer one continues in the background.
    async fn hold_draw(self: &Arc<EventLine>) -> bool {
        if self.is_drawing.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (line, is_drawing) = (self.clone(), self.is_drawing.clone());
        // Ends by itself: every read and write is bounded in time and number. A failed draw is
        // started again by a later tick.
        let task = tokio::spawn(async move {
            let outcome = drawing::hold(line).await;
            is_drawing.store(false, Ordering::Release);
            if let Err(error) = outcome {
                tracing::warn!(?error, "draw not finished by this node");
            }
            outcome.unwrap_or(false)
        });
        matches!(timeout(DRAW_WAIT, task).await, Ok(Ok(true)))
    }

    /// Writes a backup every few seconds. One that cannot be written is missed only after the next
    /// loss of data.
    pub(super) fn back_up(&self) {
        let backup = {
            let mut cache = self.cache();
            let last = cache.backed_up_at;
            if last.is_some_and(|at| at.elapsed() < BACKUP_EVERY) {
                return;
            }
            cache.backed_up_at = Some(Instant::now());
            let mark = cache.mark();
            if cache.backed_up == mark {
                return;
            }
            cache.backed_up = mark;
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
