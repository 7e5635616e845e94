//! Two who want the same seats at the same instant, at one node and at two.

use crate::bench::*;
use checkout::inventory::{HoldState, Refused, SessionKeys};
use std::collections::BTreeSet;

/// Number of times that a race is run.
const ROUNDS: usize = 12;

/// Returns two ways to each store: one node twice, and two nodes.
async fn two_ways() -> Vec<(Bench, Bench)> {
    let mut ways = pairs().await;
    for bench in halls().await {
        let same = bench.on(&bench.event);
        ways.push((bench, same));
    }
    ways
}

#[tokio::test]
async fn of_two_who_want_overlapping_seats_one_gets_all_and_the_other_none() {
    for (here, there) in two_ways().await {
        let (ada, bob) = (here.fan(1).await, there.fan(2).await);
        for _ in 0..ROUNDS {
            let wishes = (["st-A-1", "st-A-2"], ["st-A-2", "st-A-3"]);
            let (first, second) = tokio::join!(
                here.hold(&ada, named(&wishes.0)),
                there.hold(&bob, named(&wishes.1))
            );
            let (won, lost) = match (first, second) {
                (Ok(won), Err(lost)) => (won, lost),
                (Err(lost), Ok(won)) => (won, lost),
                both => panic!("{both:?}"),
            };
            // A node may be a moment behind with seats that were released.
            let Refused::SeatsTaken(taken) = lost else {
                panic!("{lost:?}");
            };
            assert!(taken.contains(&"st-A-2".to_owned()), "{taken:?}");
            assert_eq!(here.counts().await, [14, 2, 0, 0]);
            release(&here, &[&ada, &bob], &won.id).await;
        }
    }
}

async fn release(bench: &Bench, fans: &[&SessionKeys], hold: &str) {
    for fan in fans {
        // The fan whose hold it is not knows of none.
        let _ = bench.seats.release((*fan).clone(), hold).await;
    }
    assert_eq!(bench.counts().await, [16, 0, 0, 0]);
}

#[tokio::test]
async fn of_a_crowd_that_wants_overlapping_seats_no_two_get_one_and_none_gets_a_part() {
    for (here, there) in two_ways().await {
        let mut wanting = Vec::new();
        for at in 0..15_u8 {
            let node = if at % 2 == 0 { &here } else { &there };
            let fan = node.fan(at + 1).await;
            let seats = [0, 1].map(|next| format!("st-A-{}", at % 5 + 1 + next));
            wanting.push(async move {
                node.hold(&fan, named(&seats.each_ref().map(|id| &**id)))
                    .await
            });
        }
        let outcomes = futures_util::future::join_all(wanting).await;
        let held = outcomes.iter().flatten().flat_map(|hold| hold.seats.iter());
        let held: Vec<_> = held.map(|seat| seat.id.clone()).collect();
        assert_eq!(held.len(), held.iter().collect::<BTreeSet<_>>().len());
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(matches!(refused, Refused::SeatsTaken(_)), "{refused:?}");
        }
        let held = held.len() as u32;
        assert!(held >= 4, "{held}: two pairs at least have room");
        assert_eq!(there.counts().await, [16 - held, held, 0, 0]);
    }
}

#[tokio::test]
async fn a_lapsed_hold_is_ordered_by_its_owner_or_taken_by_another_and_never_both() {
    for (here, there) in two_ways().await {
        for round in 0..ROUNDS as u32 {
            let (ada, bob) = (
                here.admit_number(2 * round).await,
                there.admit_number(2 * round + 1).await,
            );
            let hold = here.hold(&ada, named(&["st-A-1"])).await.unwrap();
            here.clock.advance_ms((120 + SLACK_SECONDS) * 1000);
            let taking = async { there.hold(&bob, named(&["st-A-1"])).await };
            let ordering = async { here.order(&ada, &hold).await };
            // Both come first in turn.
            let (ordered, taken) = if round % 2 == 0 {
                tokio::join!(ordering, taking)
            } else {
                let (taken, ordered) = tokio::join!(taking, ordering);
                (ordered, taken)
            };
            match (ordered, taken) {
                (Ok(order), Err(refused)) => {
                    assert_eq!(refused, Refused::SeatsTaken(vec!["st-A-1".to_owned()]));
                    assert_eq!(order.state, "paying");
                    here.seats.release(ada.clone(), &hold.id).await.unwrap();
                }
                (Err(refused), Ok(taken)) => {
                    assert_eq!(refused, Refused::HoldOver("expired".to_owned()));
                    let over = here.seats.show_hold(ada.clone(), &hold.id).await;
                    assert_eq!(over.unwrap().state, HoldState::Expired);
                    there.seats.release(bob.clone(), &taken.id).await.unwrap();
                }
                both => panic!("{both:?}"),
            }
            assert_eq!(here.counts().await, [16, 0, 0, 0]);
        }
    }
}
