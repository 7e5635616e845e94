//! Sessions and holds: one session per admission, and all of the seats or none, for a limited time.

use crate::bench::*;
use checkout::inventory::{
    Best, Block, HoldState, NewSession, Orphans, Refused, Rules, RulesPatch, Verdict, Wish, layout,
};
use shared::ids::VisitorId;
use std::sync::Arc;

#[tokio::test]
async fn an_admission_opens_one_session_however_often_and_at_once_it_is_tried() {
    for bench in halls().await {
        let bench = Arc::new(bench);
        let mut trying = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let bench = bench.clone();
            trying.spawn(async move { bench.admit(1, "adm-1").await });
        }
        let opened = trying.join_all().await;
        assert_eq!(opened.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            opened
                .iter()
                .filter(|outcome| outcome.is_err())
                .all(|outcome| *outcome == Err(Refused::AdmissionUsed))
        );
    }
}

#[tokio::test]
async fn the_same_session_asked_for_again_is_answered_again() {
    for bench in halls().await {
        let open = |key| {
            bench.seats.open_session(NewSession {
                key,
                event: bench.event.clone(),
                visitor: VisitorId(1),
                number: 1,
                jti: "adm-1".into(),
                token: "token".into(),
                expires_at: START.plus_seconds(60),
                is_reported: true,
            })
        };
        let first = open([1; 32]).await.unwrap();
        let again = open([1; 32]).await.unwrap();
        assert_eq!((first.is_replayed, again.is_replayed), (false, true));
        assert_eq!(first.value, again.value);
        assert_eq!(open([2; 32]).await, Err(Refused::AdmissionUsed));
    }
}

#[tokio::test]
async fn a_hold_takes_all_of_the_seats_or_none_and_names_those_that_are_gone() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let hold = bench
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        assert_eq!(
            (hold.state, hold.total.amount, hold.seats.len()),
            (HoldState::Active, 9000, 2)
        );
        assert_eq!(hold.expires_at, START.plus_seconds(120));
        let refused = bench
            .hold(&ben, named(&["st-A-3", "st-A-2", "st-A-1"]))
            .await;
        assert_eq!(
            refused,
            Err(Refused::SeatsTaken(vec!["st-A-1".into(), "st-A-2".into()]))
        );
        assert_eq!(bench.counts().await, [14, 2, 0, 0]);
        let unknown = bench.hold(&ben, named(&["st-A-3", "st-Z-9"])).await;
        assert_eq!(unknown, Err(Refused::UnknownSeats(vec!["st-Z-9".into()])));
        assert!(matches!(
            bench.hold(&ben, named(&["st-A-3", "st-A-3"])).await,
            Err(Refused::Invalid(_))
        ));
        assert!(matches!(
            bench.hold(&ben, named(&[])).await,
            Err(Refused::Invalid(_))
        ));
        assert_eq!(bench.counts().await, [14, 2, 0, 0]);
    }
}

#[tokio::test]
async fn of_fifty_who_want_one_seat_exactly_one_gets_it() {
    for bench in halls().await {
        let bench = Arc::new(bench);
        let mut wanting = tokio::task::JoinSet::new();
        for visitor in 0..50 {
            let bench = bench.clone();
            wanting.spawn(async move {
                let fan = bench.fan(visitor).await;
                bench.hold(&fan, named(&["st-B-3", "st-B-4"])).await
            });
        }
        let outcomes = wanting.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(bench.counts().await, [14, 2, 0, 0]);
    }
}

#[tokio::test]
async fn a_crowd_that_asks_for_two_together_gets_different_pairs() {
    for bench in halls().await {
        let bench = Arc::new(bench);
        let mut wanting = tokio::task::JoinSet::new();
        for visitor in 0..10 {
            let bench = bench.clone();
            wanting.spawn(async move {
                let fan = bench.fan(visitor).await;
                bench.hold(&fan, best(2)).await
            });
        }
        let outcomes = wanting.join_all().await;
        let held: std::collections::BTreeSet<_> = outcomes
            .iter()
            .flatten()
            .flat_map(|hold| hold.seats.iter().map(|seat| seat.id.clone()))
            .collect();
        assert_eq!((outcomes.iter().flatten().count(), held.len()), (8, 16));
        assert!(
            outcomes
                .iter()
                .filter(|outcome| outcome.is_err())
                .all(|outcome| *outcome == Err(Refused::NotEnoughSeats))
        );
        assert_eq!(bench.counts().await, [0, 16, 0, 0]);
    }
}

#[tokio::test]
async fn the_limits_hold_per_order_and_per_visitor_over_several_holds_and_sessions() {
    for bench in halls().await {
        let patch = RulesPatch {
            max_seats_per_order: Some(3),
            max_seats_per_visitor: Some(4),
            ..RulesPatch::default()
        };
        let (before, after) = bench.seats.set_rules(&bench.event, patch).await.unwrap();
        assert_eq!((before, after.max_seats_per_order), (Rules::default(), 3));
        let ada = bench.fan(1).await;
        let four = bench
            .hold(&ada, named(&["st-A-1", "st-A-2", "st-A-3", "st-A-4"]))
            .await;
        assert_eq!(four, Err(Refused::TooManySeats(3)));
        let three = bench
            .hold(&ada, named(&["st-A-1", "st-A-2", "st-A-3"]))
            .await
            .unwrap();
        assert_eq!(
            bench.hold(&ada, named(&["st-B-1", "st-B-2"])).await,
            Err(Refused::TooManySeats(4))
        );
        let again = bench.admit(1, "adm-again").await.unwrap();
        assert_eq!(
            bench.hold(&again, named(&["st-B-1", "st-B-2"])).await,
            Err(Refused::TooManySeats(4))
        );
        bench.seats.release(ada.clone(), &three.id).await.unwrap();
        assert!(bench.hold(&ada, named(&["st-B-1", "st-B-2"])).await.is_ok());
    }
}

#[tokio::test]
async fn a_visitor_finds_the_holds_again_that_are_not_paid_for_and_no_others() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let released = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let ordered = bench.hold(&ada, named(&["st-A-2"])).await.unwrap();
        let active = bench.hold(&ada, named(&["st-A-3"])).await.unwrap();
        bench.hold(&ben, named(&["st-A-4"])).await.unwrap();
        bench
            .seats
            .release(ada.clone(), &released.id)
            .await
            .unwrap();
        bench.order(&ada, &ordered).await.unwrap();
        let own = bench.seats.own_holds(ada, &bench.event).await.unwrap();
        let ids: Vec<_> = own.iter().map(|hold| &hold.id).collect();
        assert_eq!(ids, [&ordered.id, &active.id]);
        assert_eq!(own[0].state, HoldState::Converted);
        assert_eq!(own[1], active);
        let stranger = bench.seats.own_holds(Vec::new(), &bench.event).await;
        assert_eq!(stranger, Err(Refused::NoSession));
    }
}

#[tokio::test]
async fn releasing_gives_the_seats_back_and_twice_is_no_error() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        assert_eq!(
            bench.seats.release(ben.clone(), &hold.id).await,
            Err(Refused::NoSuchHold),
            "not theirs"
        );
        for _ in 0..2 {
            bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        }
        assert_eq!(
            bench
                .seats
                .show_hold(ada.clone(), &hold.id)
                .await
                .unwrap()
                .state,
            HoldState::Released
        );
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        assert!(bench.hold(&ben, named(&["st-A-1"])).await.is_ok());
        assert_eq!(
            bench.order(&ada, &hold).await,
            Err(Refused::HoldOver("released".into()))
        );
    }
}

#[tokio::test]
async fn a_lapsed_hold_may_be_taken_over_before_the_sweep_and_is_released_by_it() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let first = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        bench.hold(&ada, named(&["st-A-2"])).await.unwrap();
        assert_eq!(bench.sweep_after(119).await, 0);
        assert!(bench.hold(&ben, named(&["st-A-1"])).await.is_err());
        bench.clock.advance_ms(SLACK_SECONDS * 1000);
        assert!(
            bench.hold(&ben, named(&["st-A-1"])).await.is_ok(),
            "taken over"
        );
        assert_eq!(
            bench.order(&ada, &first).await,
            Err(Refused::HoldOver("expired".into()))
        );
        bench.sweep_after(0).await;
        assert_eq!(bench.counts().await, [15, 1, 0, 0]);
    }
}

#[tokio::test]
async fn leaving_the_checkout_releases_the_holds_and_reports_the_slot() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let ordered = bench.hold(&ada, named(&["st-A-2"])).await.unwrap();
        bench.order(&ada, &ordered).await.unwrap();
        bench
            .seats
            .end_session(ada.clone(), &bench.event)
            .await
            .unwrap();
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        assert!(bench.seats.reports().await.unwrap()[0].is_finished);
        assert_eq!(
            bench.hold(&ada, named(&["st-A-1"])).await,
            Err(Refused::SessionOver)
        );
    }
}

#[tokio::test]
async fn a_session_past_its_end_holds_nothing_new_but_pays_what_it_has() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        bench.clock.advance_ms(3_590_000);
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        bench.clock.advance_ms(20_000);
        assert_eq!(
            bench.hold(&ada, named(&["st-A-2"])).await,
            Err(Refused::SessionOver)
        );
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(
            bench
                .pay(&ada, &order, Verdict::Captured)
                .await
                .unwrap()
                .state,
            "confirmed"
        );
        assert_eq!(
            bench.hold(&bench.keys([7; 32]), named(&["st-A-2"])).await,
            Err(Refused::NoSession)
        );
    }
}

#[tokio::test]
async fn of_a_list_of_wishes_the_first_that_is_free_is_granted_and_else_the_best() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let list = |seats: &[&str]| seats.iter().map(|seat| (*seat).to_owned()).collect();
        let lists = || vec![list(&["st-A-1", "st-A-2"]), list(&["st-B-1", "st-B-2"])];
        let first = bench.hold(&ada, Wish::AnyOf(lists(), None)).await.unwrap();
        assert_eq!(&*first.seats[0].id, "st-A-1");
        let second = bench.hold(&ben, Wish::AnyOf(lists(), None)).await.unwrap();
        assert_eq!(&*second.seats[0].id, "st-B-1");
        let none = bench.hold(&ben, Wish::AnyOf(lists(), None)).await;
        assert_eq!(none, Err(Refused::SeatsTaken(list(&["st-B-1", "st-B-2"]))));
        let floor = Best {
            quantity: 2,
            category: Some("floor".into()),
            accessible: false,
        };
        let wish = Wish::AnyOf(lists(), Some(floor));
        let fallback = bench.hold(&ben, wish).await.unwrap();
        assert_eq!(&*fallback.seats[0].category, "floor");
        assert_eq!(bench.counts().await, [10, 6, 0, 0]);
    }
}

#[tokio::test]
async fn where_single_seats_are_forbidden_none_is_left_over_until_few_are_left() {
    for bench in halls().await {
        let patch = RulesPatch {
            orphans: Some(Orphans::Forbid),
            ..RulesPatch::default()
        };
        bench.seats.set_rules(&bench.event, patch).await.unwrap();
        let ada = bench.fan(1).await;
        let second = bench.hold(&ada, named(&["st-A-2"])).await;
        assert_eq!(second, Err(Refused::LeavesSingle(vec!["st-A-1".into()])));
        assert_eq!(
            &*bench.hold(&ada, best(3)).await.unwrap().seats[0].id,
            "st-A-1"
        );
        let areas = bench.hold(&ada, named(&["fl-2"])).await;
        assert!(areas.is_ok(), "nobody sits beside anybody there");
        let sold = [
            "st-A-4", "st-A-5", "st-A-6", "st-B-1", "st-B-2", "st-B-3", "fl-1", "fl-3", "fl-4",
        ];
        let names = sold.iter().map(|seat| (*seat).to_owned()).collect();
        bench
            .seats
            .block(&bench.event, names, Block::Block, None)
            .await
            .unwrap();
        let ben = bench.fan(2).await;
        let middle = bench.hold(&ben, named(&["st-B-5"])).await;
        assert!(matches!(middle, Err(Refused::LeavesSingle(left)) if left.len() == 2));
        bench
            .seats
            .block(
                &bench.event,
                vec!["st-B-4".into(), "st-B-5".into()],
                Block::Block,
                None,
            )
            .await
            .unwrap();
        assert!(
            bench.hold(&ben, named(&["st-B-6"])).await.is_ok(),
            "the last one may go"
        );
    }
}

#[tokio::test]
async fn a_storm_of_lapsed_holds_is_released_in_bounded_steps_while_the_sale_goes_on() {
    for bench in halls().await {
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 1}], "areas": [{"id": "f", "category": "c", "capacity": 1300}]}"#;
        bench
            .seats
            .set_seating(&bench.event, layout::parse(plan).unwrap())
            .await
            .unwrap();
        let bench = Arc::new(bench);
        let mut holding = tokio::task::JoinSet::new();
        for fan in 0..1200u16 {
            let bench = bench.clone();
            holding.spawn(async move {
                let keys = bench.admit_number(fan.into()).await;
                bench.hold(&keys, best(1)).await.map(drop)
            });
        }
        assert!(holding.join_all().await.iter().all(Result::is_ok));
        assert_eq!(bench.counts().await, [100, 1200, 0, 0]);
        bench.clock.advance_ms((120 + SLACK_SECONDS) * 1000);
        let mut released = 0;
        for step in 0..3 {
            let swept = bench.seats.sweep().await.unwrap();
            assert!(swept.seats_released <= 500, "a step is bounded");
            assert_eq!(swept.has_more, step < 2);
            released += swept.seats_released;
            let fan = bench.admit_number(5000 + step).await;
            bench.hold(&fan, best(6)).await.unwrap();
        }
        assert_eq!(released, 1200);
        assert_eq!(bench.counts().await, [1282, 18, 0, 0]);
    }
}
