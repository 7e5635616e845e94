//! Time in which no fan could be heard counts for no deadline: an outage, a restart, a clock that is
//! set. On Redis also for the nodes' signs of life.

use crate::bench::{Bench, START, benches, policy};
use crate::nodes::{Nodes, until};
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::time::Duration;
use waiting_room::line::{Admission, Claimed, VisitorState};

const CLAIM_SECONDS: i64 = 10;

/// A line with one visitor who was admitted four seconds ago and one who waits and has not shown for
/// as long.
async fn begun(bench: &Bench) -> EventId {
    let admission = Admission {
        claim_seconds: CLAIM_SECONDS as u32,
        session_seconds: 20,
        away_seconds: 10,
        ..policy(60_000, 1, 1)
    };
    let event = bench.event(admission).await;
    bench.join(&event, 1..=2).await;
    bench.tick_after(&event, 0).await;
    bench.tick_after(&event, 4).await;
    event
}

/// Something happens that moves the clock by so many seconds without a tick.
async fn take_nothing(happens: impl Fn(&mut Bench), seconds: i64) {
    for mut bench in benches() {
        let event = begun(&bench).await;
        let before = bench.spot(&event, 1).await.slot.unwrap();
        // Looks at the second visitor must not be signs of life.
        let state = async |bench: &Bench, number| {
            let spot = bench.line.find(&event, number).await.unwrap().unwrap();
            spot.standing
        };
        happens(&mut bench);
        bench.tick_after(&event, 0).await;
        let name = bench.name;
        let after = bench.spot(&event, 1).await.slot.unwrap();
        let moved = after.claim_by.0 - before.claim_by.0;
        assert_eq!(moved, seconds * 1000, "{name}: the deadline that is told");
        assert_eq!(after.expires_at.0 - before.expires_at.0, seconds * 1000);
        assert_eq!(state(&bench, 2).await, VisitorState::Waiting, "{name}");
        bench.tick_after(&event, CLAIM_SECONDS - 5).await;
        assert_eq!(state(&bench, 1).await, VisitorState::Admitted, "{name}");
        bench.tick_after(&event, 1).await;
        assert_eq!(state(&bench, 1).await, VisitorState::Missed, "{name}");
    }
}

#[tokio::test]
async fn an_outage_takes_nothing_from_a_turn_or_a_place() {
    take_nothing(|bench| bench.clock.advance_ms(3_600_000), 3600).await;
}

#[tokio::test]
async fn a_restart_takes_nothing_from_a_turn_or_a_place() {
    let restart = |bench: &mut Bench| {
        bench.clock.advance_ms(60_000);
        bench.reopen();
    };
    take_nothing(restart, 60).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_takes_nothing_from_a_turn_or_a_place() {
    take_nothing(|bench| bench.clock.advance_ms(-600_000), -600).await;
}

#[tokio::test]
async fn who_comes_to_the_checkout_right_after_an_outage_may_enter_before_any_tick() {
    for bench in benches() {
        let event = begun(&bench).await;
        let slot = bench.spot(&event, 1).await.slot.unwrap();
        bench.clock.advance_ms(60_000);
        let claimed = bench.line.claim(&event, VisitorId(1), 1).await.unwrap();
        let until = slot.expires_at.plus_seconds(60);
        assert_eq!(claimed, Claimed::Until(until), "{}", bench.name);
        bench.tick_after(&event, 0).await;
        let again = bench.line.claim(&event, VisitorId(1), 1).await.unwrap();
        assert_eq!(again, claimed, "{}", bench.name);
    }
}

#[tokio::test]
async fn admission_goes_on_after_the_clock_was_set_back() {
    for bench in benches() {
        let event = bench.event(policy(60, 1, 1000)).await;
        bench.join(&event, 1..=100).await;
        bench.tick_after(&event, 0).await;
        bench.clock.advance_ms(-600_000);
        let before = bench.line.stats(&event).await.unwrap().total.admitted;
        for _ in 0..10 {
            bench.tick_after(&event, 1).await;
        }
        let stats = bench.line.stats(&event).await.unwrap();
        let admitted = stats.total.admitted - before;
        assert!((9..=10).contains(&admitted), "{}: {admitted}", bench.name);
        let counted = stats.per_minute.admitted;
        assert!(counted >= admitted, "{}: {counted}", bench.name);
    }
}

#[tokio::test]
async fn an_organisers_look_is_no_sign_of_life() {
    for bench in benches() {
        let event = bench
            .event(Admission {
                away_seconds: 10,
                ..policy(0, 1, 1)
            })
            .await;
        bench.join(&event, 1..=1).await;
        bench.tick_after(&event, 8).await;
        let spot = bench
            .line
            .peek(&event, VisitorId(1))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((spot.number, spot.standing), (1, VisitorState::Waiting));
        assert_eq!(bench.line.peek(&event, VisitorId(9)).await.unwrap(), None);
        bench.tick_after(&event, 2).await;
        let spot = bench.line.find(&event, 1).await.unwrap().unwrap();
        assert_eq!(spot.standing, VisitorState::Missed, "{}", bench.name);
    }
}

#[tokio::test]
async fn after_an_outage_no_node_is_taken_for_dead_because_another_ticks_first() {
    let server = testkit::Redis::start();
    let times = Admission {
        away_seconds: 30,
        ..policy(0, 1, 10)
    };
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), times).await;
    nodes.join(0, 1..=10).await;
    for id in 1..=10 {
        nodes.nodes[1]
            .back(&nodes.event, VisitorId(id))
            .await
            .unwrap();
    }
    nodes.tick(1).await;
    nodes.clock.advance_ms(120_000);
    nodes.nodes[0].tick(&nodes.event).await.unwrap();
    let stats = nodes.nodes[0].stats(&nodes.event).await.unwrap();
    assert_eq!((stats.waiting, stats.away), (10, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_takes_no_place_from_who_polled_in_vain() {
    let server = testkit::Redis::start();
    let times = Admission {
        away_seconds: 4,
        ..policy(0, 1, 10)
    };
    let nodes = Nodes::start(&server.url(), 1, Clock::system(), times).await;
    nodes.join(0, 1..=1).await;
    let (line, event) = (&nodes.nodes[0], &nodes.event);
    nodes.tick(0).await;
    server.signal("STOP");
    let thaw = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        server.signal("CONT");
    };
    let polls = until("it answers again", 20, || async {
        let _ = line.tick(event).await;
        let spot = line.place(event, VisitorId(1)).await;
        spot.is_ok_and(|spot| {
            assert_eq!(spot.unwrap().standing, VisitorState::Waiting);
            server.ask(&["PING"]).is_some()
        })
    });
    let first = line.place(event, VisitorId(1)).await;
    assert!(first.is_err(), "it is frozen");
    tokio::join!(thaw, polls);
    line.tick(event).await.unwrap();
    let spot = line.place(event, VisitorId(1)).await.unwrap().unwrap();
    assert_eq!(spot.standing, VisitorState::Waiting);
}
