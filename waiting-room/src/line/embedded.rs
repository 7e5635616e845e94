//! The embedded engine: one thread, one state machine and one journal file per event, so that
//! events share nothing.

use super::clients::ClientTable;
use super::engine::{Engine, Failures, start};
use super::journal::{self, Journal};
use super::state::State;
use super::{
    Claimed, ClientChange, Clients, DrawState, EVENTS_MAX, EventSettings, Joined, Line, LineView,
    Patch, Refused, SharedAdmission, Spot, Stats, Trouble, TroubleKind,
};
use crate::draw::{Beacon, Round};
use crate::pass::Pass;
use async_trait::async_trait;
use parking_lot::RwLock;
use shared::deadline;
use shared::group_commit::{GroupCommit, Unavailable};
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_log::{LogPage, LogPlace};
use shared::time::{Clock, Time};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The lines of this process, by event.
pub struct Embedded {
    folder: PathBuf,
    clock: Clock,
    /// Locked for a look-up by every operation and for writing when an event is created or removed;
    /// never held across an await.
    events: RwLock<BTreeMap<EventId, GroupCommit<Engine>>>,
    clients: ClientTable,
    failures: Failures,
}

impl Embedded {
    /// Opens the events stored in `folder`, creating the folder if it does not exist.
    ///
    /// # Errors
    /// If a journal cannot be read. Nothing is overwritten.
    pub fn open(folder: PathBuf, clock: Clock) -> Result<Embedded, String> {
        let failed = |error| format!("the folder {} cannot be used: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut events = BTreeMap::new();
        let failures = Failures::default();
        for file in fs::read_dir(&folder).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            let _ = clean_up(&path);
            if path.extension().is_none_or(|kind| kind != "sqlite") {
                continue;
            }
            let journal = Journal::open(&path)?;
            let damaged = |error| format!("the journal {} is damaged: {error}", path.display());
            let Some(state) = journal.read(clock.now()).map_err(damaged)? else {
                continue;
            };
            let event = state.settings.id.clone();
            events.insert(event, start(state, journal, &clock, &failures)?);
        }
        let events = RwLock::new(events);
        Ok(Embedded {
            folder,
            clock,
            events,
            clients: ClientTable::default(),
            failures,
        })
    }

    fn path(&self, event: &EventId) -> PathBuf {
        self.folder.join(format!("{event}.sqlite"))
    }

    fn engine(&self, event: &EventId) -> Result<GroupCommit<Engine>, Refused> {
        let events = self.events.read();
        events.get(event).cloned().ok_or(Refused::NoSuchEvent)
    }

    /// Runs one atomic, durable step on an event's line.
    async fn step<R: Send + 'static>(
        &self,
        event: &EventId,
        step: impl FnOnce(&mut State, Time) -> R + Send + 'static,
    ) -> Result<R, Refused> {
        let engine = self.engine(event)?;
        let answer = engine.run(move |engine| {
            let now = engine.clock.now();
            engine.state.hear(now);
            step(&mut engine.state, now)
        });
        Ok(deadline::within(answer).await.map_err(|_| Unavailable)??)
    }
}

/// Deletes what is left of a removed journal.
fn clean_up(path: &Path) -> Result<(), Refused> {
    journal::delete_removed(path).map_err(|error| {
        tracing::error!(%error, file = %path.display(), "removed journal could not be deleted");
        Unavailable.into()
    })
}

#[async_trait]
impl Line for Embedded {
    async fn create(&self, settings: EventSettings) -> Result<(), Refused> {
        let mut mistakes = settings.mistakes();
        mistakes.extend(settings.draw_mistakes(self.clock.now()));
        if !mistakes.is_empty() {
            return Err(Refused::Invalid(mistakes));
        }
        let path = self.path(&settings.id);
        let mut events = self.events.write();
        if events.contains_key(&settings.id) {
            return Err(Refused::Exists);
        }
        if events.len() >= EVENTS_MAX {
            return Err(Refused::Full("this installation keeps no more events"));
        }
        clean_up(&path)?;
        // Rare and done in a few milliseconds, so it runs under the lock: two creations of one id
        // cannot both succeed.
        let made = Journal::open(&path).and_then(|mut journal| {
            let mut state = State::new(settings.clone());
            state.memory.changed_at = self.clock.now();
            journal.write(&state).map_err(|error| error.to_string())?;
            state.has_new_memory = false;
            start(state, journal, &self.clock, &self.failures)
        });
        match made {
            Ok(engine) => {
                events.insert(settings.id, engine);
                Ok(())
            }
            Err(error) => {
                tracing::error!(error, "event could not be created");
                Err(Unavailable.into())
            }
        }
    }

    async fn configure(
        &self,
        event: &EventId,
        patch: Patch,
    ) -> Result<(EventSettings, EventSettings), Refused> {
        self.step(event, move |state, now| {
            let before = (*state.settings).clone();
            let after = before.with(&patch);
            let mut mistakes = after.mistakes();
            mistakes.extend(after.change_mistakes(&before, state.numbers(), now));
            if !mistakes.is_empty() {
                return Err(Refused::Invalid(mistakes));
            }
            state.configure(after.clone(), now);
            Ok((before, after))
        })
        .await?
    }

    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        let mut events = self.events.write();
        if !events.contains_key(event) {
            return Err(Refused::NoSuchEvent);
        }
        let path = self.path(event);
        if let Err(error) = journal::remove(&path) {
            tracing::error!(%error, file = %path.display(), "journal could not be removed");
            return Err(Unavailable.into());
        }
        events.remove(event);
        self.clients.forget(event);
        self.failures.lock().remove(event);
        let _ = clean_up(&path);
        Ok(())
    }

    async fn events(&self) -> Result<Vec<Arc<EventSettings>>, Refused> {
        let engines: Vec<GroupCommit<Engine>> = {
            let events = self.events.read();
            events.values().cloned().collect()
        };
        let mut all = Vec::with_capacity(engines.len());
        for engine in engines {
            let answer = engine.run(|engine| engine.state.settings.clone());
            let settings = deadline::within(answer).await;
            all.push(settings.map_err(|_| Unavailable)??);
        }
        Ok(all)
    }

    async fn join(&self, event: &EventId, visitors: &[VisitorId]) -> Result<Vec<Joined>, Refused> {
        let visitors = visitors.to_vec();
        self.step(event, move |state, now| {
            visitors
                .into_iter()
                .map(|visitor| state.join(visitor, now))
                .collect()
        })
        .await?
    }

    async fn tick(&self, event: &EventId) -> Result<Arc<LineView>, Refused> {
        self.step(event, |state, now| {
            state.tick(now);
            Arc::new(state.front(now))
        })
        .await
    }

    async fn view(&self, event: &EventId) -> Result<Arc<LineView>, Refused> {
        self.step(event, |state, now| Arc::new(state.front(now)))
            .await
    }

    async fn place(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        self.step(event, move |state, now| state.place(visitor, now))
            .await
    }

    async fn peek(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        self.step(event, move |state, _| state.peek(visitor)).await
    }

    /// Returns none: this engine never loses a place, so there is nothing to restore.
    async fn reenter(&self, _: &EventId, _: &Pass) -> Result<Option<Spot>, Refused> {
        Ok(None)
    }

    async fn extend(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
        until: Time,
    ) -> Result<Claimed, Refused> {
        self.step(event, move |state, now| {
            state.extend(visitor, number, until, now)
        })
        .await
    }

    async fn finish(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
    ) -> Result<(), Refused> {
        self.step(event, move |state, now| state.finish(visitor, number, now))
            .await
    }

    async fn clients(
        &self,
        event: &EventId,
        visitor: VisitorId,
    ) -> Result<Option<Clients>, Refused> {
        Ok(self.clients.get(event, visitor))
    }

    async fn set_clients(
        &self,
        event: &EventId,
        change: ClientChange<'_>,
    ) -> Result<bool, Refused> {
        self.engine(event)?;
        Ok(self.clients.set(event, &change, self.clock.now()))
    }

    async fn shared_admissions(&self, event: &EventId) -> Result<Vec<SharedAdmission>, Refused> {
        self.engine(event)?;
        Ok(self.clients.shared(event, self.clock.now()))
    }

    async fn leave(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused> {
        self.step(event, move |state, now| state.leave(visitor, now))
            .await
    }

    async fn away(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused> {
        self.step(event, move |state, now| state.away(visitor, now))
            .await
    }

    async fn back(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        self.step(event, move |state, _| state.back(visitor)).await
    }

    async fn eject(&self, event: &EventId, visitor: VisitorId) -> Result<bool, Refused> {
        self.step(event, move |state, now| state.eject(visitor, now))
            .await
    }

    async fn find(&self, event: &EventId, number: u64) -> Result<Option<Spot>, Refused> {
        self.step(event, move |state, _| state.find(number)).await
    }

    async fn living(
        &self,
        event: &EventId,
        visitors: &[VisitorId],
    ) -> Result<Vec<VisitorId>, Refused> {
        let mut visitors = visitors.to_vec();
        self.step(event, move |state, _| {
            visitors.retain(|visitor| state.has_place(*visitor));
            visitors
        })
        .await
    }

    async fn report(&self, event: &EventId, seats: Availability) -> Result<(), Refused> {
        self.step(event, move |state, now| state.report(seats, now))
            .await
    }

    async fn draw(&self, event: &EventId) -> Result<Option<DrawState>, Refused> {
        self.step(event, |state, _| state.draw()).await
    }

    async fn give_beacon(
        &self,
        event: &EventId,
        named: &Beacon,
        round: &Round,
    ) -> Result<(), Refused> {
        let (named, round) = (named.clone(), round.clone());
        let is_taken = self.step(event, move |state, _| state.give_beacon(&named, round));
        is_taken.await?.then_some(()).ok_or(Unavailable.into())
    }

    async fn drawn(
        &self,
        event: &EventId,
        first: u64,
        count: usize,
    ) -> Result<Vec<VisitorId>, Refused> {
        self.step(event, move |state, _| {
            let numbers = first..first + count as u64;
            numbers
                .map_while(|number| state.entry_of(number))
                .map(|entry| entry.visitor)
                .collect()
        })
        .await
    }

    fn replaced(&self, _: &EventId) -> Vec<VisitorId> {
        Vec::new()
    }

    async fn trouble(&self) -> Option<Trouble> {
        let first = || {
            let failures = self.failures.lock();
            let (event, error) = failures.first_key_value()?;
            Some((event.clone(), error.clone()))
        };
        let (event, error) = first()?;
        // Writes something, in case nothing else would show that it is possible again.
        let probe = self.step(&event, |state, _| state.has_new_memory = true);
        if probe.await.is_ok() && first().is_none() {
            return None;
        }
        Some(Trouble {
            kind: TroubleKind::Refusing,
            detail: format!("the journal of {event} cannot be written: {error}"),
        })
    }

    fn now(&self, _: &EventId) -> Option<Time> {
        None
    }

    async fn decisions(
        &self,
        event: &EventId,
        place: &LogPlace,
        limit: usize,
    ) -> Result<LogPage, Refused> {
        let (engine, place) = (self.engine(event)?, place.clone());
        let answer = engine.run(move |engine| engine.decisions(&place, limit));
        let page = deadline::within(answer).await.map_err(|_| Unavailable)??;
        page.ok_or(Unavailable.into())
    }

    async fn stats(&self, event: &EventId) -> Result<Stats, Refused> {
        self.step(event, |state, now| state.stats(now)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{LINE_LENGTH_MAX, VisitorState};

    #[test]
    fn who_joined_again_without_a_socket_is_not_counted_as_connected_after_a_failed_commit() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("night.sqlite")).unwrap();
        let event = EventId::parse("night").unwrap();
        let (again, watching) = (VisitorId(1), VisitorId(2));
        let mut settings = EventSettings::new(event, "Night");
        settings.admission.rate_per_minute = 0;
        let mut state = State::new(settings);
        for visitor in [again, watching] {
            state.join(visitor, Time(0)).unwrap();
        }
        state.back(watching);
        state.leave(again, Time(0));
        state.join(again, Time(0)).unwrap();
        journal.write(&state).unwrap();
        let mut restored = journal.read(Time(0)).unwrap().unwrap();
        restored.take_over(&state);
        let standing = |state: &State, number| state.entry_of(number).unwrap().standing;
        let late = Time(0).plus_seconds(restored.settings.admission.away_seconds);
        restored.tick(late);
        assert_eq!(standing(&restored, 2), VisitorState::Waiting);
        assert_eq!(standing(&restored, 3), VisitorState::Missed);
    }

    #[test]
    fn a_full_line_has_room_again_for_each_visitor_who_leaves() {
        let event = EventId::parse("night").unwrap();
        let mut state = State::new(EventSettings::new(event, "Night"));
        state.shopping = LINE_LENGTH_MAX - 1;
        let join = |state: &mut State, visitor| state.join(VisitorId(visitor), Time(0)).is_ok();
        assert!(join(&mut state, 1));
        assert!(!join(&mut state, 2), "full");
        state.leave(VisitorId(1), Time(0));
        assert!(
            join(&mut state, 2),
            "numbers of those who left count no more"
        );
        assert_eq!(state.numbers(), 2);
    }
}
