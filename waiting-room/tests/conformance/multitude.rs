//! More nodes than anyone runs share one line: fifty, and 251, which a byte could not tell apart.

use crate::bench::{START, policy, steps};
use crate::nodes::Nodes;
use futures_util::future::join_all;
use shared::ids::VisitorId;
use shared::time::Clock;
use waiting_room::line::{Admission, VisitorState};

/// Has each of many nodes connect two fans, and some of them die.
async fn share_a_line(count: usize) {
    let server = testkit::Redis::start();
    let times = Admission {
        away_seconds: 30,
        ..policy(0, 1, 5)
    };
    let nodes = Nodes::start(&server.url(), count, Clock::manual(START), times).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    let fans = 2 * count as u128;
    let home = |fan: u128| (fan as usize - 1) % count;
    // Each joins at one node, at the same time as all others, and is connected to the next.
    let joins = (1..=fans).map(|fan| nodes.join(home(fan), fan..=fan));
    let mut numbers: Vec<u64> = Vec::new();
    for spots in join_all(joins).await {
        numbers.push(spots[0].number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=2 * count as u64).collect::<Vec<_>>());
    for fan in 1..=fans {
        let spot = line[home(fan)].back(event, VisitorId(fan)).await.unwrap();
        assert!(spot.is_some());
    }
    let known = server.ask(&["HLEN", "fairline:{night}:nodes"]);
    assert_eq!(known, Some(count.to_string()));
    let tick = async |seconds: i64, alive: usize| {
        for step in steps(seconds) {
            nodes.clock.advance_ms(step * 1000);
            let ticks = line[..alive].iter().map(|node| node.tick(event));
            for front in join_all(ticks).await {
                assert!(front.is_ok());
            }
        }
    };
    tick(1, count).await;
    assert_eq!(line[0].stats(event).await.unwrap().away, 0);
    // The last node dies, with two fans. Those of all others keep their places.
    tick(12, count - 1).await;
    assert_eq!(line[0].stats(event).await.unwrap().away, 2);
    tick(28, count - 1).await;
    let stats = line[0].stats(event).await.unwrap();
    assert_eq!((stats.waiting, stats.away), (2 * count as u64 - 2, 0));
    for fan in [count as u128, fans] {
        let spot = line[0].peek(event, VisitorId(fan)).await.unwrap().unwrap();
        assert_eq!(spot.standing, VisitorState::Missed);
    }
    // Its index is free again.
    let known = server.ask(&["HLEN", "fairline:{night}:nodes"]);
    assert_eq!(known, Some((count - 1).to_string()));
    let left = server.ask(&["KEYS", "fairline:{night}:in:*"]);
    assert_eq!(left.as_deref(), Some(""));
    // However many tick, no more are admitted than may be inside.
    let faster = r#"{"admission": {"rate_per_minute": 60000}}"#;
    let faster = serde_json::from_str(faster).unwrap();
    line[1].configure(event, faster).await.unwrap();
    tick(8, count - 1).await;
    assert_eq!(line[0].stats(event).await.unwrap().admitted, 5);
    line[0].remove(event).await.unwrap();
    assert_eq!(
        server.ask(&["KEYS", "fairline:{night}:*"]).as_deref(),
        Some("")
    );
}

#[tokio::test]
async fn fifty_nodes_share_a_line() {
    share_a_line(50).await;
}

#[tokio::test]
async fn two_hundred_and_fifty_one_nodes_share_a_line() {
    share_a_line(251).await;
}
