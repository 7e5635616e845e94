//! Slots that last longer because their fans asked for more time.

use crate::bench::{START, benches, policy};
use crate::nodes::Nodes;
use shared::ids::VisitorId;
use shared::time::Clock;
use waiting_room::line::{Admission, Claimed, VisitorState};

fn times() -> Admission {
    Admission {
        claim_seconds: 10,
        session_seconds: 20,
        ..policy(60_000, 1, 1)
    }
}

#[tokio::test]
async fn an_extended_slot_lapses_at_its_new_end_and_takes_the_room_of_one_until_then() {
    for mut bench in benches() {
        let event = bench.event(times()).await;
        bench.join(&event, 1..=2).await;
        let early = START.plus_seconds(1000);
        let refused = bench.line.extend(&event, VisitorId(1), 1, early).await;
        assert_eq!(refused.unwrap(), Claimed::Lapsed, "not admitted yet");
        bench.tick_after(&event, 1).await;
        let slot = bench.spot(&event, 1).await.slot.unwrap();
        let until = slot.expires_at.plus_seconds(15);
        for _ in 0..2 {
            let extended = bench.line.extend(&event, VisitorId(1), 1, until).await;
            assert_eq!(extended.unwrap(), Claimed::Until(until));
        }
        // The time that it had, and a claim with the token from before, take nothing away.
        let sooner = bench.line.extend(&event, VisitorId(1), 1, slot.expires_at);
        assert_eq!(sooner.await.unwrap(), Claimed::Until(until));
        let claimed = bench.line.claim(&event, VisitorId(1), 1).await;
        assert_eq!(claimed.unwrap(), Claimed::Until(until));
        bench.tick_after(&event, 32).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Shopping);
        bench.reopen();
        bench.tick_after(&event, 3).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Shopping);
        assert_eq!(bench.standing(&event, 2).await, VisitorState::Waiting);
        let stats = bench.line.stats(&event).await.unwrap();
        assert_eq!(stats.admitted + stats.shopping, 1, "{}", bench.name);
        bench.tick_after(&event, 10).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Missed);
        assert_eq!(bench.standing(&event, 2).await, VisitorState::Admitted);
        let late = bench.line.extend(&event, VisitorId(1), 1, early).await;
        assert_eq!(late.unwrap(), Claimed::Lapsed, "it is over");
    }
}

#[tokio::test]
async fn an_extension_that_one_node_knows_outlives_the_store_whichever_node_reports_first() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), times()).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=2).await;
    nodes.tick(1).await;
    for node in line {
        node.claim(event, VisitorId(1), 1).await.unwrap();
        node.tick(event).await.unwrap();
    }
    let spot = line[0].place(event, VisitorId(1)).await.unwrap().unwrap();
    let until = spot.slot.unwrap().expires_at.plus_seconds(15);
    // The other node knows of the old end only.
    let extended = line[1].extend(event, VisitorId(1), 1, until).await.unwrap();
    assert_eq!(extended, Claimed::Until(until));
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    for node in line {
        let claimed = node.claim(event, VisitorId(1), 1).await.unwrap();
        assert_eq!(claimed, Claimed::Until(until));
    }
}
