//! The line's decisions, written to the outbox with the place in its log.

use crate::bench::*;
use checkout::inventory::Refused;
use checkout::inventory::outbox::{AdmissionPayload, DrawPayload, OutboxRow};
use shared::ids::{EventId, VisitorId};
use shared::line_log::{AdmissionEnd, LineDecision, LogEntry, LogPage, LogPlace};
use shared::time::Time;

const ADA: VisitorId = VisitorId(1);
const BEN: VisitorId = VisitorId(2);

fn place(life: &str, entry: u64) -> LogPlace {
    LogPlace {
        life: life.to_owned(),
        entry,
    }
}

/// A page with these decisions, each in an entry of its own after `after`.
fn page(life: &str, after: u64, decisions: Vec<LineDecision>) -> LogPage {
    let numbered = (after + 1..).zip(decisions);
    let entries = numbered.map(|(entry, decision)| LogEntry {
        entry,
        life: life.to_owned(),
        at: Time(START.0 + entry as i64),
        decisions: vec![decision],
    });
    LogPage {
        life: life.to_owned(),
        after,
        entries: entries.collect(),
        is_over: false,
    }
}

fn admitted(visitor: VisitorId) -> LineDecision {
    LineDecision::Admitted {
        visitor,
        number: visitor.0 as u64,
        admitted_at: START,
        claim_by: START.plus_seconds(60),
        waited_seconds: Some(30),
    }
}

fn finished(visitor: VisitorId) -> LineDecision {
    LineDecision::Finished {
        visitor,
        number: visitor.0 as u64,
        how: AdmissionEnd::Left,
    }
}

impl Bench {
    pub(crate) async fn take_page(&self, from: &LogPlace, page: &LogPage) -> bool {
        let taken = self.seats.line_log().take_log(&self.event, from, page);
        taken.await.unwrap()
    }

    async fn log_place(&self) -> LogPlace {
        self.seats.line_log().log_place(&self.event).await.unwrap()
    }

    /// Returns the types of the events of a visitor.
    async fn told_of(&self, visitor: VisitorId) -> Vec<String> {
        self.types_of(&visitor.to_string()).await
    }
}

fn payload<T: serde::de::DeserializeOwned>(row: &OutboxRow) -> T {
    serde_json::from_str(&row.payload).unwrap()
}

#[tokio::test]
async fn the_decisions_of_a_line_become_events_and_its_place_moves_with_them() {
    for mut bench in halls().await {
        let none = LogPlace::default();
        assert_eq!(bench.log_place().await, none);
        let missed = LineDecision::Missed {
            visitor: BEN,
            number: 2,
        };
        let drawn = LineDecision::Drawn {
            seed: "aa".into(),
            commitment: "bb".into(),
            entries: 2,
            root: "cc".into(),
        };
        let decided = vec![admitted(ADA), admitted(BEN), missed, finished(ADA), drawn];
        assert!(bench.take_page(&none, &page("one", 0, decided)).await);
        assert_eq!(bench.log_place().await, place("one", 5));
        let types = ["admission.admitted", "admission.finished"];
        assert_eq!(bench.told_of(ADA).await, types);
        let types = ["admission.admitted", "admission.missed"];
        assert_eq!(bench.told_of(BEN).await, types);
        let events = bench.events_of(&ADA.to_string()).await;
        assert_eq!((events[0].at, events[1].at), (START, Time(START.0 + 4)));
        for event in &events {
            assert_eq!(event.aggregate_type, "admission");
            assert_eq!(event.event, "arena");
        }
        let told: AdmissionPayload = payload(&events[0]);
        assert_eq!((told.visitor, told.number), (ADA, 1));
        assert_eq!(told.claim_by, Some(START.plus_seconds(60)));
        assert_eq!(told.waited_seconds, Some(30));
        let told: AdmissionPayload = payload(&events[1]);
        assert_eq!((told.claim_by, told.how), (None, Some(AdmissionEnd::Left)));
        let drawn = bench.events_of("arena").await;
        let drawn = drawn.iter().find(|row| row.event_type == "draw.held");
        let told: DrawPayload = payload(drawn.unwrap());
        assert_eq!((&*told.seed, &*told.commitment), ("aa", "bb"));
        assert_eq!(drawn.unwrap().aggregate_type, "draw");
        bench.reopen().await;
        assert_eq!(bench.log_place().await, place("one", 5));
    }
}

#[tokio::test]
async fn a_page_that_was_read_before_a_node_ended_is_written_once_by_whoever_reads_it_again() {
    for mut bench in halls().await {
        let (none, read) = (LogPlace::default(), page("one", 0, vec![admitted(ADA)]));
        // Read, and the node ended before it was written: nothing is there of it.
        bench.reopen().await;
        assert_eq!(bench.told_of(ADA).await, [""; 0]);
        assert!(bench.take_page(&none, &read).await);
        // Written, and the node ended before it knew: the place says so.
        bench.reopen().await;
        assert!(!bench.take_page(&none, &read).await);
        assert_eq!(bench.told_of(ADA).await, ["admission.admitted"]);
        let next = page("one", 1, vec![finished(ADA)]);
        assert!(bench.take_page(&place("one", 1), &next).await);
        assert_eq!(bench.told_of(ADA).await.len(), 2);
    }
}

#[tokio::test]
async fn of_two_nodes_that_read_the_same_entries_one_writes_them() {
    for (one, two) in pairs().await {
        let mut from = LogPlace::default();
        for _ in 0..10 {
            let read = page("one", from.entry, vec![admitted(ADA), finished(ADA)]);
            let (first, second) =
                tokio::join!(one.take_page(&from, &read), two.take_page(&from, &read));
            assert!(first != second, "exactly one writes");
            from = read.end();
        }
        assert_eq!(one.told_of(ADA).await.len(), 20);
    }
}

#[tokio::test]
async fn what_cannot_be_written_does_not_move_the_place() {
    for bench in halls().await {
        let (none, read) = (LogPlace::default(), page("one", 0, vec![admitted(ADA)]));
        bench.change_store(
            "create function public.no() returns trigger language plpgsql as 'begin raise exception ''no''; end';
             create trigger no before insert on fairline.outbox for each row execute function public.no()",
            "create trigger no before insert on outbox begin select raise(abort, 'no'); end",
        );
        let taken = bench.seats.line_log().take_log(&bench.event, &none, &read);
        assert!(taken.await.is_err());
        bench.change_store(
            "drop trigger no on fairline.outbox; drop function public.no()",
            "drop trigger no",
        );
        assert_eq!(bench.log_place().await, none);
        assert!(bench.take_page(&none, &read).await);
        assert_eq!(bench.told_of(ADA).await, ["admission.admitted"]);
    }
}

#[tokio::test]
async fn an_entry_has_the_same_ids_however_often_it_is_written_and_others_in_another_life() {
    let mut ids = Vec::new();
    for bench in halls().await {
        let read = page("one", 0, vec![admitted(ADA), admitted(BEN)]);
        assert!(bench.take_page(&LogPlace::default(), &read).await);
        // A store that lost all: its entries begin at 1 again.
        let other = page("two", 0, vec![admitted(ADA), admitted(BEN)]);
        assert!(bench.take_page(&place("one", 2), &other).await);
        assert_eq!(bench.log_place().await, place("two", 2));
        let mut of_bench = Vec::new();
        for visitor in [ADA, BEN] {
            let events = bench.events_of(&visitor.to_string()).await;
            of_bench.extend(events.into_iter().map(|row| row.id));
        }
        let mut unique = of_bench.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 4);
        ids.push(of_bench);
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

#[tokio::test]
async fn an_event_without_seats_has_no_place() {
    for bench in halls().await {
        let other = EventId::parse("other").unwrap();
        let store = bench.seats.line_log();
        let refused = store.log_place(&other).await.unwrap_err();
        assert!(matches!(refused, Refused::NoSuchEvent), "{refused:?}");
        let read = page("one", 0, vec![admitted(ADA)]);
        let taken = store.take_log(&other, &LogPlace::default(), &read).await;
        assert!(!taken.unwrap());
        assert_eq!(bench.told_of(ADA).await, [""; 0]);
    }
}
