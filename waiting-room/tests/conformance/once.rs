//! News of sockets that opened and closed reaches the line on Redis at least once.

use crate::bench::{START, policy, steps};
use crate::nodes::{Nodes, until};
use shared::ids::VisitorId;
use shared::time::Clock;
use waiting_room::line::Admission;

fn away_seconds(away_seconds: u32) -> Admission {
    Admission {
        away_seconds,
        ..policy(0, 1, 10)
    }
}

#[tokio::test]
async fn the_fans_of_a_node_that_was_forgotten_count_as_connected_again_whatever_comes_first() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), away_seconds(30)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=250).await;
    for id in 1..=250 {
        line[0].back(event, VisitorId(id)).await.unwrap();
    }
    nodes.tick(1).await;
    for step in steps(11) {
        nodes.clock.advance_ms(step * 1000);
        line[1].tick(event).await.unwrap();
    }
    assert_eq!(line[1].stats(event).await.unwrap().away, 250);
    // A socket closes and one opens before the node's tick.
    line[0].away(event, VisitorId(250)).await.unwrap();
    line[0].back(event, VisitorId(249)).await.unwrap();
    until("connected fans are counted again", 10, || async {
        line[0].tick(event).await.unwrap();
        line[1].stats(event).await.unwrap().away == 1
    })
    .await;
    for _ in 0..5 {
        nodes.tick(7).await;
    }
    assert_eq!(line[1].tick(event).await.unwrap().waiting, 249);
}

#[tokio::test]
async fn a_socket_that_closed_while_the_store_was_away_is_recorded_afterwards() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), away_seconds(15)).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    nodes.join(0, 1..=2).await;
    for id in [1, 2] {
        line.back(event, VisitorId(id)).await.unwrap();
    }
    nodes.tick(1).await;
    server.signal("STOP");
    assert!(line.away(event, VisitorId(1)).await.is_err());
    server.signal("CONT");
    until("it is known to be away", 15, || async {
        line.tick(event).await.is_ok() && line.stats(event).await.is_ok_and(|stats| stats.away == 1)
    })
    .await;
    for _ in 0..2 {
        nodes.tick(8).await;
    }
    assert_eq!(line.tick(event).await.unwrap().waiting, 1);
}
