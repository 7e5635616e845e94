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
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// A request that other nodes were faster than so many times is given up.
const TRIES_MAX: u8 = 10;
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

/// A decided request that waits for its batch.
struct Item {
    job: Job,
    visit: Visit,
    changes: Changes,
}

/// The writer.
pub(super) struct Writer {
    pub(super) desk: Arc<Desk>,
    pub(super) shard: Arc<Shard>,
    pub(super) queue: mpsc::Receiver<Message>,
    /// None while what is in memory may be wrong.
    pub(super) hall: Option<Hall>,
}

impl Writer {
    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let mut waiting: Vec<Job> = Vec::new();
        loop {
            if waiting.is_empty() {
                // A message that is not taken stays in the queue.
                tokio::select! {
                    () = self.desk.stop.cancelled() => return,
                    message = self.queue.recv() => match message {
                        Some(message) => self.take(message, &mut waiting).await,
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
            if !waiting.is_empty() {
                waiting = self.work(waiting).await;
            }
        }
    }

    async fn take(&mut self, message: Message, waiting: &mut Vec<Job>) {
        match message {
            Message::Job(job) => waiting.push(job),
            Message::Tick(done) => {
                self.tick().await;
                let _ = done.send(());
            }
            Message::Lapsed(limit, done) => {
                let _ = done.send(self.lapsed(limit));
            }
            Message::Reload(done) => {
                self.hall = None;
                let _ = done.send(self.ready().await);
            }
        }
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

    /// Reads the event if what is in memory may be wrong.
    async fn ready(&mut self) -> Result<(), Unavailable> {
        if self.hall.is_none() {
            let hall = Hall::load(&self.shard, &self.desk).await;
            self.hall = Some(hall.map_err(|_| Unavailable)?);
        }
        Ok(())
    }

    async fn tick(&mut self) {
        let is_dirty = self.desk.is_dirty.swap(false, Ordering::Relaxed);
        if self.ready().await.is_err() {
            return self.desk.is_dirty.store(is_dirty, Ordering::Relaxed);
        }
        let Some(hall) = &mut self.hall else { return };
        if is_dirty && self.shard.publish(&self.desk.event).await.is_err() {
            return self.desk.is_dirty.store(true, Ordering::Relaxed);
        }
        match hall.follow(&self.shard, &self.desk).await {
            Ok(true) => {}
            Ok(false) => self.hall = None,
            Err(failed) => log(&failed),
        }
        let _ = self.ready().await;
    }

    /// One batch. Answers what has to be decided again.
    async fn work(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        if self.ready().await.is_err() {
            refuse(jobs);
            return Vec::new();
        }
        let Ok((jobs, loaded)) = self.load(jobs).await else {
            return Vec::new();
        };
        let (items, later) = self.decide(jobs, &loaded);
        if items.is_empty() {
            return later;
        }
        metrics::histogram!("fairline_batch_requests").record(items.len() as f64);
        let mut again = self.write(items).await;
        again.extend(later);
        again
    }

    /// Reads what is not known well enough.
    async fn load(&mut self, mut jobs: Vec<Job>) -> Result<(Vec<Job>, Loaded), ()> {
        let hall = self.hall.as_ref().expect("it was made ready");
        for job in &mut jobs {
            job.must_load |= !hall.knows(&job.ask.whose);
        }
        if !jobs.iter().any(|job| job.must_load) {
            return Ok((jobs, Loaded::default()));
        }
        let mut wanted = Wanted::default();
        for job in jobs.iter().filter(|job| job.must_load) {
            wanted.add(&job.ask);
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
    fn decide(&mut self, jobs: Vec<Job>, loaded: &Loaded) -> (Vec<Item>, Vec<Job>) {
        let (mut items, mut later) = (Vec::new(), Vec::new());
        let mut visitors: HashSet<VisitorId> = HashSet::new();
        let mut seats: HashSet<u32> = HashSet::new();
        let hall = self.hall.as_mut().expect("it was made ready");
        let now = self.shard.clock.now();
        for mut job in jobs {
            let visit = hall.visit(&job.ask.whose);
            if visit.visitor.is_some_and(|visitor| visitors.contains(&visitor)) {
                later.push(job);
                continue;
            }
            let mut work = Work::new(&mut hall.house, visit, now);
            if let Whose::Newcomer(_, jti) = &job.ask.whose {
                work.opened = loaded.opened.get(jti).cloned();
            }
            let answer = job.ask.attempt.as_ref().and_then(|id| loaded.answers.get(id));
            work.answer = answer.cloned();
            let ruling = job.step.decide(&mut work);
            let (visit, changes) = (work.visit, work.changes);
            match ruling {
                Ruling::Decided if changes.is_empty() => {
                    hall.house.freeze(&changes.frozen);
                    job.step.answer(Ok(()));
                }
                Ruling::Decided if changes.seats.iter().any(|change| seats.contains(&change.seat)) => {
                    later.push(job);
                }
                Ruling::Decided => {
                    visitors.extend(visit.visitor);
                    seats.extend(changes.seats.iter().map(|change| change.seat));
                    hall.house.take(&changes.seats);
                    items.push(Item { job, visit, changes });
                }
                // What is in memory can only be too old: a refusal is looked at again in the store, unless it is about
                // seats, which are kept current.
                Ruling::Refused
                    if job.must_load || (job.ask.attempt.is_none() && job.step.is_about_seats()) =>
                {
                    job.step.answer(Ok(()));
                }
                Ruling::Refused => {
                    job.must_load = true;
                    later.push(job);
                }
            }
        }
        (items, later)
    }

    /// Writes a batch, answers those who are in it, and gives back those who were refused by the store.
    async fn write(&mut self, items: Vec<Item>) -> Vec<Job> {
        let batch = batch_of(&items);
        match self.send(batch).await {
            Ok(Some(applied)) => self.settle(items, &applied).await,
            Ok(None) => {
                // Another plan or other rules: everything is decided anew on those.
                self.hall = None;
                items.into_iter().filter_map(again).collect()
            }
            Err(Failed::Away) => {
                self.hall = None;
                refuse(items.into_iter().map(|item| item.job));
                Vec::new()
            }
            Err(failed) => {
                log(&failed);
                self.hall = None;
                if items.len() == 1 {
                    refuse(items.into_iter().map(|item| item.job));
                    return Vec::new();
                }
                // One of them cannot be written: each is tried by itself, so that only that one is refused.
                self.write_each(items).await
            }
        }
    }

    async fn write_each(&mut self, items: Vec<Item>) -> Vec<Job> {
        let mut later = Vec::new();
        for item in items {
            if self.ready().await.is_err() {
                refuse([item.job]);
                continue;
            }
            let one = [item];
            let batch = batch_of(&one);
            match self.send(batch).await {
                Ok(Some(applied)) => later.extend(self.settle(one.into(), &applied).await),
                Ok(None) => later.extend(one.into_iter().filter_map(again)),
                Err(failed) => {
                    log(&failed);
                    refuse(one.into_iter().map(|item| item.job));
                }
            }
            self.hall = None;
        }
        later
    }

    /// Sends a batch. When nobody answers it is sent again under the same name, so that it happens once.
    async fn send(&self, batch: Batch) -> Result<Option<Applied>, Failed> {
        let config = self.hall.as_ref().map_or(0, |hall| hall.config);
        let id = random_id("bat_");
        let begun = Instant::now();
        let mut is_again = false;
        loop {
            let link = self.shard.writer(&self.desk.event);
            let outcome = batch
                .send(link, &self.desk.event, (config, &id, is_again))
                .await;
            match outcome {
                Err(Failed::Away) if begun.elapsed() < RESEND => {
                    is_again = true;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn settle(&mut self, items: Vec<Item>, applied: &Applied) -> Vec<Job> {
        if !self.shard.clock.is_manual() {
            self.shard.clock.hear(applied.now);
        }
        self.desk.is_dirty.store(true, Ordering::Relaxed);
        let hall = self.hall.as_mut().expect("the batch was decided on it");
        let mut refused = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            if applied.refused.contains(&(at as i32)) {
                refused.push(item);
                continue;
            }
            hall.committed(&item.changes, applied.seq);
            hall.house.visits.put(item.visit);
            item.job.step.answer(Ok(()));
        }
        if refused.is_empty() {
            return Vec::new();
        }
        metrics::counter!("fairline_batch_collisions_total").increment(refused.len() as u64);
        let changes = refused.iter().flat_map(|item| &item.changes.seats);
        let seats: Vec<i32> = changes.map(|change| change.seat as i32).collect();
        if hall.read_seats(&self.shard, &self.desk.event, &seats).await.is_err() {
            self.hall = None;
        }
        refused.into_iter().filter_map(again).collect()
    }
}

fn batch_of(items: &[Item]) -> Batch {
    let mut batch = Batch::default();
    for (at, item) in items.iter().enumerate() {
        batch.add(at, item.visit.visitor, &item.changes);
    }
    batch
}

/// The job of an item, to be decided again; none when it was too often.
fn again(item: Item) -> Option<Job> {
    let mut job = item.job;
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
