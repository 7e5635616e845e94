//! Recorded histories of single seats: there must be an order of events in which every answer is
//! true.

use crate::crowd::{admit, event, hall, keys};
use checkout::inventory::{Inventory, Refused, Wish, open};
use shared::data_dir::DataFolder;
use shared::time::Clock;
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};
use std::sync::{Arc, Mutex};
use testkit::shared_postgres;

const HISTORIES: u32 = 25;
const FANS: u32 = 4;
const STEPS: u32 = 8;
const SEATS: u32 = 3;

/// Model of one seat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seat {
    owner: Option<u32>,
    /// Whether a hold may be refused although the seat is free, as another node may be up to a
    /// second behind.
    may_be_behind: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Op {
    Hold(u32),
    Release(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Got,
    Taken,
    Freed,
}

impl SequentialSpec for Seat {
    type Op = Op;
    type Ret = Answer;

    fn invoke(&mut self, op: &Op) -> Answer {
        match (op, self.owner) {
            (Op::Hold(fan), None) => {
                self.owner = Some(*fan);
                Answer::Got
            }
            (Op::Hold(_), Some(_)) => Answer::Taken,
            (Op::Release(fan), owner) => {
                if owner == Some(*fan) {
                    self.owner = None;
                }
                Answer::Freed
            }
        }
    }

    fn is_valid_step(&mut self, op: &Op, answer: &Answer) -> bool {
        if self.may_be_behind && *answer == Answer::Taken {
            return true;
        }
        self.invoke(op) == *answer
    }
}

type History = Arc<Mutex<Vec<LinearizabilityTester<u32, Seat>>>>;

async fn fan(seats: Inventory, fan: u32, history: History) {
    for _ in 0..STEPS {
        let seat = u32::from(shared::crypto::random::<1>()[0]) % SEATS;
        let record = |begin: Option<Op>, end: Option<Answer>| {
            let mut history = history.lock().unwrap();
            let tester = &mut history[seat as usize];
            if let Some(op) = begin {
                tester.on_invoke(fan, op).unwrap();
            }
            if let Some(answer) = end {
                tester.on_return(fan, answer).unwrap();
            }
        };
        record(Some(Op::Hold(fan)), None);
        let wish = Wish::Seats(vec![format!("s-A-{}", seat + 1)]);
        let held = match seats.hold(keys(fan), &event(), wish, None).await {
            Ok(hold) => {
                record(None, Some(Answer::Got));
                hold.value
            }
            Err(Refused::SeatsTaken(_)) => {
                record(None, Some(Answer::Taken));
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        tokio::task::yield_now().await;
        record(Some(Op::Release(fan)), None);
        seats.release(keys(fan), &held.id).await.unwrap();
        record(None, Some(Answer::Freed));
    }
}

async fn check(nodes: Vec<Inventory>) {
    nodes[0].set_seating(&event(), hall(30)).await.unwrap();
    for at in 0..FANS {
        admit(&nodes[0], at).await.unwrap();
    }
    for _ in 0..HISTORIES {
        let seat = Seat {
            owner: None,
            may_be_behind: nodes.len() > 1,
        };
        let tester = || LinearizabilityTester::new(seat.clone());
        let history: History = Arc::new(Mutex::new((0..SEATS).map(|_| tester()).collect()));
        let mut fans = tokio::task::JoinSet::new();
        for at in 0..FANS {
            let node = nodes[at as usize % nodes.len()].clone();
            fans.spawn(fan(node, at, history.clone()));
        }
        fans.join_all().await;
        for tester in history.lock().unwrap().iter() {
            assert!(tester.is_consistent(), "no order explains {tester:?}");
        }
    }
}

async fn node(url: &str, folder: &DataFolder) -> Inventory {
    open(url, folder, Clock::system()).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_every_history_of_a_seat_has_an_order() {
    let kept = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(kept.path()).unwrap();
    check(vec![node("sqlite", &folder).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_every_history_of_a_seat_has_an_order_on_one_node_and_on_two() {
    let servers = shared_postgres();
    let kept = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(kept.path()).unwrap();
    for postgres in [&servers.postgres, &servers.postgres_18] {
        let url = postgres.url(&postgres.database());
        check(vec![node(&url, &folder).await]).await;
        let url = postgres.url(&postgres.database());
        check(vec![node(&url, &folder).await, node(&url, &folder).await]).await;
    }
}
