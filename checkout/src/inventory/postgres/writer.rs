//! Writer of one event: takes the requests that queued during the last commit, decides them in
//! memory and writes them with one statement. It runs as a task of its own, so that a client that
//! disconnects leaves nothing half done.

use super::batch::{DecidedChanges, InFlight, spans};
use super::database::QueryError;
use super::decide::decide_one;
use super::event_cache::EventCache;
use super::event_handle::EventHandle;
use super::queue::{WriterMessage, refuse};
use super::read::{Loaded, Wanted, load};
use super::shard::Shard;
use super::write::{Header, WriteResult, send};
use crate::inventory::Layout;
use crate::inventory::command::{Command, Decision};
use crate::inventory::event_state::VisitorCache;
use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use shared::crypto::random_id;
use shared::group_commit::{BATCH_MAX, Unavailable};
use shared::ids::VisitorId;
use shared::metrics::writers;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// Largest number of batches in flight, each on a connection of its own: one is decided and written
/// while another waits for its commit. More batches would be smaller, and cost more each.
pub(super) const IN_FLIGHT_MAX: usize = 2;
/// Number of times the writer yields before it sends a batch, so that requests about to be made
/// join it. Yielding costs nothing when no other task is ready.
const YIELDS: usize = 3;
/// Smallest size of a batch, even if it leaves no requests for the next one.
const BATCH_MIN: usize = 8;

/// The writer of one event.
pub(super) struct Writer {
    pub(super) handle: Arc<EventHandle>,
    pub(super) shard: Arc<Shard>,
    pub(super) queue: mpsc::Receiver<WriterMessage>,
    /// Buffer for messages just taken from the queue, kept to reuse its memory.
    inbox: Vec<WriterMessage>,
    /// `None` while the state in memory may be wrong.
    pub(super) cache: Option<EventCache>,
    /// Visitor records kept while there is no `cache`, with the plan in which they name seats; they
    /// can be outdated, never wrong. `None` before the first load, and after another server answered.
    visitors: Option<(VisitorCache, Option<Arc<Layout>>)>,
    /// Whether the versions shown so far may be of commits that are lost.
    must_skip_versions: bool,
    /// Whether other systems were told that the event is sold out, once that was read.
    pub(super) is_told_sold_out: Option<bool>,
    /// Batches in flight. Their visitors are not decided on until they complete.
    pub(super) in_flight: HashMap<Id, InFlight>,
    sends: JoinSet<(Vec<DecidedChanges>, WriteResult)>,
    pub(super) locked: HashSet<VisitorId, RandomState>,
    /// Emptied lists of completed batches, kept to reuse their memory.
    pub(super) buffers: Vec<(Vec<Box<Command>>, Vec<DecidedChanges>)>,
    /// Id of this writer and the number of its batches so far.
    name: String,
    count: i64,
}

impl Writer {
    pub(super) fn new(
        handle: Arc<EventHandle>,
        shard: Arc<Shard>,
        queue: mpsc::Receiver<WriterMessage>,
    ) -> Writer {
        Writer {
            handle,
            shard,
            queue,
            inbox: Vec::new(),
            cache: None,
            visitors: None,
            must_skip_versions: false,
            is_told_sold_out: None,
            in_flight: HashMap::new(),
            sends: JoinSet::new(),
            locked: HashSet::default(),
            buffers: Vec::new(),
            name: random_id("wri_"),
            count: 0,
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let mut waiting: Vec<Box<Command>> = Vec::new();
        // Whether all waiting requests must wait for a batch to complete before they can be
        // decided.
        let mut is_stuck = false;
        loop {
            if waiting.is_empty() || is_stuck || self.in_flight.len() >= self.in_flight_max() {
                // All arms are cancel-safe: a message stays in the queue, a batch in the set.
                tokio::select! {
                    () = self.handle.stop.cancelled() => return,
                    Some(completed) = self.sends.join_next_with_id() => {
                        is_stuck = false;
                        self.complete(completed, &mut waiting).await;
                    }
                    message = self.queue.recv(), if waiting.len() < BATCH_MAX => match message {
                        Some(message) => {
                            is_stuck = false;
                            self.take(message, &mut waiting).await;
                        }
                        None => return,
                    },
                }
            }
            self.take_all(&mut waiting).await;
            if !waiting.is_empty() && self.in_flight.len() < self.in_flight_max() {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                    self.take_all(&mut waiting).await;
                }
                let size = self.batch_size(waiting.len());
                let mut rest = waiting.split_off(size.min(waiting.len()));
                self.work(&mut waiting).await;
                // Deferred requests go to the end, so that they do not hold up the others.
                rest.append(&mut waiting);
                waiting = rest;
                is_stuck =
                    !waiting.is_empty() && waiting.iter().all(|command| self.is_locked(command));
            }
        }
    }

    /// Takes all messages from the queue.
    async fn take_all(&mut self, waiting: &mut Vec<Box<Command>>) {
        let mut messages = std::mem::take(&mut self.inbox);
        while waiting.len() < BATCH_MAX {
            let room = BATCH_MAX - waiting.len();
            let received = self.queue.recv_many(&mut messages, room).now_or_never();
            if received.unwrap_or(0) == 0 {
                break;
            }
            for message in messages.drain(..) {
                self.take(message, waiting).await;
            }
        }
        self.inbox = messages;
    }

    /// Returns the largest number of batches in flight. With other nodes there are enough in all,
    /// and fewer are larger.
    fn in_flight_max(&self) -> usize {
        match self.shard.peer().count {
            0 | 1 => IN_FLIGHT_MAX,
            _ => 1,
        }
    }

    /// Returns the size of the next batch. Batches are kept of equal size; otherwise all waiting
    /// requests would leave in one batch, return together, and wait for each other again.
    fn batch_size(&self, waiting: usize) -> usize {
        let in_flight: usize = self
            .in_flight
            .values()
            .map(|batch| batch.commands.len())
            .sum();
        let each = (waiting + in_flight).div_ceil(self.in_flight_max());
        each.max(BATCH_MIN)
    }

    async fn take(&mut self, message: WriterMessage, waiting: &mut Vec<Box<Command>>) {
        match message {
            WriterMessage::Command(command) => waiting.push(command),
            WriterMessage::Tick(done) => {
                self.tick(waiting).await;
                let _ = done.send(());
            }
            WriterMessage::Lapsed(limit, done) => {
                let _ = done.send(self.lapsed(limit));
            }
            WriterMessage::Reload(done) => {
                self.forget();
                let _ = done.send(self.ready(waiting).await);
            }
        }
    }

    /// Returns whether a request of the same visitor is in flight.
    fn is_locked(&self, command: &Command) -> bool {
        command
            .visitor
            .is_some_and(|visitor| self.locked.contains(&visitor))
    }

    fn lapsed(&mut self, limit: usize) -> Vec<i32> {
        let now = self.shard.clock.now();
        let event_state = self.cache.as_mut().map(|cache| &mut cache.event_state);
        let Some(event_state) = event_state.filter(|event_state| event_state.plan.is_some()) else {
            return Vec::new();
        };
        if !event_state.has_lapsed(now) {
            return Vec::new();
        }
        let lapsed = event_state.lapsed(now, limit).into_iter();
        lapsed.map(|seat| seat as i32).collect()
    }

    /// Loads the event if the state in memory may be wrong. Waits for batches in flight first, as
    /// the load would miss their changes.
    async fn ready(&mut self, waiting: &mut Vec<Box<Command>>) -> Result<(), Unavailable> {
        if self.handle.must_start_over.swap(false, Ordering::Relaxed) {
            (self.cache, self.visitors) = (None, None);
            self.must_skip_versions = true;
        }
        while self.cache.is_none() {
            while let Some(completed) = self.sends.join_next_with_id().await {
                self.complete(completed, waiting).await;
            }
            let cache = self.read().await;
            self.cache = Some(cache.map_err(|error| {
                error.log();
                Unavailable
            })?);
            // It is read anew, too: the database may have gone back.
            self.is_told_sold_out = None;
        }
        Ok(())
    }

    /// Loads an event without a plan again if another node has given it one since: the poll that
    /// tells is due once a second, and requests would be refused as if there were no event.
    async fn find_plan(&mut self, waiting: &mut Vec<Box<Command>>) -> Result<(), Unavailable> {
        let cache = self.cache.as_ref();
        let Some(cache) = cache.filter(|cache| cache.event_state.plan.is_none()) else {
            return Ok(());
        };
        if self.shard.config_of(&self.handle.event).await == cache.config {
            return Ok(());
        }
        self.forget();
        self.ready(waiting).await
    }

    async fn read(&mut self) -> Result<EventCache, QueryError> {
        if self.must_skip_versions {
            let shown = self.handle.version.load(Ordering::Relaxed);
            let event = &self.handle.event;
            self.shard.skip_versions(event, shown).await?;
            self.must_skip_versions = false;
        }
        let mut cache = EventCache::load(&self.shard, &self.handle).await?;
        let layout = cache.layout();
        let plan = layout.as_ref().map(|layout| &layout.plan);
        match self.visitors.take() {
            Some((visitors, known)) if known.as_ref().map(|known| &known.plan) == plan => {
                cache.event_state.visitors = visitors;
            }
            _ => cache.read_sessions(&self.shard).await?,
        }
        Ok(cache)
    }

    /// Discards the state of the event, which may be wrong, and keeps the visitor records.
    pub(super) fn forget(&mut self) {
        self.visitors = self
            .cache
            .take()
            .map(|cache| {
                let layout = cache.layout();
                (cache.event_state.visitors, layout)
            })
            .or(self.visitors.take());
    }

    async fn tick(&mut self, waiting: &mut Vec<Box<Command>>) {
        let is_dirty = self.handle.is_dirty.swap(false, Ordering::Relaxed);
        if self.ready(waiting).await.is_err() {
            return self.handle.is_dirty.store(is_dirty, Ordering::Relaxed);
        }
        let Some(cache) = &mut self.cache else { return };
        if is_dirty {
            match self.shard.publish(&self.handle.event).await {
                Ok(true) => {}
                // Another version was published just now: publish with the next tick.
                Ok(false) => self.handle.is_dirty.store(true, Ordering::Relaxed),
                Err(error) => {
                    error.log();
                    return self.handle.is_dirty.store(true, Ordering::Relaxed);
                }
            }
        }
        match cache.follow(&self.shard, &self.handle).await {
            Ok(true) => self.tell_sold_out().await,
            Ok(false) => {
                self.forget();
                let _ = self.ready(waiting).await;
            }
            Err(error) => error.log(),
        }
    }

    /// Decides the waiting requests and sends the batch. Requests to be decided again remain in
    /// `waiting`.
    async fn work(&mut self, waiting: &mut Vec<Box<Command>>) {
        let is_ready = match self.ready(waiting).await {
            Ok(()) => self.find_plan(waiting).await,
            Err(error) => Err(error),
        };
        if is_ready.is_err() {
            return refuse(waiting.drain(..));
        }
        // Under overload no work is done for those who have given up. None of these is in flight.
        waiting.retain(|command| !command.decision.is_abandoned());
        let Ok(loaded) = self.load(waiting).await else {
            return;
        };
        let (mut commands, mut contents) = self.buffers.pop().unwrap_or_default();
        self.decide(waiting, &loaded, (&mut commands, &mut contents));
        if !commands.is_empty() {
            let metrics = &writers::INVENTORY;
            metrics.batch_requests.observe(commands.len() as f64);
            let visitors = contents
                .iter()
                .filter_map(|content| content.records.visitor);
            let visitors = visitors.collect();
            let is_free = |at: &usize| self.in_flight.values().all(|batch| batch.connection != *at);
            let connection = (0..IN_FLIGHT_MAX).find(is_free).unwrap_or(0);
            let config = self.cache.as_ref().map_or(0, |cache| cache.config);
            let header = self.header(config);
            let (shard, handle) = (self.shard.clone(), self.handle.clone());
            let mut spans = spans(&commands, "select fairline.apply");
            // A task of its own: the next batch is decided meanwhile, and a batch that is
            // connecting, for which other users of its connection wait, continues whatever the
            // writer waits for.
            let sending = self.sends.spawn(async move {
                let begun = Instant::now();
                let sent = send((&shard, connection), &handle, &contents, &header).await;
                if sent.is_err() {
                    spans.iter_mut().for_each(|span| span.fail("unanswered"));
                }
                drop(spans);
                let flight = begun.elapsed().as_secs_f64();
                metrics.flight_seconds.observe(flight);
                (contents, sent)
            });
            let batch = InFlight {
                commands,
                visitors,
                config,
                connection,
            };
            self.in_flight.insert(sending.id(), batch);
        }
    }

    /// Builds the header of the next batch. While other nodes sell too, it asks for the entries
    /// they wrote.
    pub(super) fn header(&mut self, config: i64) -> Header {
        self.count += 1;
        let is_alone = self.shard.peer().is_alone();
        let cache = self.cache.as_ref().filter(|_| !is_alone);
        let (known, have) = cache.map(EventCache::known).unzip();
        Header {
            config,
            node: self.name.clone(),
            number: self.count,
            known,
            have: have.unwrap_or_default(),
        }
    }

    /// Loads the records that are missing or outdated in memory.
    async fn load(&mut self, commands: &mut Vec<Box<Command>>) -> Result<Loaded, ()> {
        let cache = self.cache.as_ref().expect("`load` runs after `ready`");
        let mut wanted = Wanted::default();
        let mut is_wanted = false;
        for command in &mut *commands {
            command.visitor = command
                .visitor
                .or_else(|| command.target.visitor(&cache.event_state.visitors));
            // Changes in flight are not in the store yet.
            if command
                .visitor
                .is_some_and(|visitor| self.locked.contains(&visitor))
            {
                continue;
            }
            command.must_load |= !cache.knows(&command.target, command.visitor);
            if command.must_load {
                wanted.add(command);
                is_wanted = true;
            }
        }
        if !is_wanted {
            return Ok(Loaded::default());
        }
        let about = (&self.handle.event, cache.event_state.plan.as_ref());
        let _spans = spans(commands, "select records");
        match load(&self.shard, about, wanted).await {
            // Another node changed the plan: they name seats by their places in the new one.
            Ok(loaded) if loaded.plan_version != cache.plan_version() => {
                self.forget();
                Err(())
            }
            Ok(mut loaded) => {
                let cache = self.cache.as_mut().expect("`load` runs after `ready`");
                for records in std::mem::take(&mut loaded.visitors).into_values() {
                    cache.event_state.visitors.put(records);
                }
                Ok(loaded)
            }
            Err(error) => {
                error.log();
                refuse(commands.drain(..));
                Err(())
            }
        }
    }

    /// Decides in memory. A batch has at most one request per visitor and never the same seat
    /// twice: a request that would touch the same rows again waits for the next batch.
    fn decide(
        &mut self,
        commands: &mut Vec<Box<Command>>,
        loaded: &Loaded,
        (decided, contents): (&mut Vec<Box<Command>>, &mut Vec<DecidedChanges>),
    ) {
        let mut later = Vec::new();
        // Visitors whose records were dropped with a decision: whoever comes next would find none.
        let mut dropped: HashSet<VisitorId, RandomState> = HashSet::default();
        let mut seats: HashSet<u32, RandomState> = HashSet::default();
        let cache = self.cache.as_mut().expect("`decide` runs after `ready`");
        let now = self.shard.clock.now();
        cache.event_state.peer = self.shard.peer();
        for mut command in commands.drain(..) {
            let visitor = command
                .visitor
                .or_else(|| command.target.visitor(&cache.event_state.visitors));
            command.visitor = visitor;
            let must_wait = |visitor| self.locked.contains(visitor) || dropped.contains(visitor);
            if visitor.as_ref().is_some_and(must_wait) {
                later.push(command);
                continue;
            }
            let (decision, content) = decide_one(cache, &mut command, loaded, now);
            let DecidedChanges { records, changes } = content;
            match decision {
                // The store does not check rows without changes, so this decision needs records
                // that were just loaded.
                Decision::Granted if changes.is_empty() && !command.must_load => {
                    dropped.extend(visitor);
                    command.must_load = true;
                    later.push(command);
                }
                Decision::Granted if changes.is_empty() => {
                    cache.event_state.freeze(&changes.frozen);
                    cache.event_state.visitors.put(records);
                    command.decision.answer(Ok(()));
                }
                // The decision assumes a change that is not committed yet: decide again later.
                Decision::Granted
                    if changes
                        .seats
                        .iter()
                        .any(|change| seats.contains(&change.seat)) =>
                {
                    dropped.extend(visitor);
                    later.push(command);
                }
                Decision::Granted => {
                    self.locked.extend(records.visitor);
                    seats.extend(changes.seats.iter().map(|change| change.seat));
                    cache.send(&changes);
                    decided.push(command);
                    contents.push(DecidedChanges { records, changes });
                }
                // Records in memory can only be outdated: a refusal is decided again on loaded
                // records, unless it concerns seats, which are kept current.
                Decision::Refused
                    if command.must_load
                        || (command.attempt.is_none()
                            && command.decision.is_refused_for_seats()) =>
                {
                    cache.event_state.visitors.put(records);
                    command.decision.answer(Ok(()));
                }
                Decision::Refused => {
                    dropped.extend(visitor);
                    command.must_load = true;
                    later.push(command);
                }
            }
        }
        commands.append(&mut later);
    }
}
