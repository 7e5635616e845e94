//! Losses of the store at unlucky moments: what a node has acknowledged, or a fan was told, holds
//! whichever node reports first, and however soon the next loss comes.

use crate::bench::{START, policy, spot_of, steps};
use crate::nodes::{Nodes, until};
use shared::ids::VisitorId;
use shared::time::Clock;
use std::sync::Arc;
use waiting_room::line::{Admission, Claimed, Line as _, Patch, Redis, VisitorState};

fn away_seconds(away_seconds: u32) -> Admission {
    Admission {
        away_seconds,
        ..policy(0, 1, 10)
    }
}

/// Kills the server and starts it on its last snapshot.
fn roll_back(server: &mut testkit::Redis) {
    server.kill();
    server.start_again();
}

#[tokio::test]
async fn while_nodes_report_no_one_is_told_what_the_store_went_back_to() {
    let mut server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(60_000, 1, 1)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=3).await;
    server.ask(&["SAVE"]).unwrap();
    nodes.tick(1).await;
    let first = VisitorId(1);
    assert!(matches!(
        line[1].claim(event, first, 1).await.unwrap(),
        Claimed::Until(_)
    ));
    line[1].back(event, first).await.unwrap();
    roll_back(&mut server);
    // The first node notices the loss, before the second one has reported.
    until("the loss is noticed", 10, || async {
        let front = line[0].tick(event).await;
        front.is_ok_and(|front| front.is_recovering)
    })
    .await;
    let asked = async { tokio::join!(line[0].place(event, first), line[0].find(event, 1)) };
    let ((placed, found), ()) = tokio::join!(asked, nodes.recover());
    for spot in [placed, found] {
        assert_eq!(spot.unwrap().unwrap().standing, VisitorState::Shopping);
    }
}

#[tokio::test]
async fn a_claim_and_settings_that_a_node_acknowledged_outlive_a_loss_before_its_next_tick() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(60_000, 1, 1)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=3).await;
    nodes.clock.advance_ms(1000);
    line[0].tick(event).await.unwrap();
    // The second node has not heard of the admission otherwise.
    let claimed = line[1].claim(event, VisitorId(1), 1).await.unwrap();
    let patch = serde_json::from_str(r#"{"message": "Soon"}"#).unwrap();
    line[1].configure(event, patch).await.unwrap();
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    assert_eq!(
        line[0].claim(event, VisitorId(1), 1).await.unwrap(),
        claimed
    );
    let stats = line[0].stats(event).await.unwrap();
    assert_eq!((stats.admitted, stats.shopping), (0, 1));
    let front = line[0].tick(event).await.unwrap();
    assert_eq!(front.settings.message.as_deref(), Some("Soon"));
}

#[tokio::test]
async fn a_node_that_knows_of_no_other_does_not_end_the_recovery_alone() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(0, 1, 10)).await;
    let event = nodes.event.clone();
    nodes.join(0, 1..=2).await;
    nodes.tick(1).await;
    // A second node begins, and gives a number, between two ticks of the first.
    let folder = tempfile::tempdir().unwrap();
    let second = Redis::open(&server.url(), folder.path().into(), nodes.clock.clone()).unwrap();
    second.tick(&event).await.unwrap();
    let joined = second.join(&event, &[VisitorId(3)]).await.unwrap()[0];
    assert_eq!(spot_of(joined).number, 3);
    nodes.nodes.push(Arc::new(second));
    // The same again: at the second loss the first node has been alone in the life before.
    for id in [10, 11] {
        server.ask(&["FLUSHALL"]).unwrap();
        nodes.nodes[0].tick(&event).await.unwrap();
        let front = nodes.nodes[0].tick(&event).await.unwrap();
        assert!(front.is_recovering, "the second node has yet to report");
        if id == 11 {
            nodes.recover().await;
            assert_eq!(nodes.join(0, id..=id).await[0].number, 4);
        }
    }
}

#[tokio::test]
async fn whose_place_is_over_stays_so_through_two_losses_within_a_moment() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    let spot = nodes.join(0, 1..=3).await[1];
    let pass = nodes.pass(&spot).await;
    nodes.tick(1).await;
    line[1].leave(event, spot.visitor).await.unwrap();
    for _ in 0..2 {
        server.ask(&["FLUSHALL"]).unwrap();
        line[0].tick(event).await.unwrap();
        line[0].tick(event).await.unwrap();
    }
    nodes.recover().await;
    let spot = nodes.find(0, &pass).await.unwrap();
    assert_eq!(spot.standing, VisitorState::Left);
}

#[tokio::test]
async fn sockets_are_counted_anew_after_a_loss_and_who_closed_one_is_away() {
    let mut server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), away_seconds(20)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=4).await;
    for id in [1, 2] {
        line[0].back(event, VisitorId(id)).await.unwrap();
    }
    nodes.tick(1).await;
    server.ask(&["SAVE"]).unwrap();
    // One closes, one opens at the other node: the store forgets it.
    line[0].away(event, VisitorId(1)).await.unwrap();
    line[1].back(event, VisitorId(3)).await.unwrap();
    nodes.tick(1).await;
    roll_back(&mut server);
    nodes.recover().await;
    until("sockets are counted", 10, || async {
        nodes.tick(0).await;
        line[1].stats(event).await.unwrap().away == 2
    })
    .await;
    // The one whose socket is closed and the one who never showed again lapse.
    nodes.tick(12).await;
    line[0].place(event, VisitorId(4)).await.unwrap();
    nodes.tick(12).await;
    let front = line[0].tick(event).await.unwrap();
    assert_eq!(front.waiting, 3);
    assert!(!front.alive.contains(1));
}

#[tokio::test]
async fn a_poll_between_the_death_of_the_sockets_node_and_its_discovery_keeps_the_place() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), away_seconds(15)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=2).await;
    for id in [1, 2] {
        line[0].back(event, VisitorId(id)).await.unwrap();
    }
    nodes.tick(0).await;
    let tick = async |seconds| {
        for step in steps(seconds) {
            nodes.clock.advance_ms(step * 1000);
            line[1].tick(event).await.unwrap();
        }
    };
    tick(8).await;
    line[1].place(event, VisitorId(1)).await.unwrap();
    tick(10).await;
    let front = line[1].tick(event).await.unwrap();
    assert_eq!(front.waiting, 1, "the one who polled nothing is missed");
    assert!(front.alive.contains(1));
    tick(5).await;
    assert_eq!(line[1].tick(event).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn who_polled_in_vain_during_an_outage_is_heard_before_a_place_lapses() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), away_seconds(10)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=2).await;
    nodes.tick(0).await;
    nodes.tick(9).await;
    server.signal("STOP");
    // The first one opens the breaker, so that nothing is sent for the other.
    for id in [99, 1] {
        assert!(line[0].place(event, VisitorId(id)).await.is_err());
    }
    server.signal("CONT");
    nodes.clock.advance_ms(60_000);
    until("it answers", 10, || async {
        line[1].tick(event).await.is_ok()
    })
    .await;
    // More of the ten seconds than was left, with the other node first.
    nodes.clock.advance_ms(2000);
    line[1].tick(event).await.unwrap();
    until("it answers", 10, || async {
        line[0].tick(event).await.is_ok()
    })
    .await;
    nodes.tick(4).await;
    let front = line[1].tick(event).await.unwrap();
    assert!(front.alive.contains(1), "polled in vain");
    assert!(!front.alive.contains(2), "was silent");
}

#[tokio::test]
async fn a_change_that_only_one_node_had_heard_of_outlives_the_store() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 3, Clock::manual(START), policy(600, 1, 100)).await;
    nodes.join(0, 1..=50).await;
    nodes.tick(0).await;
    let stop: Patch = serde_json::from_str(r#"{"admission": {"rate_per_minute": 0}}"#).unwrap();
    let (event, line) = (&nodes.event, &nodes.nodes);
    line[2].configure(event, stop).await.unwrap();
    line[2].tick(event).await.unwrap();
    server.ask(&["FLUSHALL"]).unwrap();
    // The two nodes that did not know of it report first.
    nodes.clock.advance_ms(2000);
    nodes.recover().await;
    nodes.tick(2).await;
    for node in line {
        let front = node.tick(event).await.unwrap();
        assert_eq!(front.settings.admission.rate_per_minute, 0);
        assert_eq!(front.waiting, 40, "ten were admitted before, none since");
    }
}
