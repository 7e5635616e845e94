//! Admission: order, pace and time limits.

use crate::bench::{START, benches, policy, seats};
use shared::ids::{EventId, VisitorId};
use waiting_room::line::{Admission, Claimed, EventSettings, Patch, Phase, Refused, VisitorState};

#[tokio::test]
async fn a_batch_is_what_the_rate_allows_in_order_however_often_anyone_ticks() {
    for bench in benches() {
        let event = bench.event(policy(60, 5, 1000)).await;
        bench.join(&event, 1..=40).await;
        bench.tick_after(&event, 0).await;
        let first: Vec<u128> = (1..=5).collect();
        assert_eq!(bench.admitted(&event, 1..=40).await, first);
        for _ in 0..20 {
            bench.tick_after(&event, 0).await;
        }
        bench.tick_after(&event, 4).await;
        assert_eq!(bench.admitted(&event, 1..=40).await, first);
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.admitted(&event, 1..=40).await,
            (1..=10).collect::<Vec<_>>()
        );
        // A minute without ticks is not made up for.
        bench.clock.advance_ms(60_000);
        bench.line.tick(&event).await.unwrap();
        assert_eq!(
            bench.admitted(&event, 1..=40).await,
            (1..=15).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_rate_below_one_fan_a_batch_is_kept_exactly() {
    for bench in benches() {
        let event = bench.event(policy(7, 5, 1000)).await;
        bench.join(&event, 1..=100).await;
        for _ in 0..600 {
            bench.tick_after(&event, 1).await;
        }
        let admitted = bench.line.stats(&event).await.unwrap().total.admitted;
        assert!(
            (60..=71).contains(&admitted),
            "{admitted} in ten minutes at 7 a minute"
        );
    }
}

#[tokio::test]
async fn admitted_and_shopping_never_exceed_max_active_and_a_lapsed_slot_moves_on_in_the_same_step()
{
    for bench in benches() {
        let event = bench
            .event(Admission {
                claim_seconds: 10,
                ..policy(60_000, 1, 3)
            })
            .await;
        bench.join(&event, 1..=9).await;
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2, 3]);
        assert!(matches!(
            bench.line.claim(&event, VisitorId(2), 2).await,
            Ok(Claimed::Until(_))
        ));
        bench.tick_after(&event, 5).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 3]);
        bench.tick_after(&event, 5).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Missed);
        assert_eq!(
            bench.admitted(&event, 1..=9).await,
            [4, 5],
            "two lapsed, two came, one shops"
        );
        bench.line.finish(&event, VisitorId(2), 2).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [4, 5, 6]);
        let less = Patch {
            admission: Some(serde_json::from_str("{\"max_active\": 1}").unwrap()),
            ..Patch::default()
        };
        bench.line.configure(&event, less).await.unwrap();
        bench.line.leave(&event, VisitorId(4)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.admitted(&event, 1..=9).await,
            [5, 6],
            "none is admitted above the lowered limit"
        );
    }
}

#[tokio::test]
async fn no_more_are_admitted_than_there_are_seats_and_none_to_a_checkout_that_is_silent() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 100)).await;
        bench.line.report(&event, seats(2, 0)).await.unwrap();
        bench.join(&event, 1..=9).await;
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2]);
        bench.line.report(&event, seats(4, 0)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2, 3, 4]);
        bench.line.report(&event, seats(6, 0)).await.unwrap();
        bench.clock.advance_ms(31_000);
        bench.line.tick(&event).await.unwrap();
        assert_eq!(
            bench.admitted(&event, 1..=9).await,
            [1, 2, 3, 4],
            "the report is too old to go by"
        );
        bench.line.report(&event, seats(6, 0)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2, 3, 4, 5, 6]);
    }
}

#[tokio::test]
async fn a_claim_keeps_the_slot_until_the_token_ends_and_may_be_repeated() {
    for bench in benches() {
        let times = Admission {
            claim_seconds: 10,
            session_seconds: 20,
            ..policy(60_000, 1, 10)
        };
        let event = bench.event(times).await;
        bench.join(&event, 1..=2).await;
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 1).await.unwrap(),
            Claimed::Lapsed,
            "not admitted yet"
        );
        bench.tick_after(&event, 1).await;
        let slot = bench.spot(&event, 1).await.slot.unwrap();
        assert_eq!(slot.claim_by, slot.admitted_at.plus_seconds(10));
        assert_eq!(slot.expires_at, slot.admitted_at.plus_seconds(30));
        for _ in 0..3 {
            let claimed = bench.line.claim(&event, VisitorId(1), 1).await.unwrap();
            assert_eq!(claimed, Claimed::Until(slot.expires_at));
        }
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 2).await.unwrap(),
            Claimed::Lapsed,
            "another's number"
        );
        bench.tick_after(&event, 11).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Shopping);
        assert_eq!(bench.standing(&event, 2).await, VisitorState::Missed);
        assert_eq!(
            bench.line.claim(&event, VisitorId(2), 2).await.unwrap(),
            Claimed::Lapsed
        );
        bench.tick_after(&event, 20).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Missed);
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 1).await.unwrap(),
            Claimed::Lapsed
        );
    }
}

#[tokio::test]
async fn the_token_of_an_earlier_place_neither_claims_nor_finishes_the_new_one() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=1).await;
        bench.tick_after(&event, 1).await;
        bench.line.leave(&event, VisitorId(1)).await.unwrap();
        bench.join(&event, 1..=1).await;
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Admitted);
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 1).await.unwrap(),
            Claimed::Lapsed
        );
        bench.line.finish(&event, VisitorId(1), 1).await.unwrap();
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Admitted);
    }
}

#[tokio::test]
async fn nobody_finishes_anothers_turn() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 1).await;
        bench.line.finish(&event, VisitorId(2), 1).await.unwrap();
        bench.line.finish(&event, VisitorId(9), 1).await.unwrap();
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Admitted);
        assert_eq!(bench.standing(&event, 2).await, VisitorState::Admitted);
    }
}

#[tokio::test]
async fn whose_turn_comes_while_they_are_away_is_admitted_like_anyone() {
    for bench in benches() {
        let event = bench
            .event(Admission {
                away_seconds: 10,
                claim_seconds: 60,
                ..policy(60_000, 1, 10)
            })
            .await;
        bench.join(&event, 1..=1).await;
        bench.line.away(&event, VisitorId(1)).await.unwrap();
        bench.tick_after(&event, 5).await;
        bench.tick_after(&event, 20).await;
        assert_eq!(
            bench.standing(&event, 1).await,
            VisitorState::Admitted,
            "claim_seconds, not away_seconds"
        );
    }
}

#[tokio::test]
async fn the_schedule_opens_and_closes_the_line_and_the_sale() {
    for bench in benches() {
        let event = EventId::parse("timed").unwrap();
        let mut settings = EventSettings::new(event.clone(), "Timed");
        settings.admission = policy(60_000, 1, 10);
        settings.prequeue_opens_at = Some(START.plus_seconds(10));
        settings.sale_opens_at = Some(START.plus_seconds(20));
        settings.closes_at = Some(START.plus_seconds(40));
        bench.line.create(settings).await.unwrap();
        let phase = async || bench.line.tick(&event).await.unwrap().phase;
        assert_eq!(phase().await, Phase::Scheduled);
        let early = bench.line.join(&event, &[VisitorId(1)]).await;
        assert_eq!(early, Err(Refused::NotOpen(Some(START.plus_seconds(10)))));
        bench.clock.advance_ms(10_000);
        assert_eq!(phase().await, Phase::Prequeue);
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 9).await;
        assert_eq!(
            bench.standing(&event, 1).await,
            VisitorState::Waiting,
            "the sale is not open"
        );
        bench.tick_after(&event, 1).await;
        assert_eq!(phase().await, Phase::Open);
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Admitted);
        bench.clock.advance_ms(20_000);
        assert_eq!(phase().await, Phase::Closed);
        assert_eq!(
            bench.line.join(&event, &[VisitorId(3)]).await,
            Err(Refused::Closed(Phase::Closed))
        );
        assert_eq!(
            bench.join(&event, 2..=2).await,
            [2],
            "who has a place still sees it"
        );
    }
}

#[tokio::test]
async fn a_pause_stops_admission_and_nothing_else() {
    for bench in benches() {
        let event = bench.event(policy(60, 1, 100)).await;
        bench
            .line
            .configure(
                &event,
                Patch {
                    paused: Some(true),
                    ..Patch::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(bench.join(&event, 1..=3).await, [1, 2, 3]);
        bench.tick_after(&event, 30).await;
        assert_eq!(bench.admitted(&event, 1..=3).await, []);
        bench
            .line
            .configure(
                &event,
                Patch {
                    paused: Some(false),
                    ..Patch::default()
                },
            )
            .await
            .unwrap();
        bench.tick_after(&event, 0).await;
        assert_eq!(
            bench.admitted(&event, 1..=3).await,
            [1],
            "no credit was saved up"
        );
    }
}

#[tokio::test]
async fn sold_out_takes_nobody_in_and_comes_back_when_seats_do() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=3).await;
        bench.line.report(&event, seats(0, 1)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.line.tick(&event).await.unwrap().phase,
            Phase::Open,
            "a held seat may come back"
        );
        assert_eq!(bench.admitted(&event, 1..=3).await, []);
        bench.line.report(&event, seats(0, 0)).await.unwrap();
        assert_eq!(bench.line.tick(&event).await.unwrap().phase, Phase::SoldOut);
        assert_eq!(
            bench.line.join(&event, &[VisitorId(9)]).await,
            Err(Refused::Closed(Phase::SoldOut))
        );
        assert_eq!(bench.standing(&event, 2).await, VisitorState::Waiting);
        bench.line.report(&event, seats(2, 0)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=3).await, [1, 2]);
    }
}

#[tokio::test]
async fn a_turn_is_over_when_its_time_is_though_nobody_ticked() {
    for bench in benches() {
        let times = Admission {
            claim_seconds: 10,
            session_seconds: 20,
            ..policy(60_000, 1, 10)
        };
        let event = bench.event(times).await;
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 1).await;
        let claim = async |id: u64| {
            let visitor = VisitorId(u128::from(id));
            bench.line.claim(&event, visitor, id).await.unwrap()
        };
        bench.tick_after(&event, 8).await;
        bench.clock.advance_ms(1_999);
        assert!(
            matches!(claim(1).await, Claimed::Until(_)),
            "{}",
            bench.name
        );
        bench.clock.advance_ms(1);
        assert_eq!(claim(2).await, Claimed::Lapsed);
        bench.tick_after(&event, 0).await;
        bench.tick_after(&event, 18).await;
        bench.clock.advance_ms(1_999);
        assert!(matches!(claim(1).await, Claimed::Until(_)));
        bench.clock.advance_ms(1);
        assert_eq!(claim(1).await, Claimed::Lapsed);
    }
}

#[tokio::test]
async fn how_long_people_waited_is_told_in_quantiles() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 1000)).await;
        let pause = |paused| Patch {
            paused: Some(paused),
            ..Patch::default()
        };
        bench.line.configure(&event, pause(true)).await.unwrap();
        for second in 0..10 {
            bench.join(&event, second * 10 + 1..=second * 10 + 10).await;
            bench.tick_after(&event, 1).await;
        }
        bench.line.configure(&event, pause(false)).await.unwrap();
        bench.tick_after(&event, 0).await;
        let waited = bench.line.stats(&event).await.unwrap().waited_seconds;
        let told = [waited.p50, waited.p90, waited.p99];
        assert_eq!(told, [Some(5), Some(9), Some(10)], "{}", bench.name);
    }
}
