//! Rounds with a broker and a store that fail in turn.

use super::super::broker::all_failed;
use super::super::example::row;
use super::*;
use crate::inventory::outbox::{OutboxLease, OutboxShard, OutboxState};
use async_trait::async_trait;
use parking_lot::Mutex;
use shared::group_commit::Unavailable;
use std::sync::Arc;

/// A store with one owner.
#[derive(Default)]
struct OneOwnerStore {
    shards: Mutex<Vec<StoredShard>>,
    is_away: Mutex<bool>,
}

#[derive(Clone, Default)]
struct StoredShard {
    shard: OutboxShard,
    rows: Vec<OutboxRow>,
    position: i64,
    is_away: bool,
}

impl OneOwnerStore {
    /// Returns a store with rows of so many orders in each of so many shards.
    fn of(shards: usize, orders: i64) -> OneOwnerStore {
        let shard = |database| StoredShard {
            shard: OutboxShard {
                database,
                ..OutboxShard::default()
            },
            rows: (1..=orders)
                .map(|at| row(at, &format!("ord_{database}_{at}")))
                .collect(),
            ..StoredShard::default()
        };
        OneOwnerStore {
            shards: Mutex::new((0..shards).map(shard).collect()),
            is_away: Mutex::new(false),
        }
    }

    fn change(&self, change: impl FnOnce(&mut StoredShard)) {
        change(&mut self.shards.lock()[0]);
    }

    fn position(&self) -> i64 {
        self.shards.lock()[0].position
    }

    fn find(&self, shard: OutboxShard) -> Result<StoredShard, Refused> {
        let shards = self.shards.lock();
        let found = shards.iter().find(|stored| stored.shard == shard);
        match found.ok_or(Refused::NoSuchShard)? {
            stored if stored.is_away => Err(Unavailable.into()),
            stored => Ok(stored.clone()),
        }
    }
}

#[async_trait]
impl Outbox for OneOwnerStore {
    async fn lease(&self, _: &str, _: &str) -> Result<Vec<OutboxLease>, Refused> {
        if *self.is_away.lock() {
            return Err(Unavailable.into());
        }
        let lease = |stored: &StoredShard| OutboxLease {
            shard: stored.shard,
            position: stored.position,
        };
        Ok(self.shards.lock().iter().map(lease).collect())
    }

    async fn read(
        &self,
        shard: OutboxShard,
        after: i64,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, Refused> {
        let rows = self.find(shard)?.rows.into_iter();
        let rows = rows.filter(|row| row.position > after);
        Ok(rows.take(limit as usize).collect())
    }

    async fn acknowledge(
        &self,
        _: &str,
        _: &str,
        shard: OutboxShard,
        position: i64,
    ) -> Result<bool, Refused> {
        let mut shards = self.shards.lock();
        let Some(stored) = shards.iter_mut().find(|stored| stored.shard == shard) else {
            return Ok(false);
        };
        stored.position = stored.position.max(position);
        Ok(true)
    }

    async fn release(&self, _: &str, _: &str) -> Result<(), Refused> {
        Ok(())
    }

    async fn state(&self, _: &str) -> Result<OutboxState, Refused> {
        Ok(OutboxState::default())
    }

    async fn newest(&self) -> Result<Vec<(OutboxShard, i64)>, Refused> {
        Ok(Vec::new())
    }

    async fn purge(&self, _: i64, _: &[&str]) -> Result<bool, Refused> {
        Ok(false)
    }
}

type Waves = Arc<Mutex<Vec<Vec<String>>>>;

/// A broker that answers each wave as it is told to, and notes the ids of what it has taken.
struct Taking<F> {
    waves: Waves,
    answer: F,
}

#[async_trait]
impl<F: FnMut(&[Message]) -> Vec<Outcome> + Send> Broker for Taking<F> {
    async fn connect(&mut self) -> Outcome {
        (self.answer)(&[]).pop().unwrap_or(Ok(()))
    }

    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let outcomes = (self.answer)(messages);
        let taken = messages.iter().zip(&outcomes);
        let taken = taken.filter(|(_, outcome)| outcome.is_ok());
        let taken = taken.map(|(message, _)| message.id.clone()).collect();
        self.waves.lock().push(taken);
        outcomes
    }
}

/// Returns a relay, and the ids that its broker takes, wave by wave.
fn relay(
    store: &OneOwnerStore,
    answer: impl FnMut(&[Message]) -> Vec<Outcome> + Send + 'static,
) -> (Relay<'_>, Waves) {
    let waves = Waves::default();
    let broker = Taking {
        waves: waves.clone(),
        answer,
    };
    (Relay::new(store, "", Box::new(broker)), waves)
}

fn take_all(messages: &[Message]) -> Vec<Outcome> {
    vec![Ok(()); messages.len()]
}

fn away() -> Failure {
    Failure::new(FailureKind::Away, "why")
}

#[tokio::test]
async fn a_wave_is_bounded_and_takes_as_many_of_each_shard() {
    let store = OneOwnerStore::of(4, 600);
    let (mut relay, waves) = relay(&store, take_all);
    assert_eq!(relay.round().await, Ok(Round::Sent));
    let waves = waves.lock();
    assert!(waves.iter().all(|wave| wave.len() <= WAVE_ROWS));
    assert_eq!(waves.concat().len(), 2_400);
    assert!(waves[0].contains(&"evt_1".to_owned()));
    let first = waves[0].iter().filter(|id| *id == "evt_1");
    assert_eq!(first.count(), 4);
}

#[tokio::test]
async fn a_broker_that_takes_few_in_time_gets_fewer_until_all_are_sent() {
    let store = OneOwnerStore::of(1, 100);
    let slow = |messages: &[Message]| match messages.len() > 3 {
        true => all_failed(messages.len(), &away()),
        false => take_all(messages),
    };
    let (mut relay, waves) = relay(&store, slow);
    for _ in 0..500 {
        let _ = relay.round().await;
    }
    assert_eq!(waves.lock().concat().len(), 100);
    assert_eq!(store.position(), 100);
}

#[tokio::test]
async fn events_without_a_place_hold_up_no_others_and_are_named() {
    let store = OneOwnerStore::of(1, 4);
    store.change(|shard| shard.rows[1].aggregate_type = "hold".to_owned());
    let nowhere = || Failure::new(FailureKind::Unroutable, "no topic hold");
    let answer = move |messages: &[Message]| match messages {
        [] => vec![Err(nowhere())],
        _ => {
            let outcome = |message: &Message| match message.aggregate_type.as_str() {
                "hold" => Err(nowhere()),
                _ => Ok(()),
            };
            messages.iter().map(outcome).collect()
        }
    };
    let (mut relay, waves) = relay(&store, answer);
    assert_eq!(relay.round().await, Ok(Round::Sent));
    assert_eq!(waves.lock().concat(), ["evt_1", "evt_3", "evt_4"]);
    assert_eq!(relay.round().await, Ok(Round::Idle), "without a pause");
    assert_eq!(relay.unroutable(), Some(&nowhere()));
    assert_eq!(store.position(), 1);
}

#[tokio::test]
async fn nothing_is_said_of_the_broker_while_the_store_is_away() {
    let store = OneOwnerStore::of(1, 1);
    let (mut relay, _) = relay(&store, |messages| {
        all_failed(messages.len().max(1), &away())
    });
    assert_eq!(relay.round().await, Err(away()));
    store.change(|shard| shard.is_away = true);
    relay.windows.clear();
    relay.leased_at = None;
    assert_eq!(relay.round().await, Ok(Round::Unread));
    *store.is_away.lock() = true;
    relay.leased_at = None;
    assert_eq!(relay.round().await, Ok(Round::Unread));
}

#[tokio::test]
async fn a_database_that_is_away_keeps_back_its_own_events_alone() {
    let store = OneOwnerStore::of(2, 3);
    store.change(|shard| shard.is_away = true);
    let (mut relay, waves) = relay(&store, take_all);
    assert_eq!(relay.round().await, Ok(Round::Sent));
    assert_eq!(waves.lock().concat().len(), 3);
    store.change(|shard| shard.is_away = false);
    assert_eq!(relay.round().await, Ok(Round::Sent));
    assert_eq!(waves.lock().concat().len(), 6);
}

#[tokio::test]
async fn a_server_that_has_gone_back_is_read_from_its_own_cursor() {
    let store = OneOwnerStore::of(1, 5);
    let (mut relay, waves) = relay(&store, take_all);
    assert_eq!(relay.round().await, Ok(Round::Sent));
    assert_eq!(store.position(), 5);
    // It was read, and is lost.
    store.change(|shard| shard.rows.push(row(6, "ord_lost")));
    relay.prepare().await.unwrap();
    store.change(|shard| {
        shard.shard.server = 1;
        shard.position = 2;
        shard.rows.truncate(2);
        let anew = (3..=4).map(|at| OutboxRow {
            id: format!("evt_new_{at}"),
            ..row(at, "ord_new")
        });
        shard.rows.extend(anew);
    });
    assert_eq!(relay.round().await, Ok(Round::Idle));
    assert_eq!(store.position(), 2);
    assert_eq!(relay.round().await, Ok(Round::Sent));
    assert_eq!(waves.lock().concat()[5..], ["evt_new_3", "evt_new_4"]);
    assert_eq!(store.position(), 4);
}
