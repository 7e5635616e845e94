//! Many nodes share one line on Redis: none is a leader, and each may stall, die or come back.

use crate::bench::{START, policy, steps};
use crate::nodes::Nodes;

use shared::ids::{Availability, EventId, VisitorId};
use shared::time::{Clock, Time};
use std::collections::BTreeSet;
use std::time::Duration;
use waiting_room::line::{Admission, EventSettings, Joined, Line, Order, Patch, VisitorState};

/// Returns the numbers of visitors who no longer wait.
async fn admitted(line: &dyn Line, event: &EventId, fans: u64) -> BTreeSet<u64> {
    let mut admitted = BTreeSet::new();
    for number in 1..=fans {
        let spot = line.find(event, number).await.unwrap().unwrap();
        if spot.standing != VisitorState::Waiting {
            admitted.insert(number);
        }
    }
    admitted
}

#[tokio::test]
async fn however_many_nodes_tick_and_whoever_sleeps_no_more_are_let_in_than_is_due_and_in_order() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 8, Clock::manual(START), policy(600, 2, 1000)).await;
    nodes.join(0, 1..=400).await;
    let mut expected = 0;
    for second in 0..40 {
        // One node stalls for ten seconds, all others tick at once, some of them twice.
        let awake = nodes.nodes.iter().enumerate();
        let awake = awake.filter(|(node, _)| node % 4 != (second / 10) as usize % 4);
        let ticks = awake
            .chain(nodes.nodes.iter().enumerate().take(2))
            .map(|(_, node)| {
                let (node, event) = (node.clone(), nodes.event.clone());
                tokio::spawn(async move { node.tick(&event).await.unwrap() })
            });
        futures_util::future::join_all(ticks.collect::<Vec<_>>()).await;
        if second % 2 == 0 {
            expected += 20;
        }
        let expected = expected.min(400);
        let inside = admitted(&*nodes.nodes[0], &nodes.event, 400).await;
        assert_eq!(inside, (1..=expected).collect(), "second {second}");
        nodes.clock.advance_ms(1000);
    }
}

#[tokio::test]
async fn what_one_node_changes_holds_on_all_with_their_next_tick() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 3, Clock::manual(START), policy(600, 1, 100)).await;
    nodes.join(0, 1..=50).await;
    let patch: Patch =
        serde_json::from_str(r#"{"paused": true, "message": "One moment"}"#).unwrap();
    nodes.nodes[1].configure(&nodes.event, patch).await.unwrap();
    nodes.clock.advance_ms(5000);
    for node in &nodes.nodes {
        let front = node.tick(&nodes.event).await.unwrap();
        assert_eq!(front.settings.message.as_deref(), Some("One moment"));
        assert_eq!(front.alive.count(), 50, "none is admitted");
    }
    // Two concurrent changes: both take effect.
    let one: Patch = serde_json::from_str(r#"{"admission": {"max_active": 7}}"#).unwrap();
    let two: Patch = serde_json::from_str(r#"{"name": "Late night"}"#).unwrap();
    let (first, second) = tokio::join!(
        nodes.nodes[0].configure(&nodes.event, one),
        nodes.nodes[2].configure(&nodes.event, two)
    );
    assert!(first.is_ok() && second.is_ok());
    let front = nodes.nodes[1].tick(&nodes.event).await.unwrap();
    assert_eq!(front.settings.admission.max_active, 7);
    assert_eq!(front.settings.name, "Late night");
    let counted = Availability {
        capacity: 5,
        available: 3,
        held: 0,
        booked: 2,
        as_of: START,
    };
    nodes.nodes[2].report(&nodes.event, counted).await.unwrap();
    let front = nodes.nodes[0].tick(&nodes.event).await.unwrap();
    assert_eq!(front.availability, Some(counted));
}

#[tokio::test]
async fn a_newer_socket_at_another_node_replaces_the_older_and_keeps_the_place() {
    let server = testkit::Redis::start();
    let times = Admission {
        away_seconds: 20,
        ..policy(0, 1, 10)
    };
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), times).await;
    nodes.join(0, 1..=3).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    line[0].back(event, VisitorId(1)).await.unwrap();
    line[0].back(event, VisitorId(2)).await.unwrap();
    line[1].back(event, VisitorId(1)).await.unwrap();
    nodes.tick(1).await;
    assert_eq!(line[0].replaced(event), [VisitorId(1)]);
    assert_eq!(line[0].replaced(event), [], "told once");
    assert_eq!(line[1].replaced(event), []);
    // To another node and back before either has heard of it: the newest socket is here.
    line[0].back(event, VisitorId(3)).await.unwrap();
    line[1].back(event, VisitorId(3)).await.unwrap();
    line[0].back(event, VisitorId(3)).await.unwrap();
    nodes.tick(1).await;
    assert_eq!(line[0].replaced(event), []);
    assert_eq!(line[1].replaced(event), [VisitorId(3)]);
    // The older socket closes: the fan is not away, for the newer one is open.
    line[0].away(event, VisitorId(1)).await.unwrap();
    line[0].away(event, VisitorId(2)).await.unwrap();
    for _ in 0..5 {
        nodes.tick(5).await;
    }
    let standing = async |number| line[0].find(event, number).await.unwrap().unwrap().standing;
    assert_eq!(standing(1).await, VisitorState::Waiting);
    assert_eq!(standing(2).await, VisitorState::Missed);
}

#[tokio::test]
async fn the_fans_of_a_node_that_dies_are_away_since_its_last_sign_of_life() {
    let server = testkit::Redis::start();
    let times = Admission {
        away_seconds: 30,
        ..policy(0, 1, 10)
    };
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), times).await;
    nodes.join(0, 1..=2000).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    for id in 1..=2000u128 {
        line[usize::from(id > 1000)]
            .back(event, VisitorId(id))
            .await
            .unwrap();
    }
    nodes.tick(1).await;
    assert_eq!(line[0].stats(event).await.unwrap().away, 0);
    // The first node stops ticking. Fan 7 reconnects at the other.
    let tick = async |seconds: i64| {
        for step in steps(seconds) {
            nodes.clock.advance_ms(step * 1000);
            line[1].tick(event).await.unwrap();
        }
    };
    tick(11).await;
    assert_eq!(line[1].stats(event).await.unwrap().away, 1000);
    line[1].back(event, VisitorId(7)).await.unwrap();
    tick(18).await;
    assert_eq!(
        line[1].tick(event).await.unwrap().waiting,
        2000,
        "29 seconds"
    );
    tick(1).await;
    let front = line[1].tick(event).await.unwrap();
    assert_eq!(
        front.waiting, 1001,
        "30 seconds after the last sign of life"
    );
    assert!(front.alive.contains(7) && !front.alive.contains(8));
    // It was only stalled: the sockets it holds count again.
    let spot = line[0].join(event, &[VisitorId(8)]).await.unwrap();
    assert!(matches!(spot[0], Joined::New(spot) if spot.number == 2001));
    line[0].back(event, VisitorId(8)).await.unwrap();
    tick(5).await;
    line[0].tick(event).await.unwrap();
    for _ in 0..10 {
        nodes.tick(5).await;
    }
    assert_eq!(
        line[1].find(event, 2001).await.unwrap().unwrap().standing,
        VisitorState::Waiting
    );
}

#[tokio::test]
async fn a_draw_is_held_once_by_whichever_of_many_nodes_and_again_by_none() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 5, Clock::system(), policy(0, 1, 10)).await;
    for round in 0..6 {
        let event = EventId::parse(&format!("draw-{round}")).unwrap();
        let mut settings = EventSettings::new(event.clone(), "Drawn");
        settings.order = Order::Draw;
        let now = Clock::system().now();
        settings.prequeue_opens_at = Some(now);
        settings.sale_opens_at = Some(Time(now.0 + 700));
        nodes.nodes[0].create(settings).await.unwrap();
        nodes.event = event.clone();
        nodes.join(0, 1..=3000).await;
        let mut ticking = tokio::task::JoinSet::new();
        for node in nodes.nodes.clone() {
            let event = event.clone();
            ticking.spawn(async move {
                loop {
                    let front = node.tick(&event).await.unwrap();
                    if front.drawn > 0 {
                        return front.drawn;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        // A fan who joins during the draw waits a moment and queues behind.
        let late = async {
            tokio::time::sleep(Duration::from_millis(720)).await;
            nodes.join(1, 5000..=5000).await[0]
        };
        let (drawn, late) = tokio::join!(ticking.join_all(), late);
        assert_eq!(drawn, [drawn[0]; 5]);
        let in_line = drawn[0];
        assert!(in_line == 3000 || in_line == 3001, "{in_line}");
        let number = nodes.nodes[2]
            .place(&event, late.visitor)
            .await
            .unwrap()
            .unwrap()
            .number;
        assert!(in_line == 3001 || number == 3001);
        let state = nodes.nodes[3].draw(&event).await.unwrap().unwrap();
        let visitors = nodes.nodes[4].drawn(&event, 1, 3001).await.unwrap();
        let root = waiting_room::draw::root_of_visitors(&visitors[..in_line as usize]);
        assert_eq!(state.outcome.unwrap().root, root);
    }
}

#[tokio::test]
async fn a_removed_event_leaves_no_key_behind() {
    let server = testkit::Redis::start();
    let clock = Clock::manual(START);
    let nodes = Nodes::start(&server.url(), 2, clock.clone(), policy(60, 1, 100)).await;
    let event = EventId::parse("drawn").unwrap();
    let mut settings = EventSettings::new(event.clone(), "Drawn");
    settings.admission = policy(600, 1, 100);
    settings.order = Order::Draw;
    settings.prequeue_opens_at = Some(START);
    settings.sale_opens_at = Some(START.plus_seconds(10));
    nodes.nodes[0].create(settings).await.unwrap();
    let visitors: Vec<VisitorId> = (1..=1000).map(VisitorId).collect();
    nodes.nodes[0].join(&event, &visitors).await.unwrap();
    // A socket at one node, then at the other, which leaves the first node a message.
    for node in &nodes.nodes {
        node.back(&event, VisitorId(1)).await.unwrap();
    }
    let keys = || server.ask(&["KEYS", "fairline:{drawn}:*"]).unwrap();
    let before = keys();
    for second in [10, 1] {
        clock.advance_ms(second * 1000);
        nodes.nodes[1].tick(&event).await.unwrap();
    }
    let after = keys();
    for key in ["waiting", "alive", "deadlines", "owners", "in:1", "nodes"] {
        assert!(
            before.contains(&format!("fairline:{{drawn}}:{key}")),
            "{key}: {before}"
        );
    }
    for key in [
        "waiting", "alive", "slots", "admitted", "past", "waits", "drawn", "log", "beats",
    ] {
        assert!(
            after.contains(&format!("fairline:{{drawn}}:{key}")),
            "{key}: {after}"
        );
    }
    assert!(!after.contains("fairline:{drawn}:draw:"), "{after}");
    nodes.nodes[0].remove(&event).await.unwrap();
    assert_eq!(keys(), "");
}

#[tokio::test]
async fn a_line_without_visitors_writes_next_to_nothing() {
    let server = testkit::Redis::start();
    let clock = Clock::manual(START);
    let nodes = Nodes::start(&server.url(), 2, clock, policy(0, 1, 100)).await;
    let writes = || {
        let told = server.ask(&["INFO", "persistence"]).unwrap();
        let changes = told
            .lines()
            .find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        changes.unwrap().parse::<u64>().unwrap()
    };
    nodes.tick(1).await;
    let before = writes();
    for _ in 0..120 {
        nodes.tick(1).await;
    }
    assert_eq!(writes(), before, "two minutes");
    // It wakes with the first visitor, whose node is missed when it dies.
    nodes.join(0, 1..=1).await;
    nodes.nodes[0]
        .back(&nodes.event, VisitorId(1))
        .await
        .unwrap();
    for _ in 0..3 {
        nodes.clock.advance_ms(4_000);
        nodes.nodes[1].tick(&nodes.event).await.unwrap();
    }
    assert_eq!(nodes.nodes[1].stats(&nodes.event).await.unwrap().away, 1);
}
