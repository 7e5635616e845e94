//! The funnel by the hour: admissions, their ends, buyers and waits, each event counted once.

use crate::bench::*;
use crate::hourly_sales::recount;
use checkout::inventory::funnel::{Funnel, FunnelHour};
use checkout::inventory::hourly_sales::HOUR_MS;
use checkout::inventory::*;
use shared::ids::VisitorId;
use shared::line_log::{AdmissionEnd, LineDecision, LogEntry, LogPage, LogPlace};
use shared::time::Time;

const FIRST: Time = Time(START.0 - START.0 % HOUR_MS);

fn admitted(visitor: u8, waited_seconds: Option<u64>) -> LineDecision {
    LineDecision::Admitted {
        visitor: VisitorId(u128::from(visitor)),
        number: u64::from(visitor),
        admitted_at: START,
        claim_by: START.plus_seconds(60),
        waited_seconds,
    }
}

fn missed(visitor: u8) -> LineDecision {
    LineDecision::Missed {
        visitor: VisitorId(u128::from(visitor)),
        number: u64::from(visitor),
    }
}

fn ended(visitor: u8, how: AdmissionEnd) -> LineDecision {
    LineDecision::Finished {
        visitor: VisitorId(u128::from(visitor)),
        number: u64::from(visitor),
        how,
    }
}

impl Bench {
    async fn funnel(&self) -> Vec<FunnelHour> {
        let sales = self.seats.hourly_sales();
        let all = sales.funnel_between(&self.event, Time(0), Time(i64::MAX));
        all.await.unwrap()
    }

    /// Writes an entry of the line's log to the outbox, as of now.
    async fn decide(&self, entry: u64, decisions: Vec<LineDecision>) {
        let life = "one".to_owned();
        let from = LogPlace {
            life: match entry {
                1 => String::new(),
                _ => life.clone(),
            },
            entry: entry - 1,
        };
        let at = self.clock.now();
        let page = LogPage {
            life: life.clone(),
            after: entry - 1,
            entries: vec![LogEntry {
                entry,
                life,
                at,
                decisions,
            }],
            is_over: false,
        };
        assert!(self.take_page(&from, &page).await);
        assert!(!self.take_page(&from, &page).await, "it is told twice");
    }
}

#[tokio::test]
async fn admissions_their_ends_buyers_and_waits_count_once_in_their_hour() {
    for bench in halls().await {
        let waits = [Some(0), Some(60), Some(61), Some(1000), Some(20_000), None];
        let all = (1..).zip(waits).map(|(fan, waited)| admitted(fan, waited));
        bench.decide(1, all.collect()).await;
        let ada = bench.fan(1).await;
        bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        bench.count("one").await;
        bench.clock.advance_ms(HOUR_MS);
        let ends = [
            missed(6),
            ended(1, AdmissionEnd::Finished),
            ended(2, AdmissionEnd::Finished),
            ended(3, AdmissionEnd::Expired),
            ended(4, AdmissionEnd::Left),
            ended(5, AdmissionEnd::Ejected),
        ];
        bench.decide(2, ends.to_vec()).await;
        bench.count("one").await;
        let hours = bench.funnel().await;
        let starts: Vec<Time> = hours.iter().map(|it| it.hour).collect();
        assert_eq!(starts, [FIRST, Time(FIRST.0 + HOUR_MS)]);
        let first = &hours[0].funnel;
        assert_eq!((first.admitted, first.buyers, first.came), (6, 1, 0));
        let waits = &first.waits;
        assert_eq!((waits.count, waits.sum_seconds), (5, 21_121));
        assert_eq!(waits.counts, [2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((waits.median_minutes, waits.p90_minutes), (Some(2), None));
        let ends = Funnel {
            missed: 1,
            came: 3,
            finished: 2,
            ran_out: 1,
            left: 1,
            ejected: 1,
            ..Funnel::default()
        };
        assert_eq!(hours[1].funnel, ends);
        assert_eq!(Funnel::sum(&hours).waits, *waits);
        assert_eq!(Funnel::sum(&hours).came, 3);
        // Of the hours of sales it is none.
        assert_eq!(bench.hours().await.len(), 1);
    }
}

#[tokio::test]
async fn a_buyer_counts_once_and_a_sale_at_the_desk_not_at_all() {
    for bench in halls().await {
        for (jti, seat) in [("one", "st-A-1"), ("two", "st-A-2")] {
            let ada = bench.admit(1, jti).await.unwrap();
            bench.buy(&ada, &[seat]).await;
        }
        let ben = bench.fan(2).await;
        bench.buy(&ben, &["st-A-3"]).await;
        let sale = DeskSale {
            wish: named(&["st-A-4"]),
            ticket_types: Default::default(),
            type_counts: Default::default(),
            buyer: buyer(),
            method: ProviderId::Cash,
            total: None,
            language: None,
        };
        let sold = bench.seats.sell_at_desk(&bench.event, &sale, None).await;
        assert_eq!(sold.unwrap().value.state, "confirmed");
        bench.count("one").await;
        assert_eq!(bench.hours().await[0].orders_confirmed, 4);
        assert_eq!(bench.funnel().await[0].funnel.buyers, 2);
    }
}

#[tokio::test]
async fn counted_anew_or_by_another_node_the_funnel_is_the_same_and_is_gone_with_its_event() {
    for mut bench in halls().await {
        let all = (1..=40).map(|fan| admitted(fan, Some(u64::from(fan) * 30)));
        bench.decide(1, all.collect()).await;
        let ends = (1..=40).map(|fan| match fan % 4 {
            0 => missed(fan),
            _ => ended(fan, AdmissionEnd::Finished),
        });
        bench.decide(2, ends.collect()).await;
        let read = bench.next("one").await;
        bench.reopen().await;
        let lease_ms = i64::from(checkout::inventory::outbox::LEASE_SECONDS) * 1000;
        bench.clock.advance_ms(lease_ms);
        bench.count("two").await;
        for (lease, rows) in &read {
            assert!(!bench.store("one", *lease, rows).await, "it counts twice");
        }
        let hours = bench.funnel().await;
        let sum = Funnel::sum(&hours);
        assert_eq!((sum.admitted, sum.missed, sum.finished), (40, 10, 30));
        let waits = (sum.waits.median_minutes, sum.waits.p90_minutes);
        assert_eq!(waits, (Some(10), Some(30)));
        let [postgres, sqlite] = recount();
        bench.change_store(postgres, sqlite);
        assert_eq!(bench.funnel().await, []);
        bench.count("two").await;
        assert_eq!(bench.funnel().await, hours);
        bench.seats.remove(&bench.event).await.unwrap();
        assert_eq!(bench.funnel().await, []);
    }
}
