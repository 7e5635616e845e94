//! A consumer: takes events from its source, keeps the order of an aggregate, tries again what may
//! succeed later, and puts aside what never will.

use crate::event::Event;
use crate::handler::{Effect, Handler};
use crate::health::{ConsumerHealth, Health};
use crate::instruments::{self, Outcome};
use crate::source::Source;
use crate::store::{DeadLetter, Settled, Store, Stored};
use crate::trouble::Trouble;
use brokers::{Failure, FailureKind};
use shared::crypto::random;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Largest number of events that are acted on at the same time, each of another aggregate.
const WAVE: usize = 8;
/// Time after which the broker is told that a batch is still being worked on.
const KEEP: Duration = Duration::from_secs(5);
/// Pause before a dead letter that failed again for a time is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Number of dead letters with which a consumer stops taking events.
const DEAD_LETTERS_MAX: i64 = 10_000;
/// Time after which old ids are deleted.
const PRUNE: Duration = Duration::from_secs(3600);

/// Pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the first failure; it doubles with each.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// Attempts at an event that a working service refuses each time, until it is a dead letter.
    pub attempts_max: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            attempts_max: 20,
        }
    }
}

impl Pace {
    /// Returns the pause after so many failures, of which half is random.
    fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        let [byte] = random::<1>();
        whole.mul_f64(0.5 + f64::from(byte) / 512.0)
    }
}

/// A consumer with all that it needs.
pub struct Consumer {
    /// Its effects.
    pub handler: Arc<dyn Handler>,
    /// Its events.
    pub source: Box<dyn Source>,
    /// The notifier's file.
    pub store: Store,
    /// Its part of the health report.
    pub health: Arc<Health>,
    /// Pauses between attempts.
    pub pace: Pace,
    /// The stop signal.
    pub stop: CancellationToken,
}

/// An event of a batch.
struct Item {
    event: Event,
    is_settled: bool,
    attempts: u32,
    due: Instant,
}

impl Consumer {
    /// Consumes until the stop signal. What is under way then is finished, the rest is given back.
    pub async fn run(mut self) {
        let name = self.handler.name();
        let mut failures = 0;
        let (mut retry_at, mut prune_at) = (Instant::now(), Instant::now());
        while !self.stop.is_cancelled() {
            if prune_at <= Instant::now() {
                prune_at = Instant::now() + PRUNE;
                let _ = self.store.prune().await;
            }
            let round = self.round(&mut retry_at).await;
            match round {
                Ok(()) => failures = 0,
                Err(failure) => {
                    failures += 1;
                    instruments::count_failure(name, "broker");
                    instruments::set_connected(name, false);
                    self.tell(false, Some(failure.detail));
                    self.wait(self.pace.pause(failures).min(Duration::from_secs(10)))
                        .await;
                }
            }
        }
        self.source.give_back().await;
    }

    /// Takes a batch, and settles it.
    async fn round(&mut self, retry_at: &mut Instant) -> Result<(), Failure> {
        let name = self.handler.name();
        if *retry_at <= Instant::now() && !self.retry().await.map_err(of_file)? {
            *retry_at = Instant::now() + RETRY_PAUSE;
        }
        let letters = self.store.count_dead_letters(name).await;
        let letters = letters.map_err(of_file)?;
        instruments::set_dead_letters(name, u64::try_from(letters).unwrap_or(0));
        if letters >= DEAD_LETTERS_MAX {
            return Err(of_file(format!("{letters} dead letters wait for you")));
        }
        if let Some(from) = self.store.replay(name).await.map_err(of_file)? {
            self.source.replay(from).await?;
            self.store.replayed(name).await.map_err(of_file)?;
            tracing::info!(consumer = name, %from, "events are consumed again");
        }
        let batch = self.source.next().await?;
        instruments::set_connected(name, true);
        self.tell(true, None);
        if !batch.is_empty() {
            let events = batch.into_iter().map(Event::of).collect();
            let settled = self.settle(events).await;
            // Settled messages are marked also if the file failed in the middle.
            let (count, failed) = match settled {
                Ok(count) => (count, None),
                Err((count, why)) => (count, Some(of_file(why))),
            };
            self.source.done(count).await?;
            if let Some(failure) = failed {
                self.source.give_back().await;
                return Err(failure);
            }
        }
        if let Some(waiting) = self.source.waiting().await {
            instruments::set_waiting(name, waiting);
        }
        Ok(())
    }

    /// Acts on the events of a batch. Returns how many from its beginning on are settled: all, unless
    /// the stop signal came, or the file failed.
    async fn settle(&mut self, events: Vec<Event>) -> Result<usize, (usize, String)> {
        let now = Instant::now();
        let item = |event: Event| Item {
            is_settled: !event.event_type.is_empty() && !self.handler.takes(&event.event_type),
            event,
            attempts: 0,
            due: now,
        };
        let mut items: Vec<Item> = events.into_iter().map(item).collect();
        let mut kept_at = now;
        while let Some(due) = items
            .iter()
            .filter(|it| !it.is_settled)
            .map(|it| it.due)
            .min()
        {
            if self.stop.is_cancelled() {
                break;
            }
            let wave = wave(&items);
            let failed = match wave.is_empty() {
                true => {
                    self.wait_until(due.min(kept_at + KEEP)).await;
                    None
                }
                false => self.act(&mut items, &wave).await.err(),
            };
            if kept_at.elapsed() >= KEEP {
                self.source.keep().await;
                kept_at = Instant::now();
            }
            if let Some(why) = failed {
                return Err((settled_count(&items), why));
            }
        }
        Ok(settled_count(&items))
    }

    /// Acts on the events with these indexes.
    async fn act(&self, items: &mut [Item], wave: &[usize]) -> Stored<()> {
        let name = self.handler.name();
        let mut acted = Vec::new();
        for index in wave {
            let event = &items[*index].event;
            if self.store.is_settled(name, event).await? {
                items[*index].is_settled = true;
            } else if let Some(reason) = self.hopeless(event, i64::MAX).await? {
                self.bury(event, &reason).await?;
                items[*index].is_settled = true;
            } else {
                acted.push(*index);
            }
        }
        let events: Vec<&Event> = acted.iter().map(|index| &items[*index].event).collect();
        if events.is_empty() {
            return Ok(());
        }
        let outcomes = self.handler.handle(&events).await;
        let mut trouble = None;
        for (index, outcome) in acted.into_iter().zip(outcomes) {
            let item = &mut items[index];
            item.attempts += 1;
            match outcome {
                Ok(effect) => self.write(&item.event, &effect).await?,
                Err(failed) => {
                    if let Some(after) = self.postponed(&failed, item.attempts) {
                        instruments::count_failure(name, "event");
                        item.due = Instant::now() + after;
                        trouble = Some(failed.why().to_owned());
                        continue;
                    }
                    let reason = reason(&failed, item.attempts);
                    self.bury(&item.event, &reason).await?;
                }
            }
            item.is_settled = true;
        }
        // The trouble of an event that waits is not over as others have none.
        let mut waiting = items.iter().filter(|it| !it.is_settled && it.attempts > 0);
        if trouble.is_some() || waiting.next().is_none() {
            self.tell(true, trouble);
        }
        Ok(())
    }

    /// Returns why an event is put aside without an attempt, if it is.
    async fn hopeless(&self, event: &Event, number: i64) -> Stored<Option<String>> {
        if let Some(fault) = &event.fault {
            return Ok(Some(fault.clone()));
        }
        if !self.handler.keeps_order() {
            return Ok(None);
        }
        let name = self.handler.name();
        let earlier = self.store.held_back_by(name, event, number).await?;
        Ok(earlier.map(|id| format!("waits behind the dead letter {id} of the same aggregate")))
    }

    /// Returns the pause after a failure, unless there is to be no further attempt.
    fn postponed(&self, failed: &Trouble, attempts: u32) -> Option<Duration> {
        let Trouble::Temporary {
            after, is_of_event, ..
        } = failed
        else {
            return None;
        };
        let is_over = *is_of_event && attempts >= self.pace.attempts_max;
        (!is_over).then(|| self.pace.pause(attempts).max(after.unwrap_or_default()))
    }

    /// Tries dead letters again of which the operator wants that. Returns false if one is to be tried
    /// once more, after a pause.
    async fn retry(&self) -> Stored<bool> {
        let name = self.handler.name();
        let mut is_over = true;
        for DeadLetter { number, event, .. } in self.store.dead_letters(Some(name)).await? {
            if self.stop.is_cancelled() {
                break;
            }
            if let Some(reason) = self.hopeless(&event, number).await? {
                self.store.retry_failed(number, &reason, true).await?;
                continue;
            }
            let outcome = self.handler.handle(&[&event]).await.pop();
            match outcome {
                Some(Ok(effect)) => self.write(&event, &effect).await?,
                Some(Err(failed)) => {
                    let is_final = matches!(failed, Trouble::Final(_));
                    let why = failed.why();
                    self.store.retry_failed(number, why, is_final).await?;
                    is_over &= is_final;
                }
                None => {}
            }
        }
        Ok(is_over)
    }

    async fn write(&self, event: &Event, effect: &Effect) -> Stored<()> {
        let (points, outcome) = match effect {
            Effect::Done => (None, Outcome::Done),
            Effect::Skipped => (None, Outcome::Skipped),
            Effect::Points(points) => (Some(points), Outcome::Done),
        };
        let consumer = self.handler.name();
        let settled = Settled {
            consumer,
            event,
            reason: None,
            points,
        };
        self.store.settle(settled).await?;
        instruments::count(consumer, outcome, 1);
        Ok(())
    }

    async fn bury(&self, event: &Event, reason: &str) -> Stored<()> {
        let consumer = self.handler.name();
        let settled = Settled {
            consumer,
            event,
            reason: Some(reason),
            points: None,
        };
        self.store.settle(settled).await?;
        instruments::count(consumer, Outcome::DeadLetter, 1);
        let Event { id, event_type, .. } = event;
        tracing::error!(
            consumer,
            id,
            event_type,
            reason,
            "event became a dead letter"
        );
        Ok(())
    }

    /// Tells the operator of a trouble once, and that it is over.
    fn tell(&self, is_connected: bool, trouble: Option<String>) {
        let consumer = self.handler.name();
        let health = ConsumerHealth {
            is_connected,
            trouble: trouble.clone(),
        };
        let before = self.health.set(consumer, health);
        match (before.trouble, trouble) {
            (None, Some(why)) => {
                tracing::warn!(consumer, why, "events wait until they can be consumed");
            }
            (Some(_), None) => tracing::info!(consumer, "events are consumed"),
            _ => {}
        }
    }

    async fn wait(&self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn wait_until(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Returns the indexes of the next events: the first of each aggregate that is not settled, if it is
/// due.
fn wave(items: &[Item]) -> Vec<usize> {
    let now = Instant::now();
    let mut seen = HashSet::new();
    let open = items.iter().enumerate().filter(|(_, it)| !it.is_settled);
    let first = open.filter(|(_, item)| {
        item.event.aggregate.is_empty() || seen.insert(item.event.aggregate.as_str())
    });
    let due = first.filter(|(_, item)| item.due <= now);
    due.map(|(index, _)| index).take(WAVE).collect()
}

fn settled_count(items: &[Item]) -> usize {
    items.iter().take_while(|item| item.is_settled).count()
}

fn reason(failed: &Trouble, attempts: u32) -> String {
    match failed {
        Trouble::Final(why) => why.clone(),
        Trouble::Temporary { why, .. } => format!("after {attempts} attempts: {why}"),
    }
}

fn of_file(why: String) -> Failure {
    Failure::new(FailureKind::Away, why)
}
