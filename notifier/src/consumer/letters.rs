//! Events that failed: those that an operator wants to be tried again, and those that keep failing and
//! let others go first, until it shows whether they alone are at fault.

use super::parts::{Consumer, Item, Trial};
use crate::event::Event;
use crate::handler::Effect;
use crate::instruments::{self, Outcome};
use crate::store::{DeadLetter, LetterState, Settled, Stored};
use crate::trouble::Trouble;
use std::time::Duration;
use tokio::time::Instant;

/// Largest number of events that let others go first at a time, beside those that wait behind them. With
/// these the service counts as away, until one has its effect.
const HELD_MAX: i64 = 10;
/// Number of times that others get through and an event fails after them, until it is a dead letter.
const TRIALS: u32 = 3;
/// Longest time for which letters are tried in one go.
const SLICE: Duration = Duration::from_secs(5);

/// Reason for which an event is put aside without an attempt.
pub(super) struct Hopeless {
    pub(super) reason: String,
    pub(super) state: LetterState,
}

impl Consumer {
    /// Returns the order of an event that comes now, which rises over restarts too.
    pub(super) async fn arrival(&mut self) -> Stored<i64> {
        if self.memory.came == 0 {
            self.memory.came = self.store.newest_letter(self.handler.name()).await?;
        }
        let now_us = self.store.now().0.saturating_mul(1000);
        self.memory.came = now_us.max(self.memory.came + 1);
        Ok(self.memory.came)
    }

    /// Returns why an event is put aside without an attempt, if it is.
    pub(super) async fn hopeless(&self, event: &Event, came: i64) -> Stored<Option<Hopeless>> {
        let state = LetterState {
            came,
            ..LetterState::default()
        };
        if let Some(fault) = &event.fault {
            let reason = fault.clone();
            return Ok(Some(Hopeless { reason, state }));
        }
        if !self.handler.keeps_order() {
            return Ok(None);
        }
        let name = self.handler.name();
        let ahead = self.store.held_back_by(name, event, came).await?;
        Ok(ahead.map(|ahead| Hopeless {
            reason: match ahead.state.is_held {
                true => format!(
                    "waits behind {} of the same aggregate, which keeps failing",
                    ahead.id
                ),
                false => format!(
                    "waits behind the dead letter {} of the same aggregate",
                    ahead.id
                ),
            },
            // It is tried after the one ahead.
            state: LetterState {
                came,
                ..ahead.state
            },
        }))
    }

    /// Lets others go before an event that keeps failing. Returns false if too many do that already.
    pub(super) async fn hold(&self, item: &Item, why: &str) -> Stored<bool> {
        let name = self.handler.name();
        if self.store.count_letters(name).await?.held_aggregates >= HELD_MAX {
            return Ok(false);
        }
        let state = LetterState {
            came: item.came,
            is_held: true,
            ..LetterState::default()
        };
        self.bury(&item.event, why, state).await?;
        Ok(true)
    }

    /// Tries letters again that are due.
    pub(super) async fn retry(&mut self) -> Stored<()> {
        if self.memory.retry_at.is_some_and(|at| at > Instant::now()) {
            return Ok(());
        }
        let (name, from) = (self.handler.name(), Instant::now());
        let letters = self.store.dead_letters(Some(name)).await?;
        let mut has_failed = false;
        for letter in letters {
            if self.stop.is_cancelled() || from.elapsed() > SLICE {
                break;
            }
            has_failed |= self.retry_one(&letter).await?;
        }
        self.memory.retry_at = has_failed.then(|| Instant::now() + self.pace.retry);
        Ok(())
    }

    /// Tries a letter again. Returns whether it failed, and is tried once more.
    async fn retry_one(&mut self, letter: &DeadLetter) -> Stored<bool> {
        let DeadLetter {
            number,
            event,
            state,
            ..
        } = letter;
        if let Some(hopeless) = self.hopeless(event, state.came).await? {
            let waits = hopeless.state.is_held || hopeless.state.is_retried;
            if !waits {
                self.give_up(letter, &hopeless.reason).await?;
            }
            return Ok(false);
        }
        if !state.is_retried && !self.is_due(*number) {
            return Ok(true);
        }
        let outcome = self.handler.handle(&[event]).await.pop();
        match outcome {
            Some(Ok(effect)) => {
                self.memory.trials.remove(number);
                self.write(event, &effect).await?;
                Ok(false)
            }
            Some(Err(Trouble::Final(why))) => {
                self.give_up(letter, &why).await?;
                Ok(false)
            }
            Some(Err(Trouble::Temporary { why, after })) => {
                instruments::count_failure(self.handler.name(), "event");
                let after = after.unwrap_or_default();
                if state.is_held && self.is_alone(*number, after) {
                    let why = format!("keeps failing while others get through: {why}");
                    self.give_up(letter, &why).await?;
                    return Ok(false);
                }
                self.store.retry_failed(*number, &why, false).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Returns whether an event that is held is tried again: others have passed since, or its time has.
    fn is_due(&self, number: i64) -> bool {
        let trial = self.memory.trials.get(&number);
        trial.is_none_or(|trial| {
            let since = trial.tried_at.elapsed();
            let is_news = trial.passed < self.memory.passed || since >= self.pace.longest;
            is_news && since >= trial.after
        })
    }

    /// Notes that an event that is held failed again. Returns whether it alone is at fault: it failed each
    /// time after others had passed.
    fn is_alone(&mut self, number: i64, after: Duration) -> bool {
        let passed = self.memory.passed;
        let trial = self.memory.trials.entry(number).or_insert(Trial {
            passed,
            failures: 0,
            tried_at: Instant::now(),
            after,
        });
        trial.failures += u32::from(passed > trial.passed);
        (trial.passed, trial.tried_at, trial.after) = (passed, Instant::now(), after);
        trial.failures >= TRIALS
    }

    /// Leaves a letter to the operator.
    async fn give_up(&mut self, letter: &DeadLetter, reason: &str) -> Stored<()> {
        self.memory.trials.remove(&letter.number);
        self.store.retry_failed(letter.number, reason, true).await?;
        if letter.state.is_held {
            self.tell_dead(&letter.event, reason);
        }
        Ok(())
    }

    /// Writes the effect of an event.
    pub(super) async fn write(&mut self, event: &Event, effect: &Effect) -> Stored<()> {
        let (points, outcome) = match effect {
            Effect::Done => (None, Outcome::Done),
            Effect::Skipped => (None, Outcome::Skipped),
            Effect::Points(points) | Effect::Unasked(points) => (Some(points), Outcome::Done),
        };
        let consumer = self.handler.name();
        let settled = Settled {
            consumer,
            event,
            letter: None,
            points,
        };
        self.store.settle(settled).await?;
        self.memory.passed += u64::from(matches!(effect, Effect::Done | Effect::Points(_)));
        instruments::count(consumer, outcome, 1);
        Ok(())
    }

    /// Puts an event aside.
    pub(super) async fn bury(&self, event: &Event, reason: &str, state: LetterState) -> Stored<()> {
        let consumer = self.handler.name();
        let settled = Settled {
            consumer,
            event,
            letter: Some((reason, state)),
            points: None,
        };
        self.store.settle(settled).await?;
        let Event { id, event_type, .. } = event;
        match state.is_held {
            true => tracing::warn!(
                consumer,
                id,
                event_type,
                reason,
                "event keeps failing and lets others go first"
            ),
            false => self.tell_dead(event, reason),
        }
        Ok(())
    }

    fn tell_dead(&self, event: &Event, reason: &str) {
        let consumer = self.handler.name();
        instruments::count(consumer, Outcome::DeadLetter, 1);
        let Event { id, event_type, .. } = event;
        tracing::error!(
            consumer,
            id,
            event_type,
            reason,
            "event became a dead letter"
        );
    }
}
