//! The writer of one event: takes what queued while the last commit ran, decides it in memory, writes it with one statement.
//! It is a task of its own, so that a browser that hangs up leaves nothing half done.

use super::apply::{Applied, Batch};
use super::house::Hall;
use super::link::Failed;
use super::load::{Loaded, Wanted, load};
use super::{Desk, Shard};
use crate::inventory::desk::{Whose, Work};
use crate::inventory::rows::{Changes, Visit};
use crate::inventory::steps::Ask;
use crate::inventory::words::*;
use shared::combine::{BATCH_MAX, Unavailable};
use shared::secret::random_id;
use shared::words::VisitorId;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A request that other nodes were faster than so many times is given up.
const TRIES_MAX: u8 = 10;
/// Batches on their way at one time: the database works on one while the next is decided.
const FLIGHTS_MAX: usize = 2;
/// A batch of which nobody knows whether it happened is sent again for this long.
const RESEND: Duration = Duration::from_secs(4);

/// What a writer is asked.
pub(super) enum Message {
    /// A decision.
    Job(Job),
    /// Show what was committed, and take what others did.
    Tick(oneshot::Sender<()>),
    /// Seats whose time is over, at most so many.
    Lapsed(usize, oneshot::Sender<Vec<i32>>),
    /// The plan or the rules were changed: read them.
    Reload(oneshot::Sender<Result<(), Unavailable>>),
}

/// A request on its way.
pub(super) struct Job {
    pub(super) ask: Ask,
    pub(super) step: Box<dyn Step>,
    /// Its rows must be read before it is decided.
    pub(super) must_load: bool,
    pub(super) tries: u8,
}

/// What came of a decision.
pub(super) enum Ruling {
    Decided,
    Refused,
}

/// A decision with the one who waits for it.
pub(super) trait Step: Send {
    /// Decides, and keeps what it would answer.
    fn decide(&mut self, work: &mut Work<'_>) -> Ruling;
    /// Whether it was refused for seats that are in memory.
    fn is_about_seats(&self) -> bool;
    /// Answers what was decided, or that the store cannot be reached.
    fn answer(self: Box<Self>, outcome: Result<(), Unavailable>);
}

/// The only `Step`.
pub(super) struct Asked<T, F> {
    pub(super) decide: F,
    pub(super) decided: Option<Result<T, Refused>>,
    pub(super) reply: oneshot::Sender<Result<T, Refused>>,
}

impl<T, F> Step for Asked<T, F>
where
    T: Send,
    F: FnMut(&mut Work<'_>) -> Result<T, Refused> + Send,
{
    fn decide(&mut self, work: &mut Work<'_>) -> Ruling {
        let decided = (self.decide)(work);
        let ruling = match &decided {
            Ok(_) => Ruling::Decided,
            Err(_) => Ruling::Refused,
        };
        self.decided = Some(decided);
        ruling
    }

    fn is_about_seats(&self) -> bool {
        matches!(
            self.decided,
            Some(Err(Refused::SeatsTaken(_)
                | Refused::NotEnoughSeats
                | Refused::LeavesSingle(_)
                | Refused::UnknownSeats(_)
                | Refused::Invalid(_)))
        )
    }

    fn answer(self: Box<Self>, outcome: Result<(), Unavailable>) {
        let decided = match (outcome, self.decided) {
            (Ok(()), Some(decided)) => decided,
            _ => Err(Unavailable.into()),
        };
        let _ = self.reply.send(decided);
    }
}

/// What a request changes, and all that its visitor has then.
pub(super) struct Content {
    pub(super) visit: Visit,
    pub(super) changes: Changes,
}

/// A batch on its way.
struct Flight {
    jobs: Vec<Job>,
    landing: JoinHandle<(Vec<Content>, Outcome)>,
}

/// The writer.
pub(super) struct Writer {
    pub(super) desk: Arc<Desk>,
    pub(super) shard: Arc<Shard>,
    pub(super) queue: mpsc::Receiver<Message>,
    /// None while what is in memory may be wrong.
    pub(super) hall: Option<Hall>,
    /// Batches on their way, in their order; visitors of theirs are not decided about meanwhile.
    flights: VecDeque<Flight>,
    busy: HashSet<VisitorId>,
}

impl Writer {
    pub(super) fn new(
        desk: Arc<Desk>,
        shard: Arc<Shard>,
        queue: mpsc::Receiver<Message>,
    ) -> Writer {
        Writer {
            desk,
            shard,
            queue,
            hall: None,
            flights: VecDeque::new(),
            busy: HashSet::new(),
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let mut waiting: Vec<Job> = Vec::new();
        // Whether it is worth while to decide before something lands.
        let mut is_stuck = false;
        loop {
            if waiting.is_empty() || is_stuck || self.flights.len() == FLIGHTS_MAX {
                // Dropped arms lose nothing: a message stays in the queue, a flight in the list.
                tokio::select! {
                    () = self.desk.stop.cancelled() => return,
                    landed = landing(&mut self.flights) => {
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
            while waiting.len() < BATCH_MAX {
                let Ok(message) = self.queue.try_recv() else {
                    break;
                };
                self.take(message, &mut waiting).await;
            }
            if !waiting.is_empty() && self.flights.len() < FLIGHTS_MAX {
                waiting = self.work(waiting).await;
                is_stuck = !waiting.is_empty() && waiting.iter().all(|job| self.is_busy(job));
            }
        }
    }

    async fn take(&mut self, message: Message, waiting: &mut Vec<Job>) {
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
                self.hall = None;
                let _ = done.send(self.ready(waiting).await);
            }
        }
    }

    /// Whether something of the same visitor is on its way.
    fn is_busy(&self, job: &Job) -> bool {
        let hall = self.hall.as_ref();
        let visitor = hall.and_then(|hall| hall.visitor(&job.ask.whose));
        visitor.is_some_and(|visitor| self.busy.contains(&visitor))
    }

    fn lapsed(&mut self, limit: usize) -> Vec<i32> {
        let now = self.shard.clock.now();
        let house = self.hall.as_mut().map(|hall| &mut hall.house);
        let Some(house) = house.filter(|house| house.plan.is_some()) else {
            return Vec::new();
        };
        if !house.has_lapsed(now) {
            return Vec::new();
        }
        let lapsed = house.lapsed(now, limit).into_iter();
        lapsed.map(|seat| seat as i32).collect()
    }

    /// Reads the event if what is in memory may be wrong; not while something is on its way, which would be missed.
    async fn ready(&mut self, waiting: &mut Vec<Job>) -> Result<(), Unavailable> {
        while self.hall.is_none() {
            while !self.flights.is_empty() {
                let landed = landing(&mut self.flights).await;
                self.land(landed, waiting).await;
            }
            let hall = Hall::load(&self.shard, &self.desk).await;
            self.hall = Some(hall.map_err(|failed| {
                log(&failed);
                Unavailable
            })?);
        }
        Ok(())
    }

    async fn tick(&mut self, waiting: &mut Vec<Job>) {
        let is_dirty = self.desk.is_dirty.swap(false, Ordering::Relaxed);
        if self.ready(waiting).await.is_err() {
            return self.desk.is_dirty.store(is_dirty, Ordering::Relaxed);
        }
        let Some(hall) = &mut self.hall else { return };
        if is_dirty {
            match self.shard.publish(&self.desk.event).await {
                Ok(true) => {}
                // Shown a moment ago: with the next tick.
                Ok(false) => self.desk.is_dirty.store(true, Ordering::Relaxed),
                Err(failed) => {
                    log(&failed);
                    return self.desk.is_dirty.store(true, Ordering::Relaxed);
                }
            }
        }
        match hall.follow(&self.shard, &self.desk).await {
            Ok(true) => {}
            Ok(false) => {
                self.hall = None;
                let _ = self.ready(waiting).await;
            }
            Err(failed) => log(&failed),
        }
    }

    /// Decides what waits and sends it off. Answers what has to be decided again.
    async fn work(&mut self, mut jobs: Vec<Job>) -> Vec<Job> {
        if self.ready(&mut jobs).await.is_err() {
            refuse(jobs);
            return Vec::new();
        }
        let Ok((jobs, loaded)) = self.load(jobs).await else {
            return Vec::new();
        };
        let (jobs, contents, later) = self.decide(jobs, &loaded);
        if !jobs.is_empty() {
            metrics::histogram!("fairline_batch_requests").record(jobs.len() as f64);
            let config = self.hall.as_ref().map_or(0, |hall| hall.config);
            let (shard, desk) = (self.shard.clone(), self.desk.clone());
            // A task of its own: the next batch is decided meanwhile.
            let landing = tokio::spawn(async move {
                let sent = send(&shard, &desk, &contents, config).await;
                (contents, sent)
            });
            self.flights.push_back(Flight { jobs, landing });
        }
        later
    }

    /// Reads what is not known well enough.
    async fn load(&mut self, mut jobs: Vec<Job>) -> Result<(Vec<Job>, Loaded), ()> {
        let hall = self.hall.as_ref().expect("it was made ready");
        let mut wanted = Wanted::default();
        let mut is_wanted = false;
        for job in &mut jobs {
            let visitor = hall.visitor(&job.ask.whose);
            // What is on its way is not in the store yet.
            if visitor.is_some_and(|visitor| self.busy.contains(&visitor)) {
                continue;
            }
            job.must_load |= !hall.knows(&job.ask.whose);
            if job.must_load {
                wanted.add(&job.ask);
                is_wanted = true;
            }
        }
        if !is_wanted {
            return Ok((jobs, Loaded::default()));
        }
        match load(self.shard.reader(), &self.desk.event, wanted).await {
            Ok(mut loaded) => {
                let hall = self.hall.as_mut().expect("it was made ready");
                for visit in std::mem::take(&mut loaded.visits).into_values() {
                    hall.house.visits.put(visit);
                }
                Ok((jobs, loaded))
            }
            Err(failed) => {
                log(&failed);
                refuse(jobs);
                Err(())
            }
        }
    }

    /// Decides in memory. One request a visitor and batch, and no seat twice: what would touch the same rows again waits for
    /// the next.
    fn decide(&mut self, jobs: Vec<Job>, loaded: &Loaded) -> (Vec<Job>, Vec<Content>, Vec<Job>) {
        let (mut decided, mut contents, mut later) = (Vec::new(), Vec::new(), Vec::new());
        let mut seats: HashSet<u32> = HashSet::new();
        let hall = self.hall.as_mut().expect("it was made ready");
        let now = self.shard.clock.now();
        hall.house.share = self.shard.share();
        for mut job in jobs {
            let visitor = hall.visitor(&job.ask.whose);
            if visitor.is_some_and(|visitor| self.busy.contains(&visitor)) {
                later.push(job);
                continue;
            }
            let known = visitor.and_then(|visitor| hall.house.visits.take(visitor));
            let visit = known.unwrap_or_else(|| visitor.map(Visit::of).unwrap_or_default());
            let mut work = Work::new(&mut hall.house, visit, now);
            if let Whose::Newcomer(_, jti) = &job.ask.whose {
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
                Ruling::Decided if changes.is_empty() && !job.must_load => {
                    job.must_load = true;
                    later.push(job);
                }
                Ruling::Decided if changes.is_empty() => {
                    hall.house.freeze(&changes.frozen);
                    hall.house.visits.put(visit);
                    job.step.answer(Ok(()));
                }
                // What it would be then is not so yet: read again.
                Ruling::Decided
                    if changes
                        .seats
                        .iter()
                        .any(|change| seats.contains(&change.seat)) =>
                {
                    later.push(job);
                }
                Ruling::Decided => {
                    self.busy.extend(visit.visitor);
                    seats.extend(changes.seats.iter().map(|change| change.seat));
                    hall.house.take(&changes.seats);
                    decided.push(job);
                    contents.push(Content { visit, changes });
                }
                // What is in memory can only be too old: a refusal is looked at again in the store, unless it is about
                // seats, which are kept current.
                Ruling::Refused
                    if job.must_load
                        || (job.ask.attempt.is_none() && job.step.is_about_seats()) =>
                {
                    hall.house.visits.put(visit);
                    job.step.answer(Ok(()));
                }
                Ruling::Refused => {
                    job.must_load = true;
                    later.push(job);
                }
            }
        }
        (decided, contents, later)
    }

    /// A batch has landed: answers those who were in it, and keeps those who were refused by the store to be decided again.
    async fn land(&mut self, landed: Landed, waiting: &mut Vec<Job>) {
        let (jobs, contents, outcome) = landed;
        for content in &contents {
            if let Some(visitor) = content.visit.visitor {
                self.busy.remove(&visitor);
            }
        }
        match outcome {
            Ok(Some(applied)) => self.settle(jobs, contents, &applied, waiting).await,
            Ok(None) => {
                // Another plan or other rules: everything is decided anew on those.
                self.hall = None;
                waiting.extend(jobs.into_iter().filter_map(again));
            }
            Err(Failed::Away) => {
                self.hall = None;
                refuse(jobs);
            }
            Err(failed) => {
                log(&failed);
                self.hall = None;
                if jobs.len() == 1 {
                    return refuse(jobs);
                }
                // One of them cannot be written: each is tried by itself, so that only that one is refused.
                let config = self.shard.config_of(&self.desk).await;
                for (job, content) in jobs.into_iter().zip(contents) {
                    let one = [content];
                    let sent = send(&self.shard, &self.desk, &one, config).await;
                    match sent {
                        Ok(Some(applied)) if applied.refused.is_empty() => job.step.answer(Ok(())),
                        Ok(_) => waiting.extend(again(job)),
                        Err(failed) => {
                            log(&failed);
                            refuse([job]);
                        }
                    }
                }
            }
        }
    }

    /// Other nodes sell too: what they took is known before the next batch is decided.
    async fn catch_up(&mut self) {
        let Some(hall) = &mut self.hall else { return };
        if let Err(failed) = hall.catch_up(&self.shard, &self.desk).await {
            log(&failed);
            self.hall = None;
        }
    }

    async fn settle(
        &mut self,
        jobs: Vec<Job>,
        contents: Vec<Content>,
        applied: &Applied,
        waiting: &mut Vec<Job>,
    ) {
        self.shard.clock.hear(applied.now);
        self.desk.is_dirty.store(true, Ordering::Relaxed);
        let mut refused: Vec<i32> = Vec::new();
        for (at, (job, content)) in jobs.into_iter().zip(contents).enumerate() {
            if applied.refused.contains(&(at as i32)) {
                let seats = content.changes.seats.iter();
                refused.extend(seats.map(|change| change.seat as i32));
                waiting.extend(again(job));
                continue;
            }
            if let Some(hall) = &mut self.hall {
                hall.committed(&content.changes, applied.seq);
                hall.house.visits.put(content.visit);
            }
            job.step.answer(Ok(()));
        }
        let follows = self
            .hall
            .as_mut()
            .is_none_or(|hall| hall.follows(applied.seq));
        if !follows {
            self.catch_up().await;
        }
        if applied.refused.is_empty() {
            return;
        }
        metrics::counter!("fairline_batch_collisions_total")
            .increment(applied.refused.len() as u64);
        if let Some(hall) = &mut self.hall {
            let read = hall.read_seats(&self.shard, &self.desk.event, &refused);
            if read.await.is_err() {
                self.hall = None;
            }
        }
    }
}

/// None when the event's plan or rules were others by then.
type Outcome = Result<Option<Applied>, Failed>;
type Landed = (Vec<Job>, Vec<Content>, Outcome);

/// The next batch that lands; never, if none is on its way.
async fn landing(flights: &mut VecDeque<Flight>) -> Landed {
    let Some(first) = flights.front_mut() else {
        return std::future::pending().await;
    };
    let landed = (&mut first.landing).await;
    let flight = flights.pop_front().expect("it was at the front");
    match landed {
        Ok((contents, outcome)) => (flight.jobs, contents, outcome),
        // It panicked: whether it happened nobody knows.
        Err(_) => (flight.jobs, Vec::new(), Err(Failed::Away)),
    }
}

/// Sends a batch. When nobody answers it is sent again under the same name, so that it happens once.
async fn send(
    shard: &Shard,
    desk: &Desk,
    contents: &[Content],
    config: i64,
) -> Result<Option<Applied>, Failed> {
    let batch = Batch::of(contents);
    let id = random_id("bat_");
    let begun = Instant::now();
    let mut is_again = false;
    loop {
        let link = shard.writer(&desk.event);
        let sent = batch.send(link, &desk.event, (config, &id, is_again)).await;
        match sent {
            Err(Failed::Away) if begun.elapsed() < RESEND => {
                is_again = true;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            sent => return sent,
        }
    }
}

/// A job to be decided again; none when it was too often.
fn again(mut job: Job) -> Option<Job> {
    job.tries += 1;
    job.must_load = true;
    if job.tries > TRIES_MAX {
        refuse([job]);
        return None;
    }
    Some(job)
}

fn refuse(jobs: impl IntoIterator<Item = Job>) {
    for job in jobs {
        job.step.answer(Err(Unavailable));
    }
}

fn log(failed: &Failed) {
    if let Failed::Refused(error) = failed {
        tracing::error!(error, "the database refused a statement");
    }
}
