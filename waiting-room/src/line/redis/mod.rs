//! The Redis engine: any number of nodes share one line. Each operation is one script, sent in
//! batches; positions come from the bitmap that every tick returns, so that no request asks Redis
//! for a rank.

mod address;
mod audit;
mod backup;
mod batch;
mod cache;
mod calls;
mod clients;
mod configuration;
mod connected;
mod connection;
mod decisions;
mod drawing;
mod event_line;
mod keys;
mod limits;
mod lists;
mod operations;
mod places;
mod policy;
mod recovery;
mod registry;
mod reply;
mod script;
mod served;
mod sign_outs;
mod store;
mod tick;
mod view_reply;

pub use store::Store;

use super::{
    Claimed, ClientChange, Clients, DrawState, EVENTS_MAX, EventSettings, Joined, Life, Line,
    LineView, Patch, Refused, Returned, SharedAdmission, Spot, Stats, Trouble, Waited,
};
use crate::draw::{Beacon, Round};
use crate::pass::Pass;
use address::Address;
use async_trait::async_trait;
use cache::StoreMark;
use connection::Connection;
use event_line::EventLine;
use futures_util::stream::{self, StreamExt as _};
use keys::Keys;
use parking_lot::RwLock;
use places::recently;
use registry::{Registry, RegistryEntry};
use reply::number;
use shared::deadline;
use shared::group_commit::Unavailable;
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_log::{LogPage, LogPlace};
use shared::time::{Clock, Time};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Events whose settings are fetched at one time.
const EVENTS_AT_ONCE: usize = 16;

/// The lines of all events at one node.
pub struct Redis {
    store: Arc<Store>,
    /// Folder of this node's backups.
    folder: PathBuf,
    /// Locked for a look-up by every operation and for writing when an event is added or dropped;
    /// never held across an await.
    lines: RwLock<HashMap<EventId, Arc<EventLine>>>,
    /// Number of changes of events that are over, as the registry last had it.
    changes: AtomicU64,
}

impl Redis {
    /// Parses the URL. Connects on first use, so that a node can start while Redis is unreachable.
    ///
    /// # Errors
    /// If the URL is invalid or the folder cannot be used.
    pub fn open(url: &str, folder: PathBuf, clock: Clock) -> Result<Redis, String> {
        Redis::on(Redis::store_at(url, clock)?, folder)
    }

    /// Opens the lines of a store.
    fn on(store: Store, folder: PathBuf) -> Result<Redis, String> {
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("the folder {} cannot be used: {error}", folder.display()))?;
        let engine = Redis {
            store: Arc::new(store),
            folder,
            lines: RwLock::default(),
            changes: AtomicU64::default(),
        };
        for event in backup::events(&engine.folder) {
            engine.line(&event);
        }
        Ok(engine)
    }

    /// Returns the store at a URL.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn store_at(url: &str, clock: Clock) -> Result<Store, String> {
        let address = Address::parse(url)?;
        Ok(Store {
            keys: Keys::new(address.prefix.clone()),
            connection: Connection::new(address),
            node: shared::crypto::hex(&shared::crypto::random::<8>()),
            clock,
        })
    }

    /// Checks the URL of a Redis line.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn check(url: &str) -> Result<(), String> {
        Address::parse(url).map(drop)
    }

    /// Returns the store, where all nodes keep the audit log and the sign-outs as well.
    pub fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// Returns an event's line at this node, creating it at the first call.
    fn line(&self, event: &EventId) -> Arc<EventLine> {
        let lines = self.lines.read();
        if let Some(line) = lines.get(event) {
            return line.clone();
        }
        drop(lines);
        let mut lines = self.lines.write();
        let made = || EventLine::new(self.store.clone(), &self.folder, event.clone());
        let line = lines.entry(event.clone());
        line.or_insert_with(|| Arc::new(made())).clone()
    }

    /// Runs an operation on an event's line until the deadline of the request, and drops the line if
    /// the event does not exist. Safe to drop: what was sent may happen, and may be sent again.
    async fn run<T>(
        &self,
        event: &EventId,
        operation: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Refused> {
        let outcome = deadline::within(operation).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Unavailable.into()));
        if matches!(outcome, Err(Refused::NoSuchEvent)) {
            self.forget(event);
        }
        outcome
    }

    fn forget(&self, event: &EventId) {
        let mut lines = self.lines.write();
        if let Some(line) = lines.remove(event) {
            line.delete_backup();
        }
    }

    /// Returns the settings of an event, from a view that is new enough or from the store.
    async fn settings(&self, event: &EventId) -> Result<Option<Arc<EventSettings>>, Refused> {
        let line = self.line(event);
        let known = line.settings();
        if line.has_view_since(recently()) {
            return Ok(known);
        }
        match self.view(event).await {
            Ok(view) => Ok(Some(view.settings.clone())),
            Err(Refused::NoSuchEvent) => Ok(None),
            // The store does not answer for this line now; the settings cached a moment ago still
            // hold.
            Err(error) => known.map(Some).ok_or(error),
        }
    }

    /// Returns the events whose settings this node knows, with the identities of their creations.
    fn known_events(&self) -> Vec<KnownEvent> {
        let lines = self.lines.read();
        let known = lines.iter().filter_map(|(event, line)| {
            let creation = line.cache().life()?.creation;
            Some(KnownEvent {
                event: event.clone(),
                creation,
            })
        });
        known.collect()
    }

    /// Follows the registry in what this node knows: forgets events that were removed, and completes
    /// their removal in case another node did not; looks again at those that are others by now, or
    /// that the store has lost.
    async fn follow(&self, registry: &Registry) -> Result<(), Refused> {
        for KnownEvent { event, creation } in self.known_events() {
            match registry.entries.get(&event) {
                Some(RegistryEntry::Created(current)) if *current == creation => {}
                Some(RegistryEntry::Removed { creation: gone, .. }) if *gone == creation => {
                    registry::delete(&self.store, &event, creation).await?;
                    self.forget(&event);
                }
                _ => self.line(&event).cache().looked = None,
            }
        }
        Ok(())
    }

    fn mark(&self) -> StoreMark {
        StoreMark {
            changes: self.changes.load(Ordering::Relaxed),
            connections: self.store.connection.count(),
        }
    }
}

/// An event that this node knows.
struct KnownEvent {
    event: EventId,
    /// Identity of its creation.
    creation: u64,
}

#[async_trait]
impl Line for Redis {
    async fn create(&self, settings: EventSettings) -> Result<(), Refused> {
        let mut mistakes = settings.mistakes();
        mistakes.extend(settings.draw_mistakes(self.store.clock.now()));
        if !mistakes.is_empty() {
            return Err(Refused::Invalid(mistakes));
        }
        let registry = registry::read(&self.store).await?;
        let existing = match registry.entries.get(&settings.id) {
            Some(RegistryEntry::Created(creation)) => Some(*creation),
            // A removal may be under way, or have ended half way.
            Some(RegistryEntry::Removed { creation, .. }) => {
                registry::delete(&self.store, &settings.id, *creation).await?;
                None
            }
            None => None,
        };
        if existing.is_none() && registry.created().count() >= EVENTS_MAX {
            return Err(Refused::Full("this installation keeps no more events"));
        }
        let line = self.line(&settings.id);
        // The store may have lost it.
        if existing.is_some() && line.tick().await.is_ok() {
            return Err(Refused::Exists);
        }
        let mut life = Life::random();
        match existing {
            // An attempt to create it ended here, or another is under way.
            Some(creation) => life.creation = creation,
            // First the registry: an event missing from it could never be found again.
            None => registry::set(&self.store, &settings.id, life.creation).await?,
        }
        let created = line.create(&settings, life).await;
        let creation = match &created {
            Ok(()) => life.creation,
            Err(Refused::Exists) => line.tick().await?.life.creation,
            Err(_) => return created,
        };
        // Another node may have done the same at this moment.
        registry::set(&self.store, &settings.id, creation).await?;
        created
    }

    async fn configure(
        &self,
        event: &EventId,
        patch: Patch,
    ) -> Result<(EventSettings, EventSettings), Refused> {
        let line = self.line(event);
        self.run(event, line.configure(&patch)).await
    }

    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        let line = self.line(event);
        // In a task of its own: half a deletion would leave keys that no one finds again.
        let deleting = tokio::spawn(async move { line.delete().await });
        let deleted = async { deleting.await.unwrap_or_else(|_| Err(Unavailable.into())) };
        self.run(event, deleted).await?;
        self.forget(event);
        Ok(())
    }

    async fn events(&self) -> Result<Vec<Arc<EventSettings>>, Refused> {
        let registry = registry::read(&self.store).await?;
        self.changes.store(registry.changes, Ordering::Relaxed);
        self.follow(&registry).await?;
        // The store may have lost the registry.
        let lost = self.known_events().into_iter().map(|known| known.event);
        let lost = lost.filter(|event| !registry.entries.contains_key(event));
        let events: BTreeSet<EventId> = registry.created().cloned().chain(lost).collect();
        let settings = events
            .into_iter()
            .map(|event| async move { self.settings(&event).await });
        let mut settings = stream::iter(settings).buffered(EVENTS_AT_ONCE);
        let mut all = Vec::new();
        while let Some(settings) = settings.next().await {
            all.extend(settings?);
        }
        Ok(all)
    }

    async fn join(&self, event: &EventId, visitors: &[VisitorId]) -> Result<Vec<Joined>, Refused> {
        let line = self.line(event);
        self.run(event, line.join(visitors)).await
    }

    async fn tick(&self, event: &EventId) -> Result<Arc<LineView>, Refused> {
        let line = self.line(event);
        self.run(event, line.tick()).await
    }

    async fn view(&self, event: &EventId) -> Result<Arc<LineView>, Refused> {
        let line = self.line(event);
        let mark = self.mark();
        if let Some(view) = line.view_if_over(mark) {
            return Ok(view);
        }
        let view = self.run(event, line.fetch_view()).await?;
        line.cache().looked = Some(mark);
        line.back_up();
        Ok(view)
    }

    async fn place(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        let line = self.line(event);
        let outcome = self.run(event, line.place(visitor)).await;
        if matches!(outcome, Err(Refused::Unavailable(_))) {
            line.cache().hear(visitor);
        }
        outcome
    }

    async fn peek(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        let line = self.line(event);
        self.run(event, line.peek(visitor)).await
    }

    async fn reenter(&self, event: &EventId, pass: &Pass) -> Result<Option<Spot>, Refused> {
        let line = self.line(event);
        self.run(event, line.reenter(pass)).await
    }

    async fn extend(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
        until: Time,
    ) -> Result<Claimed, Refused> {
        let line = self.line(event);
        self.run(event, line.extend(visitor, number, until)).await
    }

    async fn finish(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
    ) -> Result<(), Refused> {
        let line = self.line(event);
        self.run(event, line.finish(visitor, number)).await
    }

    async fn clients(
        &self,
        event: &EventId,
        visitor: VisitorId,
    ) -> Result<Option<Clients>, Refused> {
        self.line(event).clients(visitor).await
    }

    async fn set_clients(
        &self,
        event: &EventId,
        change: ClientChange<'_>,
    ) -> Result<bool, Refused> {
        self.line(event).set_clients(change).await
    }

    async fn shared_admissions(&self, event: &EventId) -> Result<Vec<SharedAdmission>, Refused> {
        let line = self.line(event);
        let now = self.now(event).unwrap_or_else(|| self.store.clock.now());
        self.run(event, line.fetch_view()).await?;
        line.shared_admissions(now).await
    }

    async fn leave(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused> {
        let line = self.line(event);
        self.run(event, line.leave(visitor)).await
    }

    async fn away(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused> {
        let line = self.line(event);
        self.run(event, line.away(visitor)).await
    }

    async fn back(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        let line = self.line(event);
        self.run(event, line.back(visitor)).await
    }

    async fn eject(&self, event: &EventId, visitor: VisitorId) -> Result<bool, Refused> {
        let line = self.line(event);
        self.run(event, line.eject(visitor)).await
    }

    async fn find(&self, event: &EventId, number: u64) -> Result<Option<Spot>, Refused> {
        let line = self.line(event);
        self.run(event, line.find(number)).await
    }

    async fn living(
        &self,
        event: &EventId,
        visitors: &[VisitorId],
    ) -> Result<Vec<VisitorId>, Refused> {
        let line = self.line(event);
        self.run(event, line.living(visitors)).await
    }

    async fn report(&self, event: &EventId, seats: Availability) -> Result<(), Refused> {
        let line = self.line(event);
        self.run(event, line.report_seats(seats)).await
    }

    async fn draw(&self, event: &EventId) -> Result<Option<DrawState>, Refused> {
        let line = self.line(event);
        self.run(event, line.fetch_view()).await?;
        Ok(line.draw_state())
    }

    async fn give_beacon(
        &self,
        event: &EventId,
        named: &Beacon,
        round: &Round,
    ) -> Result<(), Refused> {
        let line = self.line(event);
        self.run(event, line.give_beacon(named, round)).await
    }

    async fn drawn(
        &self,
        event: &EventId,
        first: u64,
        count: usize,
    ) -> Result<Vec<VisitorId>, Refused> {
        let line = self.line(event);
        let visitors = drawing::visitors(&line.caller, first, count);
        let visitors = deadline::within(visitors).await.map_err(|_| Unavailable)?;
        Ok(visitors.map_err(Unavailable::from)?)
    }

    fn replaced(&self, event: &EventId) -> Vec<VisitorId> {
        self.line(event).take_replaced()
    }

    fn returned(&self, event: &EventId, spot: &Spot, life: Life) -> Returned {
        self.line(event).returned(spot, life)
    }

    async fn trouble(&self) -> Option<Trouble> {
        self.store.connection.trouble().await
    }

    fn now(&self, event: &EventId) -> Option<Time> {
        let is_by_hand = self.store.clock.hand().is_some();
        self.line(event).now().filter(|_| !is_by_hand)
    }

    async fn decisions(
        &self,
        event: &EventId,
        place: &LogPlace,
        limit: usize,
    ) -> Result<LogPage, Refused> {
        let line = self.line(event);
        self.run(event, line.decisions(place, limit)).await
    }

    async fn stats(&self, event: &EventId) -> Result<Stats, Refused> {
        let line = self.line(event);
        let (view, reply) = tokio::join!(
            self.run(event, line.fetch_view()),
            self.run(event, line.call(&script::WAITS, &[])),
        );
        let (view, reply) = (view?, reply?);
        let seconds = reply.fields().list("waits").iter().map(number).collect();
        Ok(line.cache().stats(&view, Waited::of(seconds)))
    }
}

#[cfg(test)]
mod simulation;
