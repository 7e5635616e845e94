//! The loop of a consumer: takes batches from its source and settles their events.

use super::parts::{Consumer, Item};
use crate::event::Event;
use crate::health::ConsumerHealth;
use crate::instruments;
use crate::store::{LetterState, Stored};
use crate::trouble::Trouble;
use brokers::{Failure, FailureKind};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Largest number of events that are acted on at the same time, each of another aggregate.
const WAVE: usize = 8;
/// Time after which the broker is told that a batch is still being worked on.
const KEEP: Duration = Duration::from_secs(5);
/// Number of dead letters with which a consumer stops taking events.
const DEAD_LETTERS_MAX: i64 = 10_000;
/// Time after which old ids are deleted.
const PRUNE: Duration = Duration::from_secs(3600);

impl Consumer {
    /// Consumes until the stop signal. What is under way then is finished, the rest is given back.
    pub async fn run(mut self) {
        let name = self.handler.name();
        let mut failures = 0;
        let mut prune_at = Instant::now();
        while !self.stop.is_cancelled() {
            // One step a round, so that events go on meanwhile.
            if prune_at <= Instant::now() && !self.store.prune().await.unwrap_or(false) {
                prune_at = Instant::now() + PRUNE;
            }
            let round = self.round().await;
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
    async fn round(&mut self) -> Result<(), Failure> {
        let name = self.handler.name();
        self.retry().await.map_err(of_file)?;
        let letters = self.store.count_letters(name).await.map_err(of_file)?;
        instruments::set_letters(name, letters.dead, letters.held);
        self.memory.held = letters.held_reason;
        if letters.dead >= DEAD_LETTERS_MAX {
            let count = letters.dead;
            return Err(of_file(format!("{count} dead letters wait for you")));
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
        let mut items: Vec<Item> = Vec::with_capacity(events.len());
        for event in events {
            items.push(Item {
                came: self.arrival().await.map_err(|why| (0, why))?,
                is_settled: !event.event_type.is_empty() && !self.handler.takes(&event.event_type),
                event,
                attempts: 0,
                failing_since: None,
                due: now,
            });
        }
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
                    self.retry().await.err()
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
    async fn act(&mut self, items: &mut [Item], wave: &[usize]) -> Stored<()> {
        let name = self.handler.name();
        let mut acted = Vec::new();
        for index in wave {
            let item = &mut items[*index];
            if self.store.is_settled(name, &item.event).await? {
                item.is_settled = true;
            } else if let Some(hopeless) = self.hopeless(&item.event, item.came).await? {
                self.bury(&item.event, &hopeless.reason, hopeless.state)
                    .await?;
                item.is_settled = true;
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
            item.is_settled = match outcome {
                Ok(effect) => {
                    self.write(&item.event, &effect).await?;
                    true
                }
                Err(failed) => {
                    if matches!(failed, Trouble::Temporary { .. }) {
                        trouble = Some(failed.why().to_owned());
                    }
                    self.fail(item, &failed).await?
                }
            };
        }
        // The trouble of an event that waits is not over as others have none.
        let mut waiting = items.iter().filter(|it| !it.is_settled && it.attempts > 0);
        if trouble.is_some() || waiting.next().is_none() {
            self.tell(true, trouble);
        }
        Ok(())
    }

    /// Notes that an attempt at an event failed. Returns whether it is put aside.
    async fn fail(&self, item: &mut Item, failed: &Trouble) -> Stored<bool> {
        let (why, after) = match failed {
            Trouble::Temporary { why, after } => (why, after.unwrap_or_default()),
            Trouble::Final(why) => {
                let state = LetterState {
                    came: item.came,
                    ..LetterState::default()
                };
                self.bury(&item.event, why, state).await?;
                return Ok(true);
            }
        };
        instruments::count_failure(self.handler.name(), "event");
        let now = Instant::now();
        let failing_since = *item.failing_since.get_or_insert(now);
        if now - failing_since >= self.pace.hold_after && self.hold(item, why).await? {
            return Ok(true);
        }
        item.due = now + self.pace.pause(item.attempts).max(after);
        Ok(false)
    }

    /// Tells the operator of a trouble once, and that it is over.
    fn tell(&self, is_connected: bool, trouble: Option<String>) {
        let consumer = self.handler.name();
        let held = || self.memory.held.clone();
        let trouble = trouble.or_else(held);
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

/// Returns the indexes of the next events: of those that are the first of their aggregates that are not
/// settled, and due. An event that failed is tried again by itself, so that it shows which one is at
/// fault of those that share a request.
fn wave(items: &[Item]) -> Vec<usize> {
    let now = Instant::now();
    let mut seen = HashSet::new();
    let open = items.iter().enumerate().filter(|(_, it)| !it.is_settled);
    let first = open.filter(|(_, item)| {
        item.event.aggregate.is_empty() || seen.insert(item.event.aggregate.as_str())
    });
    let due = first.filter(|(_, item)| item.due <= now);
    let (new, failed): (Vec<_>, Vec<_>) = due.partition(|(_, item)| item.attempts == 0);
    let (next, count) = match new.is_empty() {
        true => (failed, 1),
        false => (new, WAVE),
    };
    next.into_iter()
        .map(|(index, _)| index)
        .take(count)
        .collect()
}

fn settled_count(items: &[Item]) -> usize {
    items.iter().take_while(|item| item.is_settled).count()
}

fn of_file(why: String) -> Failure {
    Failure::new(FailureKind::Away, why)
}
