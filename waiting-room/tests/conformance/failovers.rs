//! Failovers there and back under joins, of a master that Sentinels watch and of one in a cluster: each
//! server is the master twice, and may have lost its last writes each time.

use crate::bench::{policy, spot_of};
use crate::nodes::Nodes;
use shared::ids::VisitorId;
use shared::time::Clock;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use waiting_room::line::{Life, VisitorState};
use waiting_room::pass::Pass;

const KEY: &str = "fairline:{night}:meta";
/// Joins that have to be answered after each failover.
const JOINS: usize = 50;
/// Time until a replica takes over and the line is recovered, on a loaded machine.
const FAILOVER: Duration = Duration::from_secs(60);

/// Joins at all nodes in turn, while they tick, until so many are answered.
async fn join_some(nodes: &Nodes, numbers: &mut BTreeMap<u64, VisitorId>) {
    let from = Instant::now();
    let least = numbers.len() + JOINS;
    while numbers.len() < least {
        assert!(from.elapsed() < FAILOVER, "{} of {least}", numbers.len());
        for node in &nodes.nodes {
            let visitor = VisitorId::random();
            if let Ok(joined) = node.join(&nodes.event, &[visitor]).await {
                let before = numbers.insert(spot_of(joined[0]).number, visitor);
                assert_eq!(before, None, "a number was given twice");
            }
            let _ = node.tick(&nodes.event).await;
        }
    }
}

/// Kills the master, and the one that takes over once the first is its replica.
async fn there_and_back(
    nodes: &Nodes,
    servers: &mut [testkit::Redis],
    master_of: impl Fn(&[testkit::Redis]) -> Option<usize>,
) {
    let mut numbers = BTreeMap::new();
    join_some(nodes, &mut numbers).await;
    let mut masters = Vec::new();
    for _ in 0..3 {
        testkit::until("there is a master with a replica", || {
            let master = master_of(servers).map(|at| &servers[at]);
            master.is_some_and(|master| master.ask(&["WAIT", "1", "100"]).as_deref() == Some("1"))
        });
        let master = master_of(servers).unwrap();
        masters.push(master);
        servers[master].kill();
        join_some(nodes, &mut numbers).await;
        servers[master].start_again();
    }
    assert_eq!(masters[0], masters[2], "the first one was the master again");
    assert_ne!(masters[0], masters[1]);
    let front = nodes.nodes[0].tick(&nodes.event).await.unwrap();
    for (number, visitor) in numbers {
        let pass = Pass {
            visitor,
            number,
            is_provisional: false,
            life: Life {
                store: 0,
                ..front.life
            },
        };
        let spot = nodes.find(1, &pass).await.unwrap();
        assert_eq!(
            (spot.number, spot.standing),
            (number, VisitorState::Waiting)
        );
    }
}

#[tokio::test]
async fn sentinel_failovers_there_and_back_lose_no_place() {
    let mut set = testkit::Sentinels::start();
    let nodes = Nodes::start(&set.url(), 2, Clock::system(), policy(0, 1, 10)).await;
    let is_master = |server: &testkit::Redis| {
        let role = server.ask(&["ROLE"]);
        role.is_some_and(|role| role.contains("master"))
    };
    let master_of = |servers: &[testkit::Redis]| {
        let masters: Vec<usize> = (0..2).filter(|at| is_master(&servers[*at])).collect();
        // One that was started again takes itself for a master until a Sentinel tells it otherwise.
        (masters.len() == 1).then(|| masters[0])
    };
    there_and_back(&nodes, &mut set.servers, master_of).await;
}

#[tokio::test]
async fn cluster_failovers_there_and_back_lose_no_place() {
    let mut cluster = testkit::Cluster::start();
    let nodes = Nodes::start(&cluster.url(), 2, Clock::system(), policy(0, 1, 10)).await;
    there_and_back(&nodes, &mut cluster.nodes, |servers| {
        testkit::master_of(servers, KEY)
    })
    .await;
}
