//! The writer of one event: takes what queued while the last commit ran, decides it in memory, writes it with one statement.
//! It is a task of its own, so that a browser that hangs up leaves nothing half done.

use super::completion::Outcome;
use super::connection::Failed;
use super::event_cache::EventCache;
use super::queue::{Decision, Job, Message, refuse};
use super::read::{Loaded, Wanted, load};
use super::write::{Header, send};
use super::{EventHandle, Shard};
use crate::inventory::commands::{Target, UnitOfWork};
use crate::inventory::event_state::VisitorCache;
use crate::inventory::records::{ChangeSet, VisitorRecords};
use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use shared::crypto::random_id;
use shared::group_commit::{BATCH_MAX, Unavailable};
use shared::ids::VisitorId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

/// Batches on their way at one time, each by a connection of its own: one is decided and written while another waits for its
/// commit. More are smaller, and cost more each.
pub(super) const FLIGHTS_MAX: usize = 2;
/// Before a batch leaves, whoever is about to ask goes along: this often, other tasks that can run come first. It costs no
/// time when there are none.
const YIELDS: usize = 3;
/// A batch takes at least so many, though the next is empty then.
const SHARE_MIN: usize = 8;

/// What a request changes, and all that its visitor has then; boxed, as it is moved about.
pub(super) struct Content {
    pub(super) visit: Box<VisitorRecords>,
    pub(super) changes: Box<ChangeSet>,
}

/// A batch on its way.
pub(super) struct InFlight {
    pub(super) jobs: Vec<Box<Job>>,
    pub(super) visitors: Vec<VisitorId>,
    /// Which of the event's connections it has.
    turn: usize,
}

/// The writer.
pub(super) struct Writer {
    pub(super) handle: Arc<EventHandle>,
    pub(super) shard: Arc<Shard>,
    pub(super) queue: mpsc::Receiver<Message>,
    /// Messages that were just taken from it: memory that is used again.
    inbox: Vec<Message>,
    /// None while what is in memory may be wrong.
    pub(super) cache: Option<EventCache>,
    /// What is known of visitors meanwhile: it can only be too old. None at first.
    visits: Option<VisitorCache>,
    /// Batches on their way; visitors of theirs are not decided about meanwhile.
    pub(super) flights: HashMap<Id, InFlight>,
    landing: JoinSet<(Vec<Content>, Outcome)>,
    pub(super) busy: HashSet<VisitorId, RandomState>,
    /// The lists of batches that landed, empty: memory that is used again.
    pub(super) spare: Vec<(Vec<Box<Job>>, Vec<Content>)>,
    /// What this writer is called, and how many batches it made.
    name: String,
    count: i64,
}

impl Writer {
    pub(super) fn new(
        handle: Arc<EventHandle>,
        shard: Arc<Shard>,
        queue: mpsc::Receiver<Message>,
    ) -> Writer {
        Writer {
            handle,
            shard,
            queue,
            inbox: Vec::new(),
            cache: None,
            visits: None,
            flights: HashMap::new(),
            landing: JoinSet::new(),
            busy: HashSet::default(),
            spare: Vec::new(),
            name: random_id("wri_"),
            count: 0,
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let mut waiting: Vec<Box<Job>> = Vec::new();
        // Whether it is worth while to decide before something lands.
        let mut is_stuck = false;
        loop {
            if waiting.is_empty() || is_stuck || self.flights.len() >= self.flights_max() {
                // Dropped arms lose nothing: a message stays in the queue, a flight in the set.
                tokio::select! {
                    () = self.handle.stop.cancelled() => return,
                    Some(landed) = self.landing.join_next_with_id() => {
                        is_stuck = false;
                        self.land(landed, &mut waiting).await;
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
            if !waiting.is_empty() && self.flights.len() < self.flights_max() {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                    self.take_all(&mut waiting).await;
                }
                let share = self.share(waiting.len());
                let mut rest = waiting.split_off(share.min(waiting.len()));
                self.work(&mut waiting).await;
                // What has to wait goes last, so that it keeps nobody from going.
                rest.append(&mut waiting);
                waiting = rest;
                is_stuck = !waiting.is_empty() && waiting.iter().all(|job| self.is_busy(job));
            }
        }
    }

    /// Takes what is in the queue.
    async fn take_all(&mut self, waiting: &mut Vec<Box<Job>>) {
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

    /// With other nodes there are flights enough, and fewer are fuller.
    fn flights_max(&self) -> usize {
        match self.shard.share().1 {
            0 | 1 => FLIGHTS_MAX,
            _ => 1,
        }
    }

    /// How many go now. Flights are of a size: else all who wait would go with one, be back together, and wait for each other
    /// again.
    fn share(&self, waiting: usize) -> usize {
        let flying: usize = self.flights.values().map(|flight| flight.jobs.len()).sum();
        let each = (waiting + flying).div_ceil(self.flights_max());
        each.max(SHARE_MIN)
    }

    async fn take(&mut self, message: Message, waiting: &mut Vec<Box<Job>>) {
        match message {
            Message::Job(job) => waiting.push(job),
            Message::Tick(done) => {
                self.tick(waiting).await;
                let _ = done.send(());
            }
            Message::Lapsed(limit, done) => {
                let _ = done.send(self.lapsed(limit));
            }
            Message::Reload(done) => {
                self.forget();
                let _ = done.send(self.ready(waiting).await);
            }
        }
    }

    /// Whether something of the same visitor is on its way.
    fn is_busy(&self, job: &Job) -> bool {
        job.visitor
            .is_some_and(|visitor| self.busy.contains(&visitor))
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

    /// Reads the event if what is in memory may be wrong; not while something is on its way, which would be missed.
    async fn ready(&mut self, waiting: &mut Vec<Box<Job>>) -> Result<(), Unavailable> {
        while self.cache.is_none() {
            while let Some(landed) = self.landing.join_next_with_id().await {
                self.land(landed, waiting).await;
            }
            let cache = self.read().await;
            self.cache = Some(cache.map_err(|failed| {
                log(&failed);
                Unavailable
            })?);
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<EventCache, Failed> {
        let mut cache = EventCache::load(&self.shard, &self.handle).await?;
        match self.visits.take() {
            Some(visits) => cache.event_state.visits = visits,
            None => cache.read_sessions(&self.shard).await?,
        }
        Ok(cache)
    }

    /// What is in memory of the event may be wrong.
    pub(super) fn forget(&mut self) {
        self.visits = self
            .cache
            .take()
            .map(|cache| cache.event_state.visits)
            .or(self.visits.take());
    }

    async fn tick(&mut self, waiting: &mut Vec<Box<Job>>) {
        let is_dirty = self.handle.is_dirty.swap(false, Ordering::Relaxed);
        if self.ready(waiting).await.is_err() {
            return self.handle.is_dirty.store(is_dirty, Ordering::Relaxed);
        }
        let Some(cache) = &mut self.cache else { return };
        if is_dirty {
            match self.shard.publish(&self.handle.event).await {
                Ok(true) => {}
                // Shown a moment ago: with the next tick.
                Ok(false) => self.handle.is_dirty.store(true, Ordering::Relaxed),
                Err(failed) => {
                    log(&failed);
                    return self.handle.is_dirty.store(true, Ordering::Relaxed);
                }
            }
        }
        match cache.follow(&self.shard, &self.handle).await {
            Ok(true) => {}
            Ok(false) => {
                self.forget();
                let _ = self.ready(waiting).await;
            }
            Err(failed) => log(&failed),
        }
    }

    /// Decides what waits and sends it off. What has to be decided again goes on waiting.
    async fn work(&mut self, waiting: &mut Vec<Box<Job>>) {
        if self.ready(waiting).await.is_err() {
            return refuse(waiting.drain(..));
        }
        let Ok(loaded) = self.load(waiting).await else {
            return;
        };
        let (mut jobs, mut contents) = self.spare.pop().unwrap_or_default();
        self.decide(waiting, &loaded, (&mut jobs, &mut contents));
        if !jobs.is_empty() {
            metrics::histogram!("fairline_batch_requests").record(jobs.len() as f64);
            let visitors = contents.iter().filter_map(|content| content.visit.visitor);
            let visitors = visitors.collect();
            let is_free = |turn: &usize| self.flights.values().all(|flight| flight.turn != *turn);
            let turn = (0..FLIGHTS_MAX).find(is_free).unwrap_or(0);
            let header = self.header(self.cache.as_ref().map_or(0, |cache| cache.config));
            let (shard, handle) = (self.shard.clone(), self.handle.clone());
            // A task of its own: the next batch is decided meanwhile, and one that connects, which others of its link wait for,
            // goes on whatever the writer waits for.
            let landing = self.landing.spawn(async move {
                let sent = send((&shard, turn), &handle, &contents, &header).await;
                (contents, sent)
            });
            let flight = InFlight {
                jobs,
                visitors,
                turn,
            };
            self.flights.insert(landing.id(), flight);
        }
    }

    /// The next batch's name, and what it is decided on. Other nodes sell too: what they wrote comes with the answer.
    pub(super) fn header(&mut self, config: i64) -> Header {
        self.count += 1;
        let is_alone = self.shard.share().1 <= 1;
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

    /// Reads what is not known well enough.
    async fn load(&mut self, jobs: &mut Vec<Box<Job>>) -> Result<Loaded, ()> {
        let cache = self.cache.as_ref().expect("it was made ready");
        let mut wanted = Wanted::default();
        let mut is_wanted = false;
        for job in &mut *jobs {
            job.visitor = job.visitor.or_else(|| cache.visitor(&job.ask.whose));
            // What is on its way is not in the store yet.
            if job
                .visitor
                .is_some_and(|visitor| self.busy.contains(&visitor))
            {
                continue;
            }
            job.must_load |= !cache.knows(&job.ask.whose, job.visitor);
            if job.must_load {
                wanted.add(&job.ask);
                is_wanted = true;
            }
        }
        if !is_wanted {
            return Ok(Loaded::default());
        }
        let about = (&self.handle.event, cache.event_state.plan.as_ref());
        match load(self.shard.reader(), about, wanted).await {
            Ok(mut loaded) => {
                let cache = self.cache.as_mut().expect("it was made ready");
                for visit in std::mem::take(&mut loaded.visits).into_values() {
                    cache.event_state.visits.put(visit);
                }
                Ok(loaded)
            }
            Err(failed) => {
                log(&failed);
                refuse(jobs.drain(..));
                Err(())
            }
        }
    }

    /// Decides in memory. One request a visitor and batch, and no seat twice: what would touch the same rows again waits for
    /// the next.
    fn decide(
        &mut self,
        jobs: &mut Vec<Box<Job>>,
        loaded: &Loaded,
        (decided, contents): (&mut Vec<Box<Job>>, &mut Vec<Content>),
    ) {
        let mut later = Vec::new();
        let mut seats: HashSet<u32, RandomState> = HashSet::default();
        let cache = self.cache.as_mut().expect("it was made ready");
        let now = self.shard.clock.now();
        cache.event_state.share = self.shard.share();
        for mut job in jobs.drain(..) {
            let visitor = job.visitor.or_else(|| cache.visitor(&job.ask.whose));
            job.visitor = visitor;
            if visitor.is_some_and(|visitor| self.busy.contains(&visitor)) {
                later.push(job);
                continue;
            }
            let known = visitor.and_then(|visitor| cache.event_state.visits.take(visitor));
            let visit = known
                .unwrap_or_else(|| Box::new(visitor.map(VisitorRecords::of).unwrap_or_default()));
            let mut work = UnitOfWork::new(&mut cache.event_state, visit, now);
            if let Target::Newcomer(_, jti) = &job.ask.whose {
                work.opened = loaded.opened.get(jti).cloned();
            }
            let answer = job
                .ask
                .attempt
                .as_ref()
                .and_then(|id| loaded.answers.get(id));
            work.answer = answer.cloned();
            let ruling = job.step.decide(&mut work);
            let (visit, changes) = (work.visit, work.changes);
            match ruling {
                // Rows that are not changed are not looked at in the store.
                Decision::Decided if changes.is_empty() && !job.must_load => {
                    job.must_load = true;
                    later.push(job);
                }
                Decision::Decided if changes.is_empty() => {
                    cache.event_state.freeze(&changes.frozen);
                    cache.event_state.visits.put(visit);
                    job.step.answer(Ok(()));
                }
                // What it would be then is not so yet: read again.
                Decision::Decided
                    if changes
                        .seats
                        .iter()
                        .any(|change| seats.contains(&change.seat)) =>
                {
                    later.push(job);
                }
                Decision::Decided => {
                    self.busy.extend(visit.visitor);
                    seats.extend(changes.seats.iter().map(|change| change.seat));
                    cache.send(&changes);
                    decided.push(job);
                    contents.push(Content { visit, changes });
                }
                // What is in memory can only be too old: a refusal is looked at again in the store, unless it is about
                // seats, which are kept current.
                Decision::Refused
                    if job.must_load
                        || (job.ask.attempt.is_none() && job.step.is_about_seats()) =>
                {
                    cache.event_state.visits.put(visit);
                    job.step.answer(Ok(()));
                }
                Decision::Refused => {
                    job.must_load = true;
                    later.push(job);
                }
            }
        }
        jobs.append(&mut later);
    }
}

pub(super) fn log(failed: &Failed) {
    if let Failed::Refused(error) = failed {
        tracing::error!(error, "the database refused a statement");
    }
}
