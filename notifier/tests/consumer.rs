//! Consumers with a source and effects of the test: what is tried again, put aside, kept in order and
//! given back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use async_trait::async_trait;
use brokers::{Failure, FailureKind};
use notifier::consumer::{Consumer, Memory, Pace};
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
    /// Number of calls that fail before any other answer, as of a service that is away.
    away: Mutex<u32>,
    acted: Mutex<Vec<String>>,
    largest: Mutex<usize>,
    stop_at: Option<(&'static str, CancellationToken)>,
}

impl Answers {
    fn of(answers: impl IntoIterator<Item = (&'static str, Vec<Trouble>)>) -> Arc<Answers> {
        Arc::new(Answers {
            answers: Mutex::new(answers.into_iter().collect()),
            away: Mutex::default(),
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
        let mut away = self.away.lock();
        if *away > 0 {
            *away -= 1;
            return events.iter().map(|_| Err(later())).collect();
        }
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

fn later() -> Trouble {
    Trouble::away("later".to_owned())
}

/// Time for which an event fails until it lets others go first.
#[derive(Clone, Copy)]
enum HoldAfter {
    /// The first failure is enough.
    Failure,
    Hour,
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
        self.run_with(HoldAfter::Hour, handler, batches).await;
    }

    async fn run_with(
        &self,
        hold_after: HoldAfter,
        handler: Arc<Answers>,
        batches: Vec<Vec<Delivery>>,
    ) {
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
                hold_after: match hold_after {
                    HoldAfter::Failure => Duration::ZERO,
                    HoldAfter::Hour => Duration::from_secs(3600),
                },
                retry: Duration::ZERO,
            },
            stop,
            memory: Memory::default(),
        };
        consumer.run().await;
    }

    async fn letters(&self) -> Vec<(String, String)> {
        let letters = self.store.dead_letters(None).await.unwrap().into_iter();
        letters.map(|it| (it.event.id, it.reason)).collect()
    }

    /// Returns how many dead letters there are, and how many events let others go first.
    async fn counts(&self) -> (i64, i64) {
        let counts = self.store.count_letters("test").await.unwrap();
        (counts.dead, counts.held)
    }
}

#[tokio::test]
async fn events_of_an_aggregate_keep_their_order_while_one_of_them_is_tried_again() {
    let run = Run::new();
    let handler = Answers::of([("a1", vec![later(); 5])]);
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
async fn what_is_refused_for_good_becomes_a_dead_letter_and_all_are_tried_again_as_they_came() {
    let run = Run::new();
    let gone = || vec![Trouble::Final("gone".to_owned())];
    let first = vec![later(), Trouble::Final("gone".to_owned())];
    let handler = Answers::of([
        ("a1", first),
        ("b1", vec![later(); 2]),
        ("c1", vec![later(); 9]),
        ("d1", gone()),
    ]);
    let ids = ["a1", "b1", "c1", "d1"];
    let batch = ids.map(|id| order(id, id)).to_vec();
    let after = vec![order("d2", "d1"), order("e1", "e")];
    run.run(handler.clone(), vec![batch, after]).await;
    assert_eq!(*handler.acted.lock(), ["b1", "c1", "e1"]);
    // The first of them failed last.
    let waits = "waits behind the dead letter d1 of the same aggregate";
    let wanted = [("a1", "gone"), ("d1", "gone"), ("d2", waits)];
    let wanted = wanted.map(|(id, why)| (id.to_owned(), why.to_owned()));
    assert_eq!(run.letters().await, wanted);

    // Tried again as they came, and not acted on twice. One that fails for a time keeps its place.
    assert_eq!(run.store.retry(None).await.unwrap(), 3);
    handler.answers.lock().insert("d1", vec![later(); 3]);
    run.run(
        handler.clone(),
        vec![vec![order("d1", "d1")], vec![order("d3", "d1")], vec![]],
    )
    .await;
    assert_eq!(handler.acted.lock()[3..], ["a1", "d1", "d2", "d3"]);
    assert_eq!(run.letters().await, []);
}

#[tokio::test]
async fn an_event_that_alone_fails_for_ever_becomes_a_dead_letter_and_holds_nothing_up() {
    let run = Run::new();
    let handler = Answers::of([("a1", vec![later(); 1000])]);
    let batches = ["b1", "c1", "d1", "e1", "f1"].map(|id| vec![order(id, id)]);
    let mut all = vec![vec![order("a1", "a"), order("a2", "a")]];
    all.extend(batches);
    run.run_with(HoldAfter::Failure, handler.clone(), all).await;
    assert_eq!(*handler.acted.lock(), ["b1", "c1", "d1", "e1", "f1"]);
    assert_eq!(*run.done.lock(), [2, 1, 1, 1, 1, 1]);
    let wanted = [
        ("a1", "keeps failing while others get through: later"),
        (
            "a2",
            "waits behind the dead letter a1 of the same aggregate",
        ),
    ];
    let wanted = wanted.map(|(id, why)| (id.to_owned(), why.to_owned()));
    assert_eq!(run.letters().await, wanted);
    assert_eq!(run.counts().await, (2, 0));
}

#[tokio::test]
async fn while_a_service_is_away_nothing_becomes_a_dead_letter_and_the_order_is_kept() {
    let run = Run::new();
    let handler = Answers::of([]);
    *handler.away.lock() = 200;
    let first = ["a1", "a2", "a3"].map(|id| order(id, "a")).to_vec();
    // More than may let others go first: the rest waits.
    let rest = (0..20).map(|at| vec![order(&format!("b{at}"), &format!("b{at}"))]);
    let mut batches = vec![first];
    batches.extend(rest);
    run.run_with(HoldAfter::Failure, handler.clone(), batches)
        .await;
    assert_eq!(run.counts().await.0, 0);
    // Another run takes what it has left.
    run.run(handler.clone(), vec![Vec::new(), Vec::new()]).await;
    assert_eq!(run.counts().await, (0, 0));
    let acted = handler.acted.lock().clone();
    assert_eq!(acted.len(), 23);
    let of_a: Vec<&String> = acted.iter().filter(|id| id.starts_with('a')).collect();
    assert_eq!(of_a, ["a1", "a2", "a3"]);
}

#[tokio::test]
async fn no_more_than_ten_events_let_others_go_first_until_one_gets_through() {
    let run = Run::new();
    let stop = CancellationToken::new();
    let ids = [
        "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10",
    ];
    let mut handler = Answers::of(ids.map(|id| (id, vec![later(); 1000])));
    Arc::get_mut(&mut handler).unwrap().stop_at = Some(("b10", stop));
    let batches = ids.iter().map(|id| vec![order(id, id)]);
    run.run_with(HoldAfter::Failure, handler, batches.collect())
        .await;
    assert_eq!(run.counts().await, (0, 10));
    assert_eq!(*run.done.lock(), [[1; 10].as_slice(), &[0]].concat());
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
