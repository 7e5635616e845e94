//! Consumers with a source and effects of the test: what is tried again, put aside, kept in order and
//! given back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use async_trait::async_trait;
use brokers::{Failure, FailureKind};
use notifier::consumer::{Consumer, Pace};
use notifier::event::{Delivery, Event};
use notifier::handler::{Effect, Handler};
use notifier::health::Health;
use notifier::source::Source;
use notifier::store::Store;
use notifier::trouble::Trouble;
use parking_lot::Mutex;
use shared::time::{Clock, Time};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Batches, each of which ends the run when it is the last; and what was marked as done.
struct Batches {
    batches: Vec<Vec<Delivery>>,
    done: Arc<Mutex<Vec<usize>>>,
    stop: CancellationToken,
    is_away_once: bool,
}

#[async_trait]
impl Source for Batches {
    async fn next(&mut self) -> Result<Vec<Delivery>, Failure> {
        if std::mem::take(&mut self.is_away_once) {
            return Err(Failure::new(FailureKind::Away, "away"));
        }
        if self.batches.is_empty() {
            self.stop.cancel();
            return Ok(Vec::new());
        }
        Ok(self.batches.remove(0))
    }

    async fn done(&mut self, count: usize) -> Result<(), Failure> {
        self.done.lock().push(count);
        Ok(())
    }

    async fn give_back(&mut self) {}

    async fn waiting(&mut self) -> Option<u64> {
        None
    }

    async fn replay(&mut self, _: Time) -> Result<(), Failure> {
        Ok(())
    }
}

/// Answers by the ids of events, in turn; `Done` behind these.
struct Answers {
    answers: Mutex<HashMap<&'static str, Vec<Trouble>>>,
    acted: Mutex<Vec<String>>,
    largest: Mutex<usize>,
    stop_at: Option<(&'static str, CancellationToken)>,
}

impl Answers {
    fn of(answers: impl IntoIterator<Item = (&'static str, Vec<Trouble>)>) -> Arc<Answers> {
        Arc::new(Answers {
            answers: Mutex::new(answers.into_iter().collect()),
            acted: Mutex::default(),
            largest: Mutex::default(),
            stop_at: None,
        })
    }
}

#[async_trait]
impl Handler for Answers {
    fn name(&self) -> &'static str {
        "test"
    }

    fn takes(&self, event_type: &str) -> bool {
        event_type == "order.confirmed"
    }

    fn keeps_order(&self) -> bool {
        true
    }

    async fn handle(&self, events: &[&Event]) -> Vec<Result<Effect, Trouble>> {
        let mut largest = self.largest.lock();
        *largest = events.len().max(*largest);
        let answer = |event: &&Event| {
            if let Some((id, stop)) = &self.stop_at
                && *id == event.id
            {
                stop.cancel();
            }
            let mut answers = self.answers.lock();
            let left = answers.get_mut(&*event.id).filter(|left| !left.is_empty());
            let trouble = left.map(|left| left.remove(0));
            match trouble {
                Some(trouble) => Err(trouble),
                None => {
                    self.acted.lock().push(event.id.clone());
                    Ok(Effect::Done)
                }
            }
        };
        events.iter().map(answer).collect()
    }
}

fn delivery(id: &str, event_type: &str, aggregate: &str) -> Delivery {
    let attributes = [
        ("specversion", "1.0"),
        ("id", id),
        ("type", event_type),
        ("subject", aggregate),
        ("time", "2026-11-28T06:00:00Z"),
    ];
    let attributes = attributes.into_iter();
    Delivery {
        place: id.to_owned(),
        attributes: attributes
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        data: b"{}".to_vec(),
    }
}

fn order(id: &str, aggregate: &str) -> Delivery {
    delivery(id, "order.confirmed", aggregate)
}

fn later(is_of_event: bool) -> Trouble {
    Trouble::Temporary {
        why: "later".to_owned(),
        after: None,
        is_of_event,
    }
}

struct Run {
    store: Store,
    done: Arc<Mutex<Vec<usize>>>,
    _folder: tempfile::TempDir,
}

impl Run {
    fn new() -> Run {
        let folder = tempfile::tempdir().unwrap();
        Run {
            store: Store::open(&folder.path().join("file"), Clock::system()).unwrap(),
            done: Arc::default(),
            _folder: folder,
        }
    }

    async fn run(&self, handler: Arc<Answers>, batches: Vec<Vec<Delivery>>) {
        let stop = match &handler.stop_at {
            Some((_, stop)) => stop.clone(),
            None => CancellationToken::new(),
        };
        let consumer = Consumer {
            handler,
            source: Box::new(Batches {
                batches,
                done: self.done.clone(),
                stop: stop.clone(),
                is_away_once: true,
            }),
            store: self.store.clone(),
            health: Arc::new(Health::default()),
            pace: Pace {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(2),
                attempts_max: 3,
            },
            stop,
        };
        consumer.run().await;
    }

    async fn letters(&self) -> Vec<(String, String)> {
        let letters = self.store.dead_letters(None).await.unwrap().into_iter();
        letters.map(|it| (it.event.id, it.reason)).collect()
    }
}

#[tokio::test]
async fn events_of_an_aggregate_keep_their_order_while_one_of_them_is_tried_again() {
    let run = Run::new();
    let handler = Answers::of([("a1", vec![later(false); 5])]);
    let batch = [
        order("a1", "a"),
        order("a2", "a"),
        order("b1", "b"),
        delivery("h1", "hold.expired", "h"),
        order("a3", "a"),
    ];
    run.run(handler.clone(), vec![batch.to_vec()]).await;
    assert_eq!(*handler.acted.lock(), ["b1", "a1", "a2", "a3"]);
    assert_eq!(*run.done.lock(), [5]);
    assert_eq!(run.letters().await, []);
}

#[tokio::test]
async fn an_event_is_acted_on_once_however_often_it_comes() {
    let run = Run::new();
    let handler = Answers::of([]);
    let batch = vec![order("a1", "a"), order("a1", "a")];
    run.run(handler.clone(), vec![batch.clone(), batch]).await;
    assert_eq!(*handler.acted.lock(), ["a1"]);
    assert_eq!(*run.done.lock(), [2, 2]);
}

#[tokio::test]
async fn what_a_working_service_refuses_too_often_becomes_a_dead_letter_and_others_do_not() {
    let run = Run::new();
    let gone = Trouble::Final("gone".to_owned());
    let handler = Answers::of([
        ("a1", vec![later(true); 3]),
        ("b1", vec![later(true); 2]),
        ("c1", vec![later(false); 9]),
        ("d1", vec![gone]),
    ]);
    let ids = ["a1", "b1", "c1", "d1"];
    let batch = ids.map(|id| order(id, id)).to_vec();
    let after = vec![order("d2", "d1"), order("e1", "e")];
    run.run(handler.clone(), vec![batch, after]).await;
    assert_eq!(*handler.acted.lock(), ["b1", "c1", "e1"]);
    let wanted = [
        ("d1", "gone"),
        ("a1", "after 3 attempts: later"),
        (
            "d2",
            "waits behind the dead letter d1 of the same aggregate",
        ),
    ];
    let wanted = wanted.map(|(id, why)| (id.to_owned(), why.to_owned()));
    assert_eq!(run.letters().await, wanted);

    // Tried again in their order, and not acted on twice.
    assert_eq!(run.store.retry(None).await.unwrap(), 3);
    run.run(handler.clone(), vec![vec![order("d1", "d1")]])
        .await;
    assert_eq!(handler.acted.lock()[3..], ["d1", "a1", "d2"]);
    assert_eq!(run.letters().await, []);
}

#[tokio::test]
async fn at_most_eight_events_are_acted_on_at_a_time() {
    let run = Run::new();
    let handler = Answers::of([]);
    let ids: Vec<String> = (0..30).map(|at| format!("a{at}")).collect();
    let batch = ids.iter().map(|id| order(id, id)).collect();
    run.run(handler.clone(), vec![batch]).await;
    assert_eq!(handler.acted.lock().len(), 30);
    assert_eq!(*handler.largest.lock(), 8);
}

#[tokio::test]
async fn the_stop_signal_lets_what_is_under_way_end_and_gives_the_rest_back() {
    let run = Run::new();
    let mut handler = Answers::of([]);
    let stop = CancellationToken::new();
    Arc::get_mut(&mut handler).unwrap().stop_at = Some(("a1", stop));
    let batch = vec![order("a1", "a"), order("b1", "b"), order("a2", "a")];
    run.run(handler.clone(), vec![batch]).await;
    assert_eq!(*handler.acted.lock(), ["a1", "b1"]);
    assert_eq!(*run.done.lock(), [2]);
}
